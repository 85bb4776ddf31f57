"""How much of a provider's limits is used up, from the headers of its answers.

The problem: each answer tells a part, in texts that a proxy may have mangled, of windows that end by themselves.
People want to know what is left now, and to be told once, before it is nothing.

Rules:
- A header that makes no sense counts as absent. Nothing here raises, whatever the headers or the file hold.
- What was said of a window that has ended says nothing any more: it is unknown, not zero. A window whose end was
  not told, or is past already, is taken to last a minute, or as long as its name says.
- A reset of a minute's allowance moves with each answer (it says when the allowance is whole again), so a warning
  is silent until the end that was told when it was given, however often the number crosses the line before.
- ``request_count`` counts the answers whose headers were reported, since the first of them, restarts included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from tokenward.core.grants import parse_retry_after
from tokenward.core.limit_headers import PREFIX, REJECTED, UNIFIED, parse_rfc3339, parse_unix_seconds, readable

LOW_REQUESTS = 5
"""As many remaining requests, or fewer, are a warning."""
LOW_TOKENS_DIVISOR = 10
"""Less than this part of the tokens is a warning."""
MINUTE = timedelta(minutes=1)
FIVE_HOURS = timedelta(hours=5)
SEVEN_DAYS = timedelta(days=7)
LONGEST_WINDOW = timedelta(days=8)
"""No window is longer than a week; a reset further ahead is a mistake."""
TOO_MANY_REQUESTS = 429

LARGEST_COUNT = 2**53 - 1
"""What every JSON reader can count to."""
LARGEST_UTILIZATION = 10.0
LARGEST_PERCENTAGE = 100.0
_ALLOWED = "allowed"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be used in a short window.

    Args:
        limit: how much there is in a whole window.
        remaining: how much of it is left.
        resets_at: when it is whole again.
        seen_at: when this was told.
    """

    limit: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None
    seen_at: datetime | None = None

    def at(self, now: datetime) -> Allowance:
        """What of it is still true."""
        return self if _lasts(self.resets_at, self.seen_at, MINUTE, now) else Allowance(limit=self.limit)

    @property
    def is_told(self) -> bool:
        """Whether anything was said of it."""
        return self.seen_at is not None

    @property
    def percent_used(self) -> float | None:
        """How much of it is used up, 0 to 100; None = unknown."""
        if not self.limit or self.remaining is None:
            return None
        return round(max(0.0, 100.0 * (self.limit - self.remaining) / self.limit), 1)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a subscription may use in a long window.

    Args:
        utilization: the part that is used up, 1.0 = all.
        status: the provider's word, ``allowed``, ``allowed_warning`` or ``rejected``.
        resets_at: when the window ends.
        seen_at: when this was told.
        length: of the window.
    """

    length: timedelta
    utilization: float | None = None
    status: str | None = None
    resets_at: datetime | None = None
    seen_at: datetime | None = None

    def at(self, now: datetime) -> Quota:
        """What of it is still true."""
        return self if _lasts(self.resets_at, self.seen_at, self.length, now) else Quota(self.length)


def _lasts(resets_at: datetime | None, seen_at: datetime | None, length: timedelta, now: datetime) -> bool:
    return seen_at is not None and (resets_at or seen_at + length) > now


@dataclass(frozen=True, slots=True)
class Usage:
    """What is known of one profile's limits.

    Args:
        requests: in a minute.
        tokens: in a minute.
        five_hours: of a subscription.
        seven_days: of a subscription.
        fallback_percentage: the provider's figure for when it falls back to a smaller model.
        overage_status: whether more may be used, at a price: ``allowed`` or ``rejected``.
        limited_until: no request before, by the ``Retry-After`` of a 429.
        request_count: answers that were reported.
        counted_since: since when.
        reported_at: the last of them.
        requests_warned_until: no further warning of the requests before.
        tokens_warned_until: no further warning of the tokens before.
    """

    requests: Allowance = Allowance()
    tokens: Allowance = Allowance()
    five_hours: Quota = Quota(FIVE_HOURS)
    seven_days: Quota = Quota(SEVEN_DAYS)
    fallback_percentage: float | None = None
    overage_status: str | None = None
    limited_until: datetime | None = None
    request_count: int = 0
    counted_since: datetime | None = None
    reported_at: datetime | None = None
    requests_warned_until: datetime | None = None
    tokens_warned_until: datetime | None = None

    def at(self, now: datetime) -> Usage:
        """What of it is still true."""
        return replace(
            self,
            requests=self.requests.at(now),
            tokens=self.tokens.at(now),
            five_hours=self.five_hours.at(now),
            seven_days=self.seven_days.at(now),
            limited_until=_if_ahead(self.limited_until, now),
        )


class Low(StrEnum):
    """What runs out."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class UsageWarning:
    """Something that runs out.

    Args:
        what: that.
        allowance: how much of it is left.
    """

    what: Low
    allowance: Allowance


