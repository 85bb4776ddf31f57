"""Whether a refresh killed at any system call leaves its successor everything that can be left.

A refresh token is spent at the server before its successor can be on any disk. Between the answer's arrival and
the first write of it nothing can be kept by anybody; this sweep shows that this is one single point, and that
everywhere else the new login is in the file, or sealed in the journal from where the next process writes it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from faults.refresh_homes import ClaudeCodeHome, Home, StoreHome

LONGEST_SWEEP = 30
"""No refresh makes this many calls of one kind: a sweep that gets here injects nothing."""
CALLS = (
    "openat",
    "pwrite64",
    "fallocate",
    "ftruncate",
    "fsync",
    "flock",
    "/^mkdir",
    "/^rename",
    "/^unlink",
    "/^rmdir",
    "/^utimensat",
)
"""The calls by which a refresh touches the disk; the patterns cover what different machines call the same."""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: NO CRASH POINT OF A REFRESH IS TESTED"
)

HOLDS = (
    "no state with a good token on disk before and none after, but the one between the answer's arrival and its "
    "first write; nothing is spent twice elsewhere; the successor ends with the newest login"
)
REFRESH_KILLED = pytest.mark.fault(
    "crash-refresh",
    "SIGKILL on entering any system call of a refresh, from the family lock to the last unlock",
    HOLDS,
)
OUR_REFRESH_KILLED = pytest.mark.fault(
    "crash-refresh-store", "the same of a refresh of a login in tokenward's own store", HOLDS
)


@pytest.fixture
def claude_code(tmp_path: Path) -> Home:
    """A home with Claude Code's login, to be killed in."""
    return ClaudeCodeHome(tmp_path / "home", tmp_path / "server")


@pytest.fixture
def store(tmp_path: Path) -> Home:
    """The same with a login in our own store."""
    return StoreHome(tmp_path / "home", tmp_path / "server")


@REFRESH_KILLED
def test_an_undisturbed_refresh_leaves_nothing_behind(claude_code: Home, tmp_path: Path) -> None:
    """The program of the sweep itself: it rotates once, cleans up, and has nothing to do a second time."""
    _rotates_once(claude_code, tmp_path)


@OUR_REFRESH_KILLED
def test_an_undisturbed_refresh_of_our_own_leaves_nothing_behind(store: Home, tmp_path: Path) -> None:
    """The same of a login in our store."""
    _rotates_once(store, tmp_path)


def _rotates_once(home: Home, directory: Path) -> None:
    home.furnish()
    done = home.refresh()
    assert json.loads(done.stdout) == {"result": "Refreshed"}, done.stderr
    assert (home.holds(), home.rotations) == (1, 1)
    assert not any(lock.exists() for lock in home.locks)
    assert json.loads(home.refresh().stdout) == "not due"
    home.furnish()
    assert home.touched(directory / "trace", CALLS) <= {*home.watched}, "the sweep would pass over a call"


@REFRESH_KILLED
def test_every_crash_leaves_the_successor_what_it_needs(
    claude_code: Home, record_property: Callable[[str, object], None]
) -> None:
    """Killed on entering any of its calls: file whole and private, and the successor ends with the newest login.

    Except at one point, between the answer and its journal, where no client could have kept it: there the
    successor says that the login is dead, and leaves the file as it was.
    """
    crashes = _sweep(claude_code, record_property)
    assert crashes.keys() == set(CALLS) - {"/^unlink"}, "a refresh that goes well unlinks nothing"


@OUR_REFRESH_KILLED
def test_every_crash_of_a_refresh_of_our_own_leaves_the_successor_what_it_needs(
    store: Home, record_property: Callable[[str, object], None]
) -> None:
    """The same of a login in our store, with the same one point at which nobody could have kept it."""
    crashes = _sweep(store, record_property)
    assert crashes.keys() == set(CALLS) - {"/^unlink", "/^rmdir", "/^utimensat"}, "its locks are the kernel's"


def _sweep(home: Home, record_property: Callable[[str, object], None]) -> dict[str, int]:
    """Kill a refresh on entering each of its calls, and have a successor go on; how many are made of each."""
    crashes: dict[str, int] = {}
    lost: list[str] = []
    for call in CALLS:
        for occurrence in count(1):
            where = f"{call} {occurrence}"
            assert occurrence < LONGEST_SWEEP
            home.furnish()
            if not home.refresh_and_die(call, occurrence):
                assert (home.holds(), home.rotations) == (1, 1)
                break
            crashes[call] = occurrence
            if _lost_in(home, where):
                lost.append(call)
    record_property("figure", f"{sum(crashes.values())} crash points, {len(lost)} of them unavoidable")
    assert lost == ["pwrite64"], "the answer is on its way to the disk by the first call after it came"
    return crashes


def _lost_in(home: Home, where: str) -> bool:
    """Judge what a dead refresh left, and what a successor makes of it; whether the answer was lost."""
    had_rotated, held = home.rotations, home.holds()
    assert held in {0, had_rotated}, where
    sealed = home.journal.exists() and '"record":"answer"' in home.journal.read_text()
    successor = home.refresh()
    assert successor.returncode == 0, (where, successor.stderr)
    came_to = json.loads(successor.stdout)
    if had_rotated and not sealed:
        assert home.reuses == 1, where
        assert came_to["result"] == "Rejected", where
        assert (home.holds(), home.rotations) == (0, 1), where
        return True
    assert came_to == "not due" or came_to["result"] in {"Refreshed", "Adopted"}, (where, came_to)
    assert (home.holds(), home.rotations) == (1, 1), where
    assert home.reuses == 0, where
    if held == 0:  # else nothing is due, and what the dead process held is left to grow stale
        assert not any(lock.exists() for lock in home.locks), where
    return False
