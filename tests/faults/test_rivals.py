"""Others at the same login: many callers, several daemons, foreign locks in every state, and the file's owner.

Rule: what counts is counted at the server. A refresh token that was presented twice is a lost login.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.claude_code import SIBLINGS
from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, RpcError, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import HOLD_AFTER, HOLD_BEFORE, Fault, Sandbox

HOUR = 3600.0
DUE = 50.0
"""Seconds of life that are less than every margin here: a refresh is due."""
CLIENTS = 16
ROUNDS = 8
GIBIBYTE = 1024**3


@pytest.fixture
def stored(own_home: Path, sandbox: Sandbox) -> StoredLogin:
    """Claude Code's file, with a login that is due."""
    stored = StoredLogin(own_home)
    stored.write(sandbox.issue(ttl_seconds=DUE))
    return stored


def served(daemon: DaemonProcess, **params: Any) -> Any:
    """What a caller gets who wants more life than is left."""
    return daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600, **params)


def nothing_was_spent_twice(sandbox: Sandbox) -> bool:
    """As the server counted."""
    counted = sandbox.statistics()
    return (counted.reuse_detected, counted.invalid_grants) == (0, 0)


# Callers and daemons

STORM = """
import json, socket, sys
lines = []
for path in sys.argv[1:]:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    lines.append(connection.makefile("rwb"))
seen = {}
def ask(to, **params):
    to.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "token.get", "params": params}).encode() + b"\\n")
    to.flush()
    return json.loads(to.readline()).get("result")
print("ready", flush=True)
for _ in sys.stdin:
    for to in lines:
        got = ask(to, min_valid=600)
        if got is not None:
            seen[got["token"]] = seen.get(got["token"], 0) + 1
    print(json.dumps(sorted(seen)), flush=True)
"""


@pytest.mark.fault(
    "rival-daemons",
    f"{CLIENTS} processes at three daemons of different settings, in each moment in which the login falls due",
    "one request to the server each time, no refresh token twice, the same token for everybody",
)
def test_daemons_and_callers_spend_each_token_once(
    own_home: Path, sandbox: Sandbox, stored: StoredLogin, record_property: Callable[[str, object], None]
) -> None:
    """Different margins, states and sockets; they meet at the family."""
    margins = (95, 130, 180)
    with contextlib.ExitStack() as stack:
        sockets = []
        for number, margin in enumerate(margins):
            config = own_home / f"config{number}.toml"
            config.touch(mode=0o600)
            config.write_text(f"{direct(sandbox.token_endpoint)}\n[default]\nrefresh_margin = {margin}\n")
            arguments = ["--config", str(config), "--state-dir", str(own_home / f"state{number}")]
            daemon = DaemonProcess(own_home, arguments=arguments, runtime_dir=own_home / f"run{number}")
            stack.enter_context(daemon)
            sockets.append(str(daemon.socket_file))
        command = [sys.executable, "-I", "-S", "-c", STORM, *sockets]
        clients = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(CLIENTS)
        ]
        pipes = [(client.stdin, client.stdout) for client in clients if client.stdin and client.stdout]
        assert [hear.readline() for _, hear in pipes] == ["ready\n"] * CLIENTS
        seen: set[str] = set()
        for _ in range(ROUNDS):
            stored.age(left=DUE)
            for tell, _hear in pipes:
                tell.write("go\n")
                tell.flush()
            for _tell, hear in pipes:
                seen |= set(json.loads(hear.readline()))
        for tell, _hear in pipes:
            tell.close()
    counted = sandbox.statistics()
    assert nothing_was_spent_twice(sandbox)
    assert ROUNDS <= counted.token_requests == counted.refreshes_granted <= ROUNDS + 1
    assert stored.access in seen
    record_property("figure", f"{ROUNDS} rounds, 0 reuses")


# Foreign locks


