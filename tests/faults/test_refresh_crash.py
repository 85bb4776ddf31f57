"""Whether a refresh killed at any system call leaves its successor everything that can be left.

A refresh token is spent at the server before its successor can be on any disk. Between the answer's arrival and
the first write of it nothing can be kept by anybody; this sweep shows that this is one single point, and that
everywhere else the new login is in the file, or sealed in the journal from where the next process writes it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import tokenward
from tokenward.core.credential import Secret, family_of

SOURCES = Path(tokenward.__file__).parents[1]
PROGRAM = Path(__file__).with_name("refreshing_process.py")
TEMPORARY = f".credentials.json.tokenward-{bytes(8).hex()}"
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


@dataclass(frozen=True, slots=True)
class Home:
    """A home directory with a login in it, and the server of that login.

    Args:
        directory: the home directory.
        server: the server's file.
    """

    directory: Path
    server: Path

    @property
    def login(self) -> Path:
        """Claude Code's file."""
        return self.directory / ".claude" / ".credentials.json"

    @property
    def journal(self) -> Path:
        """The family file of the first refresh token."""
        family = family_of("https://auth.invalid/token", Secret("refresh-0"))
        return self.directory / "families" / f"{family}.journal"

    @property
    def locks(self) -> tuple[Path, ...]:
        """Claude Code's locks."""
        claude = self.directory / ".claude"
        return claude / ".oauth_refresh.lock", self.directory / ".claude.lock", claude / ".storage-write.lock"

    @property
    def rotations(self) -> int:
        """How often the server has rotated."""
        return int(self.server.read_text())

    @property
    def reused(self) -> Path:
        """Where the server keeps a line for every spent refresh token that it was shown."""
        return self.server.with_name("reused")

    @property
    def reuses(self) -> int:
        """How often the server was shown a spent refresh token."""
        return len(self.reused.read_text().splitlines()) if self.reused.exists() else 0

    def furnish(self) -> None:
        """Make it anew, with a login that has ended."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.login.parent.mkdir(mode=0o700, parents=True)
        document = {
            "claudeAiOauth": {
                "accessToken": "access-0",
                "refreshToken": "refresh-0",
                "expiresAt": int((time.time() - 1) * 1000),
                "kept": 1,
            },
            "alsoKept": [2],
        }
        self.login.touch(mode=0o600)
        self.login.write_text(json.dumps(document))
        self.server.write_text("0")
        self.reused.unlink(missing_ok=True)

    def refresh(self, *wrapper: str) -> subprocess.CompletedProcess[str]:
        """Run a process that refreshes the login, if it is due."""
        interpreter = [os.path.realpath(sys.executable), "-I", "-S", "-B"]
        arguments = [str(PROGRAM), str(SOURCES), str(self.directory), str(self.server)]
        command = [*wrapper, *interpreter, *arguments, *(["predictable"] if wrapper else [])]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    def refresh_and_die(self, call: str, occurrence: int) -> bool:
        """As `refresh`, killed on entering one system call; says whether it came to that."""
        made = (
            self.directory / "families",
            self.journal,
            self.login,
            self.login.with_name(TEMPORARY),
            *self.locks,
        )
        watched = [word for path in (self.login.parent, *made) for word in ("-P", str(path))]
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={occurrence}"]
        done = self.refresh("strace", "-f", "-qq", "-o", os.devnull, *watched, *inject)
        if "PTRACE" in done.stderr or "ptrace" in done.stderr:
            pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
        assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
        return done.returncode != 0

    def holds(self) -> int:
        """The number of the login in the file, which must be whole, private and otherwise as it was."""
        for path in self.directory.rglob("*"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), f"{path} is {mode:04o}"
        document: dict[str, Any] = json.loads(self.login.read_text())
        login = document["claudeAiOauth"]
        number = int(login["accessToken"].removeprefix("access-"))
        assert login["refreshToken"] == f"refresh-{number}"
        assert (login["kept"], document["alsoKept"]) == (1, [2])
        return number


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home to be killed in."""
    return Home(tmp_path / "home", tmp_path / "server")


REFRESH_KILLED = pytest.mark.fault(
    "crash-refresh",
    "SIGKILL on entering any system call of a refresh, from the family lock to the last unlock",
    "no state with a good token on disk before and none after, but the one between the answer's arrival and its "
    "first write; nothing is spent twice elsewhere; the successor ends with the newest login",
)


@REFRESH_KILLED
def test_an_undisturbed_refresh_leaves_nothing_behind(home: Home) -> None:
    """The program of the sweep itself: it rotates once, cleans up, and has nothing to do a second time."""
    home.furnish()
    done = home.refresh()
    assert json.loads(done.stdout) == {"result": "Refreshed"}, done.stderr
    assert (home.holds(), home.rotations) == (1, 1)
    assert not any(lock.exists() for lock in home.locks)
    assert json.loads(home.refresh().stdout) == "not due"


@REFRESH_KILLED
def test_every_crash_leaves_the_successor_what_it_needs(
    home: Home, record_property: Callable[[str, object], None]
) -> None:
    """Killed on entering any of its calls: file whole and private, and the successor ends with the newest login.

    Except at one point, between the answer and its journal, where no client could have kept it: there the
    successor says that the login is dead, and leaves the file as it was.
    """
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
            had_rotated, held = home.rotations, home.holds()
            assert held in {0, had_rotated}, where
            sealed = home.journal.exists() and '"record":"answer"' in home.journal.read_text()
            successor = home.refresh()
            assert successor.returncode == 0, (where, successor.stderr)
            came_to = json.loads(successor.stdout)
            if had_rotated and not sealed:
                lost.append(call)
                assert home.reuses == 1, where
                assert came_to["result"] == "Rejected", where
                assert (home.holds(), home.rotations) == (0, 1), where
            else:
                assert came_to == "not due" or came_to["result"] in {"Refreshed", "Adopted"}, (where, came_to)
                assert (home.holds(), home.rotations) == (1, 1), where
                assert home.reuses == 0, where
                if held == 0:  # else nothing is due, and what the dead process held is left to grow stale
                    assert not any(lock.exists() for lock in home.locks), where
    record_property("figure", f"{sum(crashes.values())} crash points, {len(lost)} of them unavoidable")
    assert lost == ["pwrite64"], "the answer is on its way to the disk by the first call after it came"
    assert crashes.keys() == set(CALLS) - {"/^unlink"}, "a refresh that goes well unlinks nothing"
