"""One small secret file, replaced whole.

The problem: a refresh token that is on the wire cannot be taken back, so a write that fails after it loses a
login. And the file is often another program's: a symbolic link into a dotfiles repository, a file mounted alone
into a container, immutable, or gone since we looked.

Rules:
- The proof that a file can be written comes first and holds what the write needs (design I3): the temporary
  file, its room on the disk, its directory. Before the rename, any failure leaves the old file as it was.
- When ``commit`` returns, file and directory are synced (design I2). When only the directory's sync failed, the
  error says that the rename happened.
- A symbolic link stays and its target is replaced; owner and mode stay, but group and other never get a
  permission on a secret. The new file is 0600 or narrower from its first instant, whatever the umask.
- A single file that is a mount point cannot be renamed over. There, and only there, it is written in place.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tokenward.disk.durability import (
    give_to,
    is_mount_point,
    overwrite,
    reserve,
    sync_directory,
    sync_file,
    write_at,
)
from tokenward.disk.regular_file import (
    READ_FLAGS,
    FileImage,
    FileKeptChanging,
    FileSignature,
    FileTooLarge,
    NotRegularFile,
    read_regular,
    require_regular,
    signature_from,
    signature_of,
)

__all__ = [  # what callers of this room use, reading included
    "DirectorySyncFailed",
    "FileImage",
    "FileKeptChanging",
    "FileSignature",
    "FileTooLarge",
    "NotRegularFile",
    "PreparedWrite",
    "TargetMoved",
    "prepare_write",
    "read_regular",
    "remove_stale_temporaries",
    "replace_file",
    "signature_of",
]

STALE_AFTER_SECONDS = 3600.0
"""No write takes an hour: an older temporary file has lost its process."""
PRIVATE = 0o600
OWNER_BITS = 0o700
"""The permission bits that a secret may have: none of group's or other's, no set-user-id."""
OTHERS = 0o077

_MARK = ".tokenward-"
_RANDOM_BYTES = 8
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PROBE_FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_PLACE_FLAGS = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class TargetMoved(OSError):
    """Between proof and write the path came to mean another place; nothing was written."""


class DirectorySyncFailed(OSError):
    """The new file has its name, but a power cut may still bring the old one back.

    Args:
        cause: why the directory could not be synced.
        path: the file.
        signature: the new file's.
    """

    renamed = True

    def __init__(self, cause: OSError, path: Path, signature: FileSignature) -> None:
        super().__init__(cause.errno, "renamed, but the directory could not be synced", str(path))
        self.signature = signature


class PreparedWrite:
    """The proof that one file can be written, and the write; made by ``prepare_write``.

    Leaving its ``with`` block discards it if it was not committed.

    Args:
        path: the file as it was named.
        size_hint: bytes to reserve.
        create: whether the file may be made.
        mode: its permission bits if it is made.
    """

    def __init__(self, path: Path, size_hint: int, *, create: bool, mode: int) -> None:
        self.path = path
        self.real_path = _resolve(path, create=create)
        self.in_place = False
        self._create = create
        self._mode = mode
        self._temporary: str | None = None
        self._fd: int | None = None
        self._directory: int | None = os.open(self.real_path.parent, _DIRECTORY_FLAGS)
        try:
            self._fd = self._prove(self._directory, size_hint)
        except BaseException:
            self.discard()
            raise

    def commit(self, data: bytes) -> FileSignature:
        """Write, durably; can be called once.

        Args:
            data: the whole new content; beyond the size that was proved, room is taken now.

        Returns:
            The signature of the file as written.

        Raises:
            ValueError: if it was committed or discarded before.
            TargetMoved: if the path means another place now, and FileNotFoundError if the file is gone and must
                not be made; the old state stands.
            DirectorySyncFailed: if the new content is there, but perhaps not for good.
            OSError: if it could not be written. The old file is untouched; in place, it was put back as far as
                the disk allows.
        """
        if self._fd is None or self._directory is None:
            raise ValueError("this write is over")
        try:
            self._refuse_if_moved(self._directory)
            if self._temporary is not None:
                self._fill(self._fd, self._directory, data)
                if self._rename(self._temporary, self._directory):
                    return self._conclude(self._fd, self._directory)
                os.close(self._fd)
                self._fd = None  # so that the next line may fail
                self._fd = self._open_in_place(self._directory)
            os.fchmod(self._fd, os.fstat(self._fd).st_mode & OWNER_BITS)
            overwrite(self._fd, data)
            return signature_from(os.fstat(self._fd))
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave the file as it is and take the temporary file away; may be called at any time."""
        if self._temporary is not None:
            with suppress(OSError):  # what cannot be removed now is removed at a later start
                os.unlink(self._temporary, dir_fd=self._directory)
        for fd in (self._fd, self._directory):
            if fd is not None:
                os.close(fd)
        self._temporary = self._fd = self._directory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _prove(self, directory: int, size_hint: int) -> int:
        if is_mount_point(self.real_path):
            return self._open_in_place(directory)
        self._refuse_if_kept(directory)
        temporary = f".{self.real_path.name}{_MARK}{os.urandom(_RANDOM_BYTES).hex()}"
        self._fd = os.open(temporary, _CREATE_FLAGS, PRIVATE, dir_fd=directory)
        self._temporary = temporary
        reserve(self._fd, size_hint)
        return self._fd

    def _refuse_if_kept(self, directory: int) -> None:
        """Foresee the two refusals of a rename that making a file beside the target does not show."""
        existing = self._existing(directory)
        if existing is None:
            return
        parent = os.fstat(directory)
        us = os.geteuid()
        if parent.st_mode & stat.S_ISVTX and us not in {0, existing.st_uid, parent.st_uid}:
            raise PermissionError(errno.EPERM, "another user's file in a sticky directory", str(self.real_path))
        try:
            os.close(os.open(self.real_path.name, _PROBE_FLAGS, dir_fd=directory))
        except PermissionError as error:
            if error.errno == errno.EPERM:  # EACCES is a read-only mode, which a rename does not mind
                raise PermissionError(errno.EPERM, "the file is immutable", str(self.real_path)) from None

    def _refuse_if_moved(self, directory: int) -> None:
        real_path = _resolve(self.path, create=self._create)
        if real_path != self.real_path or not os.path.samestat(real_path.parent.stat(), os.fstat(directory)):
            raise TargetMoved(errno.ESTALE, "the path leads elsewhere since it was proved", str(self.path))

    def _existing(self, directory: int) -> os.stat_result | None:
        try:
            return os.stat(self.real_path.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _fill(self, fd: int, directory: int, data: bytes) -> None:
        write_at(fd, data, 0)
        os.ftruncate(fd, len(data))
        existing = self._existing(directory)
        os.fchmod(fd, (self._mode if existing is None else existing.st_mode) & OWNER_BITS)
        if existing is not None:
            give_to(fd, existing.st_uid, existing.st_gid)
        sync_file(fd)

    def _rename(self, temporary: str, directory: int) -> bool:
        try:
            os.rename(temporary, self.real_path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
        self._temporary = None
        return True

    def _conclude(self, fd: int, directory: int) -> FileSignature:
        signature = signature_from(os.fstat(fd))
        try:
            sync_directory(directory)
        except OSError as error:
            raise DirectorySyncFailed(error, self.path, signature) from error
        return signature

    def _open_in_place(self, directory: int) -> int:
        fd = os.open(self.real_path.name, _IN_PLACE_FLAGS, dir_fd=directory)
        found = os.fstat(fd)
        if found.st_mode & OTHERS and os.geteuid() not in {0, found.st_uid}:
            os.close(fd)
            raise PermissionError(errno.EPERM, "open to others, and not ours to close", str(self.real_path))
        self.in_place = True
        return fd


def prepare_write(path: Path, size_hint: int, *, create: bool, mode: int = PRIVATE) -> PreparedWrite:
    """Prove that a file can be written, before what it shall hold exists.

    Args:
        path: the file; if it is a symbolic link, what it leads to is written.
        size_hint: how large the content may become, in bytes; so much room is reserved.
        create: whether it may be made if it is absent; never for another program's file.
        mode: permission bits of a file that is made, the owner's only.

    Raises:
        ValueError: if the mode gives something to group or other.
        FileNotFoundError: if it is absent and ``create`` is false, or its directory is absent.
        NotRegularFile: if it is not a regular file.
        OSError: if it could not be written: no space, quota, read-only, no permission.
    """
    if mode & ~OWNER_BITS:
        raise ValueError(f"a secret of mode {mode:04o}")
    return PreparedWrite(path, size_hint, create=create, mode=mode)


def replace_file(path: Path, data: bytes, *, mode: int = PRIVATE, create: bool = True) -> FileSignature:
    """Make the file hold these bytes, durably; if it does, privately, it is synced but not written.

    Args:
        path: the file; if it is a symbolic link, what it leads to is written.
        data: the whole content.
        mode: permission bits of a file that is made, the owner's only.
        create: whether it may be made if it is absent.

    Raises:
        OSError: as ``prepare_write`` and ``PreparedWrite.commit``.
    """
    with suppress(OSError):  # what cannot be read is written
        image = read_regular(path, limit=len(data))
        if image.data == data and not image.mode & ~OWNER_BITS:
            _sync_path(path.resolve())  # the write that put it there may have died before its sync
            return image.signature
    return prepare_write(path, len(data), create=create, mode=mode).commit(data)


def remove_stale_temporaries(directory: Path, target_name: str, *, now: float, booted_at: float = 0.0) -> int:
    """Remove what killed writers of one file left behind.

    Args:
        directory: where the file really is.
        target_name: the file's name.
        now: Unix seconds.
        booted_at: Unix seconds; what is older has no living writer. 0 = unknown.

    Returns:
        How many were removed.

    Raises:
        OSError: if the directory exists and cannot be read.
    """
    ours = re.compile(re.escape(f".{target_name}{_MARK}") + f"[0-9a-f]{{{2 * _RANDOM_BYTES}}}")
    oldest = max(booted_at, now - STALE_AFTER_SECONDS)
    removed = 0
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if not ours.fullmatch(entry.name):
                continue
            with suppress(FileNotFoundError, PermissionError):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mtime < oldest:
                    Path(entry).unlink()
                    removed += 1
    return removed


def _resolve(path: Path, *, create: bool) -> Path:
    try:
        require_regular(path.stat(), path)
    except FileNotFoundError:
        if not create:
            raise
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path, strict=True))


def _sync_path(path: Path) -> None:
    for name, flags, sync in ((path, READ_FLAGS, sync_file), (path.parent, _DIRECTORY_FLAGS, sync_directory)):
        fd = os.open(name, flags)
        try:
            sync(fd)
        finally:
            os.close(fd)
