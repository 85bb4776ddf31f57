"""``tokenward auth``: a provider's status, refresh and logout."""

import json
from pathlib import Path
from typing import cast

import pytest

from cli.fake_app import serve_in_process
from client.fake_daemon import FakeDaemon, Json, profile
from tokenward.cli.auth import ACTIVE, DEAD, RENEWABLE, standing
from tokenward.cli.main import main
from tokenward.client import Profile

LOGIN = profile("anthropic:me", kind="oauth", refresh="direct", valid_for=28_800.0)
EXPIRED = profile("anthropic:old", kind="oauth", refresh="direct", valid_for=-1.0, unusable="expired")
DISABLED = profile("anthropic:off", enabled=False, unusable="disabled")
OTHER = profile("acme:me", kind="oauth", refresh="direct")
CLAUDE = profile(
    "anthropic:claude-cli", source="claude-code", location="/home/me/.claude/.credentials.json", refresh="watch"
)


def provider(name: str, serves: str | None) -> Json:
    """A provider as ``provider.get`` answers."""
    return {
        "provider": name,
        "env_var": None,
        "api_type": None,
        "model_prefix": None,
        "base_url": None,
        "base_url_overridden": False,
        "serves": serves,
    }


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """One that keeps two providers."""
    held = {each["profile"]: each for each in (LOGIN, EXPIRED, DISABLED, OTHER, CLAUDE)}

    def listed(params: Json) -> Json:
        return {"profiles": [p for p in held.values() if params.get("provider") in {None, p["provider"]}]}

    serves = {"anthropic": "anthropic:me", "acme": "acme:me"}
    daemon.answers |= {
        "profile.list": listed,
        "profile.forget": lambda params: held.pop(params["profile"]),
        "profile.refresh": lambda params: held[params["profile"]],
        "provider.get": lambda params: provider(params["provider"], serves[params["provider"]]),
        "provider.list": lambda _: {"providers": [provider(*each) for each in sorted(serves.items())]},
    }
    return daemon


@pytest.mark.parametrize(
    ("shown", "character"),
    [
        (LOGIN, ACTIVE),
        (EXPIRED, RENEWABLE),
        (EXPIRED | {"refresh": "watch"}, DEAD),
        (EXPIRED | {"unusable": "login required"}, DEAD),
        (DISABLED, DEAD),
    ],
)
def test_one_character_says_how_it_stands(shown: Json, character: str) -> None:
    """Serves; may serve again by itself; needs a person."""
    assert standing(cast("Profile", shown)) == character


@pytest.mark.covers("N30", "E31")
def test_the_status_of_one_provider(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is served next, and why the others are not; nothing of another provider."""
    assert main(["auth", "status", "anthropic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "anthropic: anthropic:me is served next"
    words = {line.split()[1]: line.split(maxsplit=5) for line in lines[1:]}
    assert words["anthropic:me"][5] == "next"
    assert words["anthropic:old"][::5] == ["~", "expired"]
    assert words["anthropic:off"][::5] == ["x", "disabled"]
    assert "acme" not in "".join(lines)


def test_the_status_on_a_narrow_terminal(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is broken by the terminal: each profile on a line, and below it how it stands."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["auth", "status", "anthropic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert lines[1:3] == ["*  anthropic:me", "   oauth, valid for 8h, from store, next"]


@pytest.mark.covers("N29", "E31")
def test_the_status_of_all_as_json(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Every provider with the profile that serves, and its profiles with why each cannot."""
    assert main(["auth", "status", "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)["providers"]
    assert [(each["provider"], each["serves"]) for each in shown] == [
        ("acme", "acme:me"),
        ("anthropic", "anthropic:me"),
    ]
    assert {each["profile"]: each["unusable"] for each in shown[1]["profiles"]}["anthropic:old"] == "expired"


@pytest.mark.covers("N31")
def test_refresh_takes_the_login_that_is_served_next(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """One profile is refreshed and no other."""
    assert main(["auth", "refresh", "anthropic"]) == 0
    asked = [each["params"]["profile"] for each in daemon.requests if each["method"] == "profile.refresh"]
    assert asked == ["anthropic:me"]
    assert capsys.readouterr().out == "anthropic:me: refreshed, valid for 8h\n"


def test_refresh_takes_the_only_login_where_none_can_be_served(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """With several it guesses none, and names them."""
    daemon.answers["provider.get"] = lambda params: provider(params["provider"], None)
    assert main(["auth", "refresh", "acme"]) == 0
    assert main(["auth", "refresh", "anthropic"]) == 1
    said = capsys.readouterr().err
    assert "anthropic:me, anthropic:old" in said
    assert "name one" in said


def test_nothing_to_refresh_is_said(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """A provider of keys only has no login to refresh."""
    daemon.answers["profile.list"] = lambda _: {"profiles": [profile("acme:key")]}
    assert main(["auth", "refresh", "acme"]) == 1
    assert "acme has no login that tokenward refreshes" in capsys.readouterr().err


@pytest.mark.covers("N32")
def test_logout_removes_what_is_stored_and_warns_of_what_is_not(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's profiles of this provider go; the variable and the other program's file are named."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-secret")
    assert main(["auth", "logout", "anthropic"]) == 0
    said = capsys.readouterr()
    assert said.out == 'Removed 3 profile(s) for "anthropic".\n'
    assert "still in the variable ANTHROPIC_API_KEY of this shell" in said.err
    assert "still in /home/me/.claude/.credentials.json" in said.err
    assert "secret" not in said.err
    gone = [each["params"]["profile"] for each in daemon.requests if each["method"] == "profile.forget"]
    assert gone == ["anthropic:me", "anthropic:old", "anthropic:off"]


def test_logout_of_all(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Every provider's, each counted."""
    assert main(["auth", "logout", "--all"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        'Removed 1 profile(s) for "acme".',
        'Removed 3 profile(s) for "anthropic".',
    ]


@pytest.mark.parametrize("arguments", [[], ["anthropic", "--all"]])
def test_logout_of_nobody_in_particular(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Neither a provider nor --all, or both, is a wrong call."""
    assert main(["auth", "logout", *arguments]) == 2
    assert "Specify a provider or use --all." in capsys.readouterr().err


def test_logout_needs_no_daemon(
    no_daemon: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is done in this process."""
    service = serve_in_process(monkeypatch)
    service.held["acme:me"] = profile("acme:me")
    assert main(["auth", "logout", "acme"]) == 0
    assert capsys.readouterr().out == 'Removed 1 profile(s) for "acme".\n'
    assert service.held == {}
