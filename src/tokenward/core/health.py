"""How one profile is doing: what its failures cost it, and when it may serve again.

The problem: the public implementations of the same ladder each get it wrong. One counts from the first failure and
starts anew after 20 hours, one forgets what it knew the moment a rest ends and never gets past a minute, one
prolongs a rest with each request that fails during it and is out for 14 hours (openclaw#3604), and in most of
them money that was paid in changes nothing for a day. So the rules are one value and a few functions here.

Rules (formats.md 5.3):
- A failure opens a window: the next step of its ladder, or the moment that the server named. While a window is
  open, further failures that it covers do not count, prolong or escalate.
- A moment that the server named is later news than a guess: it replaces the end of an open window of the same
  scope that came from a ladder, to either side. One server's moment gives way to another only if that is later.
- There are four scopes: ``refused`` (auth_permanent, auth_policy) covers ``billing``, that covers ``cooldown``,
  and that covers the windows of single models. Rate limits, overload and missing models are the model's where
  the caller names one.
- The count falls to nothing if the last counted failure is more than 24 h ago; for a window of 24 h or more that
  time begins at its end, since nothing can have happened before. A window stays noted after its end for that.
- ``timeout``, ``server`` and ``format`` say nothing of the credential: they are noted and close nothing.
  ``overloaded`` rests briefly and counts nothing. Presets may let them climb (``Ladders.also_cooling``).
- Success, new credential material and a person's ``clear`` make it as new.
- A clock that was set back makes no window longer than it was: it holds for its own length from now on, and not at
  all if the step was longer than itself. The price of a wrong guess is one request that fails.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from tokenward.core import selection
from tokenward.core.classify import FailureClass
from tokenward.core.ladders import Ladders, Steps

IDLE = timedelta(hours=24)
"""So long after the last counted failure the next one is the first again."""
MOST_MODELS = 32
"""Models of one profile that are remembered; callers name them, and may name anything."""

LONGEST_WAIT = timedelta(days=7)
"""The longest that a header may keep a profile out at once: the weekly window of subscriptions."""
NEVER = datetime.max.replace(tzinfo=UTC)
"""The end of a window that does not end by itself."""

_REFUSED = frozenset({FailureClass.AUTH_PERMANENT, FailureClass.AUTH_POLICY})
_OF_MODELS = frozenset({FailureClass.RATE_LIMIT, FailureClass.OVERLOADED, FailureClass.MODEL})
_COOLING = frozenset({FailureClass.AUTH, FailureClass.RATE_LIMIT, FailureClass.MODEL})


class Window(NamedTuple):
    """A span of time in which a profile, or a model of it, does not serve.

    Args:
        reason: the class of the failure that opened it.
        began: when, aware UTC.
        ends: when it is over; None = not by itself.
        named: whether the server named the end.
    """

    reason: FailureClass
    began: datetime
    ends: datetime | None
    named: bool = False

    def is_open(self, now: datetime) -> bool:
        """Whether it still holds; ``now`` is not before ``began`` (``rebased``)."""
        return self.ends is None or now < self.ends


class Streak(NamedTuple):
    """The failures of one scope.

    Args:
        failures: how many counted, in a row.
        anchor: the moment from which idleness is measured; None = nothing counted yet.
        window: the last window, which may be over.
    """

    failures: int = 0
    anchor: datetime | None = None
    window: Window | None = None

    def open_window(self, now: datetime) -> Window | None:
        """The window, if it still holds."""
        return self.window if self.window is not None and self.window.is_open(now) else None


class Health(NamedTuple):
    """What is known of one profile.

    Args:
        cooldown: failures that say "not now".
        billing: failures that say "no money".
        refused: failures that say "never, with this credential".
        models: failures of single models, sorted by the model's name.
        last_failure: the class of the last failure that was not covered by a window.
        last_failure_at: when it came.
    """

    cooldown: Streak = Streak()
    billing: Streak = Streak()
    refused: Streak = Streak()
    models: tuple[tuple[str, Streak], ...] = ()
    last_failure: FailureClass | None = None
    last_failure_at: datetime | None = None

    def model(self, name: str | None) -> Streak:
        """The failures of one model."""
        return next((streak for known, streak in self.models if known == name), Streak())


def cleared() -> Health:
    """The health of a profile of which nothing bad is known: after ``clear`` and with new credential material."""
    return Health()


def after_success(health: Health, *, model: str | None = None) -> Health:
    """The health after an answer.

    Args:
        health: that before it.
        model: the model that answered, if known. What is known of other models then stays: that one of them
            answers says nothing of the limit of another.
    """
    if model is None:
        return cleared()
    return Health(models=tuple(pair for pair in health.models if pair[0] != model))


def after_refresh(health: Health) -> Health:
    """The health once our own refresh replaced the token: only that the old one was not accepted is over.

    The login is the same, so its limits, its money and its scopes are what they were.

    Args:
        health: that before it.
    """
    window = health.cooldown.window
    if window is None or window.reason is not FailureClass.AUTH:
        return health
    return health._replace(cooldown=Streak())


def after_failure(
    health: Health,
    failure: FailureClass,
    *,
    now: datetime,
    ladders: Ladders,
    model: str | None = None,
    reset_at: datetime | None = None,
) -> Health:
    """The health after a failure; the same value if the failure tells nothing new.

    Args:
        health: that before it.
        failure: its class.
        now: the wall clock, aware UTC.
        ladders: the steps in force.
        model: the model that was asked for, if the limit may be that model's alone (``is_account_wide``).
        reset_at: the moment that the server named (``reset_times.reset_at``); one that is past counts as none.
    """
    health = rebased(health, now=now)
    scope = _scope(failure, model, ladders)
    named = min(reset_at, now + LONGEST_WAIT) if reset_at is not None and reset_at > now else None
    if scope is None:
        return health._replace(last_failure=failure, last_failure_at=now)
    own = _streak(health, scope, model)
    if _covering(health, scope, model, now) is None:
        streak = _next(own, failure, ladders, named, now)
    elif named is not None and scope != "refused" and _gives_way(own.open_window(now), named):
        streak = _moved(own, failure, named, now)
    else:
        return health
    return _with_streak(health._replace(last_failure=failure, last_failure_at=now), scope, model, streak, now)


def streaks(health: Health) -> list[tuple[str | None, Streak]]:
    """The failures of every scope, the widest first, with the model that they concern, if they are one's alone."""
    return [(None, health.refused), (None, health.billing), (None, health.cooldown), *health.models]


