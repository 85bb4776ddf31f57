"""What every `ports.Sealer` promises: subclass `SealerContract` and say how to make one."""

import pytest

from tokenward.errors import StoreUnavailable
from tokenward.ports import Sealer

PLAIN = b"the refresh token"
BOUND = b"acme:me 0123456789ab"


class SealerContract:
    def sealer(self, key_number: int = 1) -> Sealer:
        """A sealer under one of several keys; overridden by every adapter's tests."""
        raise NotImplementedError

    def test_what_is_sealed_can_be_unsealed(self) -> None:
        """Under the same key and the same associated data the plain bytes come back, also empty ones."""
        sealer = self.sealer()
        for plain in (PLAIN, b"", bytes(100_000)):
            assert sealer.unseal(sealer.seal(plain, BOUND), BOUND) == plain

    def test_another_sealer_with_the_key_can_unseal(self) -> None:
        """What matters is the key, not the object."""
        assert self.sealer().unseal(self.sealer().seal(PLAIN, BOUND), BOUND) == PLAIN

    def test_the_plain_bytes_do_not_show(self) -> None:
        """Neither the plain bytes nor the associated data are in what is sealed."""
        sealed = self.sealer().seal(PLAIN, BOUND)
        assert PLAIN not in sealed
        assert BOUND not in sealed

    def test_sealing_twice_differs(self) -> None:
        """The same bytes never look the same twice."""
        sealer = self.sealer()
        assert sealer.seal(PLAIN, BOUND) != sealer.seal(PLAIN, BOUND)

    def test_other_associated_data_do_not_open_it(self) -> None:
        """What was sealed for one record cannot be passed off as another's."""
        sealer = self.sealer()
        with pytest.raises(StoreUnavailable):
            sealer.unseal(sealer.seal(PLAIN, BOUND), BOUND + b"x")

    def test_another_key_does_not_open_it(self) -> None:
        """A sealer with another key refuses, and has another name."""
        with pytest.raises(StoreUnavailable):
            self.sealer(2).unseal(self.sealer(1).seal(PLAIN, BOUND), BOUND)
        assert self.sealer(1).key_id != self.sealer(2).key_id
        assert self.sealer(1).key_id == self.sealer(1).key_id

    def test_a_changed_byte_anywhere_is_noticed(self) -> None:
        """No single byte can be changed, added or taken away."""
        sealer = self.sealer()
        sealed = sealer.seal(PLAIN, BOUND)
        for position in range(len(sealed)):
            changed = bytearray(sealed)
            changed[position] ^= 0x40
            with pytest.raises(StoreUnavailable):
                sealer.unseal(bytes(changed), BOUND)
        for wrong in (b"", sealed[:1], sealed[:13], sealed[:-1], sealed + b"\0"):
            with pytest.raises(StoreUnavailable):
                sealer.unseal(wrong, BOUND)
