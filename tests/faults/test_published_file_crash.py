"""Whether a process killed at any system call of a publication leaves the old or the new file, whole and ours."""

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
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.sinks.published_file import PublishedFile

OLD = b"sk-ant-oat01-old" * 100
NEW = b"sk-ant-oat01-new" * 150
LONGEST_SWEEP = 40
"""No publication makes this many calls of one kind: a sweep that gets here injects nothing."""
RANDOM = bytes(8).hex()
CALLS = ("openat", "pwrite64", "fchmod", "fsync", "/^rename")

CHILD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
os.urandom = bytes
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.sinks.published_file import PublishedFile
PublishedFile(Path(sys.argv[2]), PublicationRecord(Path(sys.argv[3]))).publish(sys.argv[4].encode())
"""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: NO CRASH POINT OF A PUBLICATION IS TESTED"
)


@pytest.mark.fault(
    "crash-published-file",
    "SIGKILL on entering any system call of the publication of a token's file",
    "the file is old or new, whole and 0600, and known as ours; the next publication replaces it",
)
def test_the_file_is_old_or_new_and_known_as_ours(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed at each call in turn: it is whole and private, and the next process replaces it."""
    directory, state = tmp_path / "published", tmp_path / "state"
    path, record = directory / "token", state / "published.json"
    crashes = 0
    seen: dict[str, set[bytes]] = {}
    for call in CALLS:
        seen[call] = set()
        for number in count(1):
            assert number < LONGEST_SWEEP
            for each in (directory, state):
                shutil.rmtree(each, ignore_errors=True)
                each.mkdir()
            PublishedFile(path, PublicationRecord(record)).publish(OLD)
            status = _killed_at(call, number, path, record)
            found = path.read_bytes()
            assert found in {OLD, NEW}, f"torn at {call} {number}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert all(stat.S_IMODE(left.stat().st_mode) == 0o600 for left in directory.iterdir())
            assert PublicationRecord(record).is_ours(path), f"lost at {call} {number}"
            PublishedFile(path, PublicationRecord(record)).publish(b"next")
            assert path.read_bytes() == b"next"
            if status == 0:
                break
            crashes += 1
            seen[call].add(found)
    record_property("figure", f"{crashes} crash points")
    assert all(seen.values()), f"a sweep met no call: {seen}"
    assert seen["fsync"] == {OLD, NEW}, "killed before the rename, and after it"


def _killed_at(call: str, number: int, path: Path, record: Path) -> int:
    """How a child ended that was killed on entering this call, on one of the files and their directories."""
    temporaries = [each.with_name(f".{each.name}.tokenward-{RANDOM}") for each in (path, record)]
    watched = [path.parent, path, record.parent, record, *temporaries]
    strace = ["strace", "-f", "-qq", "-o", os.devnull, *(word for each in watched for word in ("-P", str(each)))]
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    child = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", CHILD]
    source = str(Path(tokenward.__file__).parents[1])
    words = [*strace, *inject, *child, source, str(path), str(record), NEW.decode()]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"tracing is not permitted: NO CRASH POINT IS TESTED: {done.stderr.strip()}")
    assert done.returncode in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, done.stderr
    return done.returncode
