"""One-liners: short, escaped for their reader, and a line also where no daemon runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from client.fake_daemon import FakeDaemon, profile, status
from tokenward.cli.main import main
from tokenward.cli.status_line import FORMATS, one_line
from tokenward.client import Profile


def shown(shape: str, *profiles: dict[str, Any], selected: str | None = None) -> str:
    """The line for these."""
    return one_line(shape, [cast("Profile", each) for each in profiles], selected=selected)


WELL = profile("acme:me", kind="oauth", valid_for=900.0, last_refresh_at_ms=0, expires_at_ms=3_600_000)
COOLING = profile("acme:bot", degraded="cooling")
DEAD = profile("acme:old", unusable="login required")
DISABLED = profile("acme:off", enabled=False, unusable="disabled")


@pytest.mark.parametrize(
    ("profiles", "line"),
    [
        ([], "no profiles"),
        ([WELL, profile()], "2 ok"),
        ([WELL, DISABLED], "1 ok"),
        ([WELL, COOLING, DEAD], "1/3 ok, acme:old unusable"),
        ([WELL, COOLING], "1/2 ok, acme:bot cooling"),
    ],
)
def test_all_in_a_few_words(profiles: list[dict[str, Any]], line: str) -> None:
    """How many are well of those that are wanted, and the worst by name."""
    assert shown("prompt", *profiles) == line
    assert shown("tmux", *profiles) == line


@pytest.mark.parametrize(
    ("one", "line"), [(WELL, "acme:me 15m"), (DEAD, "acme:old unusable"), (profile(), "anthropic:work ok")]
)
def test_one_profile_shows_its_life_or_its_illness(one: dict[str, Any], line: str) -> None:
    """Who asks for one profile hears its name and the one thing that matters."""
    assert shown("prompt", one, selected=one["profile"]) == line


def test_waybar_gets_what_it_styles_by() -> None:
    """The class is the worst health, the percentage the life left of that profile, the tooltip everybody."""
    answer = json.loads(shown("waybar", WELL, profile()))
    assert answer["text"] == "2 ok"
    assert answer["class"] == "ok"
    assert answer["percentage"] == 25
    assert answer["tooltip"].splitlines() == ["acme:me: ok, valid for 15m", "anthropic:work: ok"]
    assert json.loads(shown("waybar", WELL, DEAD))["class"] == "unusable"
    assert json.loads(shown("waybar"))["class"] == "empty"


def test_each_reader_is_escaped_for() -> None:
    """Markup of Pango, parameters of xbar, formats of tmux and expansions of a shell stay text."""
    name = "a&<b>:x|#%$`"
    sick = profile(name, unusable="x | bash=/bin/sh")
    assert json.loads(shown("waybar", sick))["text"] == "0/1 ok, a&amp;&lt;b&gt;:x|#%$` unusable"
    assert all("|" not in line for line in shown("xbar", sick).splitlines()[:-1])
    assert "x|##%" in shown("tmux", sick)
    assert shown("prompt", sick) == "0/1 ok, a&<b>:x|# unusable"


def test_xbar_gets_a_menu() -> None:
    """The line, the profiles with the worst first, and below each what is wrong with it."""
    assert shown("xbar", WELL, DEAD).splitlines() == [
        "1/2 ok, acme:old unusable",
        "---",
        "acme:old: unusable",
        "--login required",
        "acme:me: ok, valid for 15m",
        "---",
        "Refresh | refresh=true",
    ]


@pytest.mark.parametrize("shape", FORMATS)
def test_no_daemon_is_a_line_too(shape: str, no_daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar shows that it is down, the exit status is 4, and nothing is said on standard error."""
    assert main(["status", "--format", shape]) == 4
    said = capsys.readouterr()
    assert not said.err
    assert "tokenward: down" in said.out
    if shape == "waybar":
        assert json.loads(said.out)["class"] == "down"


def test_the_command_prints_one_line(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """With a profile named, that one alone; one that is not there is an error."""
    daemon.answers["daemon.status"] = lambda _: status(WELL, DEAD)
    assert main(["status", "--format", "prompt", "--profile", "acme:me"]) == 0
    assert capsys.readouterr().out == "acme:me 15m\n"
    assert main(["status", "--format", "prompt", "--profile", "acme:nobody"]) == 1
    assert "no profile acme:nobody" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["--watch", "--json"])
def test_a_line_is_one_moment_and_one_shape(
    other: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot go together is wrong usage."""
    assert main(["status", "--format", "tmux", other]) == 2
    assert "leave one of them out" in capsys.readouterr().err
