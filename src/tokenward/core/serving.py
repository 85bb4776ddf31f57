"""What a caller who asks for a token gets: the token, a refresh first, or a refusal.

The problem: "give me a token" meets seven phases, a life that runs out, a caller who wants more of it than
there will ever be, and a caller who was just refused with the very token we hold. Decided in a dozen places,
each of these ends in a storm or in an expired token. So it is decided here, once, over values.

Rules (design I6, I7):
- An expired token is never served.
- A refresh is asked for only if it could help this caller: its wish is above what is left, and not above half
  the life that a refresh would give.
- While the token still lives, no failure is the caller's problem: it is served, marked ``degraded``.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import NamedTuple

from tokenward.core import protocol
from tokenward.core.freshness import wanted_life
from tokenward.core.lifecycle import Phase


class Wish(NamedTuple):
    """What the caller wants.

    Args:
        min_valid: seconds of life.
        excludes_held: whether the caller names the very generation we hold as the one that was refused.
        tried: whether a refresh was already made, or joined, for this call.
    """

    min_valid: float
    excludes_held: bool = False
    tried: bool = False


class Standing(NamedTuple):
    """How things stand.

    Args:
        phase: the keeper's phase.
        left: seconds of life of the token held; None if none is held.
        granted_life: seconds of life last granted, None if unknown.
        refreshable: whether a refresh could be made now by the means this profile has.
    """

    phase: Phase
    left: float | None
    granted_life: float | None
    refreshable: bool


class Refusal(Enum):
    """Why nothing is served."""

    NOTHING_HELD = auto()
    EXCLUDED = auto()
    EXPIRED = auto()
    REFRESH_FAILING = auto()
    LOGIN_REQUIRED = auto()


class Resting(StrEnum):
    """Why a profile is neither served nor refreshed though it may be usable, in words for people."""

    DISABLED = "disabled"
    SET_ASIDE = 'set aside for an API key (resolution = "config-first")'


class Serve(NamedTuple):
    """Serve what is held.

    Args:
        degraded: why it is less than what was asked for; None if it is not.
    """

    degraded: str | None


class Refresh(NamedTuple):
    """Start or join a flight, then decide again.

    Args:
        forced: whether a new flight draws from the bucket of forced refreshes (design I11).
    """

    forced: bool


Decision = Serve | Refresh | Refusal


_BLEMISH = {
    Phase.UNSAVED: protocol.DEGRADED_UNSAVED,
    Phase.LOGIN_REQUIRED: protocol.DEGRADED_REFRESH_FAILING,
}
"""Said even of a token that lives as long as was asked: it will have no successor, or lies nowhere safe."""


def decide(wish: Wish, standing: Standing) -> Decision:
    """Decide for one caller; ``wish.tried`` makes a second decision final."""
    if standing.left is None:
        return Refusal.LOGIN_REQUIRED if standing.phase is Phase.LOGIN_REQUIRED else Refusal.NOTHING_HELD
    if wish.excludes_held:
        return _instead_of_refused(wish, standing)
    if standing.left > 0 and standing.left >= wish.min_valid:
        return Serve(_BLEMISH.get(standing.phase))
    helps = standing.left < wanted_life(wish.min_valid, standing.granted_life) or standing.left <= 0
    if helps and not wish.tried and _may_start(standing):
        return Refresh(forced=False)
    if standing.left > 0:
        return Serve(_shortcoming(wish, standing))
    return _refusal(standing)


def _instead_of_refused(wish: Wish, standing: Standing) -> Decision:
    if wish.tried or standing.phase is Phase.LOGIN_REQUIRED:
        return _refusal(standing) if standing.phase is not Phase.READY else Refusal.EXCLUDED
    if not _may_start(standing):
        return _refusal(standing) if standing.phase is Phase.BACKOFF else Refusal.EXCLUDED
    return Refresh(forced=True)


def _may_start(standing: Standing) -> bool:
    return standing.refreshable and standing.phase in {Phase.READY, Phase.REFRESHING}


def _shortcoming(wish: Wish, standing: Standing) -> str:
    if standing.phase is Phase.UNSAVED:
        return protocol.DEGRADED_UNSAVED
    if standing.phase in {Phase.BACKOFF, Phase.LOGIN_REQUIRED}:
        return protocol.DEGRADED_REFRESH_FAILING
    if wish.tried and standing.phase is Phase.REFRESHING:
        return protocol.DEGRADED_REFRESH_FAILING
    return protocol.DEGRADED_SHORT


def _refusal(standing: Standing) -> Refusal:
    match standing.phase:
        case Phase.LOGIN_REQUIRED:
            return Refusal.LOGIN_REQUIRED
        case Phase.BACKOFF | Phase.REFRESHING | Phase.UNSAVED:
            return Refusal.REFRESH_FAILING
        case _:
            return Refusal.EXPIRED
