"""Alarms: never lost, never run twice, woken by the beat, and told of clock steps."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest
import time_machine
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.machine import FakeClock
from fakes.manual_scheduler import ManualScheduler
from tokenward.daemon.scheduler import BEAT_SECONDS, RUNG_TOGETHER, Scheduler

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


class Jobs:
    """Counts what APScheduler is given and what it has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.added: list[datetime] = []
        self.owner: AsyncIOScheduler | None = None
        add = AsyncIOScheduler.add_job

        def note(owner: AsyncIOScheduler, *args: object, **said: object) -> object:
            when = said["run_date"]
            assert isinstance(when, datetime)
            self.owner = owner
            self.added.append(when)
            return add(owner, *args, **said)

        monkeypatch.setattr(AsyncIOScheduler, "add_job", note)

    def now(self) -> int:
        """How many there are."""
        return 0 if self.owner is None else len(self.owner.get_jobs())


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


async def test_however_many_are_asked_for_there_is_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job costs a kilobyte: a thousand requests in one turn, each nearer than the last, are one of them."""
    jobs = Jobs(monkeypatch)
    with time_machine.travel(NOON, tick=False):
        scheduler = Scheduler(FakeClock(NOON))
        async with running(scheduler):
            for number in range(1000):
                scheduler.at(str(number), NOON + timedelta(seconds=2000 - number), lambda: None)
            await turns()
            assert jobs.added == [NOON + timedelta(seconds=1001)]
            scheduler.at("nearer", NOON + timedelta(seconds=5), lambda: None)
            await turns()
            assert (jobs.added[1:], jobs.now()) == ([NOON + timedelta(seconds=5)], 1)
            scheduler.at("farther", NOON + timedelta(seconds=7), lambda: None)
            await turns()
            assert (len(jobs.added), jobs.now()) == (2, 1)
            scheduler.cancel("nearer")
            await turns()
            assert (jobs.added[2:], jobs.now()) == ([NOON + timedelta(seconds=7)], 1)
            scheduler.cancel("farther")
            for number in range(1000):
                scheduler.cancel(str(number))
            await turns()
            assert (len(jobs.added), jobs.now()) == (3, 0)


async def test_a_nearer_request_rings_first_and_the_other_at_its_time() -> None:
    """The one job moves to the nearer moment, and back."""
    ringing, beats = Ringing(), Beats()
    with time_machine.travel(NOON, tick=False) as machine:
        scheduler = Scheduler(FakeClock(NOON), sleep=beats.sleep)
        async with running(scheduler):
            scheduler.at("far", NOON + timedelta(seconds=60), ringing.callback("far"))
            await turns()
            scheduler.at("near", NOON + timedelta(seconds=10), ringing.callback("near"))
            scheduler.at("given up", NOON + timedelta(seconds=5), ringing.callback("given up"))
            await turns()
            scheduler.cancel("given up")
            await turns()
            for seconds, rang in ((9, []), (1, ["near"]), (49, ["near"]), (1, ["near", "far"])):
                machine.shift(seconds)
                await beats.once()
                await turns()
                assert ringing.rang == rang


async def test_many_that_are_due_at_once_ring_in_order_and_others_have_their_turn() -> None:
    """Ten thousand may be due after a suspend, and a caller must not wait for all of them."""
    many, turn = 10 * RUNG_TOGETHER, 0
    rang: list[tuple[int, int]] = []
    scheduler = Scheduler(FakeClock(NOON))
    past = datetime(2001, 1, 1, tzinfo=UTC)

    def ring(number: int) -> Callable[[], None]:
        return lambda: rang.append((number, turn))

    with time_machine.travel(NOON, tick=False), anyio.fail_after(PATIENCE):
        for number in reversed(range(many)):
            scheduler.at(str(number), past + timedelta(seconds=number), ring(number))
        async with running(scheduler):
            while len(rang) < many:
                turn += 1
                await anyio.lowlevel.checkpoint()
    assert [number for number, _ in rang] == list(range(many))
    in_turn = [seen for _, seen in rang]
    assert max(map(in_turn.count, set(in_turn))) <= RUNG_TOGETHER


async def test_whoever_asks_for_the_past_again_and_again_holds_nobody_up() -> None:
    """All that are due ring, though one of them is due anew whenever it has rung."""
    ringing = Ringing()
    scheduler = Scheduler(FakeClock())
    past = datetime(2001, 1, 1, tzinfo=UTC)

    def again() -> None:
        scheduler.at("again", past, again)

    async with running(scheduler):
        again()
        for number in range(3 * RUNG_TOGETHER):
            scheduler.at(str(number), past + timedelta(days=1), ringing.callback(str(number)))
        assert await ringing.wait_for(3 * RUNG_TOGETHER) == [str(number) for number in range(3 * RUNG_TOGETHER)]


async def test_what_apscheduler_finds_due_rings_though_our_clock_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that comes a hair early by our clock is not planned anew for a moment that is reached."""
    jobs, ringing, beats = Jobs(monkeypatch), Ringing(), Beats()
    with time_machine.travel(NOON, tick=False) as machine:
        scheduler = Scheduler(FakeClock(NOON - timedelta(milliseconds=1)), sleep=beats.sleep)
        async with running(scheduler):
            scheduler.at("a", NOON, ringing.callback("a"))
            scheduler.at("b", NOON + timedelta(seconds=1), ringing.callback("b"))
            await turns()
            assert ringing.rang == ["a"]
            machine.shift(1)
            await beats.once()
            await turns()
            assert (ringing.rang, jobs.added) == (["a", "b"], [NOON, NOON + timedelta(seconds=1)])


