"""Alarms: never lost, never run twice, woken by the beat, and told of clock steps."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest
import time_machine

from fakes.machine import FakeClock
from fakes.manual_scheduler import ManualScheduler
from tokenward.daemon.scheduler import BEAT_SECONDS, Scheduler

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PATIENCE = 10.0
"""Seconds until a test says that what it waits for never comes."""


class Beats:
    """Stands in for `sleep`: a beat happens when the test says so."""

    def __init__(self) -> None:
        self._go, self._asleep = anyio.Event(), anyio.Event()
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Wait for the test."""
        self.asked.append(seconds)
        self._asleep.set()
        await self._go.wait()
        self._go = anyio.Event()

    async def once(self) -> None:
        """Let the loop beat, until it sleeps again."""
        await self._asleep.wait()
        self._asleep = anyio.Event()
        self._go.set()
        await self._asleep.wait()


class Ringing:
    """Notes what rang, and lets a test wait for it."""

    def __init__(self) -> None:
        self.rang: list[str] = []
        self._changed = anyio.Event()

    def callback(self, name: str) -> Callable[[], None]:
        """A callback that notes a name."""

        def note() -> None:
            self.rang.append(name)
            self._changed.set()
            self._changed = anyio.Event()

        return note

    async def wait_for(self, count: int) -> list[str]:
        """What rang, once so many did."""
        with anyio.fail_after(PATIENCE):
            while len(self.rang) < count:
                await self._changed.wait()
        return self.rang


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    """A scheduler at work."""
    async with anyio.create_task_group() as group:
        await group.start(scheduler.run)
        yield
        group.cancel_scope.cancel()


async def turns() -> None:
    """Let the loop run what is ready: a job, its callback, and APScheduler's own next pass."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


async def test_a_request_rings_once_when_it_is_due() -> None:
    """An alarm that is due is called, once, and then forgotten."""
    ringing, beats = Ringing(), Beats()
    with time_machine.travel(NOON, tick=False) as machine:
        scheduler = Scheduler(FakeClock(NOON), sleep=beats.sleep)
        async with running(scheduler):
            scheduler.at("a", NOON + timedelta(seconds=90), ringing.callback("a"))
            await turns()
            machine.shift(89)
            await beats.once()
            await turns()
            assert ringing.rang == []
            machine.shift(1)
            await beats.once()
            assert await ringing.wait_for(1) == ["a"]
            machine.shift(3600)
            await beats.once()
            await turns()
            assert ringing.rang == ["a"]


async def test_requests_made_before_the_start_are_kept() -> None:
    """Keepers schedule before apscheduler is imported: each key's last request holds, a cancelled one does not."""
    ringing = Ringing()
    with time_machine.travel(NOON, tick=False):
        scheduler = Scheduler(FakeClock(NOON))
        scheduler.at("a", NOON, ringing.callback("first"))
        scheduler.at("a", NOON, ringing.callback("second"))
        scheduler.at("b", NOON, ringing.callback("b"))
        scheduler.cancel("b")
        scheduler.cancel("unknown")
        async with running(scheduler):
            assert await ringing.wait_for(1) == ["second"]
            await turns()
    assert ringing.rang == ["second"]


async def test_a_moment_long_past_rings_at_once() -> None:
    """APScheduler drops what is more than a second late by default; here lateness never loses an alarm."""
    ringing = Ringing()
    scheduler = Scheduler(FakeClock())
    async with running(scheduler):
        scheduler.at("a", datetime(2001, 1, 1, tzinfo=UTC), ringing.callback("a"))
        assert await ringing.wait_for(1) == ["a"]


async def test_a_callback_may_ask_for_its_own_key_again() -> None:
    """A key asked for from within its own callback rings again, though its earlier job counts as running still."""
    ringing = Ringing()
    scheduler = Scheduler(FakeClock())
    past = datetime(2001, 1, 1, tzinfo=UTC)

    def again() -> None:
        ringing.callback("once")()
        scheduler.at("a", past, ringing.callback("twice"))

    async with running(scheduler):
        scheduler.at("a", past, again)
        assert await ringing.wait_for(2) == ["once", "twice"]


async def test_a_cancelled_or_replaced_request_does_not_ring() -> None:
    """Also not when its job is on its way already: all of these are due in one pass of APScheduler."""
    ringing = Ringing()
    scheduler = Scheduler(FakeClock())
    past = datetime(2001, 1, 1, tzinfo=UTC)

    def first() -> None:
        scheduler.cancel("cancelled")
        scheduler.at("replaced", past, ringing.callback("new"))

    async with running(scheduler):
        scheduler.at("first", past, first)
        scheduler.at("cancelled", past + timedelta(seconds=1), ringing.callback("cancelled"))
        scheduler.at("replaced", past + timedelta(seconds=2), ringing.callback("old"))
        assert await ringing.wait_for(1) == ["new"]
        await turns()
    assert ringing.rang == ["new"]


