"""How a flight ends, as values: what a refresh, a mint or a delegated refresh comes back with.

The problem: several kinds of flight (``transaction``, ``minting``, ``refresher``) end in one machine, so they need
the same words for a new value, for one that is not saved yet, and for none.

Rules:
- A result that is no success says in one line for people why, without a secret.
- ``SaveFailed`` carries the new value: until it is written, that result is the only one that knows it.
"""

from __future__ import annotations

from enum import StrEnum, auto
from typing import TYPE_CHECKING, NamedTuple

from tokenward.core.credential import Credential

if TYPE_CHECKING:
    from tokenward.core.grants import Unavailable


class Cause(StrEnum):
    """Why a flight ended without a new value."""

    LOCKED = auto()
    SOURCE_GONE = auto()
    SOURCE_UNREADABLE = auto()
    UNWRITABLE = auto()
    SPENT_ELSEWHERE = auto()
    NOT_SENT = auto()
    AMBIGUOUS = auto()
    UNAVAILABLE = auto()
    RATE_LIMITED = auto()
    MISCONFIGURED = auto()
    NOT_DELEGATED = auto()
    NO_IDENTITY = auto()
    NO_LONGER_LIFE = auto()


class Refreshed(NamedTuple):
    """A new value, durable in its place.

    Args:
        credential: the new value.
        locks_lost: whether a foreign lock was taken from us meanwhile; the compare-and-swap decided then.
    """

    credential: Credential
    locks_lost: bool = False


class Adopted(NamedTuple):
    """The place holds a newer value; nothing was spent, or ours lies sealed in the family file."""

    credential: Credential


class SaveFailed(NamedTuple):
    """A new value that its place does not hold yet.

    Args:
        credential: the new value.
        sent: the generation it replaces.
        family: the family file that holds it sealed.
        sealed: whether it does.
        reason: one line for people.
    """

    credential: Credential
    sent: str
    family: str
    sealed: bool
    reason: str


class Rejected(NamedTuple):
    """The refresh token of the generation ``sent`` is dead.

    Args:
        sent: the generation that was sent.
        reason: what the server said.
    """

    sent: str
    reason: str


class Failed(NamedTuple):
    """No new value; trying again may help.

    Args:
        cause: the class of it.
        reason: one line for people.
        retry_after: seconds before which trying again is of no use, None if nothing says so.
    """

    cause: Cause
    reason: str
    retry_after: float | None = None


FlightResult = Refreshed | Adopted | SaveFailed | Rejected | Failed


def cause_of(answered: Unavailable) -> Cause:
    """Why an answer brought nothing."""
    if answered.configuration:
        return Cause.MISCONFIGURED
    return Cause.RATE_LIMITED if answered.limited else Cause.UNAVAILABLE
