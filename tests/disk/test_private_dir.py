"""Whether ``ensure_private_dir`` makes, repairs and refuses directories as it says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenward.disk.private_dir import ensure_private_dir

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
NOBODY = 65534


def mode_of(path: Path) -> int:
    """The permission bits of what is there."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Each umask a process may have been started with."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_makes_the_directory_and_its_parents_private(tmp_path: Path, umask: int) -> None:
    """Missing parents and the directory are 0700 whatever the umask."""
    path = tmp_path / "state" / "tokenward" / "families"
    assert ensure_private_dir(path) == path
    assert [mode_of(made) for made in (path, path.parent, path.parent.parent)] == [0o700] * 3


def test_leaves_existing_parents_alone(tmp_path: Path) -> None:
    """A parent that was there keeps its mode."""
    parent = tmp_path / "share"
    parent.mkdir()
    parent.chmod(0o755)
    ensure_private_dir(parent / "ours")
    assert mode_of(parent) == 0o755


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o500, 0o000], ids=oct)
def test_repairs_our_own_directory(tmp_path: Path, mode: int) -> None:
    """One of ours that is too open, or closed to ourselves, becomes 0700."""
    path = tmp_path / "ours"
    path.mkdir()
    path.chmod(mode)
    ensure_private_dir(path)
    assert mode_of(path) == 0o700


def test_is_quiet_about_a_good_directory(tmp_path: Path) -> None:
    """A second call changes nothing."""
    path = ensure_private_dir(tmp_path / "ours")
    before = path.stat()
    ensure_private_dir(path)
    assert path.stat().st_ctime_ns == before.st_ctime_ns


def test_refuses_a_symbolic_link(tmp_path: Path) -> None:
    """The last component may not be a link, even to a good directory."""
    ensure_private_dir(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(NotADirectoryError, match="not a real directory"):
        ensure_private_dir(tmp_path / "link")


def test_refuses_a_file(tmp_path: Path) -> None:
    """A file of that name is not replaced."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError):
        ensure_private_dir(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o777], ids=oct)
def test_refuses_another_users_directory(tmp_path: Path, mode: int) -> None:
    """Another user's directory is refused and left as it is, whatever its mode."""
    path = tmp_path / "theirs"
    path.mkdir()
    path.chmod(mode)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match=f"belongs to user {NOBODY}"):
        ensure_private_dir(path)
    assert mode_of(path) == mode


@needs_root
def test_refuses_roots_open_directory_to_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's directory passes for a user only if it is closed; it cannot be repaired."""
    path = tmp_path / "roots"
    path.mkdir()
    path.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(PermissionError, match="open to others"):
        ensure_private_dir(path)
    assert mode_of(path) == 0o755
