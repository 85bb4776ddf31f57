"""Columns are chosen by the width of the terminal, and no colour says anything alone."""

from __future__ import annotations

import io
import time
from typing import Any, cast

import pytest
from rich.console import Console, RenderableType

from cli.statuses import usage
from client.fake_daemon import event, profile, status
from tokenward.cli.bars import ASCII, LINES, bar, glyphs_for
from tokenward.cli.status_screen import Look, columns_that_fit, drawn, watching
from tokenward.cli.status_watch import Picture
from tokenward.client import Event, Status

NOW = 1_000_000.0
LOGIN = profile(
    "anthropic:claude-cli",
    kind="oauth",
    source="claude-code",
    tier="max_5",
    valid_for=18_000.0,
    last_refresh_at_ms=(NOW - 10_800) * 1000,
    expires_at_ms=(NOW + 18_000) * 1000,
    next_refresh_at_ms=(NOW + 17_900) * 1000,
    login_ends_at_ms=(NOW + 3 * 86_400) * 1000,
)
QUOTAS = {
    (each["agent"], each["profile"]): each["rate_limit"]
    for each in [usage("anthropic:claude-cli", five_hours=0.62, seven_days=0.9)]
}


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are counted from a moment that stands still."""
    monkeypatch.setattr(time, "time", lambda: NOW)


def picture(*profiles: dict[str, Any], **members: Any) -> Picture:
    """A picture of these."""
    return Picture(cast("Status", status(*profiles, **members)), QUOTAS)


def seen(what: RenderableType, width: int) -> list[str]:
    """The lines on a terminal without colours."""
    console = Console(file=io.StringIO(), width=width, highlight=False, force_terminal=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def headings(width: int, *profiles: dict[str, Any]) -> str:
    """The heading of the table."""
    (line,) = [
        line for line in seen(drawn(picture(*profiles), Look(width, LINES)), width) if line.startswith("profile")
    ]
    return line


@pytest.mark.parametrize(
    ("width", "present", "absent"),
    [
        (140, ["kind", "tier", "last", "next", "login ends", "source", "5 h used", "7 d used"], []),
        (80, ["valid for", "next", "5 h used", "7 d used", "health"], ["source", "tier"]),
        (60, ["valid for", "next", "health"], ["7 d used", "source"]),
        (40, ["valid for", "health"], ["next", "5 h used"]),
    ],
)
def test_columns_by_width(width: int, present: list[str], absent: list[str]) -> None:
    """Wide terminals see all; narrow ones see who, how long and how well, and no line is broken."""
    line = headings(width, LOGIN)
    assert all(heading in line for heading in present)
    assert not any(heading in line for heading in absent)
    table = seen(drawn(picture(LOGIN), Look(width, LINES)), width)
    (row,) = [each for each in table if each.startswith("anthropic") and "5h" in each and "login" not in each]
    assert row.endswith("ok")
    assert len(row) <= width


def test_a_long_name_gives_way_first() -> None:
    """How long and how well are never cut; a name is, visibly."""
    lines = seen(drawn(picture({**LOGIN, "profile": "anthropic:" + "x" * 60}), Look(40, LINES)), 40)
    row = next(line for line in lines if "…" in line)
    assert "5h" in row
    assert row.endswith("ok")


def test_a_column_of_which_nothing_is_known_is_left_out() -> None:
    """A terminal as wide as can be shows no column of dashes."""
    line = headings(200, profile())
    assert "health" in line
    assert "tier" not in line
    assert "5 h used" not in line


def test_what_does_not_fit_makes_room_for_what_does() -> None:
    """A column that is too wide is passed over, and a narrower one of less worth is shown."""
    widths = {"profile": 10, "health": 6, "valid for": 9, "next": 30, "kind": 5}
    assert columns_that_fit(widths, 40) == ["profile", "kind", "valid for", "health"]


def test_remarks_tell_the_truth() -> None:
    """The last failure with its class, how often, the next attempt; the lock waited for; the login's end."""
    failure = {"failure": "unavailable", "reason": "HTTP 503", "at_ms": (NOW - 60) * 1000, "failures": 3}
    locked = {"failure": "locked", "reason": "lock x is held by process 7", "at_ms": NOW * 1000, "failures": 1}
    over = {"failure": "invalid_grant", "reason": "expired", "at_ms": NOW * 1000, "failures": 1}
    due = (NOW + 30) * 1000
    sick = profile("a:b", degraded="refresh_failing", last_failure=failure, next_refresh_at_ms=due)
    waiting = profile("c:d", last_failure=locked)
    at_it = profile("g:h", waits_for="lock y is held by process 8")
    dead = profile("e:f", degraded="refresh_failing", last_failure=over)
    shown = " ".join(seen(drawn(picture(LOGIN, sick, waiting, dead, at_it), Look(300, LINES)), 300))
    assert "e:f: refresh failed 0s ago (invalid_grant): expired; log in again: tokenward login e" in shown
    assert "a:b: refresh failed 1m ago, 3 times in a row (unavailable): HTTP 503; next attempt in 30s" in shown
    assert "c:d: waits for a lock, 0s ago: lock x is held by process 7; no attempt is planned" in shown
    assert "g:h: waits for a lock now: lock y is held by process 8" in shown
    assert "anthropic:claude-cli: the login ends in 3d; log in again before" in shown


