"""``tokenward onboard``: the conversation on a terminal, and the same by flags with nobody there."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from client.fake_daemon import FakeDaemon, profile
from tokenward.cli.main import main
from tokenward.sandbox import Sandbox

PATIENCE = 30.0
"""Seconds for a question of a process on a machine that is busy with other things."""
KEY = "sk-ant-api03-" + "K" * 95
SETUP = "sk-ant-oat01-" + "S" * 95
LOGIN = {
    "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-access",
        "refreshToken": "sk-ant-ort01-refresh",
        "expiresAt": 4_000_000_000_000,
        "scopes": ["user:inference"],
    }
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without anything."""
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def environment(home: Path) -> dict[str, str]:
    """Nothing of the person who runs the tests."""
    return {
        "HOME": str(home),
        "PATH": str(home / "bin"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }


def command(*arguments: str) -> list[str]:
    """This tree's command line in a process of its own."""
    return [sys.executable, "-m", "tokenward", *arguments]


def run(home: Path, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Without a terminal; with standard input closed unless a text is given."""
    if stdin is None:
        closed = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command(*arguments)]
        return subprocess.run(
            closed, capture_output=True, text=True, env=environment(home), timeout=PATIENCE, check=False
        )
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        input=stdin,
        env=environment(home),
        timeout=PATIENCE,
        check=False,
    )


def profiles(home: Path) -> dict[str, str]:
    """What is kept, and of which kind, as a later command sees it."""
    code = (
        "import json, sys\n"
        "from tokenward.cli.service_access import with_service\n"
        "def act(call):\n"
        "    print(json.dumps({p['profile']: p['kind'] for p in call('profile.list', {})['profiles']}))\n"
        "    return 0\n"
        "sys.exit(with_service(act))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(home),
        timeout=PATIENCE,
        check=True,
    )
    found: dict[str, str] = json.loads(shown.stdout)
    return found


def log_in(home: Path) -> Path:
    """Claude Code logged in here."""
    path = home / ".claude" / ".credentials.json"
    path.parent.mkdir(mode=0o700)
    path.write_text(json.dumps(LOGIN))
    path.chmod(0o600)
    return path


class Terminal:
    """A person at a terminal.

    Args:
        process: what runs there.
        descriptor: the person's end.
    """

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.seen = ""
        self._descriptor = descriptor
        self._read_to = 0

    def answer(self, question: str, words: str) -> None:
        """Wait for a question, and answer it with a line."""
        self.wait_for(question)
        os.write(self._descriptor, words.encode() + b"\n")

    def wait_for(self, question: str) -> None:
        """Wait for a question."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(question, self.seen[self._read_to :])) is None:
            assert self._more(deadline), f"no {question!r} in {self.seen!r}"
        self._read_to += found.end()

    def interrupt(self) -> None:
        """Interrupt until it is heard: CPython loses one between the question and the read of its answer."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5.0)

    def ended(self) -> int:
        """Everything until the end, and the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:  # Linux says so of a terminal that nobody holds any more
            return False
        self.seen += data.decode()
        return bool(data)


@contextmanager
def terminal(
    home: Path, arguments: Sequence[str] = (), extra: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """``tokenward onboard`` on a pseudo terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("onboard", *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(home) | dict(extra or {}),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.covers("E3")
def test_a_conversation_that_ends_with_a_key(home: Path) -> None:
    """The label of the document is offered; the key is not echoed; anthropic:default is kept; exit 0."""
    with terminal(home) as person:
        person.answer(r"1-4 \[2\]: ", "2")
        person.answer(r"1-2 \[1\]: ", "")
        person.answer(r"API key \(not shown\): ", KEY)
        person.answer(r"It costs nothing\. \[Y/n\]: ", "n")
        person.answer(r"daemon from now on\? \[Y/n\]: ", "n")
        assert person.ended() == 0
    assert "1. Claude Code's login (there is none yet)\r\n" in person.seen
    assert "2. Anthropic API key\r\n" in person.seen
    assert "3. Anthropic token (paste setup-token)\r\n" in person.seen
    assert "anthropic:default: kept, encrypted, in " in person.seen
    assert "Next: start the daemon (tokenward daemon, or tokenward service install --now)" in person.seen
    assert KEY not in person.seen
    assert profiles(home) == {"anthropic:default": "api_key"}
    assert not (home / ".config").exists()


def test_a_mistaken_secret_is_asked_for_again(home: Path) -> None:
    """A key in the place of a token, then a token that the terminal wrapped into lines: whole, and not shown."""
    with terminal(home, ["--store-key", "file", "--no-install-service"]) as person:
        person.answer(r"1-4 \[2\]: ", "3")
        person.answer(r"printed \(not shown\): ", KEY)
        person.wait_for("this is an API key")
        person.answer(r"printed \(not shown\): ", SETUP[:60] + "\n" + SETUP[60:])
        assert person.ended() == 0
    assert KEY not in person.seen
    assert SETUP[60:] not in person.seen
    assert profiles(home) == {"anthropic:manual": "setup_token"}


def test_a_dash_on_a_terminal_asks_without_an_echo(home: Path) -> None:
    """Standard input is the terminal there, and what is typed on it is not shown; one question, and no other."""
    with terminal(home, ["--non-interactive", "--anthropic-api-key", "-"]) as person:
        person.answer(r"API key \(not shown\): ", KEY)
        assert person.ended() == 0
    assert KEY not in person.seen
    assert profiles(home) == {"anthropic:default": "api_key"}


def test_where_nothing_may_be_asked_a_terminal_is_not_read(home: Path) -> None:
    """A key that no flag gave is missed at once, not waited for."""
    with terminal(home, ["--non-interactive", "--auth-choice", "api-key"]) as person:
        person.wait_for("no secret was given, and nothing is to be asked")
        assert person.ended() == 1
    assert profiles(home) == {}


def test_three_mistaken_keys_are_enough(home: Path) -> None:
    """Nobody seems to have one; nothing is kept."""
    with terminal(home, ["--auth-choice", "api-key", "--store-key", "file"]) as person:
        for _ in range(3):
            person.answer(r"API key \(not shown\): ", SETUP)
        assert person.ended() == 1
    assert profiles(home) == {}


def test_a_keyring_that_is_not_there_leaves_the_key_in_its_file(home: Path) -> None:
    """It was a wish: the reason and the command for later are said, and the key that follows is kept."""
    with terminal(home, ["--auth-choice", "api-key", "--no-check", "--no-install-service"]) as person:
        person.answer(r"1-2 \[1\]: ", "keyring")
        person.wait_for("no system keyring answers")
        person.wait_for("stays in its file; to move it later: tokenward store rekey --to keyring")
        person.answer(r"API key \(not shown\): ", KEY)
        assert person.ended() == 0
    assert (home / ".local/state/tokenward/store.key").exists()
    assert not (home / ".config").exists()
    assert profiles(home) == {"anthropic:default": "api_key"}


def test_a_keyring_that_a_flag_wants_is_no_wish(home: Path) -> None:
    """Without it nothing is kept, and the exit status says that the key could not be had."""
    flags = ["--non-interactive", "--store-key", "keyring", "--anthropic-api-key", "-"]
    done = run(home, "onboard", *flags, stdin=KEY)
    assert (done.returncode, "no system keyring answers" in done.stderr) == (5, True)
    assert profiles(home) == {}


def test_a_configuration_that_says_where_the_key_lies_is_not_asked_about(home: Path) -> None:
    """Its writer has decided."""
    path = home / ".config" / "tokenward" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[store]\nkey = "file"\n')
    with terminal(home, ["--auth-choice", "api-key", "--no-check", "--no-install-service"]) as person:
        person.answer(r"API key \(not shown\): ", KEY)
        assert person.ended() == 0
    assert "Where shall the key go" not in person.seen


def test_a_key_that_the_api_refuses_is_asked_for_again(home: Path) -> None:
    """The API is asked about the second one as well, without another question; the refused one is not kept."""
    good = "sk-ant-api03-" + "G" * 95
    with Sandbox() as server:
        server.register_api_key(good)
        path = home / ".config" / "tokenward" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f'[providers.anthropic]\napi_url = "{server.base_url}"\n')
        with terminal(home, ["--auth-choice", "api-key", "--store-key", "file", "--no-install-service"]) as person:
            person.answer(r"API key \(not shown\): ", KEY)
            person.answer(r"It costs nothing\. \[Y/n\]: ", "")
            person.wait_for("anthropic refuses this key: invalid x-api-key")
            person.answer(r"API key \(not shown\): ", good)
            person.wait_for("anthropic takes this key")
            assert person.ended() == 0
        assert len(server.requests) == 2
        by_flag = run(home, "onboard", "--check", "--anthropic-api-key", "-", stdin=KEY)
        assert (by_flag.returncode, len(server.requests)) == (3, 3)
    assert good not in person.seen
    assert profiles(home) == {"anthropic:default": "api_key"}


def test_claude_code_can_log_in_within_the_conversation(home: Path) -> None:
    """Where it has no login: it is run, and what it keeps is used where it lies; without a yes nothing is run."""
    program = home / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "auth login" ] && umask 077 && /bin/mkdir "$HOME/.claude" && '
        f"echo '{json.dumps(LOGIN)}' > \"$HOME/.claude/.credentials.json\"\n"
    )
    program.chmod(0o755)
    with terminal(home, ["--auth-choice", "claude-cli", "--no-install-service"]) as person:
        person.answer(r"Have it log in now\? \[Y/n\]: ", "n")
        assert person.ended() == 1
    assert "claude auth login" in person.seen
    assert not (home / ".claude").exists()
    with terminal(home, ["--auth-choice", "claude-cli", "--no-install-service"]) as person:
        person.answer(r"Have it log in now\? \[Y/n\]: ", "")
        person.answer(r"1-3 \[1\]: ", "")
        assert person.ended() == 0
    assert "anthropic:claude-cli: used where it lies" in person.seen
    assert profiles(home) == {"anthropic:claude-cli": "oauth"}


def test_a_conversation_about_a_login_that_was_found(home: Path) -> None:
    """It is the default; the terms come before the consent; the consent is one line of the configuration."""
    log_in(home)
    with terminal(home, ["--no-install-service"]) as person:
        person.answer(r"1-4 \[1\]: ", "")
        person.answer(r"1-3 \[2\]: ", "3")
        person.answer(r"Do you consent .* \[y/N\]: ", "y")
        assert person.ended() == 0
    assert person.seen.index("developers may not collect") < person.seen.index("Do you consent")
    written = tomllib.loads((home / ".config" / "tokenward" / "config.toml").read_text())
    assert written == {"sources": {"claude-code": {"refresh": "direct"}}}


@pytest.mark.covers("L14")
def test_a_login_of_a_free_account_is_not_what_is_suggested(home: Path) -> None:
    """It is shown with what it lacks, a key is the default, and who takes it all the same is told what helps."""
    path = log_in(home)
    login = LOGIN["claudeAiOauth"] | {"subscriptionType": "free"}
    path.write_text(json.dumps({"claudeAiOauth": login}))
    with terminal(home, ["--no-install-service"]) as person:
        person.wait_for(r"claude-cli: oauth in \S+ \(insufficient API access\)")
        person.answer(r"1-4 \[2\]: ", "1")
        person.wait_for("the account's plan is free; log in with a Pro or Max account")
        person.answer(r"1-3 \[2\]: ", "")
        assert person.ended() == 0
    path.write_text(json.dumps({"claudeAiOauth": LOGIN["claudeAiOauth"] | {"expiresAt": 1}}))
    with terminal(home, ["--no-install-service"]) as person:
        person.wait_for(r"claude-cli: oauth in \S+ \(expired")
        person.answer(r"1-4 \[1\]: ", "skip")
        assert person.ended() == 0


def test_without_the_consent_it_is_only_watched(home: Path) -> None:
    """An empty answer is no consent."""
    log_in(home)
    with terminal(home, ["--auth-choice", "claude-cli", "--no-install-service"]) as person:
        person.answer(r"1-3 \[2\]: ", "direct")
        person.answer(r"Do you consent .* \[y/N\]: ", "")
        assert person.ended() == 0
    written = tomllib.loads((home / ".config" / "tokenward" / "config.toml").read_text())
    assert written["sources"]["claude-code"]["refresh"] == "watch"


def test_a_wrong_answer_is_asked_for_again_and_a_closed_terminal_ends_it(home: Path) -> None:
    """Nothing is kept unless it was chosen."""
    with terminal(home) as person:
        person.answer(r"1-4 \[2\]: ", "9")
        person.answer(r"1-4 \[2\]: ", "\x04")
        assert person.ended() == 1
    assert "the conversation ended before its end" in person.seen
    assert profiles(home) == {}


def test_an_interrupt_at_a_question_ends_it_at_once(home: Path) -> None:
    """Nobody has to answer first; nothing is kept."""
    with terminal(home) as person:
        person.wait_for(r"1-4 \[2\]: ")
        person.interrupt()
        assert person.ended() == 130
    assert profiles(home) == {}


@pytest.mark.covers("E4")
def test_a_key_by_flag_with_standard_input_closed(home: Path) -> None:
    """It is kept without a question; it is never echoed; a warning says that others could have read it."""
    done = run(home, "onboard", "--anthropic-api-key", KEY)
    assert (done.returncode, "command line" in done.stderr) == (0, True)
    assert KEY not in done.stdout + done.stderr
    assert profiles(home) == {"anthropic:default": "api_key"}


@pytest.mark.covers("E4")
def test_an_empty_key_changes_nothing(home: Path) -> None:
    """An empty value, and an empty standard input, are refused."""
    assert run(home, "onboard", "--anthropic-api-key", "").returncode == 1
    assert run(home, "onboard", "--anthropic-api-key", "-", stdin="\n").returncode == 1
    assert run(home, "onboard", "--auth-choice", "apiKey").returncode == 1
    assert profiles(home) == {}


def test_a_key_and_a_token_from_standard_input(home: Path) -> None:
    """A dash reads them; the token's lines are joined; an agent gets its own."""
    assert run(home, "onboard", "--non-interactive", "--anthropic-api-key", "-", stdin=KEY + "\n").returncode == 0
    wrapped = SETUP[:60] + "\n" + SETUP[60:] + "\n"
    done = run(home, "onboard", "--token", "-", "--token-profile-id", "anthropic:year", stdin=wrapped)
    assert (done.returncode, "command line" in done.stderr) == (0, False)
    assert profiles(home) == {"anthropic:default": "api_key", "anthropic:year": "setup_token"}


@pytest.mark.covers("E16")
def test_the_login_of_claude_code_is_reused(home: Path) -> None:
    """anthropic:claude-cli serves what the file holds, and the file stays as it was."""
    path = log_in(home)
    before = path.read_bytes()
    done = run(home, "onboard", "--auth-choice", "claude-cli")
    assert done.returncode == 0
    assert f"anthropic:claude-cli: used where it lies, in {path}" in done.stdout
    assert profiles(home) == {"anthropic:claude-cli": "oauth"}
    assert path.read_bytes() == before
    assert not (home / ".config").exists()


@pytest.mark.covers("E16")
def test_without_a_login_of_claude_code_the_place_is_named(home: Path) -> None:
    """The path that was looked at, the way to a login, and a failure."""
    done = run(home, "onboard", "--auth-choice", "claude-cli")
    assert done.returncode == 1
    assert str(home / ".claude" / ".credentials.json") in done.stderr
    assert "claude auth login" in done.stderr


def test_who_refreshes_can_be_said_by_flag(home: Path) -> None:
    """The flag alone says that the login is meant; it is written once."""
    log_in(home)
    assert run(home, "onboard", "--claude-refresh", "direct").returncode == 0
    path = home / ".config" / "tokenward" / "config.toml"
    written = path.read_text()
    assert 'refresh = "direct"' in written
    again = run(home, "onboard", "--claude-refresh", "direct")
    assert (again.returncode, path.read_text(), "wrote" in again.stdout) == (0, written, False)


def test_with_nobody_to_ask_a_choice_is_needed(home: Path) -> None:
    """Without a flag it is a wrong call that names the flags' values."""
    done = run(home, "onboard")
    assert done.returncode == 2
    assert "api-key" in done.stderr


def test_flags_that_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """They are not guessed about."""
    assert main(["onboard", "--anthropic-api-key", "-", "--auth-choice", "claude-cli"]) == 1
    assert "several things" in capsys.readouterr().err


def test_the_login_is_no_other_agents(home: Path) -> None:
    """It is main's, and the way to share it is named."""
    log_in(home)
    done = run(home, "onboard", "--auth-choice", "claude-cli", "--agent", "b")
    assert done.returncode == 1
    assert "inherit_agents" in done.stderr


@pytest.fixture
def claude_daemon(daemon: FakeDaemon, home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """A daemon that serves Claude Code's login."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    login = profile("anthropic:claude-cli", source="claude-code")
    daemon.answers |= {
        "profile.get": lambda _: login,
        "profile.list": lambda _: {"profiles": [login]},
        "daemon.reload": lambda _: {"reloaded": True, "error": None},
    }
    return daemon


def test_a_running_daemon_takes_the_consent_over(claude_daemon: FakeDaemon, home: Path) -> None:
    """It reads its configuration again, after the line is in it."""
    assert main(["onboard", "--non-interactive", "--claude-refresh", "direct"]) == 0
    assert claude_daemon.methods().count("daemon.reload") == 1
    written = list(home.rglob("config.toml"))
    assert ['refresh = "direct"' in each.read_text() for each in written] == [True]


def test_a_daemon_that_refuses_the_configuration_is_heard(
    claude_daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """What else is wrong in the file is said, and the exit status says that it was not taken over."""
    claude_daemon.answers["daemon.reload"] = lambda _: {"reloaded": False, "error": "config.toml:3: no"}
    assert main(["onboard", "--non-interactive", "--claude-refresh", "watch"]) == 1
    assert "config.toml:3: no" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_the_service_is_installed_where_a_flag_says_so(
    claude_daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """It is started as well, and its failure is the command's."""
    asked = []

    def install(arguments: argparse.Namespace) -> int:
        asked.append(arguments.now)
        return status

    monkeypatch.setattr("tokenward.cli.service._install", install)
    flags = ["--non-interactive", "--auth-choice", "claude-cli", "--install-service"]
    assert main(["onboard", *flags]) == status
    assert asked == [True]
