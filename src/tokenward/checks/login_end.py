"""When a login is near the end that no refresh moves, and how that is said."""

from __future__ import annotations

NEAR_SECONDS = 3 * 86_400.0
"""Claude Code too warns three days before."""
ENDING = "no refresh moves that end: after it, nothing is served until a person has logged in"


def ends_in(seconds: float) -> str:
    """The end, in words.

    Args:
        seconds: how far it is; negative = over.
    """
    if seconds <= 0:
        return "has ended"
    days, hours = divmod(int(seconds) // 3600, 24)
    if days:
        return f"ends in {days} d {hours} h"
    return f"ends in {hours} h" if hours else "ends within the hour"
