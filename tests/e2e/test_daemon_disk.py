"""The daemon on disks that are full or read-only, for real: no refresh token is spent that could not be replaced."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import HOLD_AFTER, Sandbox

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""
SMALL_DISK = "2m"  # two reservations of the journal fit

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounts need root: NO DAEMON IS TESTED ON A FULL OR READ-ONLY DISK",
)


def mount(*words: str | Path) -> None:
    """Run mount(8); skip where a container forbids it."""
    done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted: NO DAEMON IS TESTED ON A FULL OR READ-ONLY DISK: {done.stderr}")


def unmount(path: Path) -> None:
    """Take the topmost mount off, even if somebody still has a file open there."""
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    """A home directory that is a disk of its own, and a small one."""
    home = tmp_path / "small"
    home.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", home)
    try:
        yield home
    finally:
        unmount(home)


def fill(directory: Path) -> Path:
    """Take all room that is left, and return the file that has it."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def test_nothing_is_spent_on_a_full_disk(small_home: Path, sandbox: Sandbox) -> None:
    """Without room for the answer there is no request; the old token is served, and room brings the refresh."""
    login = sandbox.issue(ttl_seconds=DUE)
    stored = StoredLogin(small_home)
    stored.write(login)
    with DaemonProcess(small_home, config=direct(sandbox.token_endpoint)) as daemon:
        pass
