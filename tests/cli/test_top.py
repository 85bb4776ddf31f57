"""``tokenward top`` with its keys, driven as a person does."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from client.fake_daemon import FakeDaemon, Json, Refusal, profile, status
from tokenward.cli.main import main
from tokenward.cli.top_app import Top, process
from tokenward.client import Client

PATIENCE_SECONDS = 60.0
"""Until a test says that what it waits for never comes."""
PROFILES = (profile("acme:me"), profile("acme:off", enabled=False, unusable="disabled"))


def moment(type_: str, of: str = "acme:me", **members: Any) -> Json:
    """One that was just now."""
    now = int(time.time() * 1000)
    shown = {"type": type_, "profile": of, "generation": None, "at_ms": now, "until_ms": now}
    return {**shown, "count": 1, "pid": None, "detail": "", **members}


@pytest.fixture
def asked_for(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with two profiles and a past."""
    daemon.answers["daemon.status"] = lambda _: status(*PROFILES)
    daemon.answers["usage.get"] = lambda _: {"profiles": []}
    past = [moment("rotated"), moment("asked", count=7, pid=os.getpid()), moment("refresh_failed", "acme:off")]
    daemon.answers["events.history"] = lambda _: {"moments": past, "earlier": False}
    for what in ("refresh", "clear", "disable", "enable"):
        daemon.answers[f"profile.{what}"] = lambda params: profile(params["profile"])
    daemon.answers["session.pin"] = lambda params: params
    return daemon


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the app work until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    await pilot.pause(0.01)
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await pilot.pause(0.01)


def text(pilot: Pilot[None], selector: str) -> str:
    """What a part shows."""
    return str(pilot.app.query_one(selector, Static).content)


def rows(pilot: Pilot[None]) -> list[list[str]]:
    """The table."""
    table: DataTable[Any] = pilot.app.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(index)] for index in range(table.row_count)]


async def test_the_day_of_each_profile_is_seen(asked_for: FakeDaemon) -> None:
    """A row each, with its health in words and its line; below, the chosen one in detail, with who asked."""
    with Client() as client:
        async with Top(client, None).run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 2)
            (first, second) = rows(pilot)
            assert first[0] == "acme:me"
            assert second[3] == "disabled"
            assert first[4].endswith("R")
            assert second[4].endswith("F")
            await until(pilot, lambda: "7 times" in text(pilot, "#moments"))
            assert f"by {process(os.getpid())}" in text(pilot, "#moments")
            await pilot.press("down")
            await until(pilot, lambda: "acme:off:" in text(pilot, "#moments"))
            assert "refresh failed" in text(pilot, "#moments")
            await pilot.press("z")
            assert "-6h" in str(next(reversed(pilot.app.query_one(DataTable).columns.values())).label)
            await pilot.press("q")


@pytest.mark.parametrize("width", [40, 60, 80])
async def test_health_is_seen_on_a_narrow_terminal(asked_for: FakeDaemon, width: int) -> None:
    """Without scrolling to the side: a long name gives way, and says so."""
    long = profile("acme:" + "m" * 40, valid_for=590.0, unusable="login required", next_refresh_at_ms=1)
    asked_for.answers["daemon.status"] = lambda _: status(long, *PROFILES)
    with Client() as client:
        async with Top(client, None).run_test(size=(width, 24)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 3)
            table: DataTable[Any] = pilot.app.query_one(DataTable)
            headings = [str(column.label) for column in table.columns.values()]
            place = headings.index("health")
            first = rows(pilot)[0]
            assert first[place] == "unusable"
            assert first[0].endswith("\N{HORIZONTAL ELLIPSIS}")
            assert "9m50s" in first[headings.index("valid for")]
            cells = [max(len(headings[at]), *(len(row[at]) for row in rows(pilot))) + 2 for at in range(place + 1)]
            assert sum(cells) <= width


@pytest.mark.parametrize(
    ("keys", "method", "of"),
    [
        (["r"], "profile.refresh", "acme:me"),
        (["c"], "profile.clear", "acme:me"),
        (["d"], "profile.disable", "acme:me"),
        (["down", "d"], "profile.enable", "acme:off"),
    ],
)
async def test_a_key_acts_on_the_profile_under_the_cursor(
    keys: list[str], method: str, of: str, asked_for: FakeDaemon
) -> None:
    """Once, and says so."""
    with Client() as client:
        async with Top(client, None).run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 2)
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            await until(pilot, lambda: "done" in text(pilot, "#said"))
            assert asked_for.methods().count(method) == 1
            assert asked_for.params(method) == {"profile": of, "agent": "main"}


async def test_a_picture_that_comes_between_two_keys_moves_no_cursor(asked_for: FakeDaemon) -> None:
    """A key acts on the row that is seen, though the table was drawn anew before its move was told."""
    with Client() as client:
        async with Top(client, None).run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 2)
            app = pilot.app
            assert isinstance(app, Top)
            table: DataTable[Any] = app.query_one(DataTable)
            table.action_cursor_down()
            app.on_resize()
            app.action_act("toggle")
            assert table.cursor_row == 1
            await until(pilot, lambda: "done" in text(pilot, "#said"))
            assert asked_for.params("profile.enable") == {"profile": "acme:off", "agent": "main"}
            assert "profile.disable" not in asked_for.methods()


async def test_a_session_is_pinned_to_the_profile(asked_for: FakeDaemon) -> None:
    """What is typed is the session and the model; anything else pins nothing."""
    with Client() as client:
        async with Top(client, None).run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 2)
            await pilot.press("p", *"talk", "enter")
            await until(pilot, lambda: "nothing is pinned" in text(pilot, "#said"))
            await pilot.press("p", *"talk", "space", *"opus", "enter")
            await until(pilot, lambda: "no other" in text(pilot, "#said"))
    assert asked_for.params("session.pin") == {"session": "talk", "model": "opus@acme:me"}
    assert asked_for.methods().count("session.pin") == 1


async def test_what_did_not_work_is_said(asked_for: FakeDaemon) -> None:
    """The cause and the hint, and the screen goes on."""

    def refuse(_: Json) -> Json:
        raise Refusal("RefreshFailed", "the server said no")

    asked_for.answers["profile.refresh"] = refuse
    with Client() as client:
        async with Top(client, None).run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 2)
            await pilot.press("r")
            await until(pilot, lambda: "the server said no; do this" in text(pilot, "#said"))


async def test_a_daemon_that_goes_away_is_said_and_found_again(asked_for: FakeDaemon) -> None:
    """What was known stays, and the head says that it is old until there is an answer again."""
    with Client() as client:
        async with Top(client, None).run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: len(rows(pilot)) == 2)
            asked_for.close()
            await until(pilot, lambda: "waiting for it" in text(pilot, "#head"))
            assert len(rows(pilot)) == 2
            with FakeDaemon(asked_for.path) as back:
                back.answers |= asked_for.answers
                await until(pilot, lambda: "pid 4711" in text(pilot, "#head"))


def test_without_the_extra_it_says_how_to_get_it(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line of cause, one of hint."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["top"]) == 1
    assert "pip install 'tokenward[tui]'" in capsys.readouterr().err


def test_without_a_terminal_it_names_another_way(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe has no keys."""
    assert main(["top"]) == 1
    assert "status --watch" in capsys.readouterr().err


def test_no_daemon_is_an_error(no_daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 4, before the screen is taken."""
    monkeypatch.setattr("tokenward.cli.output.has_screen", lambda: True)
    assert main(["top"]) == 4
