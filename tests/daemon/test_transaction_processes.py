"""The refresh transaction between processes: one request, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from daemon import spending_process
from daemon.refreshing import records, sealer
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Found
from tokenward.daemon.machine import SystemClock
from tokenward.stores.credential_store import EncryptedCredentialStore

FIRST_REFRESH_OF_A_PROCESS = """
import sys
from pathlib import Path
from daemon.refreshing import RotatingServer, transaction
from fakes.machine import FakeClock
from tokenward.sources.claude_code import ClaudeCodeFile

home, clock, server, known = Path(sys.argv[1]), FakeClock(), RotatingServer(), set()
server.during = lambda: known.update(sys.modules)
place = ClaudeCodeFile(home / ".claude" / ".credentials.json", clock=clock, wait=clock.advance, entropy=float)
result = transaction(home, place, clock, server.post).refresh(place.read().credential)
print(type(result).__name__, *sorted(set(sys.modules) - known))
"""
"""A login whose place is not sealed, so that nothing but the transaction itself has loaded the cipher before."""


@pytest.fixture
def held(tmp_path: Path) -> Credential:
    """A login in a store that both processes open."""
    held = Credential(
        Kind.OAUTH, Secret("access"), Secret("refresh"), expires_at=SystemClock().wall() + timedelta(hours=1)
    )
    EncryptedCredentialStore(tmp_path / "store", sealer()).add("acme:me", held)
    return held


@contextmanager
def spending(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process at work."""
    process = subprocess.Popen(
        [sys.executable, str(spending_process.__file__), str(directory)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def next_word(process: subprocess.Popen[str], *, after: str = "") -> str:
    """The next step that is not ``after``."""
    assert process.stdout is not None
    word = after
    while word == after:
        word = process.stdout.readline().strip()
    return word


def go_on(process: subprocess.Popen[str]) -> None:
    """Let the request be answered."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def posts(directory: Path) -> int:
    """How many requests were made."""
    return len((directory / "posts").read_text().splitlines())


def test_two_processes_send_one_request(tmp_path: Path, held: Credential) -> None:
    """The second waits for the family while the first one's request is under way, and adopts its answer."""
    with spending(tmp_path) as first:
        assert next_word(first) == "posting"
        with spending(tmp_path) as second:
            assert next_word(second) == "waiting"
            go_on(first)
            assert next_word(first) == "Refreshed"
            assert next_word(second, after="waiting") == "Adopted"
    assert posts(tmp_path) == 1
    reading = EncryptedCredentialStore(tmp_path / "store", sealer()).place("acme:me").read()
    assert isinstance(reading, Found)
    assert reading.credential.access == Secret("granted-access")


def test_a_process_killed_in_its_request_leaves_a_mark_and_a_free_lock(tmp_path: Path, held: Credential) -> None:
    """Killed with the request under way: the next one neither waits nor sends while the access token lives."""
    with spending(tmp_path) as first:
        assert next_word(first) == "posting"
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert records(tmp_path, held) == ["mark"]
    with spending(tmp_path) as second:
        assert next_word(second) == "Failed"
    assert posts(tmp_path) == 1
    assert records(tmp_path, held) == ["mark"]


def test_nothing_is_loaded_between_the_answer_and_the_disk(tmp_path: Path) -> None:
    """In the first refresh of a process: each module that keeping the answer needs is there before the request.

    Loading the cipher takes tens of milliseconds, in which a death would lose the only copy of the new login.
    """
    login = tmp_path / ".claude" / ".credentials.json"
    login.parent.mkdir(mode=0o700)
    login.touch(mode=0o600)
    tokens = {"accessToken": "access-0", "refreshToken": "refresh-0", "expiresAt": 1}
    login.write_text(json.dumps({"claudeAiOauth": tokens}))
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REFRESH_OF_A_PROCESS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["Refreshed"], "")
    assert "granted-access-1" in login.read_text()
