"""Whether an import that is killed at any system call leaves both stores readable, and can be made again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

import tokenward
from contracts.place import found_in
from e2e.daemon_process import DaemonProcess
from faults.importing_process import opened
from faults.injected import deadly

SOURCES = Path(tokenward.__file__).parents[1]
PROGRAM = Path(__file__).with_name("importing_process.py")
LONGEST_SWEEP = 30
"""No import of two credentials makes this many calls of one kind: a sweep that gets here injects nothing."""
CALLS = ("openat", "pwrite64", "ftruncate", "fsync", "/^rename", "/^unlink", "/^mkdir")
"""The calls by which it touches our store; the patterns cover what different machines call the same."""
DESCRIPTORS = frozenset({"pwrite64", "ftruncate", "fsync"})
"""Those that an import makes for nothing but our store."""
ENTRIES = {
    "acme:key": {"type": "api_key", "provider": "acme", "key": "k-1"},
    "acme:me@x.com": {
        "type": "oauth",
        "provider": "acme",
        "access": "at-1",
        "refresh": "rt-1",
        "expires": 4_102_444_800_000,
    },
}

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: NO CRASH POINT OF AN IMPORT IS TESTED"
)


class Move:
    """A move from another program to us.

    Args:
        directory: for both.
    """

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.state = directory / "state"
        self.foreign = self.home / ".clawdbot/agents/main/agent/auth-profiles.json"

    def furnish(self) -> bytes:
        """Make both anew, ours without a credential; returns the foreign file."""
        for directory in (self.home, self.state):
            shutil.rmtree(directory, ignore_errors=True)
        self.foreign.parent.mkdir(parents=True)
        self.foreign.write_text(json.dumps({"version": 1, "profiles": ENTRIES, "kept": [1]}))
        self.foreign.chmod(0o600)
        self.state.mkdir(mode=0o700)
        opened(self.state)
        return self.foreign.read_bytes()

    def run(self, *wrapper: str) -> subprocess.CompletedProcess[str]:
        """Import in a process of its own."""
        child = [sys.executable, "-I", "-B", str(PROGRAM), str(SOURCES), str(self.state), str(self.home)]
        return subprocess.run([*wrapper, *child], check=False, capture_output=True, text=True, timeout=60)

    def run_and_die(self, call: str, occurrence: int) -> bool:
        """As `run`, killed on entering a call that touches our store; says whether it came to that."""
        ours = [word for path in (self.state, self.state / "credentials") for word in ("-P", str(path))]
        watched = ours if call not in DESCRIPTORS else []
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={occurrence}"]
        done = self.run("strace", "-f", "-qq", "-o", os.devnull, *watched, *inject)
        if "PTRACE" in done.stderr or "ptrace" in done.stderr:
            pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
        assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
        return done.returncode != 0


@pytest.mark.fault(
    "crash-import",
    "SIGKILL on entering any system call by which an import touches our store",
    "the foreign file is as it was; every record of ours is whole or not there; the same import completes it",
)
def test_every_crash_of_an_import_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What was copied before the crash stays and is not copied twice; no leftover is taken for a record."""
    move = Move(tmp_path)
    crashes: dict[str, int] = {}
    halves: set[int] = set()
    for call in CALLS:
        for occurrence in count(1):
            where = f"{call} {occurrence}"
            assert occurrence < LONGEST_SWEEP, where
            before = move.furnish()
            killed = move.run_and_die(call, occurrence)
            assert move.foreign.read_bytes() == before, where
            modes = {stat.S_IMODE(path.stat().st_mode) for path in move.state.rglob("*") if path.is_file()}
            assert modes == {0o600}, where
            store = opened(move.state)
            kept = set(store.profiles())
            assert all(found_in(store.place(profile).read()).access.reveal() for profile in kept), where
            if not killed:
                assert kept == ENTRIES.keys()
                break
            crashes[call] = occurrence
            halves.add(len(kept))
            again = move.run()
            assert (again.returncode, int(again.stdout)) == (0, len(ENTRIES) - len(kept)), (where, again.stderr)
            store = opened(move.state)
            held = {profile: found_in(store.place(profile).read()).access.reveal() for profile in store.profiles()}
            assert held == {"acme:key": "k-1", "acme:me@x.com": "at-1"}, where
    assert halves == {0, 1, 2}, "it was met before, between and after the two"
    assert {"pwrite64", "fsync", "/^rename"} <= crashes.keys()
    record_property("figure", f"{sum(crashes.values())} crash points")


@pytest.mark.fault(
    "crash-import-daemon",
    "SIGKILL of a daemon that imports, on entering a write, a sync or a rename of either record",
    "the foreign file is as it was; the next daemon serves what was copied, and the same import completes it",
)
@pytest.mark.parametrize("call", ["pwrite64", "fsync", "/^rename", "fsync of the directory"])
def test_a_daemon_that_dies_while_it_imports_loses_nothing(own_home: Path, call: str) -> None:
    """Through the socket, with everything else that a daemon writes; every call of one is swept above."""
    foreign = own_home / ".clawdbot/agents/main/agent/auth-profiles.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text(json.dumps({"version": 1, "profiles": ENTRIES, "kept": [1]}))
    foreign.chmod(0o600)
    before = foreign.read_bytes()
    first, *_ = ENTRIES
    with DaemonProcess(own_home, config="", arguments=["--debuggable"]) as daemon:
        records = daemon.state / "credentials"
        for imported_before in ([], [first]):
            if imported_before:
                daemon.call("source.import", source="clawdbot", profiles=imported_before)
            at = None if call in {"pwrite64", "fsync"} else records
            with deadly(daemon.pid, call.partition(" ")[0], at=at), pytest.raises((EOFError, ConnectionError)):
                daemon.call("source.import", source="clawdbot")
            assert daemon.wait() == -signal.SIGKILL
            assert foreign.read_bytes() == before
            daemon.start()
            kept = {shown["profile"] for shown in daemon.call("profile.list")["profiles"]}
            assert kept >= set(imported_before)
            for profile in kept:
                assert daemon.call("token.get", profile=profile, min_valid=0)["token"] in {"k-1", "at-1"}
        done = daemon.call("source.import", source="clawdbot")
        assert {*(each["profile"] for each in done["imported"]), *done["unchanged"]} == ENTRIES.keys()
        held = {profile: daemon.call("token.get", profile=profile, min_valid=0)["token"] for profile in ENTRIES}
        assert held == {"acme:key": "k-1", "acme:me@x.com": "at-1"}
        assert daemon.terminate() == 0
    assert foreign.read_bytes() == before