async def test_a_run_that_ended_in_the_middle_of_a_turn_plans_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be planned when the run was cancelled is planned when there is another."""
    jobs = Jobs(monkeypatch)
    with time_machine.travel(NOON, tick=False):
        scheduler = Scheduler(FakeClock(NOON))
        async with running(scheduler):
            scheduler.at("a", NOON + timedelta(seconds=10), lambda: None)
        assert jobs.added in ([], [NOON + timedelta(seconds=10)])
        jobs.added.clear()
        async with running(scheduler):
            assert jobs.added == [NOON + timedelta(seconds=10)]
            scheduler.at("b", NOON + timedelta(seconds=5), lambda: None)
            await turns()
            assert (len(jobs.added), jobs.now()) == (2, 1)


async def test_a_job_on_its_way_leaves_the_one_planned_meanwhile_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """APScheduler has sent the job off, and before it runs its request is replaced by a later one."""
    jobs, ringing = Jobs(monkeypatch), Ringing()
    clock = FakeClock(NOON)
    with time_machine.travel(NOON, tick=False) as machine:
        scheduler = Scheduler(clock, sleep=Beats().sleep)
        async with running(scheduler):
            scheduler.at("a", NOON + timedelta(seconds=1), ringing.callback("early"))
            await turns()
            clock.advance(1)
            machine.shift(1)
            scheduler.beat()
            scheduler.at("a", NOON + timedelta(seconds=2), ringing.callback("late"))
            await turns()
            assert (ringing.rang, len(jobs.added), jobs.now()) == ([], 2, 1)


DEEDS = st.one_of(
    st.tuples(st.just("at"), st.sampled_from("abc"), st.integers(-3, 12)),
    st.tuples(st.just("cancel"), st.sampled_from("abc"), st.just(0)),
    st.tuples(st.just("pass"), st.just(""), st.integers(0, 6)),
    st.tuples(st.just("turn"), st.just(""), st.integers(1, 5)),
)


class Story:
    """A scheduler that is told this and that, turns of the loop in between, and what may ring at each moment."""

    def __init__(self, machine: time_machine.Traveller, jobs: Jobs) -> None:
        self.machine = machine
        self.jobs = jobs
        self.clock = FakeClock(NOON)
        self.scheduler = Scheduler(self.clock, sleep=Beats().sleep)
        self.wanted: dict[str, tuple[int, datetime]] = {}
        self.asked = 0

    def ask(self, key: str, seconds: int) -> None:
        """Ask for a moment, and say what must be true when it rings."""
        self.asked += 1
        request = (self.asked, self.clock.now + timedelta(seconds=seconds))

        def ring() -> None:
            assert self.wanted.get(key) == request, "it was replaced, cancelled, or has rung"
            assert request[1] <= self.clock.now, "it is not due"
            del self.wanted[key]

        self.wanted[key] = request
        self.scheduler.at(key, request[1], ring)

    async def tell(self, deeds: list[tuple[str, str, int]]) -> None:
        """Do all of it; in the end what is due has rung, and there is a job for the rest."""
        async with running(self.scheduler):
            for what, key, number in deeds:
                match what:
                    case "at":
                        self.ask(key, number)
                    case "cancel":
                        self.scheduler.cancel(key)
                        self.wanted.pop(key, None)
                    case "pass":
                        self.clock.advance(number)
                        self.machine.shift(number)
                        self.scheduler.beat()
                    case _:
                        for _ in range(number):
                            await anyio.lowlevel.checkpoint()
            self.scheduler.beat()
            await turns()
            assert all(when > self.clock.now for _, when in self.wanted.values())
            assert self.jobs.now() == bool(self.wanted)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(DEEDS, min_size=5, max_size=40))
def test_whatever_is_asked_and_cancelled_each_rings_once_and_in_time(
    deeds: list[tuple[str, str, int]],
) -> None:
    """Also where requests change while a job is on its way; a callback that should not have come fails."""
    with time_machine.travel(NOON, tick=False) as machine, pytest.MonkeyPatch.context() as patch:
        failures: list[object] = []
        patch.setattr("tokenward.daemon.scheduler._log.error", lambda *said: failures.append(said))
        anyio.run(Story(machine, Jobs(patch)).tell, deeds)
        assert not failures


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
