"""What a path is on is read off the kernel's table, spaces, stacks and all."""

from pathlib import Path

import pytest

from tokenward.disk.mount_table import Mounted, mounted_below

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:2 master:3 - autofs systemd-1 rw,fd=40
31 30 0:41 / /home rw,relatime - nfs4 files.acme.dev:/home rw,vers=4.2
32 31 0:42 / /home/me/with\040space rw - fuse.sshfs me@host:/x rw
33 22 0:43 / /homework rw - tmpfs tmpfs rw
34 22 0:44 / /broken rw
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A machine whose homes are elsewhere."""
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("path", "mounted"),
    [
        ("/etc/passwd", Mounted("ext4", "/dev/sda1", "/")),
        ("/home", Mounted("nfs4", "files.acme.dev:/home", "/home")),
        ("/home/me/.claude/x", Mounted("nfs4", "files.acme.dev:/home", "/home")),
        ("/home/me/with space/x", Mounted("fuse.sshfs", "me@host:/x", "/home/me/with space")),
        ("/homework/x", Mounted("tmpfs", "tmpfs", "/homework")),
        ("/broken/x", Mounted("ext4", "/dev/sda1", "/")),
    ],
)
def test_the_nearest_and_topmost_counts(table: Path, path: str, mounted: Mounted) -> None:
    """By whole names of directories, and of two at one place by the later."""
    assert mounted_below(Path(path), table) == mounted


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    """As on macOS."""
    assert mounted_below(Path("/home"), tmp_path / "none") is None


@pytest.mark.parametrize(
    ("kind", "elsewhere"),
    [("nfs4", True), ("fuse.sshfs", True), ("cifs", True), ("ext4", False), ("fuseblk", False), ("tmpfs", False)],
)
def test_who_answers(kind: str, *, elsewhere: bool) -> None:
    """Another machine or program, or the kernel itself; fuseblk is a local disk of another system's making."""
    assert Mounted(kind, "x", "/").answers_elsewhere is elsewhere


def test_this_machine_has_one() -> None:
    """Its own root is mounted."""
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("only Linux has the table")
    assert mounted_below(Path("/")) is not None