def test_a_model_that_rests_is_said_of_a_profile_that_is_well() -> None:
    """It serves, but not everything."""
    rest = {"kind": "cooldown", "reason": "rate_limit", "until_ms": None, "model": "opus", "errors": 1}
    lines = seen(drawn(picture(profile(cooling=[rest])), Look(100, LINES)), 100)
    assert lines[-1] == "anthropic:work: ok, but rate_limit of opus, for good"


def test_a_rotation_flashes_by_in_words() -> None:
    """The row of a profile that rotated says so, and the log keeps it."""
    heard = Event(**event(detail="by hand"))
    look = Look(100, LINES, frozenset({"anthropic:work"}))
    lines = seen(watching(picture(profile()), look, [heard]), 100)
    assert any("rotated now" in line for line in lines)
    assert any("anthropic:work  rotated  by hand" in line for line in lines)


def test_a_daemon_that_has_gone_is_said_below_what_was_known() -> None:
    """The last picture stays, and a line says that it is old."""
    lines = seen(watching(Picture(picture(profile()).status, gone="it ended"), Look(80, LINES), []), 80)
    assert lines[-1] == "it ended; waiting for it, and what is above is old"
    assert any("anthropic:work" in line for line in lines)


@pytest.mark.parametrize(
    ("left", "granted", "cells"),
    [
        (25_200.0, 28_800.0, 7),
        (3_600.0, 28_800.0, 1),
        (15.0, 20.0, 6),
        (0.0, 20.0, 0),
        (25_200.0, None, 8),
        (1_800.0, None, 4),
    ],
)
def test_the_bar_is_the_part_of_the_life_that_is_left(left: float, granted: float | None, cells: int) -> None:
    """Of eight hours as of twenty seconds; where nobody knows for how long it was granted, of an hour."""
    live = profile(valid_for=left, granted_life=granted)
    (row,) = [
        line for line in seen(drawn(picture(live), Look(80, ASCII)), 80) if line.startswith("anthropic:work")
    ]
    assert row.count("#") == cells
    assert row.count(".") == 8 - cells


@pytest.mark.parametrize(
    ("share", "drawn_bar"), [(0.0, "...."), (0.5, "##.."), (1.0, "####"), (7.0, "####"), (-1.0, "....")]
)
def test_a_bar_is_as_long_as_its_cells(share: float, drawn_bar: str) -> None:
    """What lies outside 0 to 1 is shown as the nearer end."""
    assert "".join(bar(share, 4, ASCII)) == drawn_bar


@pytest.mark.parametrize(
    ("encoding", "glyphs"), [("utf-8", LINES), ("ascii", ASCII), ("latin-1", ASCII), ("no-such", ASCII)]
)
def test_bars_are_made_of_what_the_terminal_has(encoding: str, glyphs: object) -> None:
    """Lines where the encoding has them, else ASCII; never an error."""
    assert glyphs_for(encoding) is glyphs
