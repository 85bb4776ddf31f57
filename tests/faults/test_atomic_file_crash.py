"""Whether a process killed at any system call of a replacement leaves the old or the new file, whole and private.

As root the old file has another group, so that the replacement gives the new one away, too.
"""

from __future__ import annotations

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
from tokenward.disk.atomic_file import remove_stale_temporaries

OLD = b'{"refresh":"old"}' * 100
NEW = b'{"refresh":"new"}' * 150
OTHER_GROUP = 12
TEMPORARY = f".credentials.json.tokenward-{bytes(8).hex()}"
LONGEST_SWEEP = 20
"""No replacement makes this many calls of one kind: a sweep that gets here injects nothing."""

CHILD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tokenward.disk.atomic_file import replace_file
os.urandom = bytes
replace_file(Path(sys.argv[2]), sys.argv[3].encode())
"""

CALLS = (
    "openat",
    "pwrite64",
    "fallocate",
    "ftruncate",
    "fchmod",
    "/^fchown",
    "fsync",
    "/^rename",
    "/^unlink",
)
"""The calls of a replacement; the patterns cover what different machines call the same."""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None,
    reason="strace is not installed: NO CRASH POINT OF THE ATOMIC WRITE IS TESTED",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file to replace, alone in its directory."""
    return tmp_path / "credentials.json"


def replace_and_die(path: Path, call: str, occurrence: int, *, furnish: bool = True) -> int:
    """Replace the file, made anew or as it is, in a process that is killed on entering one system call.

    Returns:
        Its exit status, negative for a signal.
    """
    if furnish:
        for name in (path.name, TEMPORARY):
            path.with_name(name).unlink(missing_ok=True)
        path.write_bytes(OLD)
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, -1, OTHER_GROUP)
    watched = [path.parent, path, path.with_name(TEMPORARY)]
    strace = ["strace", "-f", "-qq", "-o", os.devnull, *(word for each in watched for word in ("-P", str(each)))]
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={occurrence}"]
    source = str(Path(tokenward.__file__).parents[1])
    child = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", CHILD, source, str(path), NEW.decode()]
    done = subprocess.run([*strace, *inject, *child], check=False, capture_output=True, text=True, timeout=60)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
    assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
    return done.returncode


@pytest.mark.fault(
    "crash-atomic-file",
    "SIGKILL on entering any system call of a replacement of a file",
    "the old file or the new one, whole and 0600; leftovers are swept",
)
def test_every_crash_leaves_the_old_or_the_new_state(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed on entering any of its calls, a replacement has happened or it has not; what it left is removed."""
    outcomes: dict[str, list[bytes]] = {}
    for call in CALLS:
        outcomes[call] = []
        for occurrence in count(1):
            assert occurrence < LONGEST_SWEEP
            killed = replace_and_die(path, call, occurrence) != 0
            content = path.read_bytes()
            outcomes[call].append(content)
            assert content in {OLD, NEW}, f"torn at {call} {occurrence}"
            for entry in path.parent.iterdir():
                mode = stat.S_IMODE(entry.lstat().st_mode)
                assert mode == 0o600, f"{entry.name} is {mode:04o} at {call} {occurrence}"
            remove_stale_temporaries(path.parent, path.name, now=path.stat().st_mtime + 7200)
            assert [entry.name for entry in path.parent.iterdir()] == [path.name]
            if not killed:
                assert content == NEW
                break
    crashes = {call: contents[:-1] for call, contents in outcomes.items()}
    assert crashes["fsync"] == [OLD, NEW], "killed before the file's sync, and between rename and directory sync"
    assert crashes["/^rename"] == [OLD]
    given_away = ("/^fchown",) if os.geteuid() == 0 else ()
    for call in ("openat", "pwrite64", "fallocate", "ftruncate", "fchmod", *given_away):
        assert crashes[call], f"the sweep met no {call}"
        assert set(crashes[call]) == {OLD}
    record_property("figure", f"{sum(map(len, crashes.values()))} crash points")
    assert crashes["/^unlink"] == [], "a replacement that goes well unlinks nothing"
