"""When one keeper acts by itself: a refresh that falls due, a retry after a failure, and the alarm for the next.

The problem: a due time is the alarm's only until a clock steps, a margin is configured anew, or the profile rests.
So each time the alarm rings, and whenever something changed, it is asked anew what time asks for.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from tokenward.core import freshness
from tokenward.core.freshness import Held
from tokenward.core.lifecycle import Event, Phase
from tokenward.daemon.surroundings import Surroundings

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper

NOT_YET_SECONDS = 10.0
"""Due by its margin, but its means would do nothing yet: an alarm that is past would ring in a circle."""


class Timetable:
    """One keeper's alarm.

    Args:
        keeper: who is to act.
        around: what all keepers share.
    """

    __slots__ = ("_around", "_keeper", "next_attempt")

    def __init__(self, keeper: Keeper, around: Surroundings) -> None:
        self._keeper = keeper
        self._around = around
        self.next_attempt: datetime | None = None

    @property
    def _seed(self) -> str:
        return f"{self._around.host}\0{self._keeper.profile.key}"

    def lead(self, held: Held) -> float | None:
        """Seconds before the end of what is held at which a refresh is due; None = it never is."""
        if self._keeper.refresher is None or not held.credential.refreshable:
            return None
        timing = self._around.timing_of(self._keeper.profile.key)
        return timing.lead(held.credential, seed=self._seed)

    def is_due(self, held: Held) -> bool:
        """Whether a refresh of what is held is due now, and could be made."""
        clock = self._around.clock
        return self._keeper.standing().refreshable and freshness.is_due(
            held,
            self._around.timing_of(self._keeper.profile.key),
            seed=self._seed,
            now=clock.wall(),
            boot_now=clock.boottime(),
        )

    def refresh_if_due(self) -> None:
        """Start what time asks for, if anything; harmless at any time."""
        keeper = self._keeper
        if keeper.flights.is_under_way:
            return
        match keeper.phase:
            case Phase.READY if keeper.held is not None and self.is_due(keeper.held):
                keeper.apply(Event.DUE)
            case Phase.BACKOFF if keeper.resting is not None:
                pass
            case Phase.BACKOFF | Phase.UNSAVED if keeper.attempts.wait() <= 0:
                keeper.apply(Event.DUE)
            case _:
                pass

    def on_alarm(self) -> None:
        """The alarm rang: act if it is time, else set it again (the clock may have stepped)."""
        self.refresh_if_due()
        if not self._keeper.flights.is_under_way:
            self.reschedule()

    def reschedule(self) -> None:
        """Set the alarm anew from what is true now."""
        match self._keeper.phase:
            case Phase.READY:
                self.schedule_refresh()
            case Phase.BACKOFF if self._keeper.resting is not None:
                pass
            case Phase.BACKOFF | Phase.UNSAVED:
                self._set_alarm(self._keeper.attempts.wait())
            case _:
                pass

    def schedule_refresh(self) -> None:
        """Set the alarm to when what is held falls due, if it ever does."""
        keeper = self._keeper
        if keeper.held is None or keeper.refresher is None or not keeper.held.credential.refreshable:
            return
        if keeper.resting is not None:
            return
        clock = self._around.clock
        due = freshness.refresh_due_in(
            keeper.held,
            self._around.timing_of(keeper.profile.key),
            seed=self._seed,
            now=clock.wall(),
            boot_now=clock.boottime(),
        )
        if due <= 0 and not keeper.standing().refreshable:
            due = NOT_YET_SECONDS
        if math.isfinite(due):
            self._set_alarm(max(0.0, due))

    def cancel(self) -> None:
        """Nothing is planned any more."""
        self.next_attempt = None
        self._around.alarm.cancel(self._keeper.profile.key)

    def _set_alarm(self, seconds: float) -> None:
        self.next_attempt = freshness.later(self._around.clock.wall(), seconds)
        self._around.alarm.at(self._keeper.profile.key, self.next_attempt, self._keeper.on_alarm)
