"""Other programs' lock directories, by the protocol of npm's proper-lockfile.

The problem: Node programs lock with ``mkdir``. A directory outlives its maker, so the holder touches its mtime
every few seconds, and a directory that was not touched for long is taken from its dead holder. Whoever shares a
file with such a program must lock as it does, and must notice when a lock was taken from it after a suspend.

Rules:
- ``mkdir`` decides. A directory older than the stale time is removed and made anew, after a second look that
  found the same inode and mtime. One dated in the future is held: a clock is wrong, and not surely its holder's.
- While we hold it, we touch what we made, by its file descriptor: never a successor's directory of the same name.
  The descriptor also keeps the inode number from being used again, so an equal inode is proof.
- A lock that vanished, was replaced or was touched by another is *compromised*: it is not touched again, and
  given back only if it is still the directory we made.
- After a crash the descriptor is gone and file systems hand out the same inode number at once (ext4 does). So
  our directories carry a mark in their atime, which the protocol does not use: a successor's has none, and a
  lock without it is left to the stale rule.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tokenward.ports import LockIdentity

PRIVATE = 0o700
_MARK_EPOCH = 2_082_758_400  # 2036: in the future, so that relatime leaves it alone; before 2038, for old inodes
_MARK_RANGE = 365 * 86_400
_SECOND_NS = 1_000_000_000
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Acquired(NamedTuple):
    """The lock is ours.

    Args:
        stolen: whether it was taken from a holder that had not touched it for the stale time.
    """

    stolen: bool = False


class Held(NamedTuple):
    """Somebody else holds it.

    Args:
        age: seconds since it was touched; negative if that lies in the future.
        future: whether it lies further in the future than the stale time.
    """

    age: float
    future: bool = False


class Refused(NamedTuple):
    """The file system does not let us make it; waiting does not help.

    Args:
        errno: why.
    """

    errno: int


class ForeignLock:
    """One lock directory. It is kept fresh by the set it is acquired in, not by itself.

    Args:
        path: the directory to make.
        stale_seconds: the age from which its owner takes it for orphaned.
        heartbeat_seconds: how often its owner touches it.
    """

    def __init__(self, path: Path, *, stale_seconds: float, heartbeat_seconds: float) -> None:
        self.path = path
        self.stale_seconds = stale_seconds
        self.heartbeat_seconds = heartbeat_seconds
        self.compromised = False
        self._guard = threading.Lock()
        self._fd: int | None = None
        self._mtime_ns = 0
        self._touched_at = 0.0

    @property
    def identity(self) -> LockIdentity:
        """Names the directory we made.

        Raises:
            RuntimeError: if the lock is not held.
        """
        if self._fd is None:
            raise RuntimeError("the lock is not held")
        made = os.fstat(self._fd)
        return LockIdentity(str(self.path), made.st_dev, made.st_ino)

    def try_acquire(self, now_wall: float) -> Acquired | Held | Refused:
        """Take the lock if it is free or orphaned.

        Args:
            now_wall: Unix seconds.

        Raises:
            RuntimeError: if this object holds it already.
        """
        if self._fd is not None:
            raise RuntimeError("the lock is already held")
        try:
            if self._make(now_wall):
                return Acquired()
            seen = self._look(now_wall)
            if isinstance(seen, Held):
                return seen
            stolen = seen is not None and self._remove_orphan(seen)
            return Acquired(stolen) if self._make(now_wall) else Held(0.0)
        except OSError as error:
            return Refused(error.errno or errno.EIO)

    def still_owned(self) -> bool:
        """Whether the directory is the one we made, touched last by us; asked of the disk."""
        with self._guard:
            return self._is_ours() and not self.compromised

    def beat(self, now_wall: float) -> bool:
        """Touch the lock, if it is still ours.

        A disk that does not answer is not a thief: it is asked again at the next beat, until the lock is stale.

        Args:
            now_wall: Unix seconds.

        Returns:
            Whether to go on touching it.
        """
        with self._guard:
            if self._fd is None or self.compromised:
                return False
            try:
                if self._is_ours(strict=True):
                    self._touch(self._fd, now_wall)
                else:
                    self.compromised = True
            except OSError:
                self.compromised = now_wall - self._touched_at > self.stale_seconds
            return not self.compromised

    def release(self) -> bool:
        """Give the lock back; may be called at any time.

        Returns:
            Whether the directory was ours and is gone.
        """
        with self._guard:
            if self._fd is None:
                return False
            fd, self._fd = self._fd, None
            try:
                if not os.path.samestat(self.path.lstat(), os.fstat(fd)):
                    return False
                self.path.rmdir()
            except OSError:
                return False  # it is not there, or will be stale soon
            finally:
                os.close(fd)
            return True

    def _make(self, now_wall: float) -> bool:
        try:
            self.path.mkdir(mode=PRIVATE)
        except FileExistsError:
            return False
        try:
            fd = os.open(self.path, _DIRECTORY_FLAGS)
            try:
                self._touch(fd, now_wall)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            with suppress(OSError):
                self.path.rmdir()
            raise
        self._fd = fd
        self.compromised = False
        return True

    def _touch(self, fd: int, now_wall: float) -> None:
        made = os.fstat(fd)
        os.utime(fd, ns=(_mark_ns(self.path, made.st_dev, made.st_ino), int(now_wall * _SECOND_NS)))
        self._mtime_ns = os.fstat(fd).st_mtime_ns  # as this file system rounds it
        self._touched_at = now_wall

    def _is_ours(self, *, strict: bool = False) -> bool:
        if self._fd is None:
            return False
        try:
            named = self.path.lstat()
            return os.path.samestat(named, os.fstat(self._fd)) and named.st_mtime_ns == self._mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            if strict:
                raise
            return False

    def _look(self, now_wall: float) -> Held | os.stat_result | None:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return None  # given back just now
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "a lock must be a directory", str(self.path))
        age = now_wall - found.st_mtime
        if age <= self.stale_seconds:
            return Held(age, future=age < -self.stale_seconds)
        return found

    def _remove_orphan(self, seen: os.stat_result) -> bool:
        try:
            now = self.path.lstat()
            if not os.path.samestat(now, seen) or now.st_mtime_ns != seen.st_mtime_ns:
                return False  # somebody was faster
            self.path.rmdir()
        except FileNotFoundError:
            return False
        return True


def remove_if_unchanged(identity: LockIdentity) -> bool:
    """Remove a lock that an earlier process of ours left behind, if it is surely that one.

    Args:
        identity: as the journal names it.

    Returns:
        Whether it is gone by our hand. False also if somebody took it over, whatever its inode number.
    """
    path = Path(identity.path)
    try:
        found = path.lstat()
        if (found.st_dev, found.st_ino) != (identity.dev, identity.ino):
            return False
        if found.st_atime_ns != _mark_ns(path, identity.dev, identity.ino):
            return False
        path.rmdir()
    except OSError:
        return False
    return True


def _mark_ns(path: Path, dev: int, ino: int) -> int:
    seed = zlib.crc32(os.fsencode(path) + b"\0%d\0%d" % (dev, ino))
    return (_MARK_EPOCH + seed % _MARK_RANGE) * _SECOND_NS
