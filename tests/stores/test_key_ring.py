"""The store's key is made once, kept private, and never replaced behind anybody's back."""

import os
import stat
import threading
from pathlib import Path

import pytest

from contracts.sealer import SealerContract
from fakes.machine import CountingEntropy
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports import Sealer
from tokenward.stores.key_ring import KEY_BYTES, KEY_FILE, AesGcmSealer, open_key_file


class TestAesGcmSealer(SealerContract):
    def sealer(self, key_number: int = 1) -> Sealer:
        """A sealer whose key is its number."""
        return AesGcmSealer(bytes([key_number]) * KEY_BYTES, CountingEntropy())

    def test_the_key_does_not_show(self) -> None:
        """Neither the name of the key nor the sealer's repr holds a byte of the key."""
        key = bytes(range(32))
        sealer = AesGcmSealer(key, CountingEntropy())
        assert sealer.key_id not in key.hex()
        assert key.hex() not in repr(sealer)
        assert len(sealer.key_id) == 16

    def test_a_key_of_another_size_is_refused(self) -> None:
        """AES-128 does not slip in."""
        with pytest.raises(ValueError, match="32 bytes"):
            AesGcmSealer(bytes(16), CountingEntropy())


def opened(directory: Path, *, may_create: bool = True) -> bytes:
    """The key of a state directory."""
    return open_key_file(directory, CountingEntropy(), may_create=may_create)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The first look makes a key of 32 random bytes, later ones find it, whatever their entropy says."""
    state = tmp_path / "state"
    entropy = CountingEntropy()
    key = open_key_file(state, entropy, may_create=True)
    assert len(key) == KEY_BYTES
    assert entropy.drawn == 1
    assert open_key_file(state, entropy, may_create=True) == key
    assert open_key_file(state, entropy, may_create=False) == key
    assert entropy.drawn == 1


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_key_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """The key file is 0600 in a 0700 directory."""
    before = os.umask(umask)
    try:
        opened(tmp_path / "state")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state" / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_missing_key_is_not_made_anew_over_sealed_records(tmp_path: Path) -> None:
    """With records and without their key the start stops, and nothing is created."""
    with pytest.raises(ConfigurationFault, match="missing") as caught:
        opened(tmp_path, may_create=False)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others may read or write is not used, and its mode is not quietly repaired."""
    opened(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(ConfigurationFault, match="open to others"):
        opened(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == mode


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_a_wrong_size_is_refused(tmp_path: Path, size: int) -> None:
    """A torn or foreign file is not used as a key and not replaced; its bytes are not shown."""
    path = tmp_path / KEY_FILE
    path.write_bytes(b"k" * size)
    path.chmod(0o600)
    with pytest.raises(ConfigurationFault, match=f"{size} bytes") as caught:
        opened(tmp_path)
    assert "kkk" not in caught.value.cause
    assert path.read_bytes() == b"k" * size


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    """Who owns the key can read and replace it, so it must be us."""
    opened(tmp_path)
    os.chown(tmp_path / KEY_FILE, 12345, -1)
    with pytest.raises(ConfigurationFault, match="belongs to user 12345"):
        opened(tmp_path)


def test_a_directory_in_the_place_of_the_key_is_reported(tmp_path: Path) -> None:
    """What is no file is an error of the store, with one line of cause and one of hint."""
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(StoreUnavailable) as caught:
        opened(tmp_path)
    assert "\n" not in caught.value.cause
    assert caught.value.hint


def test_two_that_start_together_use_one_key(tmp_path: Path) -> None:
    """Of eight that find no key at the same time, one makes it and all get it."""
    start = threading.Barrier(8)
    keys: list[bytes] = []

    def open_it(number: int) -> None:
        entropy = CountingEntropy(drawn=number * 1000)
        start.wait()
        keys.append(open_key_file(tmp_path, entropy, may_create=True))

    threads = [threading.Thread(target=open_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert (tmp_path / KEY_FILE).read_bytes() == keys[0]
