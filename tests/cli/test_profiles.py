"""``tokenward profiles list`` and ``tokenward refresh``."""

import json
from pathlib import Path

import pytest

from cli.fake_app import serve_in_process
from client.fake_daemon import FakeDaemon, Json, Refusal, profile
from tokenward.cli.main import main

LOGIN = profile("acme:me", kind="oauth", refresh="direct", valid_for=28_800.0)
DEAD = profile("acme:dead", kind="oauth", refresh="direct")
KEY = profile()


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """One with three profiles, of which one's refresh token is dead."""

    def refresh(params: Json) -> Json:
        if params["profile"] == "acme:dead":
            raise Refusal("LoginRequired", "the refresh token is dead")
        return LOGIN

    daemon.answers["profile.list"] = lambda _: {"profiles": [DEAD, LOGIN, KEY]}
    daemon.answers["profile.refresh"] = refresh
    return daemon


def test_the_list_says_where_each_lives(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a profile, filtered by the daemon."""
    assert main(["profiles", "list", "--provider", "acme", "--agent", "main"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split(maxsplit=5) == ["acme:me", "main", "oauth", "direct", "store", "the store"]
    assert daemon.params("profile.list") == {"provider": "acme", "agent": "main"}


def test_the_list_as_json(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is the result of `profile.list`."""
    assert main(["profiles", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"profiles": [DEAD, LOGIN, KEY]}


def test_refresh_says_how_long_it_is_good_for(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One profile, refreshed by hand."""
    assert main(["refresh", "acme:me"]) == 0
    assert capsys.readouterr().out == "acme:me: refreshed, valid for 8h\n"


def test_refresh_touches_no_other_profile(daemon: FakeDaemon) -> None:
    """Only the named profile is asked for."""
    assert main(["refresh", "acme:me", "--json"]) == 0
    assert [each["params"] for each in daemon.requests] == [{"profile": "acme:me", "agent": "main"}]


def test_refresh_all_goes_on_after_a_failure(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Every profile that can be refreshed is, the failures are named, and the worst is the exit status."""
    assert main(["refresh", "--all"]) == 3
    said = capsys.readouterr()
    assert said.out == "acme:me: refreshed, valid for 8h\n"
    assert said.err == "tokenward: acme:dead: the refresh token is dead\n  hint: do this\n"
    refreshed = [each["params"]["profile"] for each in daemon.requests if each["method"] == "profile.refresh"]
    assert refreshed == ["acme:dead", "acme:me"]


def test_refresh_all_with_nothing_to_do(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Only static keys: said, and no error."""
    daemon.answers["profile.list"] = lambda _: {"profiles": [KEY]}
    assert main(["refresh", "--all"]) == 0
    assert "nothing to refresh" in capsys.readouterr().out


@pytest.mark.parametrize(("verb", "words"), [("enable", "serves again"), ("disable", "rests until it is enabled")])
def test_a_decision_about_a_profile(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], verb: str, words: str
) -> None:
    """The daemon is told which profile of which agent, and the person what holds from now on."""
    daemon.answers[f"profile.{verb}"] = lambda params: profile(params["profile"])
    assert main(["profiles", verb, "acme:me", "--agent", "b"]) == 0
    assert daemon.params(f"profile.{verb}") == {"profile": "acme:me", "agent": "b"}
    assert capsys.readouterr().out == f"acme:me: {words}\n"


def test_a_decision_needs_no_daemon(
    no_daemon: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is made in this process, and shown as JSON where that is asked for."""
    service = serve_in_process(monkeypatch)
    service.held["acme:me"] = profile("acme:me")
    assert main(["profiles", "disable", "acme:me", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["enabled"] is False
