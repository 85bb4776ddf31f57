"""The last hours of a profile in one line, and its moments in words.

Rules: times are given, and no clock is read. A letter says what happened in its cell, and the worst of a cell is
shown: a colour is never needed to read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

from tokenward.cli.output import clean, duration

_MAY_REPEAT_MS = 120_000
"""How far back a moment may still have become another: repeats within a minute are one."""
SPANS = (24 * 3600, 6 * 3600, 3600, 600)
"""Seconds that a line may show."""


class Moment(TypedDict):
    """One moment of `events.history`."""

    type: str
    profile: str | None
    generation: str | None
    at_ms: int
    until_ms: int
    count: int
    pid: int | None
    detail: str


class Day:
    """The last day as far as it was heard; pages are put together, and what repeats is heard anew.

    Args:
        call: calls a method of the daemon.
    """

    def __init__(self, call: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        self._call = call
        self._known: dict[tuple[object, ...], Moment] = {}

    def heard(self, now_ms: int) -> list[Moment]:
        """Ask for what is new, and tell all of it, the oldest first.

        Args:
            now_ms: Unix milliseconds.
        """
        newest = max((moment["until_ms"] for moment in self._known.values()), default=None)
        asked: dict[str, Any] = {} if newest is None else {"since": newest - _MAY_REPEAT_MS}
        fresh: dict[tuple[object, ...], Moment] = {}
        while True:
            answer = self._call("events.history", asked)
            page = {_identity(moment): moment for moment in answer["moments"]}
            if not answer["earlier"] or page.keys() <= fresh.keys():
                break
            fresh |= page
            asked = {**asked, "before": answer["moments"][0]["at_ms"]}
        begin = now_ms - SPANS[0] * 1000
        known = {**self._known, **fresh, **page}
        self._known = {key: moment for key, moment in known.items() if moment["until_ms"] >= begin}
        return sorted(self._known.values(), key=lambda moment: moment["at_ms"])


def _identity(moment: Moment) -> tuple[object, ...]:
    return (
        moment["type"],
        moment["profile"],
        moment["generation"],
        moment["detail"],
        moment["pid"],
        moment["at_ms"],
    )


NOTHING = "."
LEGEND = "R new value  F refresh failed  ! needs you  C cooling  X failure reported  o used"
_LETTERS = {
    "login_required": "!",
    "logged_out": "!",
    "unsaved": "!",
    "refresh_failed": "F",
    "sink_failed": "F",
    "rotated": "R",
    "appeared": "R",
    "cooling": "C",
    "usage_warning": "C",
}
_WORST_FIRST = "!FXCRo"
STYLES = {
    "!": "bold red",
    "F": "red",
    "X": "yellow",
    "C": "yellow",
    "R": "bold green",
    "o": "cyan",
    NOTHING: "dim",
}
"""What each letter may be repeated by."""


def letter(moment: Moment) -> str | None:
    """What a moment is shown as; None if it says nothing of how a profile fares."""
    if moment["type"] == "asked":
        return "o"
    if moment["type"] == "reported":
        return "o" if moment["detail"] == "ok" else "X"
    return _LETTERS.get(moment["type"])


def line(moments: Iterable[Moment], *, now_ms: int, span: int, cells: int) -> str:
    """One letter a cell, the oldest first.

    Args:
        moments: of one profile.
        now_ms: the right end, in Unix milliseconds.
        span: seconds from one end to the other.
        cells: how many.
    """
    shown = [NOTHING] * cells
    begin = now_ms - span * 1000
    for moment in moments:
        if (mark := letter(moment)) is None or moment["until_ms"] < begin:
            continue
        first, last = (
            min(cells - 1, max(0, (at - begin) * cells // (span * 1000)))
            for at in (moment["at_ms"], moment["until_ms"])
        )
        for cell in range(first, last + 1):
            if shown[cell] == NOTHING or _WORST_FIRST.index(mark) < _WORST_FIRST.index(shown[cell]):
                shown[cell] = mark
    return "".join(shown)


def axis(span: int, cells: int) -> str:
    """What stands above a line: how long ago its left end is, its middle, and now."""
    left, middle, right = f"-{duration(span)}", f"-{duration(span / 2)}", "now"
    if cells < len(left) + len(middle) + len(right) + 2:
        return left.ljust(cells)[:cells]
    before = max(len(left) + 1, cells // 2 - len(middle) // 2)
    return (left.ljust(before) + middle).ljust(cells - len(right)) + right


def told(moments: Sequence[Moment], process: Callable[[int], str]) -> list[str]:
    """Moments in words, the newest first.

    Args:
        moments: of one profile, the oldest first.
        process: what a process is called, in words.
    """
    return [_words(moment, process) for moment in reversed(moments)]


def _words(moment: Moment, process: Callable[[int], str]) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(moment["at_ms"] / 1000))
    times = "" if moment["count"] == 1 else f"{moment['count']} times"
    who = "" if moment["pid"] is None else f"by {process(moment['pid'])}"
    words = (at, moment["type"].replace("_", " "), moment["detail"], times, who)
    return clean("  ".join(filter(None, words)))
