"""Whether a refresh whose machine loses power finds its login again, on a file system that keeps what it must only.

A process that is killed leaves everything to the kernel, which writes it some time. A power cut leaves what was
synced. So the refresh runs on an ext4 on a loop device that commits nothing by itself, dies at one of its calls,
and the raw image is copied at that moment: mounting the copy replays its journal, as a start after a cut does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from faults.test_refresh_crash import Home

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


def cut(directory: Path, die: Callable[[Home], bool]) -> tuple[Home, Path, bool]:
    """Refresh on a new disk and cut the power.

    Args:
        directory: for the image and its mount.
        die: refreshes, and says whether it died of it.

    Returns:
        The home, the image as the cut left it, and what `die` said.
    """
    disk, image, left = directory / "disk", directory / "image", directory / "left"
    disk.mkdir(exist_ok=True)
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    home = Home(disk / "home", directory / "server")
    with mounted(image, disk):
        home.furnish()
        subprocess.run(["sync", "-f", str(disk)], check=True)
        died = die(home)
        shutil.copyfile(image, left)
    return home, left, died


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
    for call in CALLS:
        for occurrence in count(1):
            where = f"{call} {occurrence}"
            assert occurrence < LONGEST_SWEEP, where
            home, left, died = cut(tmp_path, lambda home, at=occurrence, by=call: home.refresh_and_die(by, at))
            with mounted(left, home.directory.parent):
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
