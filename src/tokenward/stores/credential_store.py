"""The place we own: one sealed file a credential, written so that no crash and no second writer loses one.

The problem: the daemon, the commands that run without it and a second daemon may all write one record; a disk
may fill; a record may come from a newer version or another key. In each case the wrong reaction is to see
nothing and write over it.

Rules:
- What is there and cannot be read is ``Unreadable``, never ``Absent``. Only ``remove`` deletes (design I5); new
  material for a record that cannot be read moves the old file aside.
- A write compares under the record's own lock, and is durable when it returns. A record that was removed
  meanwhile is not made again by a refresh that comes late.
- To write again what is already there succeeds, so that a write whose last sync failed can be repeated.
- A record is sealed under its lock, so that none is written under a former key once ``reseal`` has passed it.
- File names tell nothing: they are digests of the profiles' ids.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import struct
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Found, Reading, Unreadable
from tokenward.disk.atomic_file import PreparedWrite, prepare_write, read_regular
from tokenward.disk.flock import FileLock
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.ports import HeldLocks, LocksBusy, NoLocks, Place, PlaceWriter, Sealer, Stored, Superseded
from tokenward.stores.record import BadRecord, Envelope, decode, encode, open_envelope

LARGEST_RECORD_BYTES = 256 * 1024
"""Two tokens of the largest size accepted (64 KiB), sealed and encoded, fit with room; also what is reserved."""
LOCK_PATIENCE_SECONDS = 5.0
"""A holder writes one small file; longer than this is a stuck disk."""

_SUFFIX = ".json"
_RECORD_NAME = re.compile(r"[0-9a-f]{64}\.json")
_NAME_LENGTH = 64 + len(_SUFFIX)
_packed = struct.Struct("=QQQqqI").pack
"""A signature in few bytes: one is remembered for each of ten thousand records."""
_WRITTEN_PROFILE = re.compile(rb'"profile": ?"([^"\\]{1,256})"')


def holds_records(directory: Path) -> bool:
    """Whether anything was sealed and kept here, readable or not."""
    return next(_record_files(directory), None) is not None


class EncryptedCredentialStore:
    """Sealed files in one directory; a ``ports.CredentialStore``.

    Args:
        directory: the records' directory, ``credentials`` in the state directory; made when first written.
        sealer: seals what is written and names its key.
        wait: sleeps for so many seconds.
        monotonic: the monotonic clock.
    """

    def __init__(
        self,
        directory: Path,
        sealer: Sealer,
        *,
        wait: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._beginning = os.path.join(directory, "")  # noqa: PTH118 - of each record's path; a Path has no such thing
        self._sealer = sealer
        self._former: Sealer | None = None
        self._uses = 0
        self._known: Sequence[str] = ()
        """Whose records were seen: whose digest names a file is true for ever, and not read again."""
        self._wait = wait
        self._monotonic = monotonic

    def profiles(self) -> Sequence[str]:
        """The ids of all records, sorted, readable or not; one too damaged to tell its id is left out."""
        known = {_digest(profile): profile for profile in self._known}
        files = _record_files(self._directory)
        self._known = sorted(filter(None, (known.get(_digest_in(path)) or _owner(path) for path in files)))
        return self._known

    def key_mismatches(self) -> dict[str, str]:
        """The records that another key sealed, and that key's id; with any, the daemon must not start."""
        ours = {sealer.key_id for sealer in self._sealers()}
        said = [f'"key": "{key}"'.encode() for key in ours]
        strangers, known = {}, []
        for path in sorted(_record_files(self._directory)):
            data = _data(path)
            owner = _owner_in(data, path)
            if owner is not None:
                known.append(owner)
            if not any(key in data for key in said):
                envelope = _envelope(data, path)
                if envelope is not None and envelope.key not in ours:
                    strangers[envelope.profile] = envelope.key
        self._known = known
        return strangers

    def use(self, sealer: Sealer, *, former: Sealer | None = None) -> None:
        """Seal with this from now on; records may have become readable by it, so all places count as changed.

        Args:
            sealer: seals what is written.
            former: unseals what it sealed before, until ``reseal`` has passed it.
        """
        self._sealer, self._former = sealer, former
        self._uses += 1

    def unreadable_records(self) -> list[str]:
        """Names of the records that cannot be read with the keys in use: ids, or files where no id can be told."""
        return [
            _owner(path) or Path(path).name
            for path in _record_files(self._directory)
            if not isinstance(self._read(path, _owner(path) or ""), Found)
        ]

    def reseal(self) -> int:
        """Seal with the key in use whatever another sealed, each record durably and under its lock.

        Returns:
            How many records there are.

        Raises:
            OSError: if one could not be written; it is as it was, and so are those after it.
            BadRecord: if one cannot be read.
        """
        paths = [Path(path) for path in sorted(_record_files(self._directory))]
        for path in paths:
            with self._locked(path):
                try:
                    data = read_regular(path, limit=LARGEST_RECORD_BYTES).data
                except FileNotFoundError:
                    continue  # forgotten meanwhile
                envelope = open_envelope(data)
                if envelope.key != self._sealer.key_id:
                    credential = decode(data, envelope.profile, *self._sealers())
                    prepare_write(path, LARGEST_RECORD_BYTES, create=False).commit(
                        self._encoded(envelope.profile, credential)
                    )
        return len(paths)

    def signature(self, record: str) -> Hashable | None:
        """One stat: changes with the record, and with the keys it may be read by. Never raises.

        Args:
            record: the record's path; it is asked for at each request, and a digest would cost more than the stat.
        """
        try:
            seen = os.stat(record)  # noqa: PTH116 - see ``signature_of``, of which this is the half that is needed
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return error.errno  # something is there, and as long as it cannot be looked at it has not changed
        return _packed(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, self._uses)

    def place(self, profile: str) -> Place:
        """The place of one record, present or not."""
        return _RecordPlace(self, profile)

    def add(self, profile: str, credential: Credential) -> None:
        """Create or replace a record, durably; one that cannot be read is moved aside first.

        Raises:
            OSError: if it could not be written; what was there before is still there.
        """
        path = self.path(profile)
        with self._locked(path), prepare_write(path, LARGEST_RECORD_BYTES, create=True) as prepared:
            data = self._encoded(profile, credential)
            if not isinstance(self.read(profile), Unreadable):
                prepared.commit(data)
                return
            aside = _free_name(path)
            path.rename(aside)
            try:
                prepared.commit(data)
            except OSError:
                if not path.exists():
                    aside.rename(path)
                raise

    def remove(self, profile: str) -> bool:
        """Delete a record, durably, and what of it was ever moved aside.

        Returns:
            Whether there was one.

        Raises:
            OSError: if it could not be deleted.
        """
        path = self.path(profile)
        if not self._directory.is_dir():
            return False
        with self._locked(path) as lock:
            doomed = [candidate for candidate in (path, *_moved_aside(path)) if os.path.lexists(candidate)]
            for file in doomed:
                file.unlink()
            lock.path.unlink(missing_ok=True)  # safe: FileLock compares inodes after locking
            _sync_directory(self._directory)
        return bool(doomed)

    def read(self, profile: str) -> Reading:
        """Look at one record. Never raises."""
        return self._read(self.location(profile), profile)

    def _read(self, path: str, profile: str) -> Reading:
        try:
            image = read_regular(path, limit=LARGEST_RECORD_BYTES)
            return Found(decode(image.data, profile, *self._sealers()))
        except FileNotFoundError:
            return Absent()
        except OSError as error:
            return Unreadable(error.strerror or type(error).__name__)
        except BadRecord as error:
            return Unreadable(str(error))

    def prepare(self, profile: str) -> PreparedWrite:
        """Prove that one record can be replaced.

        Raises:
            OSError: if it cannot, or there is none.
        """
        return prepare_write(self.path(profile), LARGEST_RECORD_BYTES, create=False)

    def compare_and_write(
        self, profile: str, expected_generation: str, credential: Credential, prepared: PreparedWrite
    ) -> Stored | Superseded:
        """Write if the record holds the generation expected, or already the one to be written.

        Raises:
            OSError: if it could not be written.
        """
        with self._locked(self.path(profile)):
            data = self._encoded(profile, credential)
            reading = self.read(profile)
            if not isinstance(reading, Found):
                return Superseded(reading)
            if reading.credential.generation not in {expected_generation, credential.generation}:
                return Superseded(reading)
            prepared.commit(data)
            return Stored()

    def path(self, profile: str) -> Path:
        """Where a record lies."""
        return Path(self.location(profile))

    def location(self, profile: str) -> str:
        """Where a record lies, as text: of ten thousand, a ``Path`` for each costs more than its use."""
        return f"{self._beginning}{_digest(profile)}{_SUFFIX}"

    def _encoded(self, profile: str, credential: Credential) -> bytes:
        data = encode(profile, credential, self._sealer)
        if len(data) > LARGEST_RECORD_BYTES:
            raise OSError(errno.EFBIG, f"a record may have {LARGEST_RECORD_BYTES} bytes", profile)
        return data

    def _sealers(self) -> tuple[Sealer, ...]:
        return (self._sealer,) if self._former is None else (self._sealer, self._former)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[FileLock]:
        ensure_private_dir(self._directory)
        lock = FileLock(path.with_suffix(".lock"))
        if not lock.acquire(self._monotonic() + LOCK_PATIENCE_SECONDS, self._wait, self._monotonic):
            raise BlockingIOError(errno.EAGAIN, "another process keeps the record locked", str(path))
        try:
            yield lock
        finally:
            lock.release()


