"""Getting bytes onto a disk, and knowing beforehand that they will fit.

The problem: each of these few system calls has a way to succeed without doing its work: a write that is short,
a sync that ends at the drive's cache, an allocation that the file system does not know.

Rules: nothing here opens, closes, names or renames a file that it was given; every failure is an ``OSError``.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

_NO_PREALLOCATION = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_MAY_NOT_GIVE = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL})
_NO_DIRECTORY_SYNC = frozenset({errno.EOPNOTSUPP, errno.EINVAL})
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: its fsync stops at the drive's cache
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT_FIELD = 4
_ESCAPED_IN_MOUNTS = b"\\ \t\n"  # the backslash first, since the others' escapes contain it


def write_at(fd: int, data: bytes, offset: int) -> None:
    """Write all of it, in as many writes as the kernel wants."""
    left = memoryview(data)
    while left:
        written = os.pwrite(fd, left, offset)
        left = left[written:]
        offset += written


def reserve(fd: int, size: int, *, start: int = 0) -> None:
    """Take room for so many bytes behind ``start``, where nothing is yet; the file ends behind them."""
    if size <= 0:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, start, size)
        except OSError as error:
            if error.errno not in _NO_PREALLOCATION:
                raise
        else:
            return
    write_at(fd, bytes(size), start)


def overwrite(fd: int, data: bytes) -> None:
    """Replace the content of a file in place and sync it; on failure put the old content back if the disk lets us.

    A reader may meet a mixture meanwhile, and a power cut may leave one.
    """
    old = os.pread(fd, os.fstat(fd).st_size, 0)
    try:
        write_at(fd, data[len(old) :], len(old))  # what needs new room comes first, while the old still stands
        write_at(fd, data[: len(old)], 0)
        os.ftruncate(fd, len(data))
        sync_file(fd)
    except BaseException:
        with suppress(OSError):
            write_at(fd, old, 0)
            os.ftruncate(fd, len(old))
        raise


def give_to(fd: int, uid: int, gid: int) -> None:
    """Make a file belong to this user and group, as far as we may.

    In a user namespace an owner outside it shows as the overflow uid, and giving to that one is ``EINVAL``.
    """
    ours = os.fstat(fd)
    if (ours.st_uid, ours.st_gid) == (uid, gid):
        return
    for owner in (uid, -1):  # a group of ours may be given where an owner may not
        try:
            os.fchown(fd, owner, gid)
        except OSError as error:
            if error.errno not in _MAY_NOT_GIVE:
                raise
        else:
            return


def sync_file(fd: int) -> None:
    """Return when the file's bytes and size are on the medium."""
    if _FULL_SYNC is not None:
        with suppress(OSError):  # not every file system has it
            fcntl.fcntl(fd, _FULL_SYNC)
            return
    os.fsync(fd)


def sync_directory(fd: int) -> None:
    """Return when the directory's names are on the medium, or the file system has no such thing."""
    try:
        sync_file(fd)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted on exactly this path, as the kernel lists it (proc_pid_mountinfo(5)).

    Args:
        path: absolute, without symbolic links.

    Returns:
        False also where there is no such list; the rename's EBUSY tells then.
    """
    escaped = os.fsencode(path)
    for byte in _ESCAPED_IN_MOUNTS:
        escaped = escaped.replace(bytes([byte]), b"\\%03o" % byte)
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return False
    return any(line.split(b" ")[_MOUNT_POINT_FIELD] == escaped for line in lines)
