"""``tokenward models``: lines for a pipe, a table for a person, and what the daemon is asked."""

import json
from pathlib import Path

import pytest

from client.fake_daemon import FakeDaemon, Json
from tokenward.cli import output
from tokenward.cli.main import main

MODEL: Json = {
    "provider": "anthropic",
    "model": "claude-opus-4-20250514",
    "family": "opus",
    "context_window": 200_000,
    "max_output": 64_000,
    "vision": True,
    "extended_thinking": False,
    "tool_use": None,
    "deprecated": False,
    "retired": "2026-06-15",
    "minimum_tier": "max",
    "table": "documents",
    "note": None,
}
NEWER: Json = {
    **MODEL,
    "model": "claude-opus-9",
    "context_window": 1_000_000,
    "max_output": None,
    "retired": None,
    "deprecated": True,
    "minimum_tier": None,
    "table": "current",
    "note": "new",
}
LISTED: Json = {
    "tables": [{"table": "current", "dated": "2026-11-21", "source": "the docs"}],
    "models": [MODEL, NEWER],
    "default": "claude-opus-9",
    "default_note": "it is old",
    "defaults_by_tier": {"pro": "claude-x"},
    "aliases": {"opus": "claude-opus-9"},
}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """One that knows two models."""
    daemon.answers["model.list"] = lambda _: LISTED
    daemon.answers["model.info"] = lambda _: NEWER
    return daemon


@pytest.mark.parametrize("command", [["models"], ["models", "list"]])
def test_in_a_pipe_a_line_is_a_model(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """No heading and no footing."""
    assert main(command) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["claude-opus-4-20250514", "200K", "64K", "yes", "no", "-", "max", "documents", "retired", "2026-06-15"],
        ["claude-opus-9", "1M", "-", "yes", "no", "-", "-", "current", "deprecated"],
    ]
    assert daemon.params("model.list") == {"latest": False}


def test_a_person_gets_a_heading_and_where_it_is_from(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables with their dates, aliases, and the defaults with what is wrong with them."""
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["MODEL", "CONTEXT", "OUTPUT"]
    assert lines[3:] == [
        "",
        "current: the docs, 2026-11-21",
        "aliases: opus = claude-opus-9",
        "by tier, in the documents: pro = claude-x",
        "default: claude-opus-9 (it is old)",
    ]


def test_the_filters_are_the_daemons(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is the result as it is."""
    words = "--table documents --family opus --capability vision --tier max_5 --latest --json"
    assert main(["models", "list", *words.split()]) == 0
    assert json.loads(capsys.readouterr().out) == LISTED
    assert daemon.params("model.list") == {
        "table": "documents",
        "family": "opus",
        "capability": "vision",
        "tier": "max_5",
        "latest": True,
    }


def test_nothing_that_fits_is_said(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """To a person, not into the pipe."""
    daemon.answers["model.list"] = lambda _: {**LISTED, "models": []}
    assert main(["models", "list", "--family", "x"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "tokenward: no model fits\n")


def test_one_model_is_told_field_by_field(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """What no source says is a dash; a tier that nobody wants is said to be any."""
    assert main(["models", "info", "opus"]) == 0
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert told["model"] == "anthropic/claude-opus-9"
    assert told["status"] == "deprecated"
    assert told["note"] == "new"
    assert daemon.params("model.info") == {"model": "opus"}


def test_a_name_is_resolved_with_its_remarks_beside(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference alone goes to the pipe."""
    daemon.answers["model.resolve"] = lambda _: {
        "provider": "anthropic",
        "model": "claude-opus-99",
        "known": False,
        "suggestion": "claude-opus-9",
        "note": "a note",
    }
    assert main(["models", "resolve", "claude-opus-99", "--strict"]) == 0
    said = capsys.readouterr()
    assert said.out == "anthropic/claude-opus-99\n"
    assert "the nearest is claude-opus-9\n" in said.err
    assert "a note\n" in said.err
    assert daemon.params("model.resolve") == {"model": "claude-opus-99", "strict": True}


def test_the_model_of_a_tier_with_its_warning(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """With a model or without one."""
    daemon.answers["model.for_tier"] = lambda _: {
        "provider": "anthropic",
        "model": "claude-x",
        "tier": "pro",
        "warning": "not for pro",
        "note": None,
    }
    assert main(["models", "for-tier", "--tier", "pro", "--agent", "b"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("anthropic/claude-x\n", "tokenward: not for pro\n")
    assert daemon.params("model.for_tier") == {"tier": "pro", "agent": "b"}


@pytest.mark.parametrize(
    ("tier", "status", "words"),
    [
        ("max", 0, "claude-x: max may use it\n"),
        (None, 0, "claude-x: nothing forbids it, since no tier is known\n"),
        ("pro", 1, "claude-x: pro may not use it; it needs max or higher\n"),
    ],
)
def test_access_is_an_exit_status(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], tier: str | None, status: int, words: str
) -> None:
    """So that a script can ask; `--json` has it too."""
    answer = {"allowed": status == 0, "model": "claude-x", "tier": tier, "required_tier": "max"}
    daemon.answers["model.validate_access"] = lambda _: answer
    assert main(["models", "check", "claude-x"]) == status
    assert capsys.readouterr().out == words
    assert main(["models", "check", "claude-x", "--json"]) == status
    assert json.loads(capsys.readouterr().out) == answer


@pytest.mark.parametrize(
    ("arguments", "method"),
    [(["info", "x"], "model.info"), (["resolve", "x"], "model.resolve"), (["for-tier"], "model.for_tier")],
)
def test_every_answer_can_be_json(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], arguments: list[str], method: str
) -> None:
    """The result as the daemon gave it."""
    daemon.answers[method] = lambda _: {"a": 1}
    assert main(["models", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_without_a_daemon_the_tables_are_asked_in_this_process(
    no_daemon: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They need none; and what cannot be a model is said in words."""
    assert main(["models", "resolve", "Opus-4.5"]) == 0
    assert capsys.readouterr().out == "anthropic/claude-opus-4-5\n"
    assert main(["models", "resolve", "a b"]) == 2
    assert capsys.readouterr().err == (
        "tokenward: model: Value error, not the name of a model\n"
        "  hint: a model is named provider/model, or by its id\n"
    )
