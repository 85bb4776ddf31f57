"""Alarms: a callback at a moment of the wall clock, through suspend, clock steps and a busy loop.

The problem: timers count a clock that stops in suspend, while expiry is written on one that steps; and a
scheduler that runs work is cancelled with it, so that a refresh inside a job loses the rotated token. So jobs
only call a callback that must not block, and a beat compares the clocks. And a job of APScheduler takes 1 kB and
50 us, too much for each of ten thousand profiles: the queue is ours, and APScheduler has one job, for the next.

Rules:
- The only importer of apscheduler, and only inside ``run``: importing it costs more than a start may wait.
- An alarm is late rather than lost: no grace time, no coalescing across keys, one job id for each request,
  because APScheduler deletes a date job whose id is still running.
- The job is moved at most once a turn of the loop, however many requests come and go in it; without one there is
  none.
- Many that are due at once ring in the order of their moments, ``RUNG_TOGETHER`` in a turn of the loop: callers
  are served in between.
- ``at`` and ``cancel`` are for the event loop's thread, before, during and after ``run``.
- A callback's error is logged by its type; its text could hold what it worked on.
- Alarms are hints: a handler looks at its state and decides, so that an early, late or double one is harmless.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskStatus

from tokenward.core.alarm_queue import AlarmQueue
from tokenward.ports import Clock

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

BEAT_SECONDS = 30.0
"""Between two looks at the clocks: the longest that the design allows (I8), and half of a watchdog of a minute."""
CLOCK_STEP_SECONDS = 5.0
"""Clocks that drift apart by more than this between two beats have been set, or the machine has slept."""
RUNG_TOGETHER = 32
"""Callbacks in one turn of the loop: each may start a refresh, of which so many take a few milliseconds."""

_log = logging.getLogger(__name__)


class Alarm(Protocol):
    """What the daemon asks of time."""

    def at(self, key: str, when: datetime, callback: Callable[[], None]) -> None:
        """Call once at a moment, at once if it is past; replaces the key's earlier request.

        Args:
            key: names the request.
            when: on the wall clock, aware.
            callback: must not block.
        """

    def cancel(self, key: str) -> None:
        """Forget the key's request, if there is one."""


@dataclass(frozen=True, slots=True)
class _Job:
    id: str
    when: datetime


@dataclass(frozen=True, slots=True)
class _Reading:
    wall: datetime
    monotonic: float
    boottime: float


def _nothing() -> None:
    pass


def _no_step(_seconds: float) -> None:
    pass


class Scheduler:
    """Alarms of ours, the next of which is kept by APScheduler.

    Args:
        clock: the clocks that the beat compares. APScheduler itself reads the machine's wall clock.
        on_clock_step: told by how many seconds the wall or the boot clock left the monotonic one behind; a
            negative number is a wall clock set back.
        progress: called at each beat: the proof of life that a watchdog wants.
        beat_seconds: between two beats, where a watchdog wants them more often than ``BEAT_SECONDS``.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        on_clock_step: Callable[[float], None] = _no_step,
        progress: Callable[[], None] = _nothing,
        beat_seconds: float = BEAT_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._clock = clock
        self._on_clock_step = on_clock_step
        self._progress = progress
        self._beat_seconds = beat_seconds
        self._sleep = sleep
        self._queue: AlarmQueue[Callable[[], None]] = AlarmQueue()
        self._serial = itertools.count(1)
        self._running: AsyncIOScheduler | None = None
        self._job: _Job | None = None
        self._planning: asyncio.Handle | None = None
        self._last = self._read_clocks()

    def at(self, key: str, when: datetime, callback: Callable[[], None]) -> None:
        """Call once at a moment; see ``Alarm.at``."""
        if when.tzinfo is None:
            raise ValueError("an alarm needs an aware moment")
        self._queue.put(key, when.astimezone(UTC), callback)
        self._plan_soon()

    def cancel(self, key: str) -> None:
        """Forget a request; see ``Alarm.cancel``."""
        self._queue.drop(key)
        self._plan_soon()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep the alarms until cancelled. Requests outlive it, so that a next run would keep them too."""
        scheduler = await anyio.to_thread.run_sync(_new_scheduler)
        scheduler.start()
        self._running = scheduler
        try:
            self._plan()
            self._last = self._read_clocks()
            task_status.started()
            while True:
                await self._sleep(self._beat_seconds)
                self.beat()
        finally:
            self._running, self._job = None, None
            scheduler.shutdown(wait=False)
            with anyio.CancelScope(shield=True):
                # APScheduler stops its timer one turn of the loop later.
                await anyio.lowlevel.checkpoint()

    def beat(self) -> None:
        """Compare the clocks, and let what is due by now be found out."""
        last, now = self._last, self._read_clocks()
        self._last = now
        passed = now.monotonic - last.monotonic
        stepped = (now.wall - last.wall).total_seconds() - passed
        slept = (now.boottime - last.boottime) - passed
        gap = max(stepped, slept, key=abs)
        if abs(gap) > CLOCK_STEP_SECONDS:
            _log.info("the clocks moved apart by %.0f s", gap)
            self._guarded(lambda: self._on_clock_step(gap))
        if self._running is not None:
            self._running.wakeup()  # it reads the wall clock anew, and sets its timer by it
        self._guarded(self._progress)

    def _read_clocks(self) -> _Reading:
        return _Reading(self._clock.wall(), self._clock.monotonic(), self._clock.boottime())

    def _plan_soon(self) -> None:
        """Plan once for all that happens in this turn of the loop."""
        if self._running is None or self._planning is not None or self._is_planned():
            return
        self._planning = asyncio.get_running_loop().call_soon(self._plan)

    def _is_planned(self) -> bool:
        return self._queue.next() == (None if self._job is None else self._job.when)

    def _plan(self) -> None:
        """Let APScheduler have a job for the next request, and no other."""
        self._planning = None
        if self._running is None or self._is_planned():
            return
        if self._job is not None and self._running.get_job(self._job.id) is not None:
            self._running.remove_job(self._job.id)
        moment = self._queue.next()
        self._job = None if moment is None else _Job(f"next alarm #{next(self._serial)}", moment)
        if self._job is not None:
            self._submit(self._running, self._job)

    def _submit(self, scheduler: AsyncIOScheduler, job: _Job) -> None:
        async def fire() -> None:  # APScheduler runs a plain function in a thread
            self._ring(job)

        scheduler.add_job(fire, "date", run_date=job.when, id=job.id)

    def _ring(self, job: _Job) -> None:
        """Ring what is due by the moment that APScheduler found reached, whatever our clock says of it."""
        if self._job is job:  # else it was on its way already when a nearer one was planned
            self._job = None
        now = max(job.when, self._clock.wall())
        for callback in self._queue.due(now, RUNG_TOGETHER):
            self._guarded(callback)
        self._plan()

    @staticmethod
    def _guarded(callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - one alarm's fault must not stop the others
            _log.error("an alarm's callback failed: %s", type(error).__name__)


def _new_scheduler() -> Any:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    return AsyncIOScheduler(
        timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
