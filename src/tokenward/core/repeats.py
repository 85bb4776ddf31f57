"""Whether something that goes on and on is said again: at first, when it changes, and ever more seldom.

The problem: a refresh that fails through a night is tried some hundred times, and a log with a line for each try
hides everything else; one that says it once looks in the morning as if it had passed.

Rule: the first time and each change are said at once. The same again is said when ``FIRST_GAP_SECONDS`` have
passed since it was said, and each time twice as many, up to ``LONGEST_GAP_SECONDS``.
"""

from __future__ import annotations

from typing import NamedTuple

FIRST_GAP_SECONDS = 300.0
LONGEST_GAP_SECONDS = 6 * 3600.0
"""So that each working day has a line."""


class Said(NamedTuple):
    """What was said last of one thing.

    Args:
        what: what sets it apart from another that would be said at once.
        at: when, in seconds of a clock that runs on in suspend.
        gap: seconds in which the same is not said again.
        kept_back: how often it happened since without being said.
    """

    what: str
    at: float
    gap: float
    kept_back: int = 0


def heard(before: Said | None, what: str, *, now: float) -> tuple[bool, Said]:
    """It happened, or happened again.

    Args:
        before: what was said last; None = nothing yet.
        what: what happened, without what differs each time.
        now: seconds of the same clock.

    Returns:
        Whether it is to be said now, and what to remember. What was remembered before says how often it was kept
        back.
    """
    if before is None or before.what != what:
        return True, Said(what, now, FIRST_GAP_SECONDS)
    if now - before.at < before.gap:
        return False, Said(what, before.at, before.gap, before.kept_back + 1)
    return True, Said(what, now, min(2 * before.gap, LONGEST_GAP_SECONDS))
