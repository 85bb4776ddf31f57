"""What is told of a keeper: to subscribers as events, and to the line of those who may answer.

Rule: an event says what happened to which generation, and why; never a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from tokenward.core.lifecycle import Effect
from tokenward.daemon.event_hub import EventHub, EventType, Trouble

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper

APPEARED: EventType = "appeared"
_EVENT_TYPES: Mapping[Effect, EventType] = MappingProxyType(
    {
        Effect.PUBLISH: "rotated",
        Effect.ANNOUNCE_FAILING: "refresh_failed",
        Effect.ANNOUNCE_LOGIN_REQUIRED: "login_required",
        Effect.ANNOUNCE_UNSAVED: "unsaved",
        Effect.ANNOUNCE_SAVED: "saved",
        Effect.ANNOUNCE_LOGGED_OUT: "logged_out",
        Effect.ANNOUNCE_FORGOTTEN: "forgotten",
    }
)


class Heard(Protocol):
    """Told of every change of what a keeper holds or of whether it rests; must not block."""

    def __call__(self, keeper: Keeper, /, *, by_refresh: bool) -> None:
        """Take note.

        Args:
            keeper: whose.
            by_refresh: whether a flight of ours brought the value.
        """


def unheard(_keeper: Keeper, /, *, by_refresh: bool) -> None:
    """Nobody listens yet."""


def announce(keeper: Keeper, effect: Effect, hub: EventHub, *, as_type: EventType | None = None) -> None:
    """Tell subscribers what became of a keeper.

    Args:
        keeper: whose state is told, as it is now.
        effect: what is announced.
        hub: tells subscribers.
        as_type: the event's name, where it is not the effect's own.
    """
    credential = keeper.credential
    failure = keeper.attempts.failure
    hub.announce(
        as_type or _EVENT_TYPES[effect],
        profile=keeper.profile.key,
        generation=credential.generation if credential is not None else None,
        detail=failure.reason if failure is not None else "",
        trouble=Trouble(failure.cause, failure.count, keeper.retry_in()) if failure is not None else None,
    )