# Reading


def parse(headers: Mapping[str, object], *, now: datetime, status: int | None = None) -> Usage:
    """What one answer tells.

    Args:
        headers: the answer's, names in any case.
        now: the wall clock, aware UTC.
        status: the answer's HTTP status; None if nobody said it. ``Retry-After`` tells of a limit with 429 only.
    """
    told = readable(headers)
    limited_until = None
    if status in {None, TOO_MANY_REQUESTS}:
        seconds = _retry_after(told.get("retry-after"), now)
        limited_until = None if not seconds else now + min(timedelta(seconds=seconds), LONGEST_WINDOW)
    return Usage(
        requests=_allowance(told, PREFIX + "requests-", now),
        tokens=_allowance(told, PREFIX + "tokens-", now),
        five_hours=_quota(told, UNIFIED + "-5h-", FIVE_HOURS, now),
        seven_days=_quota(told, UNIFIED + "-7d-", SEVEN_DAYS, now),
        fallback_percentage=_number(told.get(UNIFIED + "-fallback-percentage"), LARGEST_PERCENTAGE),
        overage_status=word(told.get(UNIFIED + "-overage-status")),
        limited_until=limited_until,
        request_count=1,
        counted_since=now,
        reported_at=now,
    )


def _allowance(told: Mapping[str, str], prefix: str, now: datetime) -> Allowance:
    limit, remaining = _count(told.get(prefix + "limit")), _count(told.get(prefix + "remaining"))
    resets_at = _reset(told.get(prefix + "reset"), now)
    if limit is None and remaining is None and resets_at is None:
        return Allowance()
    return Allowance(limit, remaining, resets_at, now)


def _quota(told: Mapping[str, str], prefix: str, length: timedelta, now: datetime) -> Quota:
    utilization = _number(told.get(prefix + "utilization"), LARGEST_UTILIZATION)
    status, resets_at = word(told.get(prefix + "status")), _reset(told.get(prefix + "reset"), now)
    if utilization is None and status is None and resets_at is None:
        return Quota(length)
    return Quota(length, utilization, status, resets_at, now)


def _count(text: str | None) -> int | None:
    if text is None or re.fullmatch(r"[0-9]{1,16}", text) is None:
        return None
    return min(int(text), LARGEST_COUNT)


def _number(text: str | None, largest: float) -> float | None:
    if text is None or re.fullmatch(r"[0-9]{1,6}(\.[0-9]*)?(e-?[0-9]{1,3})?", text, re.IGNORECASE) is None:
        return None
    number = float(text)
    return number if number <= largest else None


def word(text: object) -> str | None:
    """A provider's word for a status, in lower case; None for anything else."""
    if not isinstance(text, str) or re.fullmatch(r"[A-Za-z][A-Za-z_]{0,31}", text) is None:
        return None
    return text.lower()


def _reset(text: str | None, now: datetime) -> datetime | None:
    """A moment that is ahead, written as RFC 3339 or in Unix seconds."""
    moment = parse_unix_seconds(text) or parse_rfc3339(text)
    return moment if moment is not None and now < moment <= now + LONGEST_WINDOW else None


def _retry_after(text: str | None, now: datetime) -> float | None:
    try:
        return parse_retry_after(text, now=now)
    except (ValueError, OverflowError, TypeError):
        return None


