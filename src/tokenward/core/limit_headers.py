"""How the headers that tell of limits are written, whoever asks them.

The problem: moments come as Unix seconds and as RFC 3339, names in any case, and a proxy or a hostile reporter may
have put anything there. How much is left and when it is whole again must not be read by two rules.

Rule: what makes no sense is as good as absent; nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

LONGEST_VALUE = 64
"""Characters; every value that tells something is shorter."""
PREFIX = "anthropic-ratelimit-"
UNIFIED = PREFIX + "unified"
REJECTED = "rejected"
"""The status of a window that is used up."""


def readable(headers: object) -> dict[str, str]:
    """What can be read of the headers, names and values in lower case."""
    if not isinstance(headers, Mapping):
        return {}
    return {
        name.lower(): value.strip().lower()
        for name, value in headers.items()
        if isinstance(name, str) and isinstance(value, str) and len(value) <= LONGEST_VALUE
    }


def parse_unix_seconds(value: str | None) -> datetime | None:
    """Read a moment given in seconds since 1970; None = unreadable."""
    if value is None or not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", value):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def parse_rfc3339(value: str | None) -> datetime | None:
    """Read a moment in RFC 3339; None = unreadable, or without a zone."""
    if value is None or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}t[0-9]{2}:", value, re.IGNORECASE):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
