"""What every `ports.KeyPlace` promises: subclass `KeyPlaceContract` and give it a place in which nothing is."""

import pytest

from tokenward.ports import KeyPlace
from tokenward.stores.key_ring import KEY_BYTES, key_id_of


class KeyPlaceContract:
    @pytest.fixture
    def place(self) -> KeyPlace:
        """A place without a key; overridden by every adapter's tests."""
        raise NotImplementedError

    def again(self, place: KeyPlace) -> KeyPlace:
        """The same place as another process finds it; overridden by every adapter's tests."""
        raise NotImplementedError

    def test_nothing_is_there_at_first(self, place: KeyPlace) -> None:
        """A place without a key says so, whichever is asked for."""
        assert place.find(None) is None
        assert place.find("0" * 16) is None

    def test_what_was_made_is_found_by_its_id(self, place: KeyPlace) -> None:
        """Also by another process, and not under another id."""
        key = place.make()
        assert len(key) == KEY_BYTES
        assert self.again(place).find(key_id_of(key)) == key
        assert self.again(place).find("0" * 16) is None

    def test_a_new_key_stands_beside_the_old_one(self, place: KeyPlace) -> None:
        """Until the old one is retired, both are found."""
        old, new = place.make(), place.make()
        assert old != new
        assert self.again(place).find(key_id_of(old)) == old
        assert self.again(place).find(key_id_of(new)) == new

    def test_a_retired_key_is_gone_and_its_successor_stays(self, place: KeyPlace) -> None:
        """A key replaced in its own place, twice; retiring again does no harm."""
        old, new = place.make(), place.make()
        for _ in range(2):
            place.retire(key_id_of(old), key_id_of(new))
        assert self.again(place).find(key_id_of(old)) is None
        assert self.again(place).find(key_id_of(new)) == new
        newest = place.make()
        place.retire(key_id_of(new), key_id_of(newest))
        assert self.again(place).find(key_id_of(newest)) == newest

    def test_the_last_key_can_be_retired(self, place: KeyPlace) -> None:
        """A store that moves elsewhere leaves nothing, and comes back to an empty place."""
        key = place.make()
        for _ in range(2):
            place.retire(key_id_of(key), None)
        assert self.again(place).find(key_id_of(key)) is None
        assert self.again(place).find(None) is None

    def test_another_key_is_not_retired(self, place: KeyPlace) -> None:
        """Only the key that was named goes."""
        key = place.make()
        place.retire("0" * 16, None)
        assert self.again(place).find(key_id_of(key)) == key

    def test_it_can_be_told_to_people(self, place: KeyPlace) -> None:
        """It has the name that the configuration uses, and says where it is."""
        assert place.name in {"file", "keyring", "systemd", "passphrase"}
        assert place.description