@pytest.mark.fault(
    "rival-lock-held",
    "a foreign lock that is held, or dated in the future",
    "nothing is sent and the old token served; the refresh follows when the lock is given back",
)
@pytest.mark.parametrize("ahead", [0.0, HOUR], ids=["held", "future"])
def test_a_lock_that_is_held_is_waited_for(
    own_home: Path, sandbox: Sandbox, stored: StoredLogin, ahead: float
) -> None:
    """Its holder may be at the server with our refresh token."""
    lock = stored.path.parent / ".oauth_refresh.lock"
    lock.mkdir()
    os.utime(lock, (time.time() + ahead,) * 2)
    before = stored.access
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert served(daemon, timeout=1)["token"] == before
        assert lock.is_dir()
        assert sandbox.statistics().token_requests == 0
        lock.rmdir()
        assert sandbox.liveness(served(daemon)["token"]) == "live"
    assert stored.access != before
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


@pytest.mark.fault(
    "rival-lock-orphaned",
    "a foreign lock whose holder died minutes ago",
    "it is taken over, the login refreshed once, and no lock is left",
)
def test_an_orphaned_lock_is_taken_over(own_home: Path, sandbox: Sandbox, stored: StoredLogin) -> None:
    """Both of Claude Code's locks."""
    locks = (stored.path.parent / ".oauth_refresh.lock", own_home / ".claude.lock")
    for lock in locks:
        lock.mkdir()
        os.utime(lock, (time.time() - 120,) * 2)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        token = served(daemon)["token"]
    assert token == stored.access
    assert not any(lock.exists() for lock in locks)
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


@pytest.mark.fault(
    "rival-lock-stolen",
    "a foreign lock that is taken from us while our request is out",
    "the answer is not lost, the thief's lock is left alone",
)
@pytest.mark.parametrize("name", [".claude/.oauth_refresh.lock", ".claude.lock"])
def test_a_lock_that_is_stolen_costs_nothing(
    own_home: Path, sandbox: Sandbox, stored: StoredLogin, name: str
) -> None:
    """Lost ownership discards nothing (design section 4, step 9)."""
    sandbox.faults.next("token", HOLD_AFTER)
    lock = own_home / name
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        lock.rename(own_home / "ours")
        lock.mkdir()
        sandbox.faults.release()
        token = served(daemon)["token"]
        assert sandbox.liveness(token) == "live"
        assert stored.access == token
        assert lock.is_dir()
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


@pytest.mark.fault(
    "rival-lock-refused",
    "a foreign lock that cannot be made",
    "nothing is sent, the old token served, the reason said; by hand it works as soon as it can",
)
def test_a_lock_that_cannot_be_made_is_said(own_home: Path, sandbox: Sandbox, stored: StoredLogin) -> None:
    """Without the lock nobody is safe from us, so we do not refresh."""
    lock = stored.path.parent / ".oauth_refresh.lock"
    lock.write_text("not a directory")
    before = stored.access
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        answer = served(daemon)
        assert (answer["token"], answer["degraded"]) == (before, "refresh_failing")
        shown = daemon.call("profile.get", profile=CLAUDE_PROFILE)
        assert ".oauth_refresh.lock" in shown["last_failure"]["reason"]
        assert sandbox.statistics().token_requests == 0
        lock.unlink()
        daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
        assert sandbox.liveness(served(daemon)["token"]) == "live"
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


# The owner, while our request is out


def put(path: Path, text: str) -> None:
    """Replace a file as its owner does."""
    temporary = path.with_name("owner.tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.rename(path)


def replaced_by_a_link(path: Path) -> None:
    """The file lies elsewhere from now on."""
    path.rename(path.parent / "elsewhere.json")
    path.symlink_to(path.parent / "elsewhere.json")


def replaced_by_a_directory(path: Path) -> None:
    """A mistake of somebody's script."""
    path.unlink()
    path.mkdir()


def replaced_by_a_gibibyte(path: Path) -> None:
    """Sparse, so that it costs the test nothing."""
    path.unlink()
    path.touch(mode=0o600)
    os.truncate(path, GIBIBYTE)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "blanked": lambda path: put(path, ""),
    "torn": lambda path: put(path, '{"claudeAiOauth": {"accessTok'),
    "removed": lambda path: path.unlink(),
    "directory": replaced_by_a_directory,
    "gibibyte": replaced_by_a_gibibyte,
}


