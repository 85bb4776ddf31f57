"""Whether a change of the store's key that is killed at any system call leaves every credential readable.

The process is killed at every call by which it changes the disk. What it left is then opened as a start opens it,
which must find every credential, end the change if it had begun, and leave one key.
"""

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
from contracts.place import found_in, oauth_credential
from faults.rekeying_process import custody_of
from tokenward.stores.key_note import NOTE_FILE

SOURCES = Path(tokenward.__file__).parents[1]
PROGRAM = Path(__file__).with_name("rekeying_process.py")
LONGEST_SWEEP = 40
"""No change of two records makes this many calls of one kind: a sweep that gets here injects nothing."""
CALLS = ("pwrite64", "fsync", "/^rename", "/^unlink")
"""The calls that change what a start finds: what is between two of them is the same to it."""
HELD = {"acme:one": oauth_credential(1), "acme:two": oauth_credential(2)}

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: NO CRASH POINT OF A REKEY IS TESTED"
)


def furnish(state: Path) -> str:
    """Make a store anew, its key in a file; returns the key's id."""
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(mode=0o700)
    custody = custody_of(state)
    store = custody.open()
    for profile, credential in HELD.items():
        store.add(profile, credential)
    return custody.status().key_id


def rekey_and_die(state: Path, to: str, call: str, occurrence: int) -> bool:
    """Change the key in a process that is killed on entering one system call; says whether it came to that."""
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:signal=KILL:when={occurrence}"]
    child = [sys.executable, "-I", "-B", str(PROGRAM), str(SOURCES), str(state), to]
    done = subprocess.run([*strace, *inject, *child], check=False, capture_output=True, text=True, timeout=60)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
    assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
    return done.returncode != 0


@pytest.mark.fault(
    "crash-rekey",
    "SIGKILL on entering any write, sync, rename or removal of a change of the store's key",
    "the next start reads every credential, ends the change and leaves one key",
)
@pytest.mark.parametrize("to", ["file", "passphrase"])
def test_every_crash_of_a_rekey_loses_nothing(
    tmp_path: Path, to: str, record_property: Callable[[str, object], None]
) -> None:
    """Killed at any of its writes, syncs, renames and removals: the next start reads everything, under one key."""
    state = tmp_path / "state"
    crashes = 0
    seen: dict[str, set[str]] = {"changed": set(), "unchanged": set()}
    for call in CALLS:
        for occurrence in count(1):
            assert occurrence < LONGEST_SWEEP
            before = furnish(state)
            killed = rekey_and_die(state, to, call, occurrence)
            crashes += killed
            where = f"{call} {occurrence}"
            modes = {stat.S_IMODE(path.stat().st_mode) for path in state.rglob("*") if path.is_file()}
            assert modes == {0o600}, where
            custody = custody_of(state)
            store = custody.open()
            assert {profile: found_in(store.place(profile).read()) for profile in store.profiles()} == HELD, where
            note = json.loads((state / NOTE_FILE).read_text())
            assert (note["next"], note["former"]) == (None, None), where
            keys = {json.loads(path.read_text())["key"] for path in (state / "credentials").glob("*.json")}
            assert keys == {custody.status().key_id}, where
            seen["unchanged" if custody.status().key_id == before else "changed"].add(call)
            if not killed:
                assert custody.status().place == to
                break
    record_property("figure", f"{crashes} crash points into {to!r}")
    # The sweep met the change on both sides of its decisive moment, and more than the undisturbed run.
    assert {"pwrite64", "fsync", "/^rename"} <= seen["changed"] & seen["unchanged"]
