"""A file that a person writes too, replaced whole on that person's word.

The problem: a configuration that is half written, or that loses what its owner changed while we looked at it, is
worse than one that was not edited.

Rules:
- Old or new, never a part, wherever the process dies: a temporary file beside it, synced, then renamed over it.
- What is there just before the rename must be what was read; else nothing is written.
- A symbolic link stays one, and what it leads to is written. Mode and owner stay; a new file is its owner's alone.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PRIVATE = 0o600
_LEFT_BEHIND_SECONDS = 3600.0
"""No write takes an hour: an older temporary file has lost its process."""


class ChangedMeanwhile(OSError):
    """The file is not what was read any more; it was left alone."""


def read(path: Path) -> bytes | None:
    """What the file holds; None if there is none.

    Raises:
        OSError: if it cannot be read, or is not a regular file.
    """
    try:
        # Non-blocking, so that a pipe in its place is refused and not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        if not path.is_file():
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        return opened.read()


def replace(path: Path, new: bytes, *, was: bytes | None) -> None:
    """Have the file hold this.

    Args:
        path: the file; its directory is made if there is none.
        new: the whole content.
        was: what was read from it; None = there was none.

    Raises:
        ChangedMeanwhile: if it holds something else by now.
        OSError: if it cannot be written; the old content stands.
    """
    real = Path(os.path.realpath(path))
    real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_left_behind(real)
    descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=_prefix(real))
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(new)
            opened.flush()
            _keep_mode_and_owner(descriptor, real)
            os.fsync(descriptor)
        if read(path) != was:
            raise ChangedMeanwhile(errno.EBUSY, "somebody else has just changed it", str(path))
        Path(temporary).replace(real)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(real.parent)


def remove(path: Path, *, was: bytes) -> None:
    """Take the file away, if it still holds this.

    Raises:
        ChangedMeanwhile: if it holds something else by now.
        OSError: if it cannot be removed.
    """
    if read(path) != was:
        raise ChangedMeanwhile(errno.EBUSY, "somebody else has just changed it", str(path))
    path.unlink()
    _sync_directory(path.parent)


def _keep_mode_and_owner(descriptor: int, real: Path) -> None:
    try:
        there = real.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, _PRIVATE)
        return
    with suppress(PermissionError):  # whoever may not give it away has it as their own
        os.fchown(descriptor, there.st_uid, there.st_gid)
    os.fchmod(descriptor, there.st_mode & 0o777)


def _prefix(real: Path) -> str:
    return f".{real.name}.tokenward-"


def _remove_left_behind(real: Path) -> None:
    for left in real.parent.glob(f"{_prefix(real)}*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _LEFT_BEHIND_SECONDS:
                left.unlink()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems cannot; the rename has happened
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
