"""``tokenward status``: a table for people, columns for pipes, JSON for programs, live where asked."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

import tokenward
from cli.statuses import usage
from client.fake_daemon import FakeDaemon, HangUp, Json, event, profile, status
from tokenward.cli import status_words
from tokenward.cli.main import main
from tokenward.cli.status_watch import KNOCK_SECONDS, watched
from tokenward.client import Client, Event, Profile
from tokenward.daemon.daemon_models import DaemonStatusResult
from tokenward.daemon.profile_models import ProfileResult

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
    serve(daemon, {**LOGIN, "tier": "max_5"}, profile(unusable="revoked"))
    daemon.answers["usage.get"] = lambda _: {"profiles": [usage("anthropic:claude-cli", five_hours=0.62)]}
    assert main(["status"]) == 0
    assert capsys.readouterr().out == (
        "PROFILE               KIND     TIER   VALID  LAST  NEXT  SOURCE       5H   7D  HEALTH\n"
        "anthropic:claude-cli  oauth    max_5  7h12m  -     -     claude-code  62%  -   ok\n"
        "anthropic:work        api_key  -      -      -     -     store        -    -   unusable: revoked\n"
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
    assert ": ".join(filter(None, status_words.health(cast("Profile", profile(**members))))) == words


def test_the_next_refresh_is_counted_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown as a length of time; what is overdue is due now."""
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    due = [cast("Profile", profile(next_refresh_at_ms=at)) for at in (None, 1_060_000, 900_000)]
    assert [status_words.next_refresh(each) for each in due] == ["-", "1m", "0s"]