class _RecordPlace:
    __slots__ = ("_profile", "_store", "description")
    name = "store"

    def __init__(self, store: EncryptedCredentialStore, profile: str) -> None:
        self.description = store.location(profile)
        self._store = store
        self._profile = profile

    def signature(self) -> Hashable | None:
        return self._store.signature(self.description)

    def read(self) -> Reading:
        return self._store.read(self._profile)

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        return NoLocks()

    def prepare_write(self) -> PlaceWriter:
        return _RecordWriter(self._store, self._profile, self._store.prepare(self._profile))


class _RecordWriter:
    def __init__(self, store: EncryptedCredentialStore, profile: str, prepared: PreparedWrite) -> None:
        self._store = store
        self._profile = profile
        self._prepared = prepared

    def commit(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        with self._prepared:
            return self._store.compare_and_write(self._profile, expected_generation, credential, self._prepared)

    def discard(self) -> None:
        self._prepared.discard()


def _digest(profile: str) -> str:
    return hashlib.sha256(profile.encode()).hexdigest()


def _digest_in(path: str) -> str:
    """The digest that a record's file is named by."""
    return path[-_NAME_LENGTH : -len(_SUFFIX)]


def _record_files(directory: Path) -> Iterator[str]:
    beginning = os.path.join(directory, "")  # noqa: PTH118 - as above
    with suppress(FileNotFoundError):
        yield from (beginning + name for name in os.listdir(directory) if _RECORD_NAME.fullmatch(name))  # noqa: PTH208 - as above


def _data(path: str) -> bytes:
    """A record's bytes; none where they cannot be read."""
    with suppress(OSError):
        return read_regular(path, limit=LARGEST_RECORD_BYTES).data
    return b""


def _owner(path: str) -> str | None:
    """Whose record it is: what it says, even where it is damaged, if its name agrees."""
    return _owner_in(_data(path), path)


def _owner_in(data: bytes, path: str) -> str | None:
    written = _WRITTEN_PROFILE.search(data)  # nearly always; the name proves it, whatever else is there
    claimed = written[1].decode("utf-8", "replace") if written else ""
    if _digest(claimed) == _digest_in(path):
        return claimed
    envelope = _envelope(data, path)
    return None if envelope is None else envelope.profile


def _envelope(data: bytes, path: str) -> Envelope | None:
    """The outer record of whom its name says it is, or None."""
    try:
        envelope = open_envelope(data)
        return envelope if _digest(envelope.profile) == _digest_in(path) else None
    except (BadRecord, UnicodeEncodeError):  # half a surrogate, which is in no name of ours
        return None


def _moved_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.unreadable-*"))


def _free_name(path: Path) -> Path:
    taken = set(_moved_aside(path))
    number = 1
    while (candidate := path.with_name(f"{path.name}.unreadable-{number}")) in taken:
        number += 1
    return candidate


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