async def test_a_wall_clock_set_forward_rings_what_became_due() -> None:
    """The timer counts another clock and sleeps on; the beat looks, and says by how much the clocks differ."""
    ringing, beats, steps = Ringing(), Beats(), list[float]()
    clock = FakeClock(NOON)
    with time_machine.travel(NOON, tick=False) as machine:
        scheduler = Scheduler(clock, sleep=beats.sleep, on_clock_step=steps.append)
        async with running(scheduler):
            scheduler.at("a", NOON + timedelta(hours=1), ringing.callback("a"))
            await turns()
            clock.step(7200)
            machine.shift(7200)
            await beats.once()
            assert await ringing.wait_for(1) == ["a"]
    assert steps == [7200]


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (lambda clock: clock.advance(BEAT_SECONDS), []),
        (lambda clock: clock.advance(3600), []),
        (lambda clock: clock.step(4.9), []),
        (lambda clock: clock.step(5.1), [5.1]),
        (lambda clock: clock.step(-3600), [-3600]),
        (lambda clock: clock.suspend(3600), [3600]),
        (lambda clock: (clock.suspend(3600), clock.step(-3600)), [3600]),
    ],
    ids=[
        "a beat",
        "a stalled loop",
        "a nudge",
        "a step",
        "a step back",
        "a suspend",
        "a suspend hidden by a step",
    ],
)
def test_which_clock_movements_are_steps(move: Callable[[FakeClock], object], expected: list[float]) -> None:
    """The wall or the boot clock has moved apart from the monotonic one by more than five seconds."""
    steps: list[float] = []
    clock = FakeClock(NOON)
    scheduler = Scheduler(clock, on_clock_step=steps.append)
    move(clock)
    scheduler.beat()
    assert steps == pytest.approx(expected)
    scheduler.beat()
    assert steps == pytest.approx(expected), "a step is told once"


async def test_each_beat_reports_progress_and_is_short() -> None:
    """The watchdog is fed by the loop that does the work, often enough for it."""
    beats, progress = Beats(), list[None]()
    scheduler = Scheduler(FakeClock(), sleep=beats.sleep, progress=lambda: progress.append(None))
    async with running(scheduler):
        await beats.once()
        await beats.once()
    assert len(progress) == 2
    assert max(beats.asked) <= 30


async def test_a_failing_callback_is_logged_by_type_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """What a callback worked on, and so the text of its error, may be a secret."""
    ringing = Ringing()
    scheduler = Scheduler(FakeClock())
    past = datetime(2001, 1, 1, tzinfo=UTC)

    def fail() -> None:
        raise LookupError("sk-ant-api03-secret")

    with caplog.at_level(logging.DEBUG):
        async with running(scheduler):
            scheduler.at("a", past, fail)
            scheduler.at("b", past + timedelta(seconds=1), ringing.callback("b"))
            assert await ringing.wait_for(1) == ["b"]
            await turns()
    assert "LookupError" in caplog.text
    assert "sk-ant" not in caplog.text


async def test_requests_survive_a_stop() -> None:
    """A scheduler that was stopped and runs again still knows what it was asked for."""
    ringing = Ringing()
    with time_machine.travel(NOON, tick=False) as machine:
        scheduler = Scheduler(FakeClock(NOON))
        async with running(scheduler):
            scheduler.at("a", NOON + timedelta(seconds=10), ringing.callback("a"))
        machine.shift(10)
        async with running(scheduler):
            assert await ringing.wait_for(1) == ["a"]


@pytest.mark.parametrize("alarm", [Scheduler(FakeClock()), ManualScheduler(FakeClock())], ids=["real", "manual"])
def test_a_naive_moment_is_refused(alarm: Scheduler | ManualScheduler) -> None:
    """A moment without a zone would be read in the machine's own."""
    with pytest.raises(ValueError, match="aware"):
        alarm.at("a", datetime(2026, 1, 1), lambda: None)  # noqa: DTZ001 - the point of the test


def test_the_manual_scheduler_rings_in_order() -> None:
    """What tests of the daemon rely on: each alarm at its moment, requests made meanwhile included."""
    clock = FakeClock(NOON)
    alarm = ManualScheduler(clock)
    rang: list[tuple[str, float]] = []

    def note(name: str) -> None:
        rang.append((name, (clock.now - NOON).total_seconds()))

    def first() -> None:
        note("first")
        alarm.at("a", NOON + timedelta(seconds=20), lambda: note("again"))

    alarm.at("b", NOON + timedelta(seconds=15), lambda: note("b"))
    alarm.at("a", NOON + timedelta(seconds=10), first)
    alarm.at("c", NOON + timedelta(seconds=31), lambda: note("c"))
    alarm.advance(30)
    assert rang == [("first", 10), ("b", 15), ("again", 20)]
    assert clock.now == NOON + timedelta(seconds=30)
