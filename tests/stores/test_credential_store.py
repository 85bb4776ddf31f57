"""The encrypted store loses nothing to damage, another key, a newer version, a full disk or another writer."""

import base64
import errno
import hashlib
import json
import os
import stat
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.credential_store import CredentialStoreContract
from contracts.place import PlaceContract, found_in, oauth_credential
from fakes.machine import CountingEntropy, FakeClock
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Found, Unreadable
from tokenward.disk.atomic_file import DirectorySyncFailed, FileImage, PreparedWrite, read_regular
from tokenward.disk.flock import FileLock
from tokenward.ports import Stored, Superseded
from tokenward.stores import credential_store
from tokenward.stores.credential_store import EncryptedCredentialStore, holds_records
from tokenward.stores.key_ring import KEY_BYTES, AesGcmSealer

PROFILE = "acme:me@work.com"


def store_in(directory: Path, key_number: int = 1) -> EncryptedCredentialStore:
    """A store under one of several keys."""
    clock = FakeClock()
    return EncryptedCredentialStore(
        directory, sealer_of(key_number), wait=clock.advance, monotonic=clock.monotonic
    )


def sealer_of(key_number: int) -> AesGcmSealer:
    """One of several keys."""
    return AesGcmSealer(bytes([key_number]) * KEY_BYTES, CountingEntropy())


def record_of(directory: Path, profile: str = PROFILE) -> Path:
    """Where a record lies."""
    return directory / f"{hashlib.sha256(profile.encode()).hexdigest()}.json"


def rewrite(path: Path, **changes: Any) -> None:
    """Change members of the outer record."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class _PlaceRig:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._owner = store_in(directory)
        self.place = store_in(directory).place(PROFILE)

    def put(self, credential: Credential) -> None:
        self._owner.add(PROFILE, credential)

    def tear(self) -> None:
        path = record_of(self._directory)
        path.write_bytes(path.read_bytes()[:200])

    def vanish(self) -> None:
        self._owner.remove(PROFILE)


class TestRecordPlace(PlaceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _PlaceRig:
        """A record, and another store on the same directory as its owner."""
        return _PlaceRig(tmp_path / "credentials")


class _StoreRig:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.store = store_in(directory)

    def damage(self, profile: str) -> None:
        path = record_of(self._directory, profile)
        path.write_bytes(path.read_bytes()[:-30])


class TestEncryptedCredentialStore(CredentialStoreContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _StoreRig:
        """A store on a disk."""
        return _StoreRig(tmp_path / "credentials")


def test_nothing_secret_is_on_the_disk(tmp_path: Path) -> None:
    """No file holds a token, in any encoding we use, or has the id in its name; all files are 0600."""
    store_in(tmp_path / "credentials").add(PROFILE, oauth_credential())
    for path in (tmp_path / "credentials").iterdir():
        data = path.read_bytes()
        for token in (b"sk-ant-oat01-access-1", b"sk-ant-ort01-refresh-1"):
            assert token not in data
            assert base64.b64encode(token)[:12] not in data
        assert "me@work" not in path.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "credentials").stat().st_mode) == 0o700


def test_looking_creates_nothing(tmp_path: Path) -> None:
    """A store that was only read leaves no directory behind."""
    directory = tmp_path / "credentials"
    store = store_in(directory)
    store.profiles()
    store.place(PROFILE).read()
    store.remove(PROFILE)
    assert not directory.exists()
    assert not holds_records(directory)


def test_whose_a_record_is_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look for strange keys at the start tells it, too; what came since is read, what went is not listed."""
    store = store_in(tmp_path)
    store.add("a:one", oauth_credential(1))
    store.add("b:two", oauth_credential(2))
    assert store.key_mismatches() == {}
    read: list[str] = []

    def noted(path: str, limit: int) -> FileImage:
        read.append(path)
        return read_regular(path, limit)

    monkeypatch.setattr(credential_store, "read_regular", noted)
    assert list(store.profiles()) == ["a:one", "b:two"]
    assert read == []
    store_in(tmp_path).add("c:three", oauth_credential(3))
    store_in(tmp_path).remove("a:one")
    read.clear()
    assert list(store.profiles()) == ["b:two", "c:three"]
    assert read == [str(record_of(tmp_path, "c:three"))]


@pytest.mark.parametrize("profile", ["acme:caf\u00e9", 'acme:"quoted"'])
def test_whose_a_record_is_may_be_written_with_escapes(tmp_path: Path, profile: str) -> None:
    """They are read as JSON has them, and count only if the file's name agrees."""
    store_in(tmp_path).add(PROFILE, oauth_credential())
    rewrite(record_of(tmp_path), profile=profile)
    assert list(store_in(tmp_path).profiles()) == []
    record_of(tmp_path).replace(record_of(tmp_path, profile))
    assert list(store_in(tmp_path).profiles()) == [profile]


