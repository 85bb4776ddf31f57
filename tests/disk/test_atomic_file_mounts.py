"""Whether writing copes with real full, read-only and single-file mounts."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tokenward.disk import atomic_file
from tokenward.disk.atomic_file import prepare_write, replace_file, signature_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

OLD = b"old" * 1000


@contextmanager
def mounted(target: Path, *options: str) -> Iterator[Path]:
    """Mount something for a while."""
    made = subprocess.run(["mount", *options, str(target)], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this root may not mount: {made.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB with an old credential on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=64k,nr_inodes=8,mode=700", "tmpfs"):
        (disk / "credentials.json").write_bytes(OLD)
        (disk / "credentials.json").chmod(0o600)
        yield disk


def fill(disk: Path, *, leave: int) -> None:
    """Take all room of a disk but so many bytes."""
    free = os.statvfs(disk)
    size = free.f_bavail * free.f_frsize - leave
    (disk / "ballast").write_bytes(bytes(size))


def test_a_full_disk_shows_in_the_proof(small_disk: Path) -> None:
    """What would not fit is refused before the token is spent; the old state and nothing else is there."""
    fill(small_disk, leave=4096)
    path = small_disk / "credentials.json"
    with pytest.raises(OSError, match="No space") as refused:
        prepare_write(path, 8192, create=False)
    assert refused.value.errno == errno.ENOSPC
    assert path.read_bytes() == OLD
    assert {entry.name for entry in small_disk.iterdir()} == {"ballast", "credentials.json"}


def test_what_was_proved_fits_when_the_disk_fills_up_meanwhile(small_disk: Path) -> None:
    """Room that was reserved is ours, whoever takes the rest."""
    path = small_disk / "credentials.json"
    with prepare_write(path, 8192, create=False) as prepared:
        fill(small_disk, leave=0)
        prepared.commit(b"n" * 8192)
    assert path.read_bytes() == b"n" * 8192


def test_more_than_was_proved_may_not_fit(small_disk: Path) -> None:
    """Beyond the reserve a full disk is an error that leaves the old state."""
    path = small_disk / "credentials.json"
    prepared = prepare_write(path, 4096, create=False)
    fill(small_disk, leave=0)
    with pytest.raises(OSError, match="No space"):
        prepared.commit(b"n" * 8192)
    assert path.read_bytes() == OLD
    assert {entry.name for entry in small_disk.iterdir()} == {"ballast", "credentials.json"}


def test_a_disk_without_inodes_shows_in_the_proof(small_disk: Path) -> None:
    """Room for bytes is not room for a file."""
    for number in range(os.statvfs(small_disk).f_favail):
        (small_disk / f"{number}").touch()
    with pytest.raises(OSError, match="No space"):
        prepare_write(small_disk / "credentials.json", 100, create=False)


def test_a_read_only_disk_shows_in_the_proof(small_disk: Path) -> None:
    """A disk remounted read-only is refused as such."""
    path = small_disk / "credentials.json"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only") as refused:
        prepare_write(path, 100, create=False)
    assert refused.value.errno == errno.EROFS
    assert path.read_bytes() == OLD


class TestSingleFileMount:
    @pytest.fixture(params=["credentials.json", "with a space\tand\\.json"])
    def mount_point(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
        """A file that another file is mounted on, as containers get it."""
        (tmp_path / "outside").write_bytes(OLD)
        (tmp_path / "outside").chmod(0o644)
        inside = tmp_path / "inside"
        inside.mkdir()
        target = inside / str(request.param)
        target.touch()
        with mounted(target, "--bind", str(tmp_path / "outside")):
            yield target

    @pytest.mark.parametrize("data", [b"new", b"n" * 5000])
    def test_is_written_in_place(self, mount_point: Path, tmp_path: Path, data: bytes) -> None:
        """The proof opens the file itself, and both sides of the mount see the new, private state."""
        with prepare_write(mount_point, 6000, create=False) as prepared:
            assert prepared.in_place
            assert [entry.name for entry in mount_point.parent.iterdir()] == [mount_point.name]
            assert prepared.commit(data) == signature_of(mount_point)
        assert mount_point.read_bytes() == data
        assert (tmp_path / "outside").read_bytes() == data
        assert stat.S_IMODE(mount_point.stat().st_mode) == 0o600

    def test_is_written_in_place_through_a_link(self, mount_point: Path, tmp_path: Path) -> None:
        """A link that leads to such a file stays."""
        link = tmp_path / "link"
        link.symlink_to(mount_point)
        replace_file(link, b"new")
        assert link.is_symlink()
        assert (tmp_path / "outside").read_bytes() == b"new"

    def test_the_kernels_own_refusal_is_understood(
        self, mount_point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the list of mounts told nothing, the real EBUSY of the rename leads to the same end."""
        monkeypatch.setattr(atomic_file, "is_mount_point", lambda _: False)
        with prepare_write(mount_point, 100, create=False) as prepared:
            assert len(list(mount_point.parent.iterdir())) == 2
            prepared.commit(b"new")
            assert prepared.in_place
        assert (tmp_path / "outside").read_bytes() == b"new"
        assert stat.S_IMODE(mount_point.stat().st_mode) == 0o600
        assert [entry.name for entry in mount_point.parent.iterdir()] == [mount_point.name]


def test_a_full_disk_behind_a_single_file_mount_keeps_the_old_state(small_disk: Path, tmp_path: Path) -> None:
    """In place, what needs new room is written first, so that a full disk leaves the old state whole."""
    fill(small_disk, leave=0)
    target = tmp_path / "credentials.json"
    target.touch()
    with mounted(target, "--bind", str(small_disk / "credentials.json")):
        with pytest.raises(OSError, match="No space"):
            replace_file(target, b"n" * 20_000)
        assert target.read_bytes() == OLD
