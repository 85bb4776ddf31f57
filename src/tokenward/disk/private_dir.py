"""A directory that only its owner can look into.

The problem: a secret file of mode 0600 is no secret in a directory where others may rename, replace or plant
things, and `mkdir` obeys whatever umask the process was started with.

Rules:
- What is missing is made 0700, parents too, whatever the umask says.
- The last component is a real directory, never a symbolic link, and ours or root's. One of ours that is too
  open is repaired; another user's is refused, whatever its mode.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

OWNER_ONLY = 0o700
OTHERS = 0o077
"""The permission bits of group and other, none of which a private directory has."""


def ensure_private_dir(path: Path) -> Path:
    """Make a directory private, creating it and its parents where they are missing.

    Args:
        path: the directory.

    Returns:
        The same path.

    Raises:
        NotADirectoryError: if something else, a symbolic link included, has the name.
        PermissionError: if it belongs to another user, or to root and is open to others.
        OSError: if it cannot be made or looked at.
    """
    _make_missing(path)
    fd = _open_directory(path)
    try:
        _verify(path, fd)
    finally:
        os.close(fd)
    return path


def _make_missing(path: Path) -> None:
    missing = []
    for directory in (path, *path.parents):
        if os.path.lexists(directory):
            break
        missing.append(directory)
    for directory in reversed(missing):
        try:
            directory.mkdir(mode=OWNER_ONLY)
        except FileExistsError:
            continue  # made by somebody else just now; the last one is verified all the same
        if stat.S_IMODE(directory.lstat().st_mode) != OWNER_ONLY:
            directory.chmod(OWNER_ONLY)  # the umask took bits from the owner; it can only have been narrower


def _open_directory(path: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise NotADirectoryError(errno.ENOTDIR, "not a real directory", str(path)) from None
        if error.errno != errno.EACCES or path.lstat().st_uid != os.geteuid():
            raise
    path.chmod(OWNER_ONLY)  # ours, but closed to ourselves
    return os.open(path, flags)


def _verify(path: Path, fd: int) -> None:
    found = os.fstat(fd)
    us = os.geteuid()
    if found.st_uid not in {us, 0}:
        raise PermissionError(errno.EPERM, f"directory belongs to user {found.st_uid}, not to us", str(path))
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == us:
        if mode & OTHERS or mode & OWNER_ONLY != OWNER_ONLY:
            os.fchmod(fd, OWNER_ONLY)
    elif mode & OTHERS:
        raise PermissionError(errno.EPERM, "directory belongs to root and is open to others", str(path))
