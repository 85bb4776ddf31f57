"""What callers report of limits, kept in the routing state, told to subscribers and shown.

The problem: only callers see the headers of the API's answers, and each of them sees a part; all of them want to
know what is left of a limit that they share.

Rules: usage belongs to a profile, whichever generation of its token was used. A report costs no disk: the routing
state is written later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from tokenward.core import usage as usages
from tokenward.core.credential import Profile, to_unix_milliseconds
from tokenward.core.usage import Allowance, Low, Quota, Usage, UsageWarning
from tokenward.core.usage_document import from_document, to_document
from tokenward.daemon.routing_state import Section
from tokenward.daemon.usage_models import (
    AllowanceResult,
    QuotaResult,
    RateLimitResult,
    UsageResult,
)

if TYPE_CHECKING:
    from tokenward.daemon.event_hub import EventType
    from tokenward.daemon.household import Household

WARNING: EventType = "usage_warning"


def take(household: Household, profile: Profile, headers: Mapping[str, str], *, status: int | None = None) -> None:
    """Learn from the headers of one answer, and warn of what runs out.

    Args:
        household: keeps the state, and tells subscribers.
        profile: whose token was used.
        headers: the answer's.
        status: its HTTP status; None if nobody said it.
    """
    before = of(household, profile)
    after = usages.merge(before, usages.parse(headers, now=household.around.clock.wall(), status=status))
    household.routing.put(Section.USAGE, profile.key, to_document(after))
    for warning in usages.warnings(before, after):
        household.hub.announce(WARNING, profile=profile.key, detail=_words(warning))


def of(household: Household, profile: Profile) -> Usage:
    """What is known of one profile."""
    return from_document(household.routing.section(Section.USAGE).get(profile.key))


def shown(household: Household, profile: Profile) -> UsageResult:
    """The usage of one profile, as callers see it."""
    now = household.around.clock.wall()
    held = of(household, profile).at(now)
    return UsageResult(
        profile=profile.id,
        agent=profile.agent,
        request_count=held.request_count,
        counted_since_ms=_ms(held.counted_since),
        reported_at_ms=_ms(held.reported_at),
        message_quota_percent=held.requests.percent_used,
        token_quota_percent=held.tokens.percent_used,
        is_rate_limited=usages.is_rate_limited(held, now=now),
        soonest_reset_ms=_ms(usages.soonest_reset(held, now=now)),
        rate_limit=RateLimitResult(
            requests=_allowance(held.requests),
            tokens=_allowance(held.tokens),
            five_hours=_quota(held.five_hours),
            seven_days=_quota(held.seven_days),
            fallback_percentage=held.fallback_percentage,
            overage_status=held.overage_status,
            limited_until_ms=_ms(held.limited_until),
        ),
    )


def _allowance(held: Allowance) -> AllowanceResult:
    return AllowanceResult(limit=held.limit, remaining=held.remaining, resets_at_ms=_ms(held.resets_at))


def _quota(held: Quota) -> QuotaResult:
    return QuotaResult(utilization=held.utilization, status=held.status, resets_at_ms=_ms(held.resets_at))


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_unix_milliseconds(moment)


def _words(warning: UsageWarning) -> str:
    left = warning.allowance
    what = "request" if warning.what is Low.REQUESTS and left.remaining == 1 else warning.what.value
    whole = "" if left.limit is None else f" of {left.limit}"
    until = "" if left.resets_at is None else f", until {left.resets_at:%H:%M:%S} UTC"
    return f"{left.remaining} {what}{whole} left{until}"
