"""``tokenward add``: from standard input or a hidden prompt to the daemon, or to its parts where none runs."""

import io
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cli.fake_app import serve_in_process
from client.fake_daemon import FakeDaemon, profile
from tokenward.cli.main import main


def pipe_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Standard input is a pipe that holds this."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize("kind", ["api_key", "auth_token"])
def test_a_key_from_a_pipe(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """It goes to the daemon as it is, and is shown nowhere."""
    daemon.answers["profile.add"] = lambda _: profile("acme:me")
    pipe_in(monkeypatch, "sk-piped\n")
    assert main(["add", "acme:me", f"--{kind.replace('_', '-')}", "--agent", "bot"]) == 0
    assert daemon.params("profile.add") == {
        "profile": "acme:me",
        "kind": kind,
        "credential": {"access_token": "sk-piped"},
        "agent": "bot",
        "shared": False,
    }
    said = capsys.readouterr()
    assert said.out == "acme:me: kept\n"
    assert "sk-piped" not in said.err


def test_a_name_that_is_nearly_a_provider_s_is_asked_about(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is kept, since it may be meant; the question is on standard error."""
    daemon.answers["profile.add"] = lambda asked: profile(asked["profile"])
    for name in ("antropic:work", "anthropic:work", "acme:work"):
        pipe_in(monkeypatch, "sk-piped\n")
        assert main(["add", name, "--api-key"]) == 0
    said = capsys.readouterr()
    assert said.out == "antropic:work: kept\nanthropic:work: kept\nacme:work: kept\n"
    assert said.err.count("did you mean") == 1
    assert "antropic is a provider of its own; did you mean anthropic?" in said.err


def test_an_oauth_login_as_json(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its parts arrive under their RFC names, and what was guessed is said on standard error."""
    daemon.answers["profile.add"] = lambda _: profile("acme:me", kind="oauth", valid_for=3600.0)
    pipe_in(monkeypatch, '{"accessToken": "at", "refreshToken": "rt", "expiresAt": 1800000000, "scopes": ["a"]}')
    assert main(["add", "acme:me", "--oauth"]) == 0
    assert daemon.params("profile.add")["credential"] == {
        "access_token": "at",
        "refresh_token": "rt",
        "expires_at_ms": 1_800_000_000_000.0,
        "scope": "a",
    }
    said = capsys.readouterr()
    assert said.out == "acme:me: kept, valid for 1h\n"
    assert said.err == "tokenward: expiresAt was read as seconds\n"


WITH_AND_WITHOUT_A_DASH = [
    ["add", "acme:me", "--api-key"],
    ["add", "acme:me", "--api-key", "-"],
    ["add", "--api-key", "-", "acme:me"],
    ["add", "-", "acme:me", "--json", "--api-key"],
]


@pytest.mark.parametrize("words", WITH_AND_WITHOUT_A_DASH)
def test_a_dash_is_standard_input_in_a_real_pipe(daemon: FakeDaemon, words: list[str]) -> None:
    """What is piped into the process arrives, with the dash anywhere on the line and without it."""
    daemon.answers["profile.add"] = lambda _: profile("acme:me")
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", *words],
        input="sk-piped\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.params("profile.add")["credential"] == {"access_token": "sk-piped"}
    if "--json" in words:
        assert json.loads(done.stdout) == profile("acme:me")
    else:
        assert done.stdout == "acme:me: kept\n"


@pytest.mark.parametrize("words", WITH_AND_WITHOUT_A_DASH)
def test_a_person_is_asked_without_an_echo(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """On a terminal the prompt is the hidden one, with a dash too, and shows nothing that is typed."""
    daemon.answers["profile.add"] = lambda _: profile("acme:me")
    ours, theirs = pty.openpty()
    try:
        typing = threading.Thread(target=_answer, args=(ours, b"API key (not shown): ", b"sk-typed\n"))
        with open(theirs, closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            typing.start()
            assert main(words) == 0
        typing.join()
        os.write(theirs, b"the end")
        assert b"sk-typed" not in os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    assert daemon.params("profile.add")["credential"] == {"access_token": "sk-typed"}


def _answer(person: int, question: bytes, answer: bytes) -> None:
    """Read until the question, at a person's end of a terminal, and type the answer."""
    seen = b""
    while question not in seen:
        seen += os.read(person, 4096)
    os.write(person, answer)


def test_a_closed_standard_input_is_said(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under a supervisor there may be none at all: two lines, and nothing is asked of the daemon."""
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["add", "acme:me", "--api-key", "-"]) == 1
    assert capsys.readouterr().err == (
        "tokenward: standard input is closed, and no secret was given\n  hint: pipe it in\n"
    )
    assert daemon.requests == []


def test_too_much_is_refused(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file piped in by mistake is not read to its end."""
    pipe_in(monkeypatch, "x" * (1024 * 1024 + 1))
    assert main(["add", "acme:me", "--api-key"]) == 1
    assert "too long" in capsys.readouterr().err
    assert daemon.requests == []


@pytest.mark.usefixtures("no_daemon")
class TestWithoutDaemon:
    def test_the_parts_of_the_daemon_do_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The same command works, through the service in this process."""
        service = serve_in_process(monkeypatch)
        pipe_in(monkeypatch, "sk-piped")
        assert main(["add", "acme:me", "--api-key"]) == 0
        assert service.added[0].credential.access_token.get_secret_value() == "sk-piped"
        assert capsys.readouterr().out == "acme:me: kept\n"

    def test_a_wrong_name_is_wrong_usage(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What the models refuse is exit 2, says which member, and does not repeat the input."""
        serve_in_process(monkeypatch)
        pipe_in(monkeypatch, "sk-piped")
        assert main(["add", "no-secret-name", "--api-key"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("tokenward: profile: ")
        assert "no-secret-name" not in said

    def test_with_the_real_parts(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """Added and forgotten in a home of its own: the record is there, encrypted, and then it is not."""
        for name in list(os.environ):
            if name.startswith(("XDG_", "TOKENWARD_STATE", "TOKENWARD_CONFIG", "CLAUDE_", "ANTHROPIC_")):
                monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        pipe_in(monkeypatch, "sk-ant-api03-" + "k" * 90)
        assert main(["add", "anthropic:work", "--api-key"]) == 0
        assert capsys.readouterr().out == "anthropic:work: kept\n"
        records = list(tmp_path.rglob("credentials/*.json"))
        assert len(records) == 1
        assert b"sk-ant-api03" not in records[0].read_bytes()
        assert main(["logout", "anthropic:work"]) == 0
        assert capsys.readouterr().out.startswith("anthropic:work: forgotten here\n")
        assert not records[0].exists()
