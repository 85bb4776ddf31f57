"""How usage is written down between two lives of the daemon.

Rule: a person may have edited the file, and another version may have written it: whatever makes no sense counts as
unknown, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from tokenward.core.credential import from_unix_milliseconds, to_unix_milliseconds
from tokenward.core.usage import (
    FIVE_HOURS,
    LARGEST_COUNT,
    LARGEST_PERCENTAGE,
    LARGEST_UTILIZATION,
    SEVEN_DAYS,
    Allowance,
    Quota,
    Usage,
    word,
)


def to_document(usage: Usage) -> dict[str, Any]:
    """What is kept of it, as JSON has it; moments are Unix milliseconds."""
    written = {field.name: _written(getattr(usage, field.name)) for field in fields(usage)}
    return {name: value for name, value in written.items() if value not in (None, {})}


def _written(value: object) -> Any:
    match value:
        case datetime():
            return to_unix_milliseconds(value)
        case Allowance():
            parts: dict[str, object] = {"limit": value.limit, "remaining": value.remaining}
        case Quota():
            parts = {"utilization": value.utilization, "status": value.status}
        case _:
            return value
    moments = {"resets_at": value.resets_at, "seen_at": value.seen_at}
    return {name: _written(part) for name, part in {**parts, **moments}.items() if part is not None}


def from_document(document: object) -> Usage:
    """Read it back; whatever makes no sense counts as unknown."""
    held = _members(document)
    return Usage(
        requests=_held_allowance(held.get("requests")),
        tokens=_held_allowance(held.get("tokens")),
        five_hours=_held_quota(held.get("five_hours"), FIVE_HOURS),
        seven_days=_held_quota(held.get("seven_days"), SEVEN_DAYS),
        fallback_percentage=_held_number(held.get("fallback_percentage"), LARGEST_PERCENTAGE),
        overage_status=word(held.get("overage_status")),
        limited_until=_held_moment(held.get("limited_until")),
        request_count=_held_count(held.get("request_count")) or 0,
        counted_since=_held_moment(held.get("counted_since")),
        reported_at=_held_moment(held.get("reported_at")),
        requests_warned_until=_held_moment(held.get("requests_warned_until")),
        tokens_warned_until=_held_moment(held.get("tokens_warned_until")),
    )


def _members(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _held_allowance(value: object) -> Allowance:
    held = _members(value)
    return Allowance(
        limit=_held_count(held.get("limit")),
        remaining=_held_count(held.get("remaining")),
        resets_at=_held_moment(held.get("resets_at")),
        seen_at=_held_moment(held.get("seen_at")),
    )


def _held_quota(value: object, length: timedelta) -> Quota:
    held = _members(value)
    return Quota(
        length=length,
        utilization=_held_number(held.get("utilization"), LARGEST_UTILIZATION),
        status=word(held.get("status")),
        resets_at=_held_moment(held.get("resets_at")),
        seen_at=_held_moment(held.get("seen_at")),
    )


def _held_count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST_COUNT else None


def _held_number(value: object, largest: float) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= largest else None


def _held_moment(value: object) -> datetime | None:
    milliseconds = _held_count(value)
    return None if milliseconds is None else from_unix_milliseconds(milliseconds)
