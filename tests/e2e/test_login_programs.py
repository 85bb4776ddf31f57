"""Logins that the user's own Claude Code makes, on the user's own terminal; a script stands in for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.command import finished
from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess
from e2e.terminal import Terminal

SETUP_TOKEN = "sk-ant-oat01-" + "s" * 95
WATCHED = '[sources.claude-code]\nrefresh = "watch"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> DaemonProcess:
    """A home with a ``claude`` in it, and no daemon yet."""
    home = tmp_path / "home"
    home.mkdir()
    return DaemonProcess(home, config=WATCHED)


def claude(daemon: DaemonProcess, script: str) -> None:
    """What the user's ``claude`` does."""
    program = daemon.bin / "claude"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.covers("E14")
def test_claude_code_makes_a_setup_token_on_the_terminal(daemon: DaemonProcess) -> None:
    """It is asked before, it runs on the terminal, and the token that is pasted is stored and not shown."""
    claude(daemon, '[ "$1" = setup-token ] && [ -t 0 ] && [ -t 1 ] && echo "your token: as printed"')
    with daemon:
        with Terminal(daemon, "login", "anthropic", "--method", "setup-token") as terminal:
            terminal.wait_for("Run `claude setup-token` now?")
            terminal.enter("y")
            terminal.wait_for("your token: as printed")
            terminal.wait_for("(not shown)")
            terminal.enter(SETUP_TOKEN[:80] + "\n" + SETUP_TOKEN[80:])  # as a terminal of 80 columns wraps it
            terminal.wait_for("Profile saved as: anthropic:default")
            assert terminal.end() == 0
            assert SETUP_TOKEN not in terminal.shown
        served = daemon.call("token.get", profile="anthropic:default")
        assert (served["kind"], served["token"]) == ("setup_token", SETUP_TOKEN)


@pytest.mark.covers("E14")
def test_a_setup_token_that_is_not_made_is_said(daemon: DaemonProcess) -> None:
    """Without a terminal, at another provider, or when Claude Code fails, in the founding document's words."""
    claude(daemon, "exit 7")
    alone = finished(daemon, "login", "anthropic", "--method", "setup-token")
    assert alone.status == 1
    assert "setup-token requires an interactive TTY." in alone.said
    other = finished(daemon, "login", "--provider", "acme", "--method", "setup-token")
    assert other.status == 2
    assert "Only --provider anthropic is supported for setup-token" in other.said
    with Terminal(daemon, "login", "anthropic", "--method", "setup-token", "--yes") as terminal:
        assert terminal.end() == 1
    assert "claude setup-token failed (exit 7)" in terminal.shown
    assert "Run `claude" not in terminal.shown


@pytest.mark.covers("E15")
def test_a_setup_token_that_exists_is_pasted(daemon: DaemonProcess) -> None:
    """From standard input, wrapped lines joined, under PROVIDER:manual, with the life that was said."""
    words = ("login", "anthropic", "--method", "setup-token", "--paste")
    missing = finished(daemon, "login", "--method", "setup-token", "--paste")
    assert missing.status == 2
    assert "Missing --provider." in missing.said
    wrapped = SETUP_TOKEN[:70] + "\n  " + SETUP_TOKEN[70:]
    pasted = finished(daemon, *words, "--expires-in", "12h", typed=wrapped)
    assert pasted.status == 0, pasted.said
    assert "Profile saved as: anthropic:manual" in pasted.lines
    named = finished(daemon, *words, "--profile-id", "anthropic:box", "--expires-in", "365d", typed=SETUP_TOKEN)
    assert named.status == 0
    assert finished(daemon, *words, "--expires-in", "soon", typed=SETUP_TOKEN).status == 2
    with daemon:
        served = daemon.call("token.get", profile="anthropic:manual")
        assert served["token"] == SETUP_TOKEN
        assert 11 * 3600 < served["valid_for"] <= 12 * 3600
        assert 364 * 86_400 < daemon.call("token.get", profile="anthropic:box")["valid_for"] <= 365 * 86_400


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a-code#a-state", "not a setup token"),
        ("sk-ant-oat01-short", "Token looks too short; paste the full setup-token"),
        ("sk-ant-api03-" + "k" * 90, "this is an API key of the Console"),
    ],
)
def test_what_is_no_setup_token_is_refused_by_name(daemon: DaemonProcess, typed: str, said: str) -> None:
    """It is said what it is; it is not repeated, and nothing is stored."""
    refused = finished(daemon, "login", "anthropic", "--method", "setup-token", "--paste", typed=typed)
    assert refused.status == 1
    assert said in refused.said
    assert typed not in refused.said
    assert not list((daemon.state / "credentials").glob("*"))


