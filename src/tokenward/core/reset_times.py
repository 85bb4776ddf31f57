"""When a server itself says that it will answer again.

The problem: a ladder of cooldowns is a guess, and the server often knows. But it says so in six ways that
contradict each other: the moment at which a bucket is full again is later than the one at which a request fits
into it, the end of a five-hour window is no end if the week is used up too, and ``Retry-After: 1`` beside an
empty wallet is not when money arrives.

Rules:
- Only what is used up counts: a unified window whose ``-status`` is ``rejected``, a bucket whose ``-remaining``
  is 0. Every answer carries the reset times of the others too.
- Of several that are used up the latest counts, since all of them must open.
- ``Retry-After`` goes before buckets ("fully replenished" is later than needed); beside a rejected unified window
  it is one more moment, and the later counts.
- A model's own window (``-7d_opus-status``) counts only if no window of the account is used up.
- What is past, negative, unreadable or more than a year away says nothing. What is left is cut to seven days,
  the longest window that a provider is known to have: a wrong header costs one request a week at worst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from tokenward.core.classify import FailureClass
from tokenward.core.grants import parse_retry_after
from tokenward.core.health import LONGEST_WAIT
from tokenward.core.limit_headers import (
    PREFIX,
    REJECTED,
    UNIFIED,
    parse_rfc3339,
    parse_unix_seconds,
    readable,
)

ABSURD_WAIT = timedelta(days=366)
"""What lies further away is not a moment but another unit or a mistake."""
BUCKETS = ("requests", "tokens", "input-tokens", "output-tokens")
REPRESENTATIVE_CLAIM = UNIFIED + "-representative-claim"
_MODEL_CLAIM = re.compile(r"(?:five_hour|seven_day)_(?:opus|sonnet|haiku)")
_WINDOW_STATUS = re.compile(re.escape(UNIFIED) + r"(?:-[0-9]+[a-z](?:_[a-z]+)?)?-status")
"""The overall verdict, those of the windows (``-5h``, ``-7d``) and of a model's window (``-7d_opus``)."""

_RETRY_AFTER_COUNTS = frozenset({FailureClass.RATE_LIMIT, FailureClass.OVERLOADED, FailureClass.SERVER})


def reset_at(headers: object, *, failure: FailureClass, now: datetime) -> datetime | None:
    """The moment from which the server will take requests again, in its own words.

    Args:
        headers: those of the refusing answer, names in any case.
        failure: its class. ``rate_limit`` heeds every header, ``overloaded`` and ``server`` only ``Retry-After``,
            ``billing`` only a rejected unified window (extra usage ends with it); the others have no such moment.
        now: the wall clock, aware UTC.

    Returns:
        A moment after ``now`` and at most seven days away; None = the server does not say.
    """
    said = readable(headers)
    after = _retry_after(said, now) if failure in _RETRY_AFTER_COUNTS else None
    unified = _rejected_windows(said, now) if failure in {FailureClass.RATE_LIMIT, FailureClass.BILLING} else []
    moments = [*unified, after] if after is not None else unified
    if not moments and failure is FailureClass.RATE_LIMIT:
        moments = _empty_buckets(said, now)
    return min(max(moments), now + LONGEST_WAIT) if moments else None


def is_account_wide(headers: object) -> bool:
    """Whether a limit is that of the whole account and not of the model that was asked for.

    A rejected unified window is the account's, unless the server names a model's own window as the cause.
    Without such headers limits are kept per model, as the provider documents.

    Args:
        headers: those of the refusing answer, names in any case.
    """
    said = readable(headers)
    if _MODEL_CLAIM.fullmatch(said.get(REPRESENTATIVE_CLAIM, "")):
        return False
    rejected = _rejected(said)
    windows = [name for name in rejected if name != UNIFIED]
    return bool(rejected) and (not windows or any(not _is_of_a_model(name) for name in windows))


def _retry_after(said: Mapping[str, str], now: datetime) -> datetime | None:
    seconds = parse_retry_after(said.get("retry-after"), now=now)
    if seconds is None or not 0 < seconds <= ABSURD_WAIT.total_seconds():
        return None
    return now + timedelta(seconds=seconds)


def _rejected(said: Mapping[str, str]) -> list[str]:
    """The names of the unified windows that are used up; ``UNIFIED`` itself stands for whichever binds."""
    verdicts = [name for name, value in said.items() if value == REJECTED and _WINDOW_STATUS.fullmatch(name)]
    return [name.removesuffix("-status") for name in verdicts]


def _is_of_a_model(window: str) -> bool:
    return "_" in window


def _rejected_windows(said: Mapping[str, str], now: datetime) -> list[datetime]:
    """The ends of the windows that are used up."""
    rejected = _rejected(said)
    binding = [name for name in rejected if not _is_of_a_model(name)] or rejected
    return _ahead([parse_unix_seconds(said.get(f"{name}-reset")) for name in binding], now)


def _empty_buckets(said: Mapping[str, str], now: datetime) -> list[datetime]:
    empty = [name for name in BUCKETS if re.fullmatch(r"0+", said.get(f"{PREFIX}{name}-remaining", ""))]
    return _ahead([parse_rfc3339(said.get(f"{PREFIX}{name}-reset")) for name in empty], now)


def _ahead(moments: list[datetime | None], now: datetime) -> list[datetime]:
    return [moment for moment in moments if moment is not None and timedelta() < moment - now <= ABSURD_WAIT]
