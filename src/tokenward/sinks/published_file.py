"""One file of a sink: written whole, private from its first instant, and removed when it can be trusted no more.

The problem: a program that reads the file while we write it must see the old token or the new one, a person may
have put something else there, and a directory that others may write is no place for a token.

Rules:
- Old or new, never a part, wherever the process dies; durable when ``publish`` returns.
- It never follows a symbolic link, and never writes over or removes what it did not write itself.
- Its directory must be there, except for the one in our own runtime directory, and be nobody else's.
- A reader's group may be let in by a mode, others never.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from tokenward.disk.atomic_file import read_regular, remove_stale_temporaries
from tokenward.disk.durability import sync_directory, sync_file, write_at
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import ConfigurationFault
from tokenward.sinks.publication_record import LARGEST_PUBLISHED, PublicationRecord

PRIVATE = 0o600
_RANDOM_BYTES = 8
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PublishedFile:
    """One file.

    Args:
        path: absolute.
        record: knows what we wrote.
        mode: its permission bits.
        in_our_directory: whether its directory is our own, so that it is made and all in it is ours.
    """

    def __init__(
        self, path: Path, record: PublicationRecord, *, mode: int = PRIVATE, in_our_directory: bool = False
    ) -> None:
        self.path = path
        self._record = record
        self._mode = mode
        self._in_our_directory = in_our_directory

    def publish(self, data: bytes) -> bool:
        """Have the file hold this; see ``ports.Sink``."""
        if len(data) > LARGEST_PUBLISHED:
            raise ConfigurationFault(
                f"{self.path} would be larger than {LARGEST_PUBLISHED} bytes", hint="shorten its template"
            )
        self._require_directory()
        if self._holds(data):
            self._record.note(self.path, data)
            return False
        self._record.note(self.path, data)
        self._replace(data)
        return True

    def withdraw(self) -> bool:
        """Remove the file if it is ours; see ``ports.Sink``."""
        try:
            found = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            self._record.forget(self.path)
            return False
        if not stat.S_ISREG(found.st_mode) or not self._is_ours():
            return False
        self.path.unlink()
        with suppress(OSError):  # a name that a power cut brings back is withdrawn at the next start
            self._sync_directory()
        self._record.forget(self.path)
        return True

    def _is_ours(self) -> bool:
        return self._in_our_directory or self._record.is_ours(self.path)

    def _holds(self, data: bytes) -> bool:
        """Whether it is as it should be.

        Raises:
            ConfigurationFault: if something is there that is not ours.
        """
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return False
        if stat.S_ISLNK(found.st_mode):
            raise ConfigurationFault(
                f"{self.path} is a symbolic link, which a sink never follows",
                hint="remove it, or name the file that it leads to",
            )
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationFault(f"{self.path} is not a regular file", hint="choose another path for the sink")
        if not self._is_ours():
            raise ConfigurationFault(
                f"{self.path} holds what tokenward did not write",
                hint="remove the file, or choose another path for the sink",
            )
        if found.st_size != len(data) or stat.S_IMODE(found.st_mode) != self._mode:
            return False
        return read_regular(self.path, limit=len(data)).data == data

    def _replace(self, data: bytes) -> None:
        remove_stale_temporaries(self.path.parent, self.path.name, now=time.time())
        temporary = self.path.with_name(f".{self.path.name}.tokenward-{os.urandom(_RANDOM_BYTES).hex()}")
        fd = os.open(temporary, _FLAGS, PRIVATE & self._mode)
        try:
            try:
                write_at(fd, data, 0)
                os.fchmod(fd, self._mode)
                sync_file(fd)
            finally:
                os.close(fd)
            temporary.rename(self.path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        self._sync_directory()

    def _sync_directory(self) -> None:
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(fd)
        finally:
            os.close(fd)

    def _require_directory(self) -> None:
        directory = self.path.parent
        if self._in_our_directory:
            ensure_private_dir(directory)
            return
        try:
            found = directory.stat()
        except FileNotFoundError:
            raise ConfigurationFault(
                f"the directory {directory} does not exist", hint=f"make it: mkdir -m 700 {directory}"
            ) from None
        is_open = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in {os.geteuid(), 0} or is_open:
            raise ConfigurationFault(
                f"others may replace what lies in {directory}", hint="choose a directory that only you may write"
            )