def test_a_configuration_not_in_force_is_said(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon goes on with old settings: standard error says so, standard output is the same."""
    serve(daemon, LOGIN, config_error="line 3: no such key")
    assert main(["status"]) == 0
    said = capsys.readouterr()
    assert "line 3: no such key" in said.err
    assert said.out.startswith("PROFILE")


def test_a_shared_store_that_is_away_is_said(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Since when and why; and that tokens of this host came too late, if they did."""
    shared = {
        "location": "postgresql://db/fleet",
        "holder": "here-1",
        "away_since_ms": 1_700_000_000_000,
        "trouble": "Connection refused",
        "hint": None,
        "profiles": 2,
        "orphans": 3,
    }
    serve(daemon, LOGIN, shared_store=shared)
    assert main(["status"]) == 0
    said = capsys.readouterr().err
    assert "shared store: away since 2023-11-1" in said
    assert "Connection refused" in said
    assert "nothing shared is refreshed" in said
    assert "3 new tokens of this host came after another host's" in said
    serve(daemon, LOGIN, shared_store={**shared, "away_since_ms": None, "trouble": None, "orphans": 0})
    assert main(["status"]) == 0
    assert "shared store" not in capsys.readouterr().err


def test_what_a_file_says_cannot_move_the_cursor(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in any text are gone."""
    serve(daemon, profile(unusable="\x1b[2Jgone\n"))
    assert main(["status"]) == 0
    assert "\x1b" not in capsys.readouterr().out


class TestScreen:
    def test_a_terminal_gets_a_table(self, daemon: FakeDaemon) -> None:
        """A bar for the life left, health in a word, reasons and notes below, the daemon above; 80 columns do."""
        serve(
            daemon,
            {**LOGIN, "granted_life": 2 * 25_920.0, "note": "log in [again]"},
            profile("acme:k", unusable="revoked"),
        )
        shown = on_a_terminal(daemon, "status")
        assert "tokenward 0.1.0, pid 4711, up 1h1m" in shown
        assert "━" * 4 + "╌" * 4 + " 7h12m" in shown
        assert "\x1b" not in shown
        assert "anthropic:claude-cli: log in [again]" in shown
        assert "acme:k: revoked" in shown
        assert max(map(len, shown.splitlines())) <= 80

    def test_a_dumb_terminal_is_as_wide_as_it_is(self, daemon: FakeDaemon) -> None:
        """No line is broken where there is less than the usual room, and nothing moves or has a colour."""
        serve(daemon, {**LOGIN, "granted_life": 2 * 25_920.0})
        shown = on_a_terminal(daemon, "status", TERM="dumb", COLUMNS="50")
        assert "\x1b" not in shown
        (row,) = [line for line in shown.splitlines() if line.startswith(LOGIN["profile"])]
        assert row.rstrip().endswith("ok")
        assert len(row.rstrip()) <= 50

    def test_a_terminal_without_lines_gets_ascii(self, daemon: FakeDaemon) -> None:
        """Where the encoding has no bars, the shape is kept in characters that every terminal has."""
        serve(daemon, {**LOGIN, "granted_life": 2 * 25_920.0})
        assert "####.... 7h12m" in on_a_terminal(daemon, "status", PYTHONIOENCODING="ascii")

    def test_no_color_leaves_the_words(self, daemon: FakeDaemon) -> None:
        """NO_COLOR takes every colour away and nothing else; without it, a terminal has some."""
        serve(daemon, profile("acme:k", unusable="revoked"))
        coloured = on_a_terminal(daemon, "status", TERM="xterm")
        plain = on_a_terminal(daemon, "status", TERM="xterm", NO_COLOR="1")
        assert "\x1b[31munusable" in coloured
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain)
        assert "unusable" in plain
        assert "acme:k: revoked" in plain

    def test_an_empty_daemon_says_what_to_do(self, daemon: FakeDaemon) -> None:
        """Without a profile there is no empty table."""
        serve(daemon)
        assert "tokenward add" in on_a_terminal(daemon, "status")


def interrupt(*_: object) -> NoReturn:
    """Ctrl-C, where a program waits."""
    raise KeyboardInterrupt


class TestWatch:
    def test_every_event_is_a_new_picture(
        self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In a pipe: the status at the start and after each event; then it waits for the daemon that is gone."""
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
        monkeypatch.setattr("tokenward.cli.status.watched", partial(watched, pause=interrupt))
        driver = threading.Thread(target=drive)
        driver.start()
        assert main(["status", "--watch", "--json"]) == 0
        driver.join()
        said = capsys.readouterr()
        assert "waiting for it" in said.err
        pictures = [json.loads(line) for line in said.out.splitlines()]
        assert [picture["profiles"][0]["valid_for"] for picture in pictures] == [60.0, 50.0]

    def test_a_daemon_that_comes_back_is_found(self, daemon: FakeDaemon) -> None:
        """Between its end and its return there are pictures that say so, and each look is after a pause."""
        serve(daemon, LOGIN)
        paused: list[float] = []
        later: list[FakeDaemon] = []

        def pause(seconds: float) -> None:
            paused.append(seconds)
            if len(paused) == 2:
                later.append(FakeDaemon(daemon.path))
                serve(later[0], profile("acme:back"))

        with Client() as client:
            pictures = watched(client, None, None, tick=None, pause=pause)
            assert next(pictures).gone is None
            daemon.close()
            away = [next(pictures), next(pictures)]
            assert all(picture.status is None and picture.gone for picture in away)
            back = next(pictures)
            assert back.status is not None
            assert [each["profile"] for each in back.status["profiles"]] == ["acme:back"]
            pictures.close()
        assert paused == [KNOCK_SECONDS] * 2
        later[0].close()

    def test_no_daemon_at_the_start_is_an_error(self, no_daemon: Path) -> None:
        """There is nothing to go on with: exit 4, as without --watch."""
        assert main(["status", "--watch"]) == 4

    def test_a_pipe_hears_what_happened(
        self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Between two tables stands the event that made the second."""
        serve(daemon, LOGIN)
        heard = iter([Event("rotated", "anthropic:claude-cli", "0123456789ab", 1_000, "by hand")])

        def wait(*_: object) -> Event:
            return next(heard, None) or interrupt()

        monkeypatch.setattr("tokenward.client.EventStream.wait", wait)
        assert main(["status", "--watch"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in (lines[0], lines[4])] == ["PROFILE", "PROFILE"]
        assert lines[3].endswith("rotated anthropic:claude-cli by hand")

    def test_an_interrupt_is_its_normal_end(
        self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Ctrl-C in --watch is exit 0, and what was shown stays."""
        serve(daemon, LOGIN)
        monkeypatch.setattr("tokenward.client.EventStream.wait", interrupt)
        assert main(["status", "--watch"]) == 0
        assert "anthropic:claude-cli" in capsys.readouterr().out


def on_a_terminal(daemon: FakeDaemon, *arguments: str, **environment: str) -> str:
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
                **environment,
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


def test_every_member_of_the_json_is_documented() -> None:
    """`docs/status.md` names each member that the daemon's status has, and its profiles have."""
    page = (Path(__file__).parents[2] / "docs/status.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", page.partition("## `--json`")[2]))
    assert {*DaemonStatusResult.model_fields, *ProfileResult.model_fields} <= named
