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
from tokenward.disk.atomic_file import PreparedWrite, prepare_write, read_regular, signature_of
from tokenward.disk.flock import FileLock
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.ports import HeldLocks, LocksBusy, NoLocks, Place, PlaceWriter, Sealer, Stored, Superseded
from tokenward.stores.record import BadRecord, Envelope, decode, encode, open_envelope

LARGEST_RECORD_BYTES = 256 * 1024
"""Two tokens of the largest size accepted (64 KiB), sealed and encoded, fit with room; also what is reserved."""
LOCK_PATIENCE_SECONDS = 5.0
"""A holder writes one small file; longer than this is a stuck disk."""

_RECORD_NAME = re.compile(r"[0-9a-f]{64}\.json")
_packed = struct.Struct("=QQQqqI").pack
"""A signature in few bytes: one is remembered for each of ten thousand records."""
_SALVAGED_PROFILE = re.compile(rb'"profile": ?"([^"\\]{1,256})"')


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
        self._sealer = sealer
        self._former: Sealer | None = None
        self._uses = 0
        self._wait = wait
        self._monotonic = monotonic

    def profiles(self) -> Sequence[str]:
        """The ids of all records, sorted, readable or not; one too damaged to tell its id is left out."""
        return sorted(profile for path in _record_files(self._directory) if (profile := _owner(path)) is not None)

    def key_mismatches(self) -> dict[str, str]:
        """The records that another key sealed, and that key's id; with any, the daemon must not start."""
        ours = {sealer.key_id for sealer in self._sealers()}
        return {
            envelope.profile: envelope.key
            for path in sorted(_record_files(self._directory))
            if (envelope := _envelope(path)) is not None and envelope.key not in ours
        }

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
            _owner(path) or path.name
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
        paths = sorted(_record_files(self._directory))
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
            seen = signature_of(record)
        except OSError as error:
            return error.errno  # something is there, and as long as it cannot be looked at it has not changed
        return None if seen is None else _packed(*seen, self._uses)

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
        return self._read(self.path(profile), profile)

    def _read(self, path: Path, profile: str) -> Reading:
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
        return self._directory / f"{_digest(profile)}.json"

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
        self.description = str(store.path(profile))
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


def _record_files(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from (path for path in directory.iterdir() if _RECORD_NAME.fullmatch(path.name))


def _owner(path: Path) -> str | None:
    """Whose record it is: what it says, even where it is damaged, if its name agrees."""
    try:
        data = read_regular(path, limit=LARGEST_RECORD_BYTES).data
    except OSError:
        return None
    try:
        claimed = open_envelope(data).profile
    except BadRecord:
        salvaged = _SALVAGED_PROFILE.search(data)
        claimed = salvaged[1].decode("utf-8", "replace") if salvaged else ""
    return claimed if _digest(claimed) == path.stem else None


def _envelope(path: Path) -> Envelope | None:
    """The outer record of whom its name says it is, or None."""
    try:
        envelope = open_envelope(read_regular(path, limit=LARGEST_RECORD_BYTES).data)
    except (BadRecord, OSError):
        return None
    return envelope if _digest(envelope.profile) == path.stem else None


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
