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
