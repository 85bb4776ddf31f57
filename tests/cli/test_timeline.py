"""A day in one line: the right letter in the right cell, the worst of each, and words for all of it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tokenward.cli.timeline import LEGEND, SPANS, STYLES, Day, Moment, axis, letter, line, told

NOW = 86_400_000


def moment(type_: str, ago: float = 0, **members: Any) -> Moment:
    """One that was so many seconds ago."""
    at = int(NOW - ago * 1000)
    shown = {
        "type": type_,
        "profile": "a:b",
        "generation": None,
        "at_ms": at,
        "until_ms": at,
        "count": 1,
        "pid": None,
        "detail": "",
        **members,
    }
    return cast("Moment", shown)


def drawn(*moments: Moment, span: int = 100, cells: int = 10) -> str:
    """The line of these."""
    return line(moments, now_ms=NOW, span=span, cells=cells)


def test_a_moment_is_in_the_cell_of_its_time() -> None:
    """The oldest at the left, now at the right, and what is older than the line not at all."""
    assert drawn() == ".........."
    assert drawn(moment("rotated", 100)) == "R........."
    assert drawn(moment("rotated", 55)) == "....R....."
    assert drawn(moment("rotated")) == ".........R"
    assert drawn(moment("rotated", 101)) == ".........."


def test_a_cell_shows_its_worst() -> None:
    """In whatever order they came."""
    best_first = [moment(kind) for kind in ("asked", "rotated", "cooling", "refresh_failed", "login_required")]
    for count, mark in enumerate("oRCF!", 1):
        assert drawn(*best_first[:count])[-1] == mark
        assert drawn(*reversed(best_first[:count]))[-1] == mark


def test_what_repeats_fills_the_time_it_took() -> None:
    """From the first to the last of it."""
    assert drawn(moment("asked", 45, until_ms=NOW - 15_000)) == ".....oooo."


@pytest.mark.parametrize(("detail", "mark"), [("ok", "o"), ("rate_limit, told to rotate", "X")])
def test_a_report_is_a_use_or_a_failure(detail: str, mark: str) -> None:
    """What a caller said decides."""
    assert letter(moment("reported", detail=detail)) == mark


def test_every_letter_is_explained_and_has_a_style() -> None:
    """What can be drawn stands in the legend."""
    kinds = ("rotated", "refresh_failed", "login_required", "cooling", "asked", "reported")
    marks = {letter(moment(kind)) for kind in kinds}
    assert marks == {word[0] for word in LEGEND.split("  ")}
    assert marks < set(STYLES)
    assert letter(moment("reloaded")) is None


@pytest.mark.parametrize("cells", [1, 5, 12, 40])
def test_an_axis_is_as_long_as_its_line(cells: int) -> None:
    """Whatever room there is."""
    for span in SPANS:
        assert len(axis(span, cells)) == cells
    assert axis(86_400, 40) == "-1d               -12h               now"


def test_moments_are_told_with_who_and_how_often() -> None:
    """The newest first; control characters gone."""
    lines = told(
        [moment("rotated", 9, detail="by hand\x1b[2J"), moment("asked", detail="token.get", count=3, pid=7)],
        lambda pid: f"process {pid}",
    )
    assert [words.partition("  ")[2] for words in lines] == [
        "asked  token.get  3 times  by process 7",
        "rotated  by hand [2J",
    ]


def test_a_day_is_put_together_from_its_pages() -> None:
    """Older pages until there are none; then only what is new, and a moment that went on is one moment."""
    old, mid, new = moment("rotated", 300), moment("asked", 200), moment("asked", 100)
    went_on = {**new, "count": 5, "until_ms": NOW}
    pages = [
        {"moments": [new], "earlier": True},
        {"moments": [mid, new], "earlier": True},
        {"moments": [old, mid], "earlier": False},
        {"moments": [went_on], "earlier": False},
    ]
    asked: list[dict[str, Any]] = []

    def call(method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert method == "events.history"
        asked.append(params)
        return pages.pop(0)

    day = Day(call)
    assert day.heard(NOW) == [old, mid, new]
    assert asked == [{}, {"before": new["at_ms"]}, {"before": mid["at_ms"]}]
    assert day.heard(NOW) == [old, mid, went_on]
    assert asked[3] == {"since": new["until_ms"] - 120_000}


def test_a_page_that_leads_nowhere_ends_the_search() -> None:
    """A daemon that always says there is more is not asked for ever."""
    same = moment("rotated")
    assert Day(lambda *_: {"moments": [same], "earlier": True}).heard(NOW) == [same]


def test_what_is_older_than_a_day_is_forgotten() -> None:
    """However long one looks."""
    pages = [{"moments": [moment("rotated", 10)], "earlier": False}, {"moments": [], "earlier": False}]
    day = Day(lambda *_: pages.pop(0))
    assert len(day.heard(NOW)) == 1
    assert day.heard(NOW + SPANS[0] * 1000) == []
