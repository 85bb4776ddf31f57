"""Ten thousand profiles that fall due in the same minute, in simulated time, and how long scheduling them takes.

The gate and the due times are the daemon's own; the event loop's clock is a number that jumps to the next timer.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from benchmarks.figures import Figure
from benchmarks.stage import Stage
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.freshness import RefreshTiming, hold, refresh_due_in
from tokenward.daemon.endpoint_gate import IN_FLIGHT, EndpointGate
from tokenward.daemon.machine import SystemClock, SystemEntropy
from tokenward.daemon.scheduler import Scheduler

START = datetime(2026, 11, 21, tzinfo=UTC)
MINUTE, LIFE = 60.0, 3600.0
ANSWER_SECONDS = 0.05
"""That a token endpoint takes; at 0.06 four at once could not serve so many in the margin."""


def measure(stage: Stage) -> list[Figure]:
    """Both."""
    many = stage.effort.crowd
    crowd = Crowd(many)
    with asyncio.Runner(loop_factory=_SimulatedLoop) as runner:
        runner.run(crowd.run())
    due = f"{many:,} profiles due in the same minute"
    return [
        Figure(f"{due}: refreshed after their end", crowd.late, 0, unit="profiles"),
        Figure(f"{due}: most requests in flight at one endpoint", crowd.most, IN_FLIGHT, unit="requests"),
        Figure(f"{due}: let in before one that ends earlier", crowd.out_of_order, 0, unit="profiles"),
        Figure(f"{many:,} profiles: scheduling all", anyio.run(_scheduling, many), 0.6, unit="s"),
    ]


class Crowd:
    """Logins that end within one minute, at one endpoint.

    Args:
        many: how many.
    """

    def __init__(self, many: int) -> None:
        draw = random.Random(3)  # noqa: S311 - no secret depends on it
        self._ends = sorted(LIFE + draw.uniform(0, MINUTE) for _ in range(many))
        self._waiting: list[float] = []
        self._under_way = 0
        self.most = self.late = self.out_of_order = 0

    async def run(self) -> None:
        """Let all of them fall due."""
        gate = EndpointGate(_LoopClock(), SystemEntropy())
        async with anyio.create_task_group() as group:
            for number, ends in enumerate(self._ends):
                group.start_soon(self._refresh, gate, number, ends)

    async def _refresh(self, gate: EndpointGate, number: int, ends: float) -> None:
        credential = Credential(
            Kind.OAUTH,
            Secret(f"access-{number}"),
            refresh=Secret(f"refresh-{number}"),
            expires_at=START + timedelta(seconds=ends),
            granted_life=LIFE,
        )
        held = hold(credential, now=START, boot_now=0.0)
        await anyio.sleep(refresh_due_in(held, RefreshTiming(), seed="host", now=START, boot_now=0.0))
        heapq.heappush(self._waiting, ends)
        async with gate.slot(ends - anyio.current_time()):
            # Who was let in is the first of those who wait, or came in this very moment.
            self.out_of_order += ends > self._waiting[0]
            self._waiting.remove(ends)
            heapq.heapify(self._waiting)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            await anyio.sleep(ANSWER_SECONDS)
            self._under_way -= 1
        self.late += anyio.current_time() > ends


async def _scheduling(many: int) -> float:
    """Seconds to ask for so many alarms of a scheduler that runs, and to have it wait for them."""
    scheduler = Scheduler(SystemClock())
    async with anyio.create_task_group() as group:
        await group.start(scheduler.run)
        began = time.perf_counter()
        for number in range(many):
            scheduler.at(f"acme:p{number}", datetime.now(UTC) + timedelta(seconds=LIFE + number), _nothing)
        await anyio.lowlevel.checkpoint()  # at the end of the turn its job is planned
        took = time.perf_counter() - began
        group.cancel_scope.cancel()
    return took


def _nothing() -> None:
    pass


class _LoopClock:
    """A ``ports.Clock`` that is the event loop's own."""

    def wall(self) -> datetime:
        """Aware UTC."""
        return START + timedelta(seconds=anyio.current_time())

    def monotonic(self) -> float:
        """Seconds."""
        return anyio.current_time()

    def boottime(self) -> float:
        """Seconds."""
        return anyio.current_time()


class _JumpingSelector(selectors.SelectSelector):
    """Never waits; tells how long it would have."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """What is ready now."""
        self.waited += timeout or 0.0
        return super().select(0)


class _SimulatedLoop(asyncio.SelectorEventLoop):
    """Whose clock jumps to the next timer."""

    def __init__(self, _options: Mapping[str, Any] | None = None) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._jumping.waited
