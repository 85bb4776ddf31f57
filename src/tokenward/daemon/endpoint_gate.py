"""How many requests one token endpoint gets, and when.

The problem: twenty credentials fall due after a suspend, the endpoint is down, and each of them knocks by its
own clock: the endpoint sees a storm, answers 429 to all, and every login is late. So requests to one endpoint
queue at one gate, the most urgent first, and its failures keep everybody back (design 4.7, 4.11).
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import anyio

from tokenward.core.freshness import retry_delay
from tokenward.ports import Clock, Entropy

IN_FLIGHT = 4
"""Requests at once: enough to drain a morning's wake-up in seconds, and the loop stays quick for callers."""


class EndpointGate:
    """The gate before one token endpoint.

    Args:
        clock: the machine's clocks.
        entropy: for jitter.
    """

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._free = IN_FLIGHT
        self._waiting: list[tuple[float, int, anyio.Event]] = []
        self._order = count()
        self._failures = 0
        self._closed_until = 0.0

    def closed_for(self) -> float:
        """Seconds for which the endpoint's last failures keep everybody back; 0.0 if open."""
        return max(0.0, self._closed_until - self._clock.boottime())

    def succeeded(self) -> None:
        """The endpoint answered as it should."""
        self._failures = 0
        self._closed_until = 0.0

    def failed(self, retry_after: float | None) -> None:
        """The endpoint, or the way to it, is in trouble.

        Args:
            retry_after: its own word, in seconds.
        """
        self._failures += 1
        delay = retry_delay(self._failures, draw=self._entropy.fraction(), retry_after=retry_after)
        self._closed_until = max(self._closed_until, self._clock.boottime() + delay)

    @asynccontextmanager
    async def slot(self, urgency: float) -> AsyncIterator[None]:
        """Wait for one of the places.

        Args:
            urgency: seconds of life left; the least goes first.
        """
        await self._enter(urgency)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, urgency: float) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = anyio.Event()
        # As a moment: of two with as much life left when they came, the one that came first ends first.
        place = (self._clock.boottime() + urgency, next(self._order), turn)
        heapq.heappush(self._waiting, place)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._leave()
            else:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            raise

    def _leave(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._free += 1
