"""A daemon that ends in the middle of a refresh, in order or not, and its successor: no rotated token is lost."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID
from e2e.daemon_process import CLAUDE_PROFILE, PATIENCE, DaemonProcess, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import HOLD_AFTER, HOLD_BEFORE, STALL, Fault, Issued, Sandbox

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""
HOUR = 3600.0
POLL_SECONDS = 0.01  # for the journal, of whose growth nobody tells


@pytest.fixture
def forgiving_sandbox() -> Iterator[Sandbox]:
    """An authorization server that takes a spent refresh token for a lost answer, and answers again."""
    with Sandbox(client_id=CLIENT_ID, ttl_seconds=HOUR, reuse_grace=HOUR) as running:
        yield running


def locks_of(home: Path) -> list[str]:
    """The names of Claude Code's refresh locks that exist."""
    locks = (home / ".claude" / ".oauth_refresh.lock", home / ".claude.lock")
    return [lock.name for lock in locks if lock.exists()]


def wait_until_sealed(families: Path) -> str:
    """Wait until a family file holds an answer, and return the text of the file."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for journal in families.glob("*.journal"):
            text = journal.read_text()
            if '"record":"answer"' in text:
                return text
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"no answer was sealed in {list(families.iterdir())}")


def stored_when_due(home: Path, sandbox: Sandbox) -> tuple[StoredLogin, Issued]:
    """A stored login whose refresh is due."""
    login = sandbox.issue(ttl_seconds=DUE)
    stored = StoredLogin(home)
    stored.write(login)
    return stored, login


class TestTermination:
    """SIGTERM while the refresh token is on the wire."""

    @pytest.mark.fault(
        "crash-sigterm",
        "SIGTERM while a refresh token is on the wire",
        "the end waits for the answer and its write",
    )
    @pytest.mark.parametrize("moment", [HOLD_BEFORE, HOLD_AFTER], ids=["not rotated yet", "rotated"])
    def test_the_answer_is_waited_for_and_kept(self, own_home: Path, sandbox: Sandbox, moment: Fault) -> None:
        """It ends with 0, and only after the answer is in the file; the locks are given back."""
        stored, before = stored_when_due(own_home, sandbox)
        sandbox.faults.next("token", moment)
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            assert sandbox.faults.wait_held()
            daemon.signal(signal.SIGTERM)
            assert daemon.wait_until_told("STOPPING=1")
            assert stored.access == before.access_token
            sandbox.faults.release()
            assert daemon.wait() == 0
            assert daemon.log.splitlines()[-1].endswith("stopped")
        assert stored.access != before.access_token
        assert sandbox.liveness(stored.access) == "live"
        assert sandbox.statistics().token_requests == 1
        assert locks_of(own_home) == []

    def test_who_waits_is_answered(self, own_home: Path, sandbox: Sandbox) -> None:
        """A caller who asked before the end was begun gets the new token."""
        stored, _ = stored_when_due(own_home, sandbox)
        sandbox.faults.next("token", HOLD_AFTER)
        with (
            DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon,
            contextlib.closing(daemon.connect()) as caller,
        ):
            assert sandbox.faults.wait_held()
            caller.send("token.get", {"min_valid": 600})
            caller.call("daemon.hello", {})  # answered, so that what was asked before it is under way
            daemon.signal(signal.SIGTERM)
            assert daemon.wait_until_told("STOPPING=1")
            sandbox.faults.release()
            assert caller.receive(PATIENCE)["result"]["token"] == stored.access
            assert daemon.wait() == 0


class TestCrash:
    """SIGKILL, and what the next daemon makes of it."""

    @pytest.mark.fault(
        "crash-daemon-no-answer",
        "SIGKILL of the daemon after the request, the token not spent",
        "the old token is served to its end, and only then the other is sent again; no reuse",
    )
    def test_a_request_without_an_answer_is_repeated_at_the_end_of_the_old_token(
        self, own_home: Path, sandbox: Sandbox
    ) -> None:
        """Perhaps spent: the old access token is served while it lives, and only then is the other sent again."""
        stored, before = stored_when_due(own_home, sandbox)
        sandbox.faults.next("token", STALL)
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            assert sandbox.faults.wait_held()
            assert len(locks_of(own_home)) == 2
            daemon.kill()
            sandbox.faults.release()
            daemon.start()
            shown = daemon.wait_for(
                "profile.get", lambda shown: shown["last_failure"] is not None, profile=CLAUDE_PROFILE
            )
            assert shown["last_failure"]["failure"] == "ambiguous"
            answer = daemon.call("token.get", min_valid=600)
            assert (answer["token"], answer["degraded"]) == (before.access_token, "refresh_failing")
            assert sandbox.statistics().token_requests == 1
            assert locks_of(own_home) == [], "what the dead daemon held is given back"
            daemon.kill()
            stored.age(left=-1)
            daemon.start()
            daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == stored.access != before.access_token
        assert sandbox.liveness(stored.access) == "live"
        statistics = sandbox.statistics()
        assert (statistics.token_requests, statistics.reuse_detected) == (2, 0)

    @pytest.mark.fault(
        "crash-daemon-answer-grace",
        "SIGKILL of the daemon after the server rotated; the server has a grace window",
        "the successor presents the spent token once and gets the answer",
    )
    def test_an_answer_nobody_saw_is_asked_for_again_where_the_server_forgives(
        self, own_home: Path, forgiving_sandbox: Sandbox
    ) -> None:
        """With `reuse_grace` the successor presents the spent token at once and gets the lost answer."""
        sandbox = forgiving_sandbox
        stored, before = stored_when_due(own_home, sandbox)
        sandbox.faults.next("token", HOLD_AFTER)
        with DaemonProcess(own_home, config=f"{direct(sandbox.token_endpoint)}reuse_grace = 600\n") as daemon:
            assert sandbox.faults.wait_held()
            daemon.kill()
            sandbox.faults.release()
            daemon.start()
            daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == stored.access != before.access_token
        statistics = sandbox.statistics()
        assert (statistics.refreshes_granted, statistics.grace_replays) == (1, 1)
        assert sandbox.liveness(stored.access) == "live"

    @pytest.mark.fault(
        "crash-daemon-answer-lost",
        "SIGKILL of the daemon after the server rotated; no grace window",
        "said plainly (`login_required`), and the file is left as it was",
    )
    def test_an_answer_nobody_saw_is_a_lost_login_where_the_server_does_not(
        self, own_home: Path, sandbox: Sandbox
    ) -> None:
        """What no client can prevent is said plainly, and the file keeps what it held."""
        stored, before = stored_when_due(own_home, sandbox)
        sandbox.faults.next("token", HOLD_AFTER)
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            assert sandbox.faults.wait_held()
            daemon.kill()
            sandbox.faults.release()
            stored.age(left=-1)
            document = stored.document()
            daemon.start()
            shown = daemon.wait_for(
                "profile.get", lambda shown: shown["phase"] == "login_required", profile=CLAUDE_PROFILE
            )
        assert shown["last_failure"]["failure"] == "invalid_grant"
        assert stored.document() == document
        assert stored.access == before.access_token

    @pytest.mark.fault(
        "crash-daemon-sealed",
        "SIGKILL of the daemon between sealing an answer and writing it",
        "the successor writes it, without a request",
    )
    def test_a_sealed_answer_is_written_by_the_successor(self, own_home: Path, sandbox: Sandbox) -> None:
        """Killed between sealing and writing: the next daemon writes, without another request."""
        stored, before = stored_when_due(own_home, sandbox)
        write_lock = stored.path.with_name(".storage-write.lock")
        write_lock.mkdir()
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            journal = wait_until_sealed(daemon.families)
            daemon.kill()
            assert stored.access == before.access_token
            write_lock.rmdir()
            daemon.start()
            daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == stored.access != before.access_token
        assert sandbox.liveness(stored.access) == "live"
        assert sandbox.statistics().token_requests == 1
        assert locks_of(own_home) == []
        members = stored.members()
        assert members["accessToken"] not in journal
        assert members["refreshToken"] not in journal

    @pytest.mark.fault(
        "crash-daemon-newer",
        "As before, and somebody logged in again meanwhile",
        "the newer login is served and stays",
    )
    def test_a_sealed_answer_never_replaces_a_newer_login(self, own_home: Path, sandbox: Sandbox) -> None:
        """Somebody logged in again before the next daemon came: that login is served and stays."""
        stored, _ = stored_when_due(own_home, sandbox)
        write_lock = stored.path.with_name(".storage-write.lock")
        write_lock.mkdir()
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            wait_until_sealed(daemon.families)
            daemon.kill()
            write_lock.rmdir()
            newer = sandbox.issue()
            stored.write(newer)
            daemon.start()
            assert daemon.call("token.get")["token"] == newer.access_token
            assert daemon.terminate() == 0
        assert stored.access == newer.access_token
        assert sandbox.statistics().token_requests == 1

    @pytest.mark.fault(
        "crash-daemon-unsaved",
        "SIGKILL of the daemon while an answer is `unsaved`",
        "the successor serves it at once and writes it when it can",
    )
    def test_what_is_unsaved_survives_a_crash(self, own_home: Path, sandbox: Sandbox) -> None:
        """The next daemon serves it at once, unsaved as it is, and writes it by hand when the fault has ended."""
        stored, before = stored_when_due(own_home, sandbox)
        obstacle = stored.path.with_name(".storage-write.lock")
        obstacle.touch()  # where a directory is to be made, so that no write is ever begun
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            token = daemon.call("token.get", min_valid=600)["token"]
            assert sandbox.liveness(token) == "live"
            assert stored.access == before.access_token
            daemon.kill()
            daemon.start()
            daemon.wait_for("profile.get", lambda shown: shown["phase"] == "unsaved", profile=CLAUDE_PROFILE)
            answer = daemon.call("token.get", min_valid=600)
            assert (answer["token"], answer["degraded"]) == (token, "unsaved")
            assert stored.access == before.access_token
            obstacle.unlink()
            assert daemon.call("profile.refresh", profile=CLAUDE_PROFILE)["phase"] == "ready"
            assert stored.access == token
        assert sandbox.statistics().token_requests == 1