def test_half_a_surrogate_is_nobodys_name(tmp_path: Path) -> None:
    """JSON can say it and no text of ours has it: the record is damaged, and stops no start."""
    store_in(tmp_path).add(PROFILE, oauth_credential())
    rewrite(record_of(tmp_path), profile="acme:\ud800")
    assert list(store_in(tmp_path).profiles()) == []
    assert store_in(tmp_path).key_mismatches() == {}


def test_a_record_sealed_by_another_key_stops_the_start(tmp_path: Path) -> None:
    """Such records are named, unreadable, and not taken for damage or absence."""
    store_in(tmp_path, 1).add("a:one", oauth_credential(1))
    store_in(tmp_path, 2).add("b:two", oauth_credential(2))
    assert store_in(tmp_path, 1).key_mismatches() == {"b:two": sealer_of(2).key_id}
    assert store_in(tmp_path, 2).key_mismatches() == {"a:one": sealer_of(1).key_id}
    reading = store_in(tmp_path, 1).place("b:two").read()
    assert isinstance(reading, Unreadable)
    assert "another key sealed this record" in reading.reason
    assert list(store_in(tmp_path, 1).profiles()) == ["a:one", "b:two"]
    assert holds_records(tmp_path)


def test_a_newer_record_is_not_guessed_at(tmp_path: Path) -> None:
    """A record of a version to come is unreadable, says why, and keeps its profile listed."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential())
    rewrite(record_of(tmp_path), version=2)
    reading = store.place(PROFILE).read()
    assert isinstance(reading, Unreadable)
    assert "newer tokenward" in reading.reason
    assert list(store.profiles()) == [PROFILE]
    assert store.key_mismatches() == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": "1"},
        {"version": None},
        {"generation": "000000000000"},
        {"generation": None},
        {"key": 7},
        {"sealed": "not base64!"},
        {"sealed": ""},
        {"profile": "acme:other"},
    ],
)
def test_a_changed_outer_record_is_unreadable(tmp_path: Path, changes: dict[str, Any]) -> None:
    """No member can be changed without the record being refused, and none is repaired."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential())
    rewrite(record_of(tmp_path), **changes)
    changed = record_of(tmp_path).read_bytes()
    assert isinstance(store.place(PROFILE).read(), Unreadable)
    assert record_of(tmp_path).read_bytes() == changed


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"{}", b"[" * 100_000, b"{" + b" " * 300_000])
def test_any_bytes_are_unreadable_and_kept(tmp_path: Path, data: bytes) -> None:
    """Whatever a record was turned into, it is no news, names nobody and is not overwritten."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential())
    record_of(tmp_path).write_bytes(data)
    assert isinstance(store.place(PROFILE).read(), Unreadable)
    assert list(store.profiles()) == []
    assert holds_records(tmp_path)
    assert record_of(tmp_path).read_bytes() == data


def test_records_cannot_change_places(tmp_path: Path) -> None:
    """One profile's file under another's name is neither's credential."""
    store = store_in(tmp_path)
    store.add("a:one", oauth_credential(1))
    store.add("b:two", oauth_credential(2))
    record_of(tmp_path, "a:one").replace(record_of(tmp_path, "b:two"))
    assert isinstance(store.place("b:two").read(), Unreadable)
    assert list(store.profiles()) == []


def test_an_older_value_cannot_pass_for_the_newer(tmp_path: Path) -> None:
    """What was sealed for one generation cannot be put into the record of another."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))
    old = json.loads(record_of(tmp_path).read_text())
    store.add(PROFILE, oauth_credential(2))
    rewrite(record_of(tmp_path), sealed=old["sealed"])
    assert isinstance(store.place(PROFILE).read(), Unreadable)


def test_new_material_moves_the_unreadable_aside(tmp_path: Path) -> None:
    """Each unreadable file is kept under a number of its own, byte for byte."""
    store = store_in(tmp_path)
    for number in (1, 2):
        store.add(PROFILE, oauth_credential(number))
        record_of(tmp_path).write_bytes(b"damage %d" % number)
    store.add(PROFILE, oauth_credential(3))
    assert found_in(store.place(PROFILE).read()) == oauth_credential(3)
    for number in (1, 2):
        aside = record_of(tmp_path).with_name(f"{record_of(tmp_path).name}.unreadable-{number}")
        assert aside.read_bytes() == b"damage %d" % number
    assert list(store.profiles()) == [PROFILE]


def test_a_failed_replacement_puts_the_unreadable_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new record cannot be written, the old file is where it was."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential())
    record_of(tmp_path).write_bytes(b"damage")

    def full(self: PreparedWrite, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(PreparedWrite, "commit", full)
    with pytest.raises(OSError, match="full"):
        store.add(PROFILE, oauth_credential(2))
    assert [path.read_bytes() for path in tmp_path.glob("*.json*")] == [b"damage"]
    assert record_of(tmp_path).exists()


def test_forgetting_takes_what_was_moved_aside_too(tmp_path: Path) -> None:
    """After a removal no file of the profile is left, and other profiles' files are."""
    store = store_in(tmp_path)
    store.add("b:two", oauth_credential(2))
    store.add(PROFILE, oauth_credential(1))
    record_of(tmp_path).write_bytes(b"damage")
    store.add(PROFILE, oauth_credential(3))
    assert store.remove(PROFILE) is True
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(record_of(tmp_path).stem)]
    assert found_in(store.place("b:two").read()) == oauth_credential(2)


