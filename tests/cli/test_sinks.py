"""``tokenward sinks``: columns, JSON, and why something is not published."""

import json
import time
from typing import Any

import pytest

from client.fake_daemon import FakeDaemon, Json
from tokenward.cli.main import main

NOW = 1_700_000_000


def sink(**members: Any) -> Json:
    """A sink as `sink.list` answers, published for another hour but for these members."""
    return {
        "sink": "sdk",
        "format": "anthropic-profile",
        "profile": "anthropic:claude-cli",
        "paths": ["/home/me/configs/sdk.json", "/home/me/credentials/sdk.json"],
        "mode": "0600",
        "state": "published",
        "generation": "0123456789ab",
        "expires_at_ms": (NOW + 3600) * 1000,
        "written_at_ms": NOW * 1000,
        "reason": None,
        "hint": None,
        "command_failure": None,
        **members,
    }


def test_columns_and_why_one_is_not_published(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a sink; reasons go to standard error, without what a terminal would obey."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    failing = sink(
        sink="job",
        format="token",
        paths=["/x\x1b[2J"],
        state="failing",
        expires_at_ms=None,
        reason="/x: No space left on device",
        hint="make room",
        command_failure="it ended with status 3",
    )
    daemon.answers["sink.list"] = lambda _: {"sinks": [sink(), failing]}
    assert main(["sinks"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "SINK  FORMAT             PROFILE               STATE      EXPIRES  PATH\n"
        "sdk   anthropic-profile  anthropic:claude-cli  published  1h       /home/me/credentials/sdk.json\n"
        "job   token              anthropic:claude-cli  failing    -        /x [2J\n"
    )
    assert said.err.splitlines() == [
        "tokenward: job: /x: No space left on device (make room)",
        "tokenward: job: its on_change command failed: it ended with status 3",
    ]


def test_json_is_the_daemons_answer(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is."""
    daemon.answers["sink.list"] = lambda _: {"sinks": [sink()]}
    assert main(["sinks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sinks": [sink()]}


def test_without_sinks_it_says_how_one_begins(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on standard output, so that a pipe gets no lines."""
    daemon.answers["sink.list"] = lambda _: {"sinks": []}
    assert main(["sinks"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "[sinks.NAME]" in said.err
