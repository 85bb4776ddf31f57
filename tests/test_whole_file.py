"""A file that a person writes too is replaced whole, or left as it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tokenward import whole_file
from tokenward.whole_file import ChangedMeanwhile


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Made with its directory, and readable by nobody else."""
    path = tmp_path / "new" / "settings.json"
    whole_file.replace(path, b"{}", was=None)
    assert whole_file.read(path) == b"{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o640, 0o444])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    """Also one that does not let us write: a rename asks the directory."""
    path = tmp_path / "settings.json"
    path.write_bytes(b"old")
    path.chmod(mode)
    whole_file.replace(path, b"new", was=b"old")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)


def test_a_link_stays_one(tmp_path: Path) -> None:
    """Into a repository of dotfiles, say: what it leads to is replaced."""
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_bytes(b"old")
    link = tmp_path / "settings.json"
    link.symlink_to("dotfiles/claude.json")
    whole_file.replace(link, b"new", was=b"old")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.parametrize("now", [b"other", None])
def test_what_somebody_changed_is_left_alone(tmp_path: Path, now: bytes | None) -> None:
    """Between our look and our write: it is neither written over nor removed, and nothing is left beside it."""
    path = tmp_path / "settings.json"
    if now is not None:
        path.write_bytes(now)
    with pytest.raises(ChangedMeanwhile):
        whole_file.replace(path, b"new", was=b"old")
    with pytest.raises(ChangedMeanwhile):
        whole_file.remove(path, was=b"old")
    assert whole_file.read(path) == now
    assert len(list(tmp_path.iterdir())) == (now is not None)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """An hour later; a younger one may have a living writer."""
    path = tmp_path / "settings.json"
    path.write_bytes(b"old")
    left, young = tmp_path / ".settings.json.tokenward-a", tmp_path / ".settings.json.tokenward-b"
    for each in (left, young):
        each.write_bytes(b"half")
    os.utime(left, (1, 1))
    whole_file.replace(path, b"new", was=b"old")
    assert not left.exists()
    assert young.exists()


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """And not waited for."""
    path = tmp_path / "settings.json"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"regular file|directory"):
        whole_file.read(path)