def test_a_write_that_failed_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails at the sync costs nothing that was there, and no temporary file stays."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "broken disk")

    writer = store.place(PROFILE).prepare_write()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="broken disk"):
            writer.commit(oauth_credential(1).generation, oauth_credential(2))
    assert found_in(store.place(PROFILE).read()) == oauth_credential(1)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock"]


def test_a_write_whose_directory_sync_failed_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is reported, and the same write done again is stored instead of finding itself superseded."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))
    real_fsync = os.fsync

    def files_only(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "broken disk")
        real_fsync(fd)

    writer = store.place(PROFILE).prepare_write()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", files_only)
        with pytest.raises(DirectorySyncFailed):
            writer.commit(oauth_credential(1).generation, oauth_credential(2))
    again = store.place(PROFILE).prepare_write()
    assert again.commit(oauth_credential(1).generation, oauth_credential(2)) == Stored()
    assert found_in(store.place(PROFILE).read()) == oauth_credential(2)


def test_a_record_locked_by_another_is_not_written(tmp_path: Path) -> None:
    """A holder that does not let go makes the write fail, in the end, and nothing is changed."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))
    writer = store.place(PROFILE).prepare_write()
    holder = FileLock(record_of(tmp_path).with_suffix(".lock"))
    assert holder.try_acquire()
    with holder, pytest.raises(BlockingIOError):
        writer.commit(oauth_credential(1).generation, oauth_credential(2))
    assert found_in(store.place(PROFILE).read()) == oauth_credential(1)


def test_of_many_writers_one_wins(tmp_path: Path) -> None:
    """Compare and swap holds between writers: of four that expect one value, one stores and three are told."""
    store_in(tmp_path).add(PROFILE, oauth_credential(0))
    start = threading.Barrier(4)
    outcomes: list[Stored | Superseded] = []

    def write(number: int) -> None:
        sealer = AesGcmSealer(bytes([1]) * KEY_BYTES, CountingEntropy())
        store = EncryptedCredentialStore(tmp_path, sealer)
        writer = store.place(PROFILE).prepare_write()
        start.wait()
        outcomes.append(writer.commit(oauth_credential(0).generation, oauth_credential(number)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(Stored()) == 1
    winner = found_in(store_in(tmp_path).place(PROFILE).read())
    losers = [outcome for outcome in outcomes if isinstance(outcome, Superseded)]
    assert [outcome.reading for outcome in losers] == [Found(winner)] * 3


def test_what_would_be_too_large_to_read_is_not_written(tmp_path: Path) -> None:
    """A record over the limit is refused before it could replace one that can be read."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))
    with pytest.raises(OSError, match="a record may have"):
        store.add(PROFILE, Credential(kind=Kind.API_KEY, access=Secret("x" * 300_000)))
    assert found_in(store.place(PROFILE).read()) == oauth_credential(1)


def test_the_largest_tokens_fit(tmp_path: Path) -> None:
    """Two tokens of the largest size accepted from a server can be kept."""
    store = store_in(tmp_path)
    large = Credential(kind=Kind.OAUTH, access=Secret("a" * 65536), refresh=Secret("r" * 65536))
    store.add(PROFILE, large)
    assert found_in(store.place(PROFILE).read()) == large


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads what it likes")
def test_a_record_that_may_not_be_read_is_not_absent(tmp_path: Path) -> None:
    """Permissions taken away are no news."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))
    record_of(tmp_path).chmod(0)
    assert isinstance(store.place(PROFILE).read(), Unreadable)
    assert store.place(PROFILE).signature() is not None


@pytest.mark.parametrize("member", ["st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_each_member_of_a_stat_makes_another_signature(
    tmp_path: Path, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the same size put in its place with its times, or one written in place, is a change."""
    store = store_in(tmp_path)
    store.add(PROFILE, oauth_credential(1))
    place = store.place(PROFILE)
    before, found = place.signature(), record_of(tmp_path).stat()
    members = {
        name: getattr(found, name) for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    }
    monkeypatch.setattr("tokenward.stores.credential_store.os.stat", lambda _: SimpleNamespace(**members))
    assert place.signature() == before
    members[member] += 1
    assert place.signature() != before


def test_what_is_gone_and_what_cannot_be_looked_at_have_signatures_too(tmp_path: Path) -> None:
    """Nothing is None; what a loop of links hides is something, and the same as long as it does."""
    store = store_in(tmp_path)
    place = store.place(PROFILE)
    assert place.signature() is None
    record_of(tmp_path).symlink_to(record_of(tmp_path))
    hidden = place.signature()
    assert hidden is not None
    assert place.signature() == hidden
    assert store_in(tmp_path / "file").place(PROFILE).signature() is None
