"""The flights of one keeper: a refresh or a save, at most one at a time, and what its end means for what is held.

The problem: timers, callers and a person may all want a refresh of one credential at the same moment, each with a
patience of its own, while the answer that is under way must reach the disk whoever still waits for it.

Rules:
- One flight at a time; whoever wants one waits for the one under way, and can end none.
- A new value is held only when the flight says that it is durable, or that it could not be saved.
- A result that speaks of another generation than the one held has no effect (design I7).
- Of ten thousand profiles each that ever flew has one of these; what needs no memory of flights is a function.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from logging import getLogger
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from tokenward.core import freshness
from tokenward.core.credential import Credential
from tokenward.core.freshness import Held, lengthens_life
from tokenward.core.lifecycle import Event, Phase
from tokenward.daemon import landing
from tokenward.daemon.attempts import NO_ATTEMPTS
from tokenward.daemon.flight_results import Cause, Failed, FlightResult, Refreshed, SaveFailed
from tokenward.daemon.landing import Value
from tokenward.disk.family_file import FamilyFile, end_unfinished, left_unfinished

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper

NO_OUTCOMES: Mapping[Event, int] = MappingProxyType({})
"""Of whoever never flew: none of ten thousand has a table of its own."""

log = getLogger(__name__)


class Flights:
    """One keeper's flights.

    Args:
        keeper: whose value they refresh and save, and who is told how they end.
    """

    __slots__ = ("_flight", "_flown", "_keeper", "_pending")

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._pending: SaveFailed | None = None
        self._flight: anyio.Event | None = None
        self._flown: Held | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is one now."""
        return self._flight is not None

    @property
    def is_writing(self) -> bool:
        """Whether one is under way that writes to the place."""
        refresher = self._keeper.refresher
        return self._flight is not None and refresher is not None and refresher.mode == "direct"

    async def fly(self, *, forced: bool) -> None:
        """Wait for the flight under way, or start one and wait for it."""
        if self._flight is None:
            if forced:
                draw_forced(self._keeper)
            self._keeper.apply(Event.DUE)
        flight = self._flight
        if flight is not None:
            await flight.wait()

    async def settle(self) -> None:
        """Wait until no flight is under way."""
        while self._flight is not None:
            await self._flight.wait()

    def refresh(self) -> None:
        """Start a refresh of the value held."""
        self._launch(self._refresh)

    def save(self) -> None:
        """Start to save what could not be saved before."""
        self._launch(self._save)

    @property
    def has_only_copy(self) -> bool:
        """Whether a value was received that is on no disk, not even sealed: with us it would be lost."""
        return self._keeper.phase is Phase.UNSAVED and self._pending is not None and not self._pending.sealed

    async def save_now(self) -> None:
        """Try to write what is unsaved, without waiting for its next attempt."""
        if self._keeper.phase is not Phase.UNSAVED:
            return
        await self.settle()
        if self._keeper.phase is Phase.UNSAVED:
            self._keeper.apply(Event.DUE)
        await self.settle()

    def journals(self) -> list[FamilyFile]:
        """Where work of ours on the value held may be noted: its family's, and that of what is unsaved."""
        credential, refresher = self._keeper.credential, self._keeper.refresher
        if credential is None or refresher is None or refresher.mode != "direct":
            return []
        family = refresher.family(credential)
        if family is None:
            return []
        unsaved = [] if self._pending is None else [FamilyFile(family.path.parent, self._pending.family)]
        return [family, *unsaved]

    def drop(self) -> None:
        """The value is given up, and with it what is unsaved."""
        self._pending, self._flown = None, None

    def _launch(self, work: Callable[[], Awaitable[FlightResult]]) -> None:
        ended = self._flight = anyio.Event()

        async def flight() -> None:
            key = self._keeper.profile.key
            try:
                try:
                    result = await work()
                except Exception as error:  # noqa: BLE001 - one profile's defect must not end the daemon
                    log.error("the flight of %s failed by a defect: %s", key, type(error).__name__)  # noqa: TRY400 - its text could hold a secret
                    result = Failed(Cause.UNAVAILABLE, f"a defect of tokenward ({type(error).__name__})")
                self._flight = None
                self._land(result)
                self._keeper.lookout.look_again()
            finally:
                self._flight = None
                ended.set()

        self._keeper.around.spawn(flight)

    async def _refresh(self) -> FlightResult:
        keeper = self._keeper
        assert keeper.refresher is not None  # noqa: S101 - never due without one
        assert keeper.held is not None  # noqa: S101 - as above
        self._flown = keeper.held
        return await keeper.refresher.refresh(keeper.held.credential, keeper.left() or 0.0)

    async def _save(self) -> FlightResult:
        assert self._keeper.refresher is not None  # noqa: S101 - never unsaved without one
        assert self._pending is not None  # noqa: S101 - as above
        return await self._keeper.refresher.save(self._pending)

    # How they end

    def _land(self, result: FlightResult) -> None:
        """Turn a flight's result into an event, unless what it speaks of is no longer held."""
        keeper = self._keeper
        if keeper.phase not in {Phase.REFRESHING, Phase.UNSAVED}:
            return
        saving = keeper.phase is Phase.UNSAVED
        held = keeper.credential.generation if keeper.credential is not None else None
        is_over = partial(keeper.lookout.is_over, held=keeper.credential)
        landed = landing.of(result, saving=saving, held=held, is_over=is_over)
        if isinstance(result, Refreshed) and result.locks_lost:
            log.warning("a foreign lock was taken from %s during its refresh", keeper.profile.key)
        if isinstance(landed, Value):
            self._land_value(landed.credential, landed.event)
            return
        if isinstance(result, SaveFailed):
            self._pending = result
            if not saving:
                keeper.hold(result.credential, by_refresh=True)
                keeper.last_refresh = self._keeper.around.clock.wall()
        self._land_failure(landed.cause, landed.reason, landed.retry_after, landed.event)

    def _land_value(self, credential: Credential, event: Event) -> None:
        futile = event is Event.REFRESHED and not self._lengthens_life(credential)
        keeper = self._keeper
        keeper.hold(credential, by_refresh=True)
        self._pending = None
        keeper.last_refresh = self._keeper.around.clock.wall()
        if futile:
            self._land_failure(Cause.NO_LONGER_LIFE, "the refresh did not lengthen life", None, Event.FUTILE)
            return
        keeper.attempts = NO_ATTEMPTS
        keeper.outcomes = {**keeper.outcomes, event: keeper.outcomes.get(event, 0) + 1}
        keeper.apply(event)

    def _lengthens_life(self, credential: Credential) -> bool:
        """Compared by what is left now on both clocks: a wall clock that was set back makes no refresh futile.

        What a caller was refused with has no life left, whatever end was written beside it.
        """
        if self._flown is None:
            return True
        now = self._keeper.around.clock.wall()
        left = 0.0
        if self._flown.credential.generation != self._keeper.refused_generation:
            left = freshness.remaining(self._flown, now=now, boot_now=self._keeper.around.clock.boottime())
        end = freshness.later(now, left) if math.isfinite(left) else None
        return lengthens_life(replace(self._flown.credential, expires_at=end), credential)

    def _land_failure(self, cause: str, reason: str, retry_after: float | None, event: Event) -> None:
        keeper = self._keeper
        closed = keeper.refresher.closed_for() if keeper.refresher is not None else 0.0
        keeper.failed(cause, reason, retry_after=retry_after, closed_for=closed)
        keeper.outcomes = {**keeper.outcomes, event: keeper.outcomes.get(event, 0) + 1}
        keeper.apply(event)


def draw_forced(keeper: Keeper) -> None:
    """Take one forced refresh from the bucket of the family of what is held (design I11).

    Raises:
        RefreshFailed: if it is empty.
    """
    if keeper.credential is not None:
        keeper.around.forced.draw(family_of(keeper, keeper.credential), keeper.profile.key)


def family_of(keeper: Keeper, credential: Credential) -> str:
    """What the bucket of forced refreshes is drawn from: this value's family, or else the profile."""
    family = keeper.refresher.family(credential) if keeper.refresher is not None else None
    return keeper.profile.key if family is None else family.name


def predecessor_left_work(keeper: Keeper) -> bool:
    """Whether a process that died left the family of the value held unfinished; blocks on the disk."""
    credential, refresher = keeper.credential, keeper.refresher
    if credential is None or refresher is None or refresher.mode != "direct":
        return False
    return left_unfinished(refresher.family(credential), credential.generation)


def end_all(journals: Sequence[FamilyFile]) -> None:
    """End what is unfinished in each, since its login is over; blocks on the disk."""
    for journal in journals:
        try:
            end_unfinished(journal)
        except OSError as error:
            log.warning("a journal could not be ended, and stays: %s", error.strerror)
