"""Clocks that are set, machines that sleep: no token that has ended is served, no storm follows (design I8)."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID
from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, direct
from e2e.stored_login import StoredLogin
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from faults.clock_shift import ClockShift
from faults.ward_at_server import PROFILE, WardAtServer, ward_at
from tokenward.core.credential import Secret
from tokenward.core.grants import RefreshOutcome
from tokenward.daemon.token_models import TokenResult
from tokenward.sandbox import Sandbox

HOUR = 3600.0
DAY = 24 * HOUR
YEAR = 365 * DAY
LIFE = HOUR
STEPS = {"hour": HOUR, "day": DAY, "year": YEAR}
Recorder = Callable[[str, object], None]


class TimedServer(ScriptedTokenEndpoint):
    """A server that knows when each of its access tokens truly ends, whatever the wall clock says."""

    def __init__(self) -> None:
        super().__init__(expires_in=LIFE)
        self.now: Callable[[], float] = lambda: 0.0
        self.ends: dict[str, float] = {}

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """As a server that rotates."""
        outcome = await super().refresh(refresh)
        self.ends[self.grants[-1].access.reveal()] = self.now() + LIFE
        return outcome


class Watch:
    """A login, its server, and what of it was served."""

    def __init__(self, ward: WardAtServer, server: TimedServer) -> None:
        self.ward = ward
        self.server = server
        server.now = ward.clock.boottime

    @property
    def requests(self) -> int:
        """How many the server got."""
        return len(self.server.sent)

    async def ask(self) -> None:
        """Ask for a token, which must be one that truly lives."""
        answer = await self.ward.ask()
        assert isinstance(answer, TokenResult), answer
        assert self.server.ends[answer.token] > self.ward.clock.boottime(), "it has ended"
        assert self.server.reuse_detected == 0

    async def step(self, seconds: float) -> None:
        """Set the wall clock, and let the beat notice, as it does within half a minute."""
        self.ward.clock.step(seconds)
        await self.ask()
        self.ward.its_keeper.on_alarm()
        await self.ward.wait(0.0)

    async def live(self, seconds: float, *, every: float = 30.0) -> int:
        """Ask again and again for so many seconds; returns the number of requests that it took."""
        before = self.requests
        for _ in range(int(seconds / every)):
            await self.ask()
            await self.ward.wait(every)
        return self.requests - before


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[Watch]:
    """A login that was refreshed just now."""
    server = TimedServer()
    async with ward_at(directory, server) as ward:
        watch = Watch(ward, server)
        server.ends["access-0"] = ward.clock.boottime() + 10.0
        await ward.begin("access-0", "refresh-0", left=10.0)
        await watch.ask()
        assert watch.requests == 1
        yield watch


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(
            sign * seconds,
            id=f"{direction}-{name}",
            marks=pytest.mark.fault(
                f"time-{direction}-{name}",
                f"The wall clock is set {direction} by one {name}, and right again in half an hour",
                "no token that has ended is served; each step costs at most one early refresh",
            ),
        )
        for direction, sign in {"forward": 1, "back": -1}.items()
        for name, seconds in STEPS.items()
    ],
)
async def test_a_clock_that_is_set(tmp_path: Path, seconds: float, record_property: Recorder) -> None:
    """Half an hour with the wrong clock, then two hours with the right one, asked twice a minute."""
    async with watched(tmp_path) as watch:
        await watch.live(600.0)
        await watch.step(seconds)
        await watch.live(1800.0)
        await watch.step(-seconds)
        await watch.live(2 * HOUR)
        by_time = (600.0 + 1800.0 + 2 * HOUR) / (LIFE - 180.0)
        assert watch.requests <= 1 + by_time + 2
        record_property("figure", f"{watch.requests} requests in {600 + 1800 + 7200} s of {LIFE:.0f} s lives")


@pytest.mark.fault(
    "time-suspend",
    "The machine sleeps for 8 hours, while no clock of ours but the boot and the wall clock runs",
    "what ended in its sleep is not served; one refresh at the wake-up",
)
@pytest.mark.parametrize("hours", [0.5, 8.0])
async def test_a_machine_that_sleeps(tmp_path: Path, hours: float) -> None:
    """A sleep shorter than what is left costs nothing."""
    async with watched(tmp_path) as watch:
        watch.ward.clock.suspend(hours * HOUR)
        await watch.ask()
        assert watch.requests == (1 if hours < 1 else 2)
        assert await watch.live(600.0) == 0


@pytest.mark.fault(
    "time-suspend-set",
    "The machine sleeps for two hours, and its wall clock is set back by as much",
    "the boot clock knows: what ended in its sleep is not served",
)
async def test_a_sleep_that_the_wall_clock_hides(tmp_path: Path) -> None:
    """By the wall clock no time has passed."""
    async with watched(tmp_path) as watch:
        watch.ward.clock.suspend(2 * HOUR)
        watch.ward.clock.step(-2 * HOUR)
        await watch.ask()
        assert watch.requests == 2


@pytest.mark.parametrize(
    ("year", "early"),
    [
        pytest.param(
            year,
            early,
            id=str(year),
            marks=pytest.mark.fault(
                f"time-start-{year}", f"The clock says {year} at the start, and is set right later", expected
            ),
        )
        for year, early, expected in [
            (
                2040,
                1,
                "it seems to have ended: one early refresh, none for the correction; nothing that ended is served",
            ),
            (1970, 0, "the login is served, for nothing tells its end; renewed in time once the clock is right"),
        ]
    ],
)
async def test_a_clock_that_is_wrong_at_the_start(tmp_path: Path, year: int, early: int) -> None:
    """A board without a battery: the true time comes with the network."""
    server = TimedServer()
    async with ward_at(tmp_path, server) as ward:
        watch = Watch(ward, server)
        true_now, ends = ward.clock.now, ward.clock.boottime() + 1800.0
        credential = ward.credential(left=1800.0)
        server.ends[credential.access.reveal()] = ends
        ward.store.place(PROFILE).overwrite(credential)
        ward.clock.now = datetime(year, 1, 1, tzinfo=UTC)
        off = ward.clock.now - true_now
        await ward.fill()
        await watch.live(300.0)
        assert watch.requests == early
        await watch.step(-off.total_seconds())
        await watch.live(600.0)
        assert watch.requests == early
        await watch.live(HOUR)
        assert watch.requests == early + 1


@pytest.mark.fault(
    "time-start-behind-401",
    "The clock says 1970, the token has truly ended, and the API refuses it with 401; then the clock is set right",
    "the caller's word is taken: one refresh, and one more for the correction",
)
async def test_a_refusal_tells_what_the_clock_does_not(tmp_path: Path) -> None:
    """What cannot be known here is known to whoever is refused (design I7)."""
    server = TimedServer()
    async with ward_at(tmp_path, server) as ward:
        watch = Watch(ward, server)
        true_now = ward.clock.now
        credential = ward.credential(left=-60.0)
        ward.store.place(PROFILE).overwrite(credential)
        ward.clock.now = datetime(1970, 1, 2, tzinfo=UTC)
        off = ward.clock.now - true_now
        await ward.fill()
        answer = await ward.served(profile=PROFILE, newer_than=credential.generation)
        assert server.ends[answer.token] > ward.clock.boottime()
        assert watch.requests == 1
        assert ward.failure is None, "a refusal has ended the old token: the new one is longer"
        await watch.step(-off.total_seconds())
        await watch.live(600.0)
        assert watch.requests == 2


@pytest.mark.fault(
    "time-dst",
    "The local time of the user is set back an hour at the end of summer time",
    "nothing happens: no request more than under UTC, and the same times on the wire",
)
async def test_summer_time_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hour that is there twice is two hours to us."""
    seen: list[tuple[int, list[int | None]]] = []
    for zone in ("UTC", "Europe/Berlin", "America/St_Johns"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            server = TimedServer()
            async with ward_at(tmp_path / zone.replace("/", "-"), server) as ward:
                watch = Watch(ward, server)
                ward.clock.now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
                server.ends["a"] = ward.clock.boottime() + 10.0
                await ward.begin("a", "r", left=10.0)
                ends = []
                for _ in range(24):
                    await watch.live(300.0)
                    ends.append(ward.shown.expires_at_ms)
                seen.append((watch.requests, ends))
        finally:
            monkeypatch.delenv("TZ")
            time.tzset()
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] == 3


