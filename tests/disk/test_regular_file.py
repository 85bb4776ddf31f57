"""Whether reading yields one state of a regular file, or an error, and never waits."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tokenward.disk.atomic_file import (
    FileKeptChanging,
    FileTooLarge,
    NotRegularFile,
    read_regular,
    replace_file,
    signature_of,
)
from tokenward.disk.regular_file import LARGEST_FILE, READ_ATTEMPTS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with something in it."""
    path = tmp_path / "credentials.json"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def test_reads_one_state_with_its_attributes(path: Path) -> None:
    """Bytes, mode and owner belong together, and the signature is what one stat says."""
    image = read_regular(path)
    assert image.data == b"old"
    assert (image.mode, image.uid, image.gid) == (0o640, os.geteuid(), path.stat().st_gid)
    assert image.signature == signature_of(path)


def test_follows_links(path: Path, tmp_path: Path) -> None:
    """A chain of links is followed, relative ones too."""
    (tmp_path / "middle").symlink_to("credentials.json")
    (tmp_path / "link").symlink_to(tmp_path / "middle")
    image = read_regular(tmp_path / "link")
    assert image.data == b"old"
    assert signature_of(tmp_path / "link") == image.signature


def test_what_is_no_link_is_opened_as_it_is_named(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To resolve a path is a look at each directory above it, and there may be ten thousand to read."""
    (tmp_path / "elsewhere").symlink_to(tmp_path)

    def resolved(*_: object, **__: object) -> str:
        raise AssertionError

    monkeypatch.setattr(os.path, "realpath", resolved)
    assert read_regular(tmp_path / "elsewhere" / path.name).data == b"old"
    assert read_regular(str(path)).data == b"old"


def test_does_not_show_the_bytes(path: Path) -> None:
    """What may be a secret is not in the repr."""
    assert "old" not in repr(read_regular(path))


def test_an_empty_file_is_a_state(path: Path) -> None:
    """Nothing in a file is not an error of reading."""
    path.write_bytes(b"")
    assert read_regular(path).data == b""


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory is said to be one."""
    with pytest.raises(NotRegularFile, match="directory"):
        read_regular(tmp_path)


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    """A FIFO without a writer is refused, not waited for."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotRegularFile):
        read_regular(tmp_path / "fifo")


def test_a_fifo_that_comes_late_does_not_hang(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO that takes the file's place after the first look is refused all the same."""
    real_open = os.open

    def replace_by_fifo(name: Path, flags: int) -> int:
        name.unlink()
        os.mkfifo(name)
        return real_open(name, flags)

    monkeypatch.setattr(os, "open", replace_by_fifo)
    with pytest.raises(NotRegularFile):
        read_regular(path)


def test_a_device_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a device can do things, so it is refused before."""

    def opened(*_: object) -> int:
        raise AssertionError

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(NotRegularFile):
        read_regular(Path("/dev/zero"))


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket is not a file either."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(NotRegularFile):
            read_regular(tmp_path / "socket")


def test_a_gigabyte_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is refused without reading a byte of it."""
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1024**3)

    def read(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(FileTooLarge, match=str(LARGEST_FILE)):
        read_regular(huge)


def test_the_limit_is_the_last_size_that_is_read(path: Path) -> None:
    """A file of exactly the limit is read, one byte more is refused."""
    assert read_regular(path, limit=3).data == b"old"
    with pytest.raises(FileTooLarge):
        read_regular(path, limit=2)


def test_a_torn_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a writer truncates and fills under the read comes out in its last state, not in a mixture."""
    real_read = os.read
    torn: list[bytes] = []

    def read_and_write(fd: int, size: int) -> bytes:
        part = real_read(fd, 2)
        if not torn:
            path.write_bytes(b"a whole new state")
            torn.append(part)
        return part

    monkeypatch.setattr(os, "read", read_and_write)
    assert read_regular(path).data == b"a whole new state"
    assert torn == [b"ol"]


def test_a_file_that_grows_under_the_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off at the size the file had when it was opened."""
    real_read = os.read
    grown: list[int] = []

    def grow_and_read(fd: int, size: int) -> bytes:
        if not grown:
            grown.append(size)
            with path.open("ab") as file:
                file.write(b" and new")
        return real_read(fd, size)

    monkeypatch.setattr(os, "read", grow_and_read)
    assert read_regular(path).data == b"old and new"


def test_a_file_that_changes_for_ever_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few looks it is an error, which says that a later look may do."""
    real_read, real_open = os.read, os.open
    looks: list[int] = []

    def open_noted(name: Path, flags: int) -> int:
        looks.append(flags)
        return real_open(name, flags)

    def write_and_read(fd: int, size: int) -> bytes:
        path.write_bytes(b"x" * (len(looks) + 3))
        return real_read(fd, size)

    monkeypatch.setattr(os, "open", open_noted)
    monkeypatch.setattr(os, "read", write_and_read)
    with pytest.raises(FileKeptChanging):
        read_regular(path)
    assert len(looks) == READ_ATTEMPTS


def test_absent_is_not_found(tmp_path: Path) -> None:
    """Absence is Python's own error, and no signature."""
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")
    assert signature_of(tmp_path / "none") is None
    (tmp_path / "file").touch()
    assert signature_of(tmp_path / "file" / "none") is None


def test_a_link_that_leads_nowhere_has_no_signature(tmp_path: Path) -> None:
    """A dangling link is an absent file; a loop of links is an error."""
    (tmp_path / "dangling").symlink_to("none")
    assert signature_of(tmp_path / "dangling") is None
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        signature_of(tmp_path / "loop")


def test_every_replacement_has_another_signature(path: Path) -> None:
    """Equal size and content, but another file: the signature tells."""
    first = signature_of(path)
    assert replace_file(path, b"new") == signature_of(path) != first
