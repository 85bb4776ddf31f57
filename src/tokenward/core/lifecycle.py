"""The refresh state machine: everything that decides what a keeper does next stands in one table.

The problem: a keeper is told things by five parties that do not know of each other (timers, callers, the
watcher, the flight, the user), late, twice and in any order. If each party acted, a token would be refreshed
twice or never. So each only reports an event, and this table says what follows.

Rules of this file:
- Everything that affects the phase is here; the keeper holds no flag that means the same.
- Reports of the world (``LOADED``, ``LOST``, ``DUE``) are legal in every phase, since they may be late or
  repeated. Results of a flight are legal only where a flight can be: elsewhere they are a defect, raise
  ``IllegalEvent`` and change nothing. (A result that speaks of a generation no longer held is dropped before
  it gets here, design I7; and ``FORGOTTEN`` waits for a flight's end.)
- Effects are asked for, never performed. Their order is the order in which they must be done: what was
  rotated is durable before ``PUBLISH`` is reached, because ``REFRESHED`` means "written and synced".
- Whether a refresh token may be spent at all is decided before ``DUE`` is sent: a credential that cannot be
  refreshed never becomes due.

``docs/lifecycle.md`` is generated from the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import NamedTuple


class Phase(StrEnum):
    """Where a keeper stands."""

    EMPTY = auto()
    """No credential is held; the place is watched."""
    READY = auto()
    """A credential is held; if it can be refreshed, a refresh is scheduled."""
    REFRESHING = auto()
    """A flight is under way."""
    BACKOFF = auto()
    """The last refresh failed in a way that may pass; a retry is scheduled."""
    UNSAVED = auto()
    """A new value is held and sealed in the family file, but its place could not be written yet."""
    LOGIN_REQUIRED = auto()
    """The refresh token held is dead; only new material helps."""
    GONE = auto()
    """Forgotten; nothing follows."""


class Event(StrEnum):
    """What a keeper is told."""

    LOADED = auto()
    """The place holds a value that replaces ours."""
    LOST = auto()
    """The owner logged out."""
    DUE = auto()
    """Time, a caller or a retry timer asks for a refresh (or, where one is unsaved, for the write)."""
    REFRESHED = auto()
    """The flight got a new value, and it is durable in its place."""
    FUTILE = auto()
    """As ``REFRESHED``, but the new value lives no longer than the old one: it must not be repeated at once."""
    ADOPTED = auto()
    """The flight found a newer value in the place and spent nothing."""
    FAILED = auto()
    """The flight ended without a new value; trying again may help."""
    REJECTED = auto()
    """The authorization server condemned the refresh token that we still hold, or the API a static credential."""
    SAVE_FAILED = auto()
    """The new value could not be written to its place; it is held and, if at all possible, sealed."""
    SAVED = auto()
    """What was unsaved is durable in its place now."""
    FORGOTTEN = auto()
    """The user deletes the profile."""


class Effect(StrEnum):
    """What the keeper must do."""

    CANCEL_ALARM = auto()
    SCHEDULE_REFRESH = auto()
    SCHEDULE_RETRY = auto()
    START_FLIGHT = auto()
    START_SAVE = auto()
    PUBLISH = auto()
    DROP = auto()
    ANNOUNCE_FAILING = auto()
    ANNOUNCE_LOGIN_REQUIRED = auto()
    ANNOUNCE_UNSAVED = auto()
    ANNOUNCE_SAVED = auto()
    ANNOUNCE_LOGGED_OUT = auto()
    ANNOUNCE_FORGOTTEN = auto()


class Step(NamedTuple):
    """What follows an event.

    Args:
        phase: the phase after it.
        effects: what to do, in this order.
    """

    phase: Phase
    effects: tuple[Effect, ...] = ()


class IllegalEvent(Exception):
    """An event that cannot happen in this phase: a defect of the caller, not of the world."""

    def __init__(self, phase: Phase, event: Event) -> None:
        super().__init__(f"{event} cannot happen in phase {phase}")
        self.phase = phase
        self.event = event


P, V, F = Phase, Event, Effect

_LOADED = Step(P.READY, (F.CANCEL_ALARM, F.PUBLISH, F.SCHEDULE_REFRESH))
_LOST = Step(P.EMPTY, (F.CANCEL_ALARM, F.DROP, F.ANNOUNCE_LOGGED_OUT))
_FORGOTTEN = Step(P.GONE, (F.CANCEL_ALARM, F.DROP, F.ANNOUNCE_FORGOTTEN))
_FLIGHT = Step(P.REFRESHING, (F.CANCEL_ALARM, F.START_FLIGHT))

TABLE: Mapping[Phase, Mapping[Event, Step]] = {
    P.EMPTY: {
        V.LOADED: _LOADED,
        V.LOST: Step(P.EMPTY),
        V.DUE: Step(P.EMPTY),
        V.FORGOTTEN: _FORGOTTEN,
    },
    P.READY: {
        V.LOADED: _LOADED,
        V.LOST: _LOST,
        V.DUE: _FLIGHT,
        V.REJECTED: Step(P.LOGIN_REQUIRED, (F.CANCEL_ALARM, F.ANNOUNCE_LOGIN_REQUIRED)),
        V.FORGOTTEN: _FORGOTTEN,
    },
    P.REFRESHING: {
        V.LOADED: Step(P.REFRESHING, (F.PUBLISH,)),
        V.LOST: Step(P.REFRESHING),
        V.DUE: Step(P.REFRESHING),
        V.REFRESHED: Step(P.READY, (F.PUBLISH, F.SCHEDULE_REFRESH)),
        V.FUTILE: Step(P.BACKOFF, (F.PUBLISH, F.SCHEDULE_RETRY, F.ANNOUNCE_FAILING)),
        V.ADOPTED: Step(P.READY, (F.PUBLISH, F.SCHEDULE_REFRESH)),
        V.FAILED: Step(P.BACKOFF, (F.SCHEDULE_RETRY, F.ANNOUNCE_FAILING)),
        V.REJECTED: Step(P.LOGIN_REQUIRED, (F.ANNOUNCE_LOGIN_REQUIRED,)),
        V.SAVE_FAILED: Step(P.UNSAVED, (F.PUBLISH, F.SCHEDULE_RETRY, F.ANNOUNCE_UNSAVED)),
    },
    P.BACKOFF: {
        V.LOADED: _LOADED,
        V.LOST: _LOST,
        V.DUE: _FLIGHT,
        V.FORGOTTEN: _FORGOTTEN,
    },
    P.UNSAVED: {
        V.LOADED: _LOADED,
        V.LOST: _LOST,
        V.DUE: Step(P.UNSAVED, (F.CANCEL_ALARM, F.START_SAVE)),
        V.SAVED: Step(P.READY, (F.SCHEDULE_REFRESH, F.ANNOUNCE_SAVED)),
        V.ADOPTED: _LOADED,
        V.SAVE_FAILED: Step(P.UNSAVED, (F.SCHEDULE_RETRY,)),
        V.FORGOTTEN: _FORGOTTEN,
    },
    P.LOGIN_REQUIRED: {
        V.LOADED: _LOADED,
        V.LOST: _LOST,
        V.DUE: Step(P.LOGIN_REQUIRED),
        V.FORGOTTEN: _FORGOTTEN,
    },
    P.GONE: {
        V.LOADED: Step(P.GONE),
        V.LOST: Step(P.GONE),
        V.DUE: Step(P.GONE),
        V.FORGOTTEN: Step(P.GONE),
    },
}


def step(phase: Phase, event: Event) -> Step:
    """Look up what follows.

    Raises:
        IllegalEvent: if the event cannot happen in this phase.
    """
    try:
        return TABLE[phase][event]
    except KeyError:
        raise IllegalEvent(phase, event) from None


def diagram() -> str:
    """The table as a Mermaid state diagram, for ``docs/lifecycle.md``."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.EMPTY}"]
    for phase, row in TABLE.items():
        for event, result in row.items():
            if result.phase is phase and not result.effects:
                continue
            effects = ", ".join(effect.replace("_", " ") for effect in result.effects)
            label = f"{event}: {effects}" if effects else str(event)
            lines.append(f"    {phase} --> {result.phase}: {label}")
    lines.append(f"    {Phase.GONE} --> [*]")
    return "\n".join(lines)
