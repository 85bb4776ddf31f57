"""``tokenward logout``: what it forgets, and what it says that it does not."""

import json
from typing import Any

import pytest

from cli.fake_app import serve_in_process
from client.fake_daemon import FakeDaemon, profile
from tokenward.cli.logout import _ANTHROPIC_VARIABLES
from tokenward.cli.main import main

FOREIGN = profile(
    "anthropic:claude-cli", source="claude-code", location="/home/me/.claude/.credentials.json", kind="oauth"
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No login in the environment of the tests themselves."""
    for name in _ANTHROPIC_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def hold(daemon: FakeDaemon, *profiles: dict[str, Any]) -> None:
    """Have the daemon hold these, and forget what it is told to."""
    held = {each["profile"]: each for each in profiles}
    daemon.answers["profile.get"] = lambda params: held[params["profile"]]
    daemon.answers["profile.forget"] = lambda params: held.pop(params["profile"])
    daemon.answers["profile.list"] = lambda _: {"profiles": list(held.values())}


def test_a_login_of_our_store_is_forgotten(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """It says that nothing was revoked; a place that is watched and holds no login is not worth a word."""
    watched = profile("acme:cli", kind=None, generation=None, source="claude-code")
    hold(daemon, profile("acme:me", kind="oauth"), watched)
    assert main(["logout", "acme:me"]) == 0
    assert daemon.params("profile.forget") == {"profile": "acme:me", "agent": "main"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "acme:me: forgotten here"
    assert "nothing was revoked" in lines[1]
    assert len(lines) == 2


def test_other_holders_are_named(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another program and a variable of this shell still log the person in."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-secret")
    hold(daemon, profile("anthropic:work"), FOREIGN)
    assert main(["logout", "anthropic:work"]) == 0
    said = capsys.readouterr().out
    assert "still in /home/me/.claude/.credentials.json (anthropic:claude-cli)" in said
    assert "still in the variable ANTHROPIC_API_KEY of this shell" in said
    assert "the key itself still works" in said
    assert "secret" not in said


def test_json_says_the_same(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` lists the other holders."""
    monkeypatch.setenv("MY_CORP_API_KEY", "x")
    hold(daemon, profile("my-corp:me"))
    assert main(["logout", "my-corp:me", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "profile": "my-corp:me",
        "forgotten": True,
        "revoked": False,
        "still_held": ["the variable MY_CORP_API_KEY of this shell"],
    }


def test_a_login_of_another_program_is_left_alone(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Claude Code's login is ended by Claude Code; the hint says how, and nothing was forgotten."""
    hold(daemon, FOREIGN)
    assert main(["logout", "anthropic:claude-cli"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "/home/me/.claude/.credentials.json" in said.err
    assert "claude auth logout" in said.err
    assert "profile.forget" not in daemon.methods()


@pytest.mark.usefixtures("no_daemon")
def test_without_a_daemon_it_works_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the service in this process; an unknown profile is its error."""
    service = serve_in_process(monkeypatch)
    service.held["acme:me"] = profile("acme:me")
    assert main(["logout", "acme:me"]) == 0
    assert service.held == {}
    assert main(["logout", "acme:me"]) == 1
    assert "there is no profile acme:me" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "location", "way"),
    [
        ("claude-code", "/h/.claude/.credentials.json", "claude auth logout"),
        ("neurolink", "/h/.neurolink/x.json", "neurolink auth logout anthropic"),
        ("environment", "$ANTHROPIC_API_KEY", "unset $ANTHROPIC_API_KEY where the daemon is started"),
        ("dotenv", "/h/.env", "remove its line from /h/.env"),
        ("config", "providers.anthropic", "remove it from [providers.anthropic] in the configuration"),
        ("adopted", "/h/x.json", "to only let it go here: tokenward logout anthropic:x"),
    ],
)
def test_a_provider_whose_login_lives_elsewhere(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], source: str, location: str, way: str
) -> None:
    """Where it lives, and how one logs out there, in one line each; nothing was forgotten, so it is a failure."""
    hold(daemon, profile("anthropic:x", source=source, location=location))
    assert main(["logout", "anthropic"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    cause, hint = said.err.splitlines()
    assert cause == f"tokenward: our store keeps no login of anthropic; anthropic:x lives in {location}"
    assert way in hint
    assert "profile.forget" not in daemon.methods()


def test_several_places_elsewhere_are_all_named(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its own way out; and where there is nothing at all, that is said."""
    hold(daemon, FOREIGN, profile("anthropic:env", source="environment", location="$ANTHROPIC_API_KEY"))
    assert main(["logout", "anthropic"]) == 1
    said = capsys.readouterr().err
    assert "claude auth logout" in said
    assert "unset $ANTHROPIC_API_KEY" in said
    hold(daemon)
    assert main(["logout", "anthropic"]) == 1
    assert "there is no login of anthropic" in capsys.readouterr().err


def test_of_several_one_must_be_named(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """They are listed and nothing is forgotten, until one is named or all are meant; others' logins stay."""
    hold(daemon, profile("acme:a"), profile("acme:b"), profile("acme:cli", source="claude-code"))
    assert main(["logout", "acme"]) == 2
    assert "keeps 2 logins of acme: acme:a, acme:b\n" in capsys.readouterr().err
    assert "profile.forget" not in daemon.methods()
    assert main(["logout", "acme:a"]) == 0
    assert main(["logout", "acme"]) == 0
    assert "acme:b: forgotten here" in capsys.readouterr().out
    hold(daemon, profile("acme:a"), profile("acme:b"))
    assert main(["logout", "acme", "--all"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "forgotten" in line] == [
        "acme:a: forgotten here",
        "acme:b: forgotten here",
    ]
