"""Whether a refresh whose machine loses power finds its login again, where only what was synced is kept.

A process that is killed leaves everything to the kernel, which writes it some time. A power cut leaves what was
synced. So the refresh runs on an ext4 on a loop device that commits nothing by itself, dies at one of its calls,
and the raw image is copied at that moment: mounting the copy replays its journal, as a start after a cut does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from faults.refresh_homes import ClaudeCodeHome
from faults.test_atomic_file_crash import NEW, OLD, replace_and_die

CALLS = ("fsync", "/^rename")
"""Between two of these nothing becomes durable."""
LONGEST_SWEEP = 20
IMAGE_BYTES = 8 * 1024 * 1024
LAZY = "loop,noauto_da_alloc,commit=300"
"""A file system that forgives nothing: ext4 by itself hides a missing sync before a rename."""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or os.geteuid() != 0
    or any(shutil.which(tool) is None for tool in ("strace", "mkfs.ext4", "losetup")),
    reason="needs root, strace, mkfs.ext4 and loop devices: NO POWER CUT IS TESTED",
)


@contextmanager
def mounted(image: Path, target: Path) -> Iterator[None]:
    """Mount an image; its journal is replayed."""
    made = subprocess.run(
        ["mount", "-t", "ext4", "-o", LAZY, str(image), str(target)], check=False, capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"this root may not mount: NO POWER CUT IS TESTED: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


Done = TypeVar("Done")


@contextmanager
def after_a_cut(directory: Path, work: Callable[[Path], Done]) -> Iterator[Done]:
    """Work on a new disk, cut the power, and go on with what is left.

    Args:
        directory: for the image and its mount.
        work: is given the disk.

    Yields:
        What the work returned, with what the cut left mounted where the disk was.
    """
    disk = directory / "disk"
    disk.mkdir(exist_ok=True)
    files = Path(
        tempfile.mkdtemp(dir=directory)
    )  # who made a mount namespace meanwhile has the last ones mounted still
    image, left = files / "image", files / "left"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted(image, disk):
        result = work(disk)
        shutil.copyfile(image, left)
    with mounted(left, disk):
        yield result
    shutil.rmtree(files)


def settled(disk: Path) -> None:
    """Have on the medium all that is on a disk, as after a long while."""
    subprocess.run(["sync", "-f", str(disk)], check=True)


def points(call: str) -> Iterator[int]:
    """The occurrences of a call, until the sweep has met all."""
    for occurrence in count(1):
        assert occurrence < LONGEST_SWEEP, call
        yield occurrence


@pytest.mark.fault(
    "power-atomic-file",
    "The power fails on entering any fsync or rename of a replacement of a file, and after its end",
    "the old file or the new one, whole; after its end the new one",
)
def test_a_replacement_that_returned_is_there(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Without the directory's sync the file of before would come back: a refresh token that was spent."""
    cuts = 0
    for call in CALLS:
        for occurrence in points(call):

            def replace(disk: Path, call: str = call, occurrence: int = occurrence) -> bool:
                path = disk / "credentials.json"
                path.write_bytes(OLD)
                path.chmod(0o600)
                settled(disk)
                return replace_and_die(path, call, occurrence, furnish=False) != 0

            with after_a_cut(tmp_path, replace) as died:
                content = (tmp_path / "disk" / "credentials.json").read_bytes()
            if not died:
                assert content == NEW
                break
            cuts += 1
            assert content in {OLD, NEW}, f"torn at {call} {occurrence}"
    assert cuts >= 3
    record_property("figure", f"{cuts} cuts")


@pytest.mark.fault(
    "power-refresh",
    "The power fails on entering any fsync or rename of a refresh, and after its end",
    "a login that was reported as refreshed is in its file; one that was sealed is written by the next start; "
    "the file is never torn; only an answer whose first sync had not ended is lost",
)
def test_a_power_cut_leaves_what_was_promised(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The image of the moment is mounted, and the next process goes on from there."""
    cuts: dict[str, int] = {}
    lost: list[str] = []
    home = ClaudeCodeHome(tmp_path / "disk" / "home", tmp_path / "server")
    for call in CALLS:
        for occurrence in points(call):
            where = f"{call} {occurrence}"

            def refresh(disk: Path, call: str = call, occurrence: int = occurrence) -> bool:
                home.furnish()
                settled(disk)
                return home.refresh_and_die(call, occurrence)

            with after_a_cut(tmp_path, refresh) as died:
                held = home.holds()
                if not died:
                    assert (held, home.rotations) == (1, 1), "what was reported as refreshed is there"
                    break
                cuts[call] = occurrence
                assert held in {0, home.rotations}, where
                sealed = home.journal.exists() and '"record":"answer"' in home.journal.read_text(errors="replace")
                had_rotated = home.rotations
                successor = home.refresh()
                assert successor.returncode == 0, (where, successor.stderr)
                if had_rotated and not sealed and held == 0:
                    lost.append(where)
                    assert (home.holds(), home.rotations, home.reuses) == (0, 1, 1), where
                else:
                    assert (home.holds(), home.rotations, home.reuses) == (1, 1, 0), where
    assert [where.split()[0] for where in lost] == ["fsync"], "from the sync of the seal on nothing is lost"
    record_property("figure", f"{sum(cuts.values())} cuts, {len(lost)} of them unavoidable")
