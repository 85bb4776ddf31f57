"""``tokenward exec`` becomes the command, and ``tokenward env`` says the same to a shell: with real processes."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client.fake_daemon import TOKEN, FakeDaemon, Refusal
from tokenward.cli.main import main

TOKENWARD = [sys.executable, "-m", "tokenward"]
NAMES = (
    "import os; print(*sorted(f'{n}={v}' for n, v in os.environ.items() if n.startswith('ANTHROPIC')), sep='\\n')"
)


def run(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line as a process, to its end."""
    environ = {**os.environ, **(env or {})}
    return subprocess.run([*TOKENWARD, *words], capture_output=True, text=True, check=False, env=environ)


class TestExec:
    @pytest.mark.covers("A6", "A16")
    def test_the_command_has_the_variables_and_not_those_in_the_way(self, daemon: FakeDaemon) -> None:
        """A gateway's token, address and model; a forgotten key is taken away and named, without its value."""
        members = {"kind": "auth_token", "token": "sk-gateway", "base_url": "https://gw.example"}
        daemon.answers["token.get"] = lambda _: {**TOKEN, **members}
        words = ("exec", "--profile", "anthropic:aiohub", "--model", "opus", "--", sys.executable, "-c", NAMES)
        ran = run(*words, env={"ANTHROPIC_API_KEY": "sk-forgotten"})
        assert ran.stdout.splitlines() == [
            "ANTHROPIC_AUTH_TOKEN=sk-gateway",
            "ANTHROPIC_BASE_URL=https://gw.example",
            "ANTHROPIC_MODEL=claude-opus-5-5",
        ]
        assert "ANTHROPIC_API_KEY" in ran.stderr
        assert "sk-" not in ran.stderr
        asked = {"profile": "anthropic:aiohub", "model": "opus", "min_valid": 900.0, "timeout": 30.0}
        assert daemon.params("token.get") == asked

    def test_nothing_of_ours_stays(self, daemon: FakeDaemon) -> None:
        """The process that was started is the command itself: its own arguments, without a secret."""
        script = "import os, sys; print(os.getpid(), open('/proc/self/cmdline').read().split(chr(0))[-2])"
        if not Path("/proc/self/cmdline").exists():
            pytest.skip("NOT TESTED: there is no /proc here to read a command line from")
        words = [*TOKENWARD, "exec", "--", sys.executable, "-c", script, "last"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.read().split()
        assert said == [str(process.pid), "last"]

    @pytest.mark.parametrize(
        ("script", "status"),
        [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("kill -PIPE $$", -signal.SIGPIPE)],
    )
    def test_its_end_is_the_command_s(self, daemon: FakeDaemon, script: str, status: int) -> None:
        """Exit status and signals are its own; SIGPIPE too, which Python ignores and a child would inherit."""
        assert run("exec", "--", "/bin/sh", "-c", script).returncode == status

    def test_options_of_the_command_are_the_command_s(self, daemon: FakeDaemon) -> None:
        """Before its name and after it, with the two dashes and without."""
        for words in (["--", "/bin/echo", "--profile", "--", "-h"], ["/bin/echo", "--profile", "--", "-h"]):
            ran = run("exec", *words)
            assert (ran.stdout, ran.returncode) == ("--profile -- -h\n", 0)
        assert "profile" not in daemon.params("token.get")

    def test_a_command_that_is_not_there(self, daemon: FakeDaemon, tmp_path: Path) -> None:
        """127 and 126, as shells say it."""
        plain = tmp_path / "plain"
        plain.write_text("no program")
        missing, refused = run("exec", "--", "no-such-command"), run("exec", "--", str(plain))
        assert (missing.returncode, refused.returncode) == (127, 126)
        assert missing.stderr == "tokenward: no-such-command: command not found\n  hint: is it on PATH?\n"
        assert "cannot be run: Permission denied" in refused.stderr

    @pytest.mark.parametrize("words", [["exec"], ["exec", "--"], ["exec", "--profile", "a:b"]])
    def test_without_a_command_nobody_is_asked(
        self, daemon: FakeDaemon, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Wrong usage is exit 2."""
        assert main(words) == 2
        assert "a command is missing" in capsys.readouterr().err
        assert daemon.requests == []

    def test_without_a_token_nothing_runs(self, daemon: FakeDaemon, tmp_path: Path) -> None:
        """Exit 3 where a person must log in."""

        def refused(_: dict[str, Any]) -> dict[str, Any]:
            raise Refusal("LoginRequired", code=-32005)

        daemon.answers["token.get"] = refused
        assert run("exec", "--", "/usr/bin/touch", str(tmp_path / "ran")).returncode == 3
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("degraded", "said"),
        [("short", "the token ends in 10m, and the command will not be told"), ("unsaved", "(unsaved); see: ")],
    )
    def test_what_is_less_than_wanted_is_said(self, daemon: FakeDaemon, degraded: str, said: str) -> None:
        """Above all a life that may be shorter than the command's."""
        daemon.answers["token.get"] = lambda _: {**TOKEN, "degraded": degraded, "valid_for": 600.0}
        assert said in run("exec", "--", "/bin/true").stderr

    def test_the_help_says_that_nobody_tells_it_of_another_token(self, capsys: pytest.CaptureFixture[str]) -> None:
        """And what long-lived programs do instead."""
        assert main(["exec", "--help"]) == 0
        assert "not told when another token takes" in " ".join(capsys.readouterr().out.split())

    def test_another_provider_s_key_in_the_variable_of_its_programs(self, daemon: FakeDaemon) -> None:
        """As `provider.get` says it."""
        daemon.answers["token.get"] = lambda _: {**TOKEN, "provider": "acme", "profile": "acme:me"}
        daemon.answers["provider.get"] = lambda _: {"provider": "acme", "env_var": "ACME_SECRET"}
        assert run("exec", "--", "/bin/sh", "-c", "echo $ACME_SECRET").stdout == "sk-ant-api03-fake\n"
        assert daemon.params("provider.get") == {"provider": "acme"}


ODD = "it's \"$HOME\" \\' `id` \\"


@pytest.mark.covers("A6")
@pytest.mark.parametrize("shell", ["sh", "fish"])
def test_a_shell_has_the_variables(daemon: FakeDaemon, shell: str) -> None:
    """A real shell that reads `tokenward env` has them, whatever is in them, and not those in the way."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"NOT TESTED: there is no {shell} on PATH")
    daemon.answers["token.get"] = lambda _: {**TOKEN, "kind": "oauth", "token": ODD}
    ran = run("env", "--shell", shell, env={"ANTHROPIC_API_KEY": "sk-forgotten"})
    assert "to be unset, for they compete with this token: ANTHROPIC_API_KEY" in ran.stderr
    show = 'printf "%s\\n" "$CLAUDE_CODE_OAUTH_TOKEN" "$ANTHROPIC_BASE_URL" "<$ANTHROPIC_API_KEY>"'
    environ = {**os.environ, "ANTHROPIC_API_KEY": "sk-forgotten"}
    read = subprocess.run(
        [program, "-c", f"{ran.stdout}\n{show}"], capture_output=True, text=True, check=True, env=environ
    )
    assert read.stdout.splitlines() == [ODD, "https://api.anthropic.com", "<>"]


def test_control_characters_go_into_no_shell(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """A line break in a token would be another command."""
    daemon.answers["token.get"] = lambda _: {**TOKEN, "token": "sk\nevil"}
    assert main(["env"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "evil" not in said.err