def windows(health: Health) -> list[tuple[str | None, Window]]:
    """Every window that is noted, the widest first; some may be over."""
    return [(model, streak.window) for model, streak in streaks(health) if streak.window is not None]


def open_windows(health: Health, *, now: datetime) -> list[tuple[str | None, Window]]:
    """Every window that is open, the widest first, with the model that it concerns, if it is one's alone.

    Args:
        health: what is known of a profile, not of the future (``rebased``).
        now: the wall clock, aware UTC.
    """
    return [(model, window) for model, window in windows(health) if window.is_open(now)]


def for_selection(health: Health) -> tuple[selection.Window, ...]:
    """The windows as selection sees them; some may be over."""
    return tuple(
        selection.Window(window.ends or NEVER, window.reason.value, model) for model, window in windows(health)
    )


Scope = Literal["refused", "billing", "cooldown", "model"]
_WIDEST_FIRST: tuple[Scope, ...] = ("refused", "billing", "cooldown", "model")


def _scope(failure: FailureClass, model: str | None, ladders: Ladders) -> Scope | None:
    """What a failure closes; None = nothing."""
    if failure in _REFUSED:
        return "refused"
    if failure is FailureClass.BILLING:
        return "billing"
    if failure in _OF_MODELS and model is not None:
        return "model"
    if failure is FailureClass.MODEL:
        return None
    if failure in _COOLING | ladders.also_cooling | {FailureClass.OVERLOADED}:
        return "cooldown"
    return None


def _streak(health: Health, scope: Scope, model: str | None) -> Streak:
    match scope:
        case "refused":
            return health.refused
        case "billing":
            return health.billing
        case "cooldown":
            return health.cooldown
        case "model":
            return health.model(model)


def _covering(health: Health, scope: Scope, model: str | None, now: datetime) -> Window | None:
    """Of the open windows of a scope and the wider ones, the one that ends last."""
    wide = _WIDEST_FIRST[: _WIDEST_FIRST.index(scope) + 1]
    windows = [window for each in wide if (window := _streak(health, each, model).open_window(now)) is not None]
    without_end = [window for window in windows if window.ends is None]
    if without_end:
        return without_end[0]
    return max(windows, key=lambda window: window.ends or now, default=None)


