"""``tokenward status``: a table for people, columns for pipes, JSON for programs, live where asked."""

import io
import json
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

import tokenward
from client.fake_daemon import FakeDaemon, HangUp, Json, event, profile, status
from tokenward.cli import status as command
from tokenward.cli.main import main
from tokenward.client import Profile

LOGIN = profile(
    "anthropic:claude-cli",
    kind="oauth",
    source="claude-code",
    location="~/.claude/.credentials.json",
    valid_for=25_920.0,
    refresh="delegate",
)
FAILURE = {"failure": "unavailable", "reason": "HTTP 503", "at_ms": 1, "failures": 2}

LIMIT = {"kind": "cooldown", "reason": "rate_limit", "until_ms": 1_120_000, "model": None, "errors": 1}


def serve(daemon: FakeDaemon, *profiles: Json, **members: Any) -> None:
    """Have the daemon answer this status."""
    daemon.answers["daemon.status"] = lambda _: status(*profiles, **members)


def test_a_pipe_gets_aligned_columns(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a profile under a heading, without colours, health last."""
    serve(daemon, LOGIN, profile(unusable="the key was refused"))
    assert main(["status"]) == 0
    assert capsys.readouterr().out == (
        "PROFILE               KIND     VALID  NEXT  SOURCE       HEALTH\n"
        "anthropic:claude-cli  oauth    7h12m  -     claude-code  ok\n"
        "anthropic:work        api_key  -      -     store        unusable: the key was refused\n"
    )


def test_json_is_the_daemons_own_answer(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is the result of `daemon.status`, whole."""
    serve(daemon, LOGIN)
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == status(LOGIN)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "ok"),
        ({"enabled": False}, "disabled"),
        ({"enabled": False, "unusable": "disabled"}, "disabled"),
        ({"enabled": False, "unusable": "set aside for an API key"}, "disabled: set aside for an API key"),
        ({"unusable": "logged out"}, "unusable: logged out"),
        ({"degraded": "short"}, "degraded: short"),
        ({"degraded": "refresh_failing", "last_failure": FAILURE}, "degraded: refresh_failing (HTTP 503)"),
        ({"last_failure": FAILURE}, "ok"),
        ({"degraded": "cooling", "cooling": [LIMIT]}, "cooling: rate_limit, for 2m"),
        ({"cooling": [{**LIMIT, "model": "opus", "until_ms": None}]}, "ok: rate_limit of opus, for good"),
    ],
)
def test_health_says_why(members: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disabled before unusable before degraded, each with its reason; a failure of the past is no illness."""
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    assert ": ".join(filter(None, command.health(cast("Profile", profile(**members))))) == words


def test_the_next_refresh_is_counted_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown as a length of time; what is overdue is due now."""
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    due = [cast("Profile", profile(next_refresh_at_ms=at)) for at in (None, 1_060_000, 900_000)]
    assert [command.next_refresh(each) for each in due] == ["-", "1m", "0s"]


def test_a_configuration_not_in_force_is_said(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon goes on with old settings: standard error says so, standard output is the same."""
    serve(daemon, LOGIN, config_error="line 3: no such key")
    assert main(["status"]) == 0
    said = capsys.readouterr()
    assert "line 3: no such key" in said.err
    assert said.out.startswith("PROFILE")


def test_what_a_file_says_cannot_move_the_cursor(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in any text are gone."""
    serve(daemon, profile(unusable="\x1b[2Jgone\n"))
    assert main(["status"]) == 0
    assert "\x1b" not in capsys.readouterr().out


class TestScreen:
    def test_a_terminal_gets_a_table(self, daemon: FakeDaemon) -> None:
        """A bar for the life left, health in a word, reasons and notes below, the daemon above; 80 columns do."""
        granted = {"last_refresh_at_ms": 1_000, "expires_at_ms": 1_000 + 2 * 25_920_000}
        serve(daemon, {**LOGIN, **granted, "note": "log in [again]"}, profile("acme:k", unusable="revoked"))
        shown = on_a_terminal(daemon, "status")
        assert "tokenward 0.1.0, pid 4711, up 1h1m" in shown
        assert "━" * 4 + "╌" * 4 + " 7h12m" in shown
        assert "anthropic:claude-cli: log in [again]" in shown
        assert "acme:k: revoked" in shown
        assert max(map(len, shown.splitlines())) <= 80

    def test_an_empty_daemon_says_what_to_do(self, daemon: FakeDaemon) -> None:
        """Without a profile there is no empty table."""
        serve(daemon)
        assert "tokenward add" in on_a_terminal(daemon, "status")


class TestWatch:
    def test_every_event_is_a_new_picture(
        self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In a pipe: the status at the start and after each event, until the daemon is gone."""
        lives = iter([60.0, 50.0])

        def answer(_: Json) -> Json:
            left = next(lives, None)
            if left is None:
                raise HangUp
            return status(profile(valid_for=left))

        def drive() -> None:
            for pictures in (1, 2):
                daemon.wait_for(
                    lambda: daemon.subscribed() and daemon.methods().count("daemon.status") == pictures  # noqa: B023 - called in this round
                )
                daemon.publish(event())

        daemon.answers["daemon.status"] = answer
        driver = threading.Thread(target=drive)
        driver.start()
        assert main(["status", "--watch", "--json"]) == 4
        driver.join()
        pictures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [picture["profiles"][0]["valid_for"] for picture in pictures] == [60.0, 50.0]

    def test_an_interrupt_is_its_normal_end(
        self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Ctrl-C in --watch is exit 0, and what was shown stays."""
        serve(daemon, LOGIN)

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("tokenward.client.EventStream.wait", interrupt)
        assert main(["status", "--watch"]) == 0
        assert "anthropic:claude-cli" in capsys.readouterr().out


def on_a_terminal(daemon: FakeDaemon, *arguments: str) -> str:
    """What a person sees on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "tokenward", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(tokenward.__file__).parents[1]),
                "TOKENWARD_SOCKET": str(daemon.path),
                "TERM": "dumb",
                "LANG": "C.UTF-8",
            },
        )
        os.close(theirs)
        shown = io.BytesIO()
        try:
            while part := screen.read(4096):
                shown.write(part)
        except OSError:
            pass  # Linux says EIO when the last writer is gone
        assert process.wait(30) == 0
    return shown.getvalue().decode()


@pytest.mark.covers("E29")
def test_an_agent_is_accepted_where_credentials_are_added_and_shown(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``add`` gives the agent its credential, and ``status`` shows its profiles alone."""
    daemon.answers["profile.add"] = lambda params: profile(params["profile"], agent=params["agent"])
    daemon.answers["daemon.status"] = lambda _: status(profile(), profile("acme:bot", agent="b"))
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-1\n"))
    assert main(["add", "acme:bot", "--api-key", "--agent", "b"]) == 0
    assert daemon.params("profile.add")["agent"] == "b"
    assert main(["status", "--agent", "b", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [each["profile"] for each in shown["profiles"]] == ["acme:bot"]
    assert main(["status", "--agent", "b"]) == 0
    assert "b/acme:bot" in capsys.readouterr().out
