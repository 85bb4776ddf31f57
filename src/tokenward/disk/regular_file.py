"""One state of a small regular file, or an error.

The problem: the file is often another program's. It may be half-written just now, a gigabyte long, a FIFO that
nobody writes to, or a device that does things when it is opened.

Rules:
- A reader sees one state of the file or an error, never a mixture, and never waits.
- What is not a regular file is not opened, and nothing is read of what is over the limit.
- The bytes may be a secret: they are not shown, and are in no error.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LARGEST_FILE = 1024 * 1024
"""A credential file is a few KiB; a thousand times that is somebody's mistake or an attack on our memory."""
READ_ATTEMPTS = 4
"""Looks at a file that changes under the read: a writer in place is done in far less than four reads."""
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
"""How a file is opened for looking; a symbolic link is resolved, and not followed by opening it."""


class NotRegularFile(OSError):
    """A directory, a FIFO, a socket or a device has the file's name."""


class FileTooLarge(OSError):
    """The file is larger than the reader's limit; nothing of it was read."""


class FileKeptChanging(OSError):
    """Each read met a file that changed meanwhile; a later one may not."""


class FileSignature(NamedTuple):
    """What changes when a file does: one stat's worth."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class FileImage:
    """One state of a file.

    Args:
        data: its bytes; they may be a secret, so they are not shown.
        signature: of exactly this state.
        mode: its permission bits.
        uid: its owner.
        gid: its group.
    """

    data: bytes = field(repr=False)
    signature: FileSignature
    mode: int
    uid: int
    gid: int


def signature_of(path: Path | str) -> FileSignature | None:
    """One stat of what the path leads to, or None if nothing is there.

    Raises:
        OSError: if it cannot be looked at (permission, a loop of links).
    """
    try:
        return signature_from(os.stat(path))  # noqa: PTH116 - asked at each request; pathlib's costs twice as much
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_regular(path: Path | str, limit: int = LARGEST_FILE) -> FileImage:
    """Read a regular file whole, in one state.

    Args:
        path: the file; symbolic links are followed.
        limit: the largest size to read, in bytes.

    Raises:
        NotRegularFile: if it is something else; it is not opened then.
        FileTooLarge: if it is over the limit.
        FileKeptChanging: if it changed under every one of a few reads.
        OSError: if it is absent or cannot be read.
    """
    for _ in range(READ_ATTEMPTS):
        image = _read_once(path, limit)
        if image is not None:
            return image
    raise FileKeptChanging(errno.EAGAIN, "the file changed under every read", str(path))


def signature_from(found: os.stat_result) -> FileSignature:
    """The signature in a stat."""
    return FileSignature(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def require_regular(found: os.stat_result, path: Path | str) -> None:
    """Refuse what is not a regular file.

    Raises:
        NotRegularFile: if it is not; the path is named in the error.
    """
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise NotRegularFile(errno.EISDIR, "a directory, not a file", str(path))
    raise NotRegularFile(errno.EINVAL, "not a regular file", str(path))


def _read_once(path: Path | str, limit: int) -> FileImage | None:
    require_regular(os.stat(path), path)  # noqa: PTH116 - before the open: opening a device can do things
    fd = _opened(path)
    if fd is None:
        return None
    try:
        before = os.fstat(fd)
        require_regular(before, path)
        if before.st_size > limit:
            raise FileTooLarge(errno.EFBIG, f"larger than the {limit} bytes we read", str(path))
        data = _read_up_to(fd, before.st_size + 1)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if len(data) != before.st_size or signature_from(before) != signature_from(after):
        return None
    mode = stat.S_IMODE(after.st_mode)
    return FileImage(data, signature_from(after), mode, after.st_uid, after.st_gid)


def _opened(path: Path | str) -> int | None:
    """Open what a path leads to; None if that became a symbolic link since it was resolved.

    Most are no links, and to find that out by opening costs less than to look at each directory above them.
    """
    for resolve in (False, True):
        try:
            return os.open(os.path.realpath(path, strict=True) if resolve else path, READ_FLAGS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
    return None


def _read_up_to(fd: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
