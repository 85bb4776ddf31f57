"""Whether an install or uninstall killed at any system call leaves settings that are old or new, and undoable."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

import tokenward
from tokenward.claude_settings import NOTE, Installation

OLD = '{\n  "apiKeyHelper": "echo theirs",\n  "model": "opus"\n}\n'
WANTED = '"/usr/bin/python3 -IS /x/tokenward/helper.py"'
NEW = OLD.replace('"echo theirs"', WANTED)
LONGEST_SWEEP = 40
"""No install makes this many calls of one kind: a sweep that gets here injects nothing."""

CHILD = """
import sys, tempfile
sys.path.insert(0, sys.argv[1])
from pathlib import Path
tempfile._get_candidate_names = lambda: iter(["x"])
from tokenward.claude_settings import Installation
installation = Installation(Path(sys.argv[2]), Path(sys.argv[3]))
installation.install(sys.argv[4]) if sys.argv[4] else installation.uninstall()
"""
CALLS = ("openat", "write", "/^fchmod", "fsync", "/^rename", "/^unlink")

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: NO CRASH POINT OF AN INSTALL IS TESTED"
)


@pytest.mark.fault(
    "crash-claude-settings",
    "SIGKILL on entering any system call of `claude-code install` or `uninstall`",
    "Claude Code's settings are old or new, whole; an uninstall brings back what was there",
)
@pytest.mark.parametrize("wanted", [WANTED, ""], ids=["install", "uninstall"])
def test_settings_are_old_or_new_and_can_be_put_back(
    tmp_path: Path, wanted: str, record_property: Callable[[str, object], None]
) -> None:
    """Killed at each call in turn: the settings are whole, and an uninstall brings back what was there."""
    settings, state = tmp_path / "settings.json", tmp_path / "state"
    crashes = 0
    seen: dict[str, set[str]] = {}
    for call in CALLS:
        seen[call] = set()
        for number in count(1):
            assert number < LONGEST_SWEEP
            _prepare(settings, state, installed=not wanted)
            status = _killed_at(call, number, state, settings, wanted)
            text = settings.read_text()
            assert text in {OLD, NEW}, f"torn at {call} {number}"
            Installation(state, settings).uninstall()
            assert settings.read_text() == OLD, f"not put back after {call} {number}"
            assert not (state / NOTE).exists()
            if status == 0:
                break
            crashes += 1
            seen[call].add(text)
    for call in ("openat", "write", "/^fchmod", "fsync", "/^rename"):
        assert seen[call], f"the sweep met no {call}"
    record_property("figure", f"{crashes} crash points of {'install' if wanted else 'uninstall'}")
    assert seen["fsync"] == {OLD, NEW}, "killed before a rename, and after it"


def _prepare(settings: Path, state: Path, *, installed: bool) -> None:
    shutil.rmtree(state, ignore_errors=True)
    for left in settings.parent.glob(".settings.json.*"):
        left.unlink()
    settings.write_text(OLD)
    if installed:
        Installation(state, settings).install(WANTED)


def _killed_at(call: str, number: int, state: Path, settings: Path, wanted: str) -> int:
    """How a child ended that was killed on entering this call, on one of the files and their directories."""
    temporaries = [path.with_name(f".{path.name}.tokenward-x") for path in (settings, state / NOTE)]
    watched = [state, settings.parent, settings, state / NOTE, *temporaries]
    strace = ["strace", "-f", "-qq", "-o", os.devnull, *(word for each in watched for word in ("-P", str(each)))]
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    source = str(Path(tokenward.__file__).parents[1])
    child = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", CHILD, source]
    words = [*strace, *inject, *child, str(state), str(settings), wanted]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
    assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
    return done.returncode
