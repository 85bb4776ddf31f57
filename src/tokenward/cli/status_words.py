"""What a status says of a profile, in words: for the table, the columns, the one-liners and the timeline.

Rules: nothing here reads a daemon or draws. A length of time is counted from now, a moment that has passed is said
as such, and what is not known is ``-``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tokenward.cli import output
from tokenward.client import Health, Profile

OK = "ok"
"""The health of a profile that needs no attention."""
DISABLED = "disabled"
COOLING = "cooling"
LOGIN_END_SOON = 14 * 86_400.0
"""Seconds before the end of a login in which it is worth a line."""
_UNKNOWN_GRANT = 3600.0
"""Seconds that a full bar means where nobody knows for how long the token was granted."""
_LOCKED = "locked"
_LOGIN_OVER = "invalid_grant"
_REFRESH_FAILING = "refresh_failing"

Quotas: TypeAlias = Mapping[tuple[str, str], Mapping[str, Any]]
"""The rate limits of ``usage.get``, by agent and profile."""


def name(profile: Profile) -> str:
    """The profile's id; where it is not main's, with its agent in front."""
    return profile["profile"] if profile["agent"] == "main" else f"{profile['agent']}/{profile['profile']}"


def health(profile: Profile) -> tuple[str, str]:
    """Whether a profile can serve, in one word, and the reason if it cannot or not well."""
    failure = profile["last_failure"]
    if not profile["enabled"]:
        reason = profile["unusable"] or ""
        return DISABLED, "" if reason == DISABLED else reason
    if profile["unusable"]:
        return "unusable", profile["unusable"]
    if profile["insufficient_access"]:
        return "insufficient API access", ""  # the note says why
    if profile["degraded"] == COOLING:
        return COOLING, "; ".join(map(window, profile["cooling"]))
    if profile["degraded"]:
        return "degraded", profile["degraded"] + (f" ({failure['reason']})" if failure else "")
    return OK, "; ".join(map(window, profile["cooling"]))


def window(health: Health) -> str:
    """Why and how long a profile, or a model of it, rests, in words."""
    whose = "" if health["model"] is None else f" of {health['model']}"
    until = health["until_ms"]
    left = "for good" if until is None else f"for {output.duration(until / 1000 - time.time())}"
    return f"{health['reason']}{whose}, {left}"


def valid_for(profile: Profile) -> str:
    """How long the token is good for, in words; ``-`` where it has no end, or none that is known."""
    return output.duration(profile["valid_for"])


def life_left(profile: Profile) -> float | None:
    """The part of the token's life that is left, 1.0 = all; None where it has no end, or none that is known."""
    left = profile["valid_for"]
    if left is None:
        return None
    return min(1.0, max(0.0, left / (profile.get("granted_life") or _UNKNOWN_GRANT)))


def next_refresh(profile: Profile) -> str:
    """When the next refresh is due, from now; ``-`` where none is planned."""
    at_ms = profile["next_refresh_at_ms"]
    return "-" if at_ms is None else output.duration(at_ms / 1000 - time.time())


def last_refresh(profile: Profile) -> str:
    """How long ago the last refresh worked; ``-`` where none did since the daemon started."""
    at_ms = profile["last_refresh_at_ms"]
    return "-" if at_ms is None else output.duration(time.time() - at_ms / 1000)


def login_end(profile: Profile) -> str:
    """When the login itself ends, from now; ``-`` where nothing says so."""
    at_ms = profile["login_ends_at_ms"]
    return "-" if at_ms is None else output.duration(at_ms / 1000 - time.time())


def used(quotas: Quotas, profile: Profile, quota: str) -> float | None:
    """The part of a quota that is used up, 1.0 = all; None where nobody reported it.

    Args:
        quotas: what was reported.
        profile: whose.
        quota: ``five_hours`` or ``seven_days``.
    """
    limits = quotas.get((profile["agent"], profile["profile"]))
    utilization: float | None = None if limits is None else limits[quota]["utilization"]
    return utilization


def remarks(profile: Profile) -> Iterator[str]:
    """What needs attention, a line each: why it is not well, the last failure, the lock, the end of the login."""
    word, why = health(profile)
    if word == OK and why:
        yield f"{OK}, but {why}"
    elif why and profile["degraded"] != _REFRESH_FAILING:  # the last failure says it better
        yield why
    if waits_for := profile.get("waits_for"):
        yield f"waits for a lock now: {waits_for}"
    if profile["note"]:
        yield profile["note"]
    if profile["last_failure"] is not None:
        yield _attempts(profile)
    ends = profile["login_ends_at_ms"]
    if ends is not None and (left := ends / 1000 - time.time()) < LOGIN_END_SOON:
        yield (
            f"the login ends in {output.duration(left)}; log in again before"
            if left > 0
            else "the login has ended"
        )


def _attempts(profile: Profile) -> str:
    failure = profile["last_failure"]
    assert failure is not None  # noqa: S101 - the caller has looked
    ago = output.duration(time.time() - failure["at_ms"] / 1000)
    times = "" if failure["failures"] < 2 else f", {failure['failures']} times in a row"
    then = "no attempt is planned"
    if profile["next_refresh_at_ms"] is not None:
        then = f"next attempt in {next_refresh(profile)}"
    elif failure["failure"] == _LOGIN_OVER:
        then = f"log in again: tokenward login {profile['provider']}"
    if failure["failure"] == _LOCKED:
        return f"waits for a lock, {ago} ago{times}: {failure['reason']}; {then}"
    return f"refresh failed {ago} ago{times} ({failure['failure']}): {failure['reason']}; {then}"
