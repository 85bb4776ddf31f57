"""Who is told what happened: every subscriber, in order, and never at the cost of the daemon.

The problem: a subscriber that stops reading must neither grow the daemon nor hold it up, and must be able to
tell that it missed something. So each has a bounded queue, and one that overflows gets ``lost`` as its last
event (design section 6).

Parts of the daemon listen instead: they are told at once, and what one of them raises is nobody else's trouble.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

import anyio

from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.protocol import MAX_QUEUED_EVENTS
from tokenward.daemon import fault
from tokenward.daemon.history import History
from tokenward.ports import Clock

log = logging.getLogger(__name__)


EventType = Literal[
    "appeared", "rotated", "refresh_failed", "login_required", "unsaved", "saved", "logged_out",
    "forgotten", "sink_failed", "usage_warning", "cooling", "recovered", "clock_stepped", "reloaded",
    "shared_store_away", "shared_store_back", "orphaned", "stopping", "lost",
]  # fmt: skip


class Happening(NamedTuple):
    """What happened, as it is told; the members are those of ``event_models.Event``, which a subscriber reads.

    Args:
        type: of what kind it is.
        profile: whose, as events name it; None = the daemon's.
        generation: the value it speaks of, if any.
        at_ms: when, in Unix milliseconds.
        detail: one line for people, without a secret.
    """

    type: EventType
    profile: str | None
    generation: str | None
    at_ms: int
    detail: str = ""


class Trouble(NamedTuple):
    """What lies behind an event of failure, for those who listen.

    Args:
        cause: the failure's name.
        failures: how many in a row.
        retry_in: seconds until the next attempt; None = none is planned.
    """

    cause: str
    failures: int
    retry_in: float | None


Listener = Callable[[Happening, Trouble | None], None]
"""Told of each event, on the event loop's thread; must not block."""


class Feed:
    """One subscriber's queue.

    Args:
        profiles: the profiles it wants, None = all.
    """

    def __init__(self, profiles: frozenset[str] | None) -> None:
        self._profiles = profiles
        self._queue: deque[Happening] = deque()
        self._news = anyio.Event()
        self._ended = False

    def offer(self, event: Happening) -> bool:
        """Queue an event; the one that does not fit is replaced by ``lost``, and nothing follows it.

        Returns:
            Whether it was replaced.
        """
        if self._ended or not self._wants(event):
            return False
        fits = len(self._queue) < MAX_QUEUED_EVENTS
        if not fits:
            event = Happening(type="lost", profile=None, generation=None, at_ms=event.at_ms)
            self._ended = True
        self._queue.append(event)
        self._news.set()
        return not fits

    def _wants(self, event: Happening) -> bool:
        return self._profiles is None or event.profile is None or event.profile in self._profiles

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Happening]:
        """Each event once, until the feed ends."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._ended:
                return
            self._news = anyio.Event()
            await self._news.wait()


class EventHub:
    """All subscribers.

    Args:
        clock: stamps the events.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._feeds: set[Feed] = set()
        self.history = History(clock)
        """The last day of it."""
        self._listeners: list[Listener] = [self.history.happened]
        self.lost = 0
        """Subscribers that were cut off because they did not read."""

    def listen(self, listener: Listener) -> None:
        """Have a part of the daemon told of every event from now on."""
        self._listeners.append(listener)

    def announce(
        self,
        type_: EventType,
        *,
        profile: str | None = None,
        generation: str | None = None,
        detail: str = "",
        trouble: Trouble | None = None,
    ) -> None:
        """Tell every listener, and every subscriber that wants to know; never blocks."""
        event = Happening(type_, profile, generation, to_unix_milliseconds(self._clock.wall()), detail)
        for listener in self._listeners:
            try:
                listener(event, trouble)
            except Exception as error:  # noqa: BLE001 - an event comes out of a flight, which must go on
                log.error("a listener failed: %s", fault.describe(error))  # noqa: TRY400 - no traceback
        for feed in tuple(self._feeds):
            self.lost += feed.offer(event)

    @asynccontextmanager
    async def subscribe(self, profiles: frozenset[str] | None) -> AsyncIterator[Feed]:
        """A feed, from now until the context ends."""
        feed = Feed(profiles)
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
            feed.end()

    def end(self) -> None:
        """End every feed, at shutdown."""
        for feed in tuple(self._feeds):
            feed.end()