@pytest.mark.fault(
    "rival-owner-damage",
    "the owner's file is blanked, torn, removed, or replaced by a directory or by 1 GiB while our request is out",
    "the answer is kept and served; the file is not written over, and a new login in it is taken at once",
)
@pytest.mark.parametrize("damage", DAMAGE)
def test_an_answer_survives_what_becomes_of_the_file(
    own_home: Path, sandbox: Sandbox, stored: StoredLogin, damage: str
) -> None:
    """What cannot be read is no news, and nothing is created in the place of what was removed (design I5)."""
    sandbox.faults.next("token", HOLD_AFTER)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        DAMAGE[damage](stored.path)
        sandbox.faults.release()
        answer = served(daemon)
        assert (sandbox.liveness(answer["token"]), answer["degraded"]) == ("live", "unsaved")
        if damage == "removed":
            assert not stored.path.exists()
        if stored.path.is_dir():
            stored.path.rmdir()
        newer = sandbox.issue()
        stored.write(newer)
        found = daemon.wait_for(
            "token.get", lambda got: got["token"] == newer.access_token, profile=CLAUDE_PROFILE
        )
        assert found["degraded"] is None
        assert stored.access == newer.access_token
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


@pytest.mark.fault(
    "rival-owner-sibling",
    "the owner rotates `mcpOAuth` beside the login, or moves the file behind a link, while our request is out",
    "both are in the file afterwards, and the link is one still",
)
@pytest.mark.parametrize("moved", [False, True], ids=["rotated", "linked"])
def test_what_the_owner_writes_beside_the_login_stays(
    own_home: Path, sandbox: Sandbox, stored: StoredLogin, *, moved: bool
) -> None:
    """Our write changes the tokens in what is there then, and nothing else (design I10)."""
    rotated = {**SIBLINGS, "mcpOAuth": {"tracker|0a1b2c3d": {"accessToken": "rotated-by-its-owner"}}}
    sandbox.faults.next("token", HOLD_AFTER)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        stored.replace({**stored.document(), **rotated})
        if moved:
            replaced_by_a_link(stored.path)
        sandbox.faults.release()
        token = served(daemon)["token"]
    document = json.loads(stored.path.read_text())
    assert document["claudeAiOauth"]["accessToken"] == token
    assert {name: document[name] for name in rotated} == rotated
    assert stored.path.is_symlink() is moved
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


@pytest.mark.fault(
    "rival-owner-login",
    "the owner logs in anew while our request is out",
    "the new login is served and stays in the file, whatever our answer was",
)
def test_a_login_made_meanwhile_wins(own_home: Path, sandbox: Sandbox, stored: StoredLogin) -> None:
    """Of two newer values the owner's is the one that its owner meant."""
    sandbox.faults.next("token", HOLD_AFTER)
    newer = sandbox.issue()
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        stored.write(newer)
        sandbox.faults.release()
        assert served(daemon)["token"] == newer.access_token
    assert stored.access == newer.access_token
    assert (sandbox.statistics().token_requests, nothing_was_spent_twice(sandbox)) == (1, True)


@pytest.mark.fault(
    "rival-owner-logout",
    "the owner logs out while our request is out or before it is sent",
    "the login is not brought back into the file, and what stands beside it stays",
)
@pytest.mark.parametrize("moment", [HOLD_BEFORE, HOLD_AFTER], ids=["before", "after"])
@pytest.mark.parametrize("left", [{"accessToken": "", "refreshToken": "", "loginEnded": "time_limit"}, None])
def test_a_logout_is_not_undone(
    own_home: Path, sandbox: Sandbox, stored: StoredLogin, moment: Fault, left: dict[str, str] | None
) -> None:
    """A file without the login, or with its owner's word that it is over, stays as it is."""
    sandbox.faults.next("token", moment)
    ended = dict(SIBLINGS) if left is None else {"claudeAiOauth": left, **SIBLINGS}
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        stored.replace(ended)
        sandbox.faults.release()
        with contextlib.suppress(RpcError):
            served(daemon)
        assert daemon.terminate() == 0
    assert stored.document() == ended
    assert nothing_was_spent_twice(sandbox)