@pytest.mark.covers("N20")
def test_claude_code_logs_in_and_its_file_is_served(daemon: DaemonProcess) -> None:
    """The terminal offers it first; its own file is served as it is, and nothing is copied to our store."""
    login = '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-cc","refreshToken":"sk-ant-ort01-cc","expiresAt":%s}}'
    claude(
        daemon,
        '[ "$1 $2" = "auth login" ] && [ -t 0 ] && umask 077 && /bin/mkdir -p "$HOME/.claude" && '
        f"echo '{login % 4102444800000}' > \"$HOME/.claude/.credentials.json\"",
    )
    with daemon:
        with Terminal(daemon, "login", "anthropic") as terminal:
            terminal.wait_for("1  claude-code")
            for number, offered in enumerate(("setup-token", "api-key", "oauth", "paste", "create-api-key"), 2):
                terminal.wait_for(f"{number}  {offered} ")
            terminal.wait_for("Choose [1]: ")
            terminal.enter("")
            terminal.wait_for(f"Profile saved as: {CLAUDE_PROFILE}")
            terminal.wait_for(".claude/.credentials.json")
            assert terminal.end() == 0
        assert daemon.call("token.get", profile=CLAUDE_PROFILE)["token"] == "sk-ant-oat01-cc"
        assert not list((daemon.state / "credentials").glob("*"))


@pytest.mark.covers("L14")
@pytest.mark.parametrize(
    ("plan", "status", "said"),
    [
        ("free", 3, "insufficient API access: the account's plan is free"),
        ("pro", 0, "Subscription: pro"),
        ("max", 0, "Subscription: max"),
    ],
)
def test_the_plan_of_the_account_is_looked_at(daemon: DaemonProcess, plan: str, status: int, said: str) -> None:
    """A free one is no success, and is flagged from then on; Pro and Max are shown by their name."""
    login = {
        "accessToken": "sk-ant-oat01-cc",
        "refreshToken": "sk-ant-ort01-cc",
        "expiresAt": 4102444800000,
        "subscriptionType": plan,
        "scopes": ["user:inference"],
    }
    claude(
        daemon,
        'umask 077; /bin/mkdir -p "$HOME/.claude"; '
        f"echo '{json.dumps({'claudeAiOauth': login})}' > \"$HOME/.claude/.credentials.json\"",
    )
    with daemon:
        done = finished(daemon, "login", "anthropic", "--method", "claude-code")
        assert (done.status, said in "\n".join([*done.lines, done.said])) == (status, True), done.said
        assert ("--method api-key" in done.said) == (plan == "free")
        assert daemon.call("profile.get", profile=CLAUDE_PROFILE)["tier"] == plan
        shown = finished(daemon, "status")
        assert ("insufficient API access" in "".join(shown.lines)) == (plan == "free")
        examined = finished(daemon, "doctor")
        assert ("insufficient API access" in "".join([*examined.lines, examined.said])) == (plan == "free")


def test_a_claude_code_that_does_not_log_in_is_said(daemon: DaemonProcess) -> None:
    """Its exit status is in the message; without a terminal nobody is asked how to log in."""
    claude(daemon, "exit 3")
    failed = finished(daemon, "login", "anthropic", "--method", "claude-code")
    assert failed.status == 1
    assert "claude auth login failed (exit 3)" in failed.said
    unsaid = finished(daemon, "login", "anthropic")
    assert unsaid.status == 2
    assert "--method claude-code|" in unsaid.said
