"""What looking at a place can tell, and what it means for the credential we hold.

The problem: the file of another program is torn, blanked, locked, replaced or gone at any moment, and most of
these moments mean nothing. A daemon that takes each for a logout logs its user out (formats.md section 3, rows
2, 3, 16). So a look has one of four results, and only two of them are news.

Rules (design I5):
- ``Unreadable`` is never news. ``Blanked`` is news only if the owner says that the login is over. ``Absent`` is
  news only after it has lasted.
- A stub never replaces a credential, and a token without a refresh token never replaces one that has it, while
  that one still lives (``refreshToken: null`` in a source is a static token, design section 4.8).
- A value of another account than the one held was put there by a person: no refresh changes the account. Where
  one of the accounts is not known, nobody can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from tokenward.core.credential import Credential

GONE_AFTER_SECONDS = 60.0
"""An owner that rewrites its file removes and creates it within moments; a minute of absence is a logout."""


class Found(NamedTuple):
    """A usable credential."""

    credential: Credential


class Blanked(NamedTuple):
    """The place is whole and holds a stub instead of a credential.

    Args:
        login_ended: whether the owner's own data say that the login is over.
    """

    login_ended: bool


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing is there."""


class Unreadable(NamedTuple):
    """Something is there that cannot be read now.

    Args:
        reason: one line for ``status``, without a secret.
    """

    reason: str


Reading = Found | Blanked | Absent | Unreadable


class News(Enum):
    """What a reading means for the one who holds a credential."""

    NOTHING = auto()
    NEW_CREDENTIAL = auto()
    NEW_DETAILS = auto()
    """The value we hold, with another end, plan or scope beside it than we knew."""
    LOGGED_OUT = auto()


def news(reading: Reading, held: Credential | None, *, absent_since: datetime | None, now: datetime) -> News:
    """Judge a reading.

    Args:
        reading: what was seen.
        held: what we hold, None if nothing.
        absent_since: when the place was first seen without a file, None if it was there last time.
        now: the wall clock, aware UTC.
    """
    match reading:
        case Found(credential) if held is not None and credential.generation == held.generation:
            return News.NEW_DETAILS if _differs(credential, held) else News.NOTHING
        case Found(credential):
            return News.NEW_CREDENTIAL if _replaces(credential, held, now) else News.NOTHING
        case Blanked(login_ended=True):
            return News.LOGGED_OUT if held else News.NOTHING
        case Absent() if held and absent_since is not None:
            lasted = now - absent_since >= timedelta(seconds=GONE_AFTER_SECONDS)
            return News.LOGGED_OUT if lasted else News.NOTHING
        case _:
            return News.NOTHING


def _differs(found: Credential, held: Credential) -> bool:
    """Whether the place knows more of the same value; what only we know, the grant, does not count."""
    return (
        _apart(found.expires_at, held.expires_at)
        or _apart(found.login_ends_at, held.login_ends_at)
        or (found.scopes, found.subscription, found.tier) != (held.scopes, held.subscription, held.tier)
        or found.account not in {None, held.account}
    )


def _apart(one: datetime | None, other: datetime | None) -> bool:
    """Whether two moments differ by more than a file's rounding."""
    if one is None or other is None:
        return one is not other
    return abs(one - other) >= timedelta(seconds=1)


def _replaces(found: Credential, held: Credential | None, now: datetime) -> bool:
    if held is None:
        return True
    loses_refresh = held.refreshable and not found.refreshable
    held_is_over = held.expires_at is not None and held.expires_at <= now
    return not loses_refresh or held_is_over


def is_another_account(one: Credential | None, other: Credential) -> bool:
    """Whether two values are known to be of two accounts."""
    return one is not None and None not in {one.account, other.account} and one.account != other.account