SHORT = 3.0
"""Seconds of life that a real second hand can outlast."""


@pytest.mark.fault(
    "time-stopped",
    "SIGSTOP of a real daemon until its token has ended, then SIGCONT",
    "the first answer after it is a token that lives at the server",
)
def test_a_daemon_that_was_stopped(own_home: Path) -> None:
    """As a laptop whose lid was closed; the caller is quicker than any timer."""
    with Sandbox(client_id=CLIENT_ID, ttl_seconds=SHORT) as sandbox:
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue())
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            token = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=0)["token"]
            daemon.signal(signal.SIGSTOP)
            while sandbox.liveness(token) == "live":
                time.sleep(0.05)
            daemon.signal(signal.SIGCONT)
            after = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=0)["token"]
            assert sandbox.liveness(after) == "live"
            assert after != token
        assert sandbox.statistics().reuse_detected == 0


@pytest.mark.fault(
    "time-daemon-steps",
    "The wall clock of a real daemon, alone, is set by an hour, a day and a year, forward and back",
    "every answer lives at the server; at most one refresh for each step, and none fails",
)
def test_the_clock_of_a_real_daemon_is_set(
    own_home: Path, sandbox: Sandbox, tmp_path: Path, record_property: Recorder
) -> None:
    """The server and the file's owner keep the true time."""
    shift = ClockShift(tmp_path)
    stored = StoredLogin(own_home)
    stored.write(sandbox.issue(ttl_seconds=50.0))
    steps = [int(sign * seconds) for seconds in STEPS.values() for sign in (1, -1)]
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint), env=shift.environment) as daemon:
        daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)
        assert sandbox.statistics().token_requests == 1
        for taken, seconds in enumerate([*steps, 0], start=1):
            shift.set(seconds)
            answer = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=60)
            assert sandbox.liveness(answer["token"]) == "live"
            assert answer["degraded"] is None
            assert sandbox.statistics().token_requests <= 1 + taken
        requests = sandbox.statistics().token_requests
        assert requests > 1, "a step forward by an hour was seen"
        record_property("figure", f"{requests - 1} early refreshes for {len(steps) + 1} steps")
    assert sandbox.statistics().reuse_detected == 0
