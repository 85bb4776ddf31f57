"""When one keeper acts by itself: a refresh that falls due, a retry after a failure, and the alarm for the next.

The problem: a due time is the alarm's only until a clock steps, a margin is configured anew, or the profile rests.
So each time the alarm rings, and whenever something changed, it is asked anew what time asks for.

Rule: all that is kept is the keeper's ``next_attempt``, so that none of ten thousand has a timetable of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tokenward.core import freshness
from tokenward.core.freshness import Held
from tokenward.core.lifecycle import Event, Phase

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper

NOT_YET_SECONDS = 10.0
"""Due by its margin, but its means would do nothing yet: an alarm that is past would ring in a circle."""


def _seed(keeper: Keeper) -> str:
    return f"{keeper.around.host}\0{keeper.profile.key}"


def lead(keeper: Keeper, held: Held) -> float | None:
    """Seconds before the end of what is held at which a refresh is due; None = it never is."""
    if keeper.refresher is None or not held.credential.refreshable:
        return None
    return keeper.around.timing_of(keeper.profile.key).lead(held.credential, seed=_seed(keeper))


def _due_in(keeper: Keeper, held: Held) -> float:
    clock = keeper.around.clock
    timing = keeper.around.timing_of(keeper.profile.key)
    return freshness.refresh_due_in(held, timing, seed=_seed(keeper), now=clock.wall(), boot_now=clock.boottime())


def is_due(keeper: Keeper, held: Held) -> bool:
    """Whether a refresh of what is held is due now, and could be made."""
    return keeper.standing().refreshable and _due_in(keeper, held) <= 0


def refresh_if_due(keeper: Keeper) -> None:
    """Start what time asks for, if anything; harmless at any time."""
    if keeper.is_in_flight:
        return
    match keeper.phase:
        case Phase.READY if keeper.held is not None and is_due(keeper, keeper.held):
            keeper.apply(Event.DUE)
        case Phase.BACKOFF if keeper.resting is not None:
            pass
        case Phase.BACKOFF | Phase.UNSAVED if keeper.wait() <= 0:
            keeper.apply(Event.DUE)
        case _:
            pass


def on_alarm(keeper: Keeper) -> None:
    """The alarm rang: act if it is time, else set it again (the clock may have stepped)."""
    refresh_if_due(keeper)
    if not keeper.is_in_flight:
        reschedule(keeper)


def reschedule(keeper: Keeper) -> None:
    """Set the alarm anew from what is true now."""
    match keeper.phase:
        case Phase.READY:
            schedule_refresh(keeper)
        case Phase.BACKOFF if keeper.resting is not None:
            pass
        case Phase.BACKOFF | Phase.UNSAVED:
            _set_alarm(keeper, keeper.wait())
        case _:
            pass


def schedule_refresh(keeper: Keeper) -> None:
    """Set the alarm to when what is held falls due, if it ever does."""
    if keeper.held is None or keeper.refresher is None or not keeper.held.credential.refreshable:
        return
    if keeper.resting is not None:
        return
    due = _due_in(keeper, keeper.held)
    if due <= 0 and not keeper.standing().refreshable:
        due = NOT_YET_SECONDS
    if math.isfinite(due):
        _set_alarm(keeper, max(0.0, due))


def cancel(keeper: Keeper) -> None:
    """Nothing is planned any more."""
    keeper.next_attempt = None
    keeper.around.alarm.cancel(keeper.profile.key)


def _set_alarm(keeper: Keeper, seconds: float) -> None:
    keeper.next_attempt = freshness.later(keeper.around.clock.wall(), seconds)
    keeper.around.alarm.at(keeper.profile.key, keeper.next_attempt, keeper.on_alarm)