def _next(own: Streak, failure: FailureClass, ladders: Ladders, named: datetime | None, now: datetime) -> Streak:
    """The failures of a scope with one more, and the window that it opens."""
    if failure is FailureClass.OVERLOADED and failure not in ladders.also_cooling:
        brief = named or now + timedelta(seconds=ladders.overloaded)
        return own._replace(window=Window(failure, now, brief, named is not None))
    idle = own.anchor is None or now - own.anchor > IDLE
    failures = 1 if idle else own.failures + 1
    if named is not None and failure not in _REFUSED:
        window = Window(failure, now, named, named=True)
    else:
        steps = _steps(failure, ladders)
        ends = None if steps is None else now + timedelta(seconds=steps[min(failures, len(steps)) - 1])
        window = Window(failure, now, ends)
    return Streak(failures, _anchor(window, now), window)


def _steps(failure: FailureClass, ladders: Ladders) -> Steps | None:
    if failure in _REFUSED:
        return ladders.refused
    if failure is FailureClass.BILLING:
        return ladders.billing
    if failure is FailureClass.RATE_LIMIT and ladders.rate_limit is not None:
        return ladders.rate_limit
    return ladders.cooldown


def _gives_way(window: Window | None, named: datetime) -> bool:
    """Whether an open window's end is replaced by one that the server names."""
    return window is None or not window.named or (window.ends is not None and named > window.ends)


def _moved(own: Streak, failure: FailureClass, named: datetime, now: datetime) -> Streak:
    """The same failures, with the window that the server names."""
    held = own.open_window(now)
    # The beginning moves too: a window is never longer than the server's word, which counts from now.
    window = Window(failure if held is None else held.reason, now, named, named=True)
    return own._replace(
        window=window, anchor=None if own.anchor is None else _anchor(window, min(own.anchor, now))
    )


def _anchor(window: Window, counted: datetime) -> datetime:
    """From when idleness is measured: the last counted failure, or the end of a window of a day or more."""
    if window.ends is not None and window.ends - window.began >= IDLE:
        return window.ends
    return counted


def _with_streak(health: Health, scope: Scope, model: str | None, streak: Streak, now: datetime) -> Health:
    match scope:
        case "refused":
            return health._replace(refused=streak)
        case "billing":
            return health._replace(billing=streak)
        case "cooldown":
            return health._replace(cooldown=streak)
        case "model":
            return health._replace(models=_with_model(health.models, model or "", streak, now))


def _with_model(
    models: tuple[tuple[str, Streak], ...], model: str, streak: Streak, now: datetime
) -> tuple[tuple[str, Streak], ...]:
    """The models with one of them replaced; those that are over and idle go, and the oldest of too many."""
    others = [(name, known) for name, known in models if name != model and not _is_forgotten(known, now)]
    others.sort(key=lambda pair: pair[1].window.began if pair[1].window is not None else now, reverse=True)
    return tuple(sorted([(model, streak), *others[: MOST_MODELS - 1]], key=lambda pair: pair[0]))


def _is_forgotten(streak: Streak, now: datetime) -> bool:
    return streak.open_window(now) is None and (streak.anchor is None or now - streak.anchor > IDLE)


def rebased(health: Health, *, now: datetime) -> Health:
    """The same health with nothing of it in the future; the same value if the clock was not set back.

    Args:
        health: what is known of a profile.
        now: the wall clock, aware UTC.
    """
    at = health.last_failure_at
    rebuilt = health._replace(
        cooldown=_rebased(health.cooldown, now),
        billing=_rebased(health.billing, now),
        refused=_rebased(health.refused, now),
        models=tuple((name, _rebased(streak, now)) for name, streak in health.models),
        last_failure_at=None if at is None else min(at, now),
    )
    return health if rebuilt == health else rebuilt


def _rebased(streak: Streak, now: datetime) -> Streak:
    window, anchor = streak.window, streak.anchor
    if window is None or window.began <= now:
        latest = now if window is None or window.ends is None else max(now, window.ends)
        return streak if anchor is None or anchor <= latest else streak._replace(anchor=latest)
    counted = None if anchor is None else min(anchor, now)
    if window.ends is None:
        return streak._replace(anchor=counted, window=window._replace(began=now))
    length = window.ends - window.began
    if window.began - now > length:
        return streak._replace(anchor=counted, window=None)
    moved = window._replace(began=now, ends=now + length)
    return Streak(streak.failures, None if counted is None else _anchor(moved, counted), moved)
