"""The place and the store in memory keep every promise of the ports, and fail only when told to."""

import errno
import threading
from pathlib import Path

import pytest

from contracts.credential_store import CredentialStoreContract
from contracts.place import FAR, PlaceContract, found_in, oauth_credential
from tokenward.core.credential import Credential
from tokenward.core.reading import Blanked, Found
from tokenward.ports import LockIdentity, LocksBusy, Stored, Superseded
from tokenward.stores.memory import MemoryCredentialStore, MemoryPlace

LOCK = LockIdentity("/nowhere/lock", 1, 2)


class _PlaceRig:
    def __init__(self) -> None:
        self.place = MemoryPlace()

    def put(self, credential: Credential) -> None:
        self.place.overwrite(credential)

    def tear(self) -> None:
        self.place.tear()

    def vanish(self) -> None:
        self.place.vanish()


class TestMemoryPlace(PlaceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _PlaceRig:
        """A place in memory."""
        return _PlaceRig()


class _StoreRig:
    def __init__(self) -> None:
        self.store = MemoryCredentialStore()

    def damage(self, profile: str) -> None:
        self.store.place(profile).tear()


class TestMemoryCredentialStore(CredentialStoreContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _StoreRig:
        """A store in memory."""
        return _StoreRig()


def test_scripted_failures_happen_as_often_as_said_and_change_nothing() -> None:
    """A failed write leaves the old value; after the scripted failures writes succeed again."""
    place = MemoryPlace(oauth_credential(1))
    place.fail_prepares(1, OSError(errno.EROFS, "read-only"))
    place.fail_commits(2, OSError(errno.ENOSPC, "full"))
    with pytest.raises(OSError, match="read-only"):
        place.prepare_write()
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            place.prepare_write().commit(oauth_credential(1).generation, oauth_credential(2))
        assert found_in(place.read()) == oauth_credential(1)
    assert place.prepare_write().commit(oauth_credential(1).generation, oauth_credential(2)) == Stored()
    assert place.commits == [oauth_credential(2)]


def test_a_store_fails_as_its_place_is_told() -> None:
    """Adding goes through the place, so a failure scripted there is the store's."""
    store = MemoryCredentialStore()
    store.place("a:me").fail_commits(1, OSError(errno.ENOSPC, "full"))
    with pytest.raises(OSError, match="full"):
        store.add("a:me", oauth_credential())
    assert list(store.profiles()) == []
    store.add("a:me", oauth_credential())
    assert list(store.profiles()) == ["a:me"]


def test_locks_can_be_busy_refused_and_stolen() -> None:
    """What real locks do to us can be done here on request."""
    place = MemoryPlace(oauth_credential(), lock_identities=[LOCK])
    place.make_busy("held by pid 7", refused=True)
    assert place.acquire_locks(FAR) == LocksBusy("held by pid 7", refused=True)
    place.make_free()
    locks = place.acquire_locks(FAR)
    assert not isinstance(locks, LocksBusy)
    assert list(locks.identities) == [LOCK]
    assert place.locked
    assert isinstance(place.acquire_locks(FAR), LocksBusy)
    place.steal_locks()
    assert not locks.still_owned()
    locks.release()
    assert not place.locked


def test_a_blanked_place_is_not_written_over() -> None:
    """A stub left by the owner is reported to the writer, with what the owner says of the login."""
    place = MemoryPlace(oauth_credential(1))
    writer = place.prepare_write()
    place.blank(login_ended=True)
    assert writer.commit(oauth_credential(1).generation, oauth_credential(2)) == Superseded(Blanked(True))


def test_of_many_threads_one_write_wins() -> None:
    """Compare and swap holds between threads: of eight writers that expect one value, one stores."""
    place = MemoryPlace(oauth_credential(0))
    start = threading.Barrier(8)
    outcomes: list[Stored | Superseded] = []

    def write(number: int) -> None:
        writer = place.prepare_write()
        start.wait()
        outcomes.append(writer.commit(oauth_credential(0).generation, oauth_credential(number)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(Stored()) == 1
    assert place.read() == Found(place.commits[0])
