"""A lock that dies with its holder.

The problem: a lock that is a file's existence stays when its holder is killed, and everybody waits for a dead
process. The kernel's ``flock`` is given up with the file description, however the process ends.

Rules:
- The lock is the file that the path names *now*. Somebody may have pruned the file between our open and our
  lock, and then two processes would each hold a lock on a file of their own; so the inode is compared after
  locking, and a lock on a file without a name is given back.
- The file is never opened through a symbolic link, is 0600, and is not inherited by other programs.
- Waiting is polling, through the caller's own ``wait``: a blocking ``flock`` could not be given a deadline.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_SECONDS = 0.02
"""Shorter than a person notices, long enough to cost nothing."""
REOPENS = 16
"""A file pruned this often in a row under our hands is a fault, not a coincidence; the try has failed."""
PRIVATE = 0o600
KERNEL_TABLE = Path("/proc/locks")
"""Linux tells who holds what; elsewhere nobody does."""
_HOLDERS_LINE = re.compile(r"^\d+: FLOCK +\S+ +WRITE (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.MULTILINE)


class FileLock:
    """An exclusive lock on one file.

    Args:
        path: the file; made if it is absent, its directory is not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The locked file, open for reading and writing.

        Raises:
            RuntimeError: if the lock is not held.
        """
        if self._fd is None:
            raise RuntimeError("the lock is not held")
        return self._fd

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it.

        Returns:
            Whether it is ours now.

        Raises:
            RuntimeError: if this object holds it already.
            OSError: if the file cannot be made, opened or locked, or is not a regular file.
        """
        if self._fd is not None:
            raise RuntimeError("the lock is already held")
        for _ in range(REOPENS):
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._names(fd):
                    self._fd, fd = fd, -1
                    return True
            except BlockingIOError:
                return False
            finally:
                if fd >= 0:
                    os.close(fd)
        return False

    def acquire(
        self, deadline_monotonic: float, wait: Callable[[float], None], monotonic: Callable[[], float]
    ) -> bool:
        """Take the lock, trying at least once and then until the deadline.

        Args:
            deadline_monotonic: on the monotonic clock, in seconds.
            wait: sleeps for so many seconds.
            monotonic: the monotonic clock.

        Returns:
            Whether it is ours now.

        Raises:
            RuntimeError: if this object holds it already.
            OSError: as ``try_acquire``.
        """
        while not self.try_acquire():
            remaining = deadline_monotonic - monotonic()
            if remaining <= 0:
                return False
            wait(min(POLL_SECONDS, remaining))
        return True

    def release(self) -> None:
        """Give the lock back; the file stays. May be called at any time."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def __enter__(self) -> Self:
        """Hold a lock that was acquired before.

        Raises:
            RuntimeError: if it was not.
        """
        _ = self.fd
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path, flags, PRIVATE)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "a lock must be a regular file", str(self.path))
            if stat.S_IMODE(found.st_mode) != PRIVATE:
                os.fchmod(fd, PRIVATE)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _names(self, fd: int) -> bool:
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(fd))


def holder_of(path: Path, table: Path = KERNEL_TABLE) -> int | None:
    """The process that holds a lock, where the kernel says so.

    Args:
        path: the locked file.
        table: the kernel's table of locks.

    Returns:
        None if it is not known: no such table, a holder in another PID namespace, or nobody.
    """
    try:
        found = path.stat()
        lines = table.read_text()
    except OSError:
        return None
    names = (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)
    for pid, major, minor, inode in _HOLDERS_LINE.findall(lines):
        if (int(major, 16), int(minor, 16), int(inode)) == names:
            return int(pid) or None
    return None
