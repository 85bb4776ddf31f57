"""``tokenward token``: its wishes arrive, and each format is what its taker reads."""

import json
import subprocess
from typing import Any

import pytest

from client.fake_daemon import GENERATION, TOKEN, FakeDaemon
from tokenward.cli.main import main
from tokenward.cli.token import FORMATS


def test_the_token_and_a_newline(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """By default the bare token."""
    assert main(["token"]) == 0
    assert capsys.readouterr().out == "sk-ant-api03-fake\n"
    assert daemon.params("token.get") == {"timeout": 30.0}


def test_every_option_is_a_wish(daemon: FakeDaemon) -> None:
    """What the command line says is what the daemon is asked."""
    arguments = ["token", "anthropic:work", "--provider", "anthropic", "--agent", "bot", "--kind", "oauth"]
    arguments += ["--kind", "api_key", "--min-valid", "120", "--newer-than", GENERATION, "--timeout", "5"]
    arguments += ["--model", "opus", "--beta", "x-1", "--beta", "x-2"]
    assert main(arguments) == 0
    assert daemon.params("token.get") == {
        "profile": "anthropic:work",
        "provider": "anthropic",
        "agent": "bot",
        "kinds": ["oauth", "api_key"],
        "min_valid": 120.0,
        "newer_than": GENERATION,
        "timeout": 5.0,
        "model": "opus",
        "betas": ["x-1", "x-2"],
    }


def test_json_is_all_of_it(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """`--format json` is the result of `token.get`."""
    assert main(["token", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == TOKEN


def test_header_lines_are_for_a_request(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """`--format header` is one header a line."""
    assert main(["token", "--format", "header"]) == 0
    assert capsys.readouterr().out == "x-api-key: sk-ant-api03-fake\nanthropic-version: 2023-06-01\n"


@pytest.mark.parametrize(
    ("members", "lines"),
    [
        ({}, {"ANTHROPIC_API_KEY": "sk-ant-api03-fake", "ANTHROPIC_BASE_URL": "https://api.anthropic.com"}),
        ({"kind": "oauth", "base_url": None}, {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-api03-fake"}),
        ({"kind": "setup_token", "base_url": None}, {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-api03-fake"}),
        ({"kind": "auth_token", "base_url": None}, {"ANTHROPIC_AUTH_TOKEN": "sk-ant-api03-fake"}),
        ({"provider": "my-corp", "base_url": None}, {"MY_CORP_API_KEY": "sk-ant-api03-fake"}),
        ({"provider": "acme", "kind": "oauth", "token": "it's $HOME"}, {"ACME_TOKEN": "it's $HOME"}),
    ],
)
def test_env_lines_are_for_a_shell(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], members: dict[str, Any], lines: dict[str, str]
) -> None:
    """A real shell that reads `--format env` has the variables, whatever is in them."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, **members}
    assert main(["token", "--format", "env"]) == 0
    said = capsys.readouterr().out
    names = "".join(f'printf "%s\\n" "${name}";' for name in lines)
    ran = subprocess.run(["/bin/sh", "-c", said + names], capture_output=True, text=True, check=True, env={})
    assert ran.stdout.splitlines() == list(lines.values())


@pytest.mark.parametrize("shape", [each for each in FORMATS if each != "json"])
def test_a_token_with_control_characters_is_not_printed(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], shape: str
) -> None:
    """A line break in a token would be another header, or another command."""
    wrong = "sk\nx-evil: 1"
    daemon.answers["token.get"] = lambda _: {**TOKEN, "token": wrong, "headers": {"x-api-key": wrong}}
    assert main(["token", "--format", shape]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "control character" in said.err
    assert "evil" not in said.err


@pytest.mark.parametrize(
    ("shape", "asked", "sent"),
    [
        ("raw", [], None),
        ("exec-credential", [], 300.0),
        ("aws-credential-process", [], 900.0),
        ("exec-credential", ["--min-valid", "5"], 5.0),
    ],
)
def test_a_format_asks_for_the_life_that_its_takers_want(
    daemon: FakeDaemon, shape: str, asked: list[str], sent: float | None
) -> None:
    """Unless somebody says otherwise."""
    daemon.answers["token.get"] = lambda _: {
        **TOKEN,
        "token": '{"AccessKeyId":"A","SecretAccessKey":"B"}',
    }
    assert main(["token", "--format", shape, *asked]) == 0
    assert daemon.params("token.get").get("min_valid") == sent


def test_a_netrc_line_for_another_host(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """`--host` and `--username` stand in it."""
    assert main(["token", "--format", "netrc", "--host", "git.example", "--username", "me"]) == 0
    assert capsys.readouterr().out == "machine git.example login me password sk-ant-api03-fake\n"


def test_what_is_wrong_with_the_model_is_said_to_a_person(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where one was asked for: nobody who wants a token alone is told of models."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "model_note": "claude-x was retired"}
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["token", "--model", "x"]) == 0
    assert capsys.readouterr().err == "tokenward: claude-x was retired\n"
    assert main(["token"]) == 0
    assert capsys.readouterr().err == ""
