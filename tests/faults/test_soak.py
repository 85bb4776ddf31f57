"""Years in seconds: two hundred logins whose tokens live for two seconds, and callers who never stop asking.

`pytest tests/faults/test_soak.py --soak-seconds 3600` for longer; with every change it is short.

Rule: nothing here depends on how fast the machine is, but the figures of the table: a run ends when each login has
lived often enough, and not before its time. A refresh that comes late on a busy machine makes a caller wait, and
never hands out what has expired.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e2e.daemon_process import Connection, DaemonProcess
from faults.test_socket import memory_kib
from tokenward.sandbox import Sandbox

MILLISECOND = 0.001
"""What `expires_at_ms` is rounded to."""
LIFE = 2
"""Seconds."""
PROFILES = (40, 200)
"""What a small machine carries with ease, and more than it carries: there tokens come late, and are waited for."""
WARM_LIVES = 2
"""Values seen of every login after which memory is looked at first: what a refresh needs is loaded by then."""
LATE_LIVES = 3
"""Those after which descriptors are looked at again; before it and after it the load is the same."""
ENOUGH_LIVES = 4
PATIENCE_SECONDS = 600.0
"""Beyond the time asked for: a login that has not lived often enough by then was forgotten."""
MOST_GROWTH_KIB = 12 * 1024
MOST_MORE_DESCRIPTORS = 24
"""Those of flights come and go, some twenty of them; so the fewest of two parts of the time are compared, with
hundreds of refreshes between them."""
SAMPLE_CALLS = 10
CLIENT = "soak-client"


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """How long."""
    given: float = request.config.getoption("--soak-seconds")
    return given


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A server whose tokens live for two seconds, and which takes every reuse for a theft."""
    with Sandbox(ttl_seconds=LIFE, client_id=CLIENT) as running:
        yield running


@dataclass
class Seen:
    """What callers saw.

    Args:
        expires: when the token of each generation ends, in Unix seconds.
    """

    expires: dict[str, dict[str, float]] = field(default_factory=dict)
    calls: int = 0
    expired: list[tuple[float, float]] = field(default_factory=list)
    """Seconds before the question at which a token had ended, and its `valid_for`."""
    degraded: int = 0
    gaps: list[float] = field(default_factory=list)
    """Seconds between the end of a token and the answer with the next one; negative where they overlap."""

    def ask(self, connection: Connection, profile: str) -> None:
        """Ask once, and note everything."""
        asked = time.time()
        answer = connection.call("token.get", {"profile": profile, "min_valid": 0})
        answered = time.time()
        self.calls += 1
        ends = answer["expires_at_ms"] / 1000
        if ends + MILLISECOND < asked or answer["valid_for"] < 0:
            self.expired.append((asked - ends, answer["valid_for"]))
        self.degraded += answer["degraded"] is not None
        known = self.expires.setdefault(profile, {})
        if answer["generation"] not in known:
            if known:
                self.gaps.append(answered - max(known.values()))
            known[answer["generation"]] = ends

    def lives(self, profiles: list[str]) -> int:
        """How many values were seen of the login of which the fewest were seen."""
        return min(len(self.expires.get(profile, {})) for profile in profiles)


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def files(daemon: DaemonProcess) -> set[str]:
    """All that it keeps, but the finished families, which are kept for a day each."""
    return {str(path) for path in daemon.state.rglob("*") if path.is_file() and path.parent != daemon.families}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.timeout(0)
@pytest.mark.fault(
    "soak-short-lives",
    f"{PROFILES[0]} and {PROFILES[1]} logins whose tokens live for {LIFE} s, asked for without a pause",
    "no caller ever gets an expired token or an error, no refresh token is spent twice, none is lost, and memory, "
    "descriptors and files do not grow",
)
@pytest.mark.parametrize("logins", PROFILES)
def test_thousands_of_lives_leave_no_trace(
    own_home: Path, sandbox: Sandbox, logins: int, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    """Every gap between two tokens of a login is measured; what grows is measured between warm and end."""
    config = f'[providers.acme]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "{CLIENT}"\n'
    profiles = [f"acme:p{number}" for number in range(logins)]
    seen = Seen()
    with DaemonProcess(own_home, config=config) as daemon, contextlib.closing(daemon.connect()) as connection:
        for profile in profiles:
            login = sandbox.issue()
            credential = {"access_token": login.access_token, "refresh_token": login.refresh_token}
            connection.call("profile.add", {"profile": profile, "credential": {**credential, "expires_in": LIFE}})
        began = time.monotonic()
        warm: tuple[int, set[str]] | None = None
        fewest = [sys.maxsize, sys.maxsize]
        while (lives := seen.lives(profiles)) < ENOUGH_LIVES or time.monotonic() - began < seconds:
            assert time.monotonic() - began < seconds + PATIENCE_SECONDS, "a login was forgotten"
            if warm is None and lives >= WARM_LIVES:
                warm = (memory_kib(daemon.pid), files(daemon))
            for profile in profiles:
                seen.ask(connection, profile)
                if seen.calls % SAMPLE_CALLS == 0 and warm is not None:
                    is_late = lives >= LATE_LIVES
                    fewest[is_late] = min(fewest[is_late], descriptors(daemon.pid))
        passed = time.monotonic() - began
        assert warm is not None
        more_memory = memory_kib(daemon.pid) - warm[0]
        more_descriptors = fewest[True] - fewest[False]
        status = connection.call("daemon.status", {})
        granted = sandbox.statistics().refreshes_granted
        families = len(list(daemon.families.iterdir()))
        assert daemon.terminate() == 0
        more_files = files(daemon) - warm[1]
        counted = sandbox.statistics()
    assert (seen.expired, seen.degraded) == ([], 0)
    assert (counted.reuse_detected, counted.invalid_grants) == (0, 0)
    assert counted.token_requests == counted.refreshes_granted
    assert [shown["profile"] for shown in status["profiles"] if shown["last_failure"]] == []
    assert more_memory < MOST_GROWTH_KIB
    assert more_descriptors < MOST_MORE_DESCRIPTORS
    assert {path for path in more_files if "audit" not in path and "state.json" not in path} == set()
    assert families <= granted + logins + 10
    late = [gap for gap in seen.gaps if gap > 0]
    record_property(
        "figure",
        f"{logins} logins for {passed:.0f} s: {granted} refreshes, {seen.calls} calls, 0 expired; {len(late)} of "
        f"{len(seen.gaps)} tokens came late, by {max(late, default=0.0):.2f} s at most; {more_memory} KiB more",
    )