# Putting together


def merge(old: Usage, new: Usage) -> Usage:
    """What is known after one more answer.

    Args:
        old: what was known.
        new: what the answer told, from ``parse``.
    """
    now = new.reported_at
    if now is None:
        return old
    held = old.at(now)
    requests, tokens = _put_together(held.requests, new.requests), _put_together(held.tokens, new.tokens)
    ends = [moment for moment in (held.limited_until, new.limited_until) if moment is not None]
    return Usage(
        requests=requests,
        tokens=tokens,
        five_hours=_put_together_quota(held.five_hours, new.five_hours),
        seven_days=_put_together_quota(held.seven_days, new.seven_days),
        fallback_percentage=_first(new.fallback_percentage, old.fallback_percentage),
        overage_status=_first(new.overage_status, old.overage_status),
        limited_until=max(ends, default=None),
        request_count=min(old.request_count + new.request_count, LARGEST_COUNT),
        counted_since=_first(old.counted_since, new.counted_since),
        reported_at=now,
        requests_warned_until=_warned_until(
            old.requests_warned_until, requests, now, low=new.requests.is_told and _is_low_of_requests(requests)
        ),
        tokens_warned_until=_warned_until(
            old.tokens_warned_until, tokens, now, low=new.tokens.is_told and _is_low_of_tokens(tokens)
        ),
    )


def _put_together(old: Allowance, new: Allowance) -> Allowance:
    if not new.is_told:
        return old
    return Allowance(
        limit=_first(new.limit, old.limit),
        remaining=_first(new.remaining, old.remaining),
        resets_at=_first(new.resets_at, old.resets_at),
        seen_at=new.seen_at,
    )


def _put_together_quota(old: Quota, new: Quota) -> Quota:
    if new.seen_at is None:
        return old
    return Quota(
        length=new.length,
        utilization=_first(new.utilization, old.utilization),
        status=_first(new.status, old.status),
        resets_at=_first(new.resets_at, old.resets_at),
        seen_at=new.seen_at,
    )


def _first(one: T | None, other: T | None) -> T | None:
    return other if one is None else one


def _is_low_of_requests(requests: Allowance) -> bool:
    return requests.remaining is not None and requests.remaining <= LOW_REQUESTS


def _is_low_of_tokens(tokens: Allowance) -> bool:
    if tokens.remaining is None or tokens.limit is None:
        return False
    return tokens.remaining * LOW_TOKENS_DIVISOR < tokens.limit


def _warned_until(before: datetime | None, allowance: Allowance, now: datetime, *, low: bool) -> datetime | None:
    return (allowance.resets_at or now + MINUTE) if low and _if_ahead(before, now) is None else before


def _if_ahead(moment: datetime | None, now: datetime) -> datetime | None:
    return moment if moment is not None and moment > now else None


# What follows from it


def warnings(before: Usage, after: Usage) -> tuple[UsageWarning, ...]:
    """What a person should be told now, each once in a window.

    Args:
        before: what was known.
        after: ``before`` and one more answer, from ``merge``.
    """
    found = []
    if after.requests_warned_until != before.requests_warned_until:
        found.append(UsageWarning(Low.REQUESTS, after.requests))
    if after.tokens_warned_until != before.tokens_warned_until:
        found.append(UsageWarning(Low.TOKENS, after.tokens))
    return tuple(found)


def is_rate_limited(usage: Usage, *, now: datetime) -> bool:
    """Whether a request now would be refused, as far as is known."""
    held = usage.at(now)
    if held.limited_until is not None or 0 in {held.requests.remaining, held.tokens.remaining}:
        return True
    rejected = REJECTED in {held.five_hours.status, held.seven_days.status}
    return rejected and held.overage_status != _ALLOWED


def soonest_reset(usage: Usage, *, now: datetime) -> datetime | None:
    """When the first of the windows ends whose end was told."""
    held = usage.at(now)
    parts = (held.requests, held.tokens, held.five_hours, held.seven_days)
    ends = [held.limited_until, *(part.resets_at for part in parts)]
    return min((moment for moment in ends if moment is not None), default=None)
