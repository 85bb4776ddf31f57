"""The log: one line an event whatever is in it, in the form and with the level that its reader understands."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tokenward.daemon.logs import fields, format_wanted, start_logging
from tokenward.errors import ConfigurationFault

SECRET = "sk-ant-oat01-" + "aB3" * 20


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """The root logger is given back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines on standard error so far."""

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return lines


def test_a_line_for_people_has_time_level_words_and_fields(written: Callable[[], list[str]]) -> None:
    """UTC to the millisecond; a value with a blank is quoted; what is unknown is left out."""
    start_logging("info", {})
    more = fields(profile="acme:me", cause="unavailable", failures=3, detail="no route", generation=None)
    logging.getLogger("tokenward.x").warning("the refresh failed", extra=more)
    [line] = written()
    moment, level, rest = line.split(" ", 2)
    assert moment.endswith("Z")
    assert len(moment) == len("2026-11-21T12:00:00.000Z")
    assert level == "WARNING"
    assert rest == 'the refresh failed profile=acme:me cause=unavailable failures=3 detail="no route"'


def test_json_is_one_object_a_line(written: Callable[[], list[str]]) -> None:
    """The same in members, numbers as numbers."""
    start_logging("info", {}, "json")
    logging.getLogger("tokenward.x").error("a\nb", extra=fields(profile="acme:me", failures=3))
    [line] = written()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "error",
        "message": "a b",
        "logger": "tokenward.x",
        "profile": "acme:me",
        "failures": 3,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_breaks_the_line(written: Callable[[], list[str]], form: str) -> None:
    """Line breaks and the commands of a terminal become blanks, in the message and in fields."""
    start_logging("info", {}, format_wanted(form, {}))
    logging.getLogger("tokenward.x").info("a\r\nb\x1b[2Jc", extra=fields(profile="x\ny\u202e"))
    [line] = written()
    assert "\x1b" not in line
    assert "\\u001b" not in line
    assert "\\n" not in line
    assert "202e" not in line


def test_an_exception_is_type_and_place(written: Callable[[], list[str]]) -> None:
    """Its text and its source lines, which could hold a token, are not shown."""
    start_logging("info", {})
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("tokenward.x").exception("it failed")
    [line] = written()
    assert "it failed (ValueError at test_logs.py:" in line
    assert SECRET not in line


def test_what_libraries_say_is_masked(written: Callable[[], list[str]]) -> None:
    """What asyncio logs is an exception with its text; a token in it does not reach the log."""
    start_logging("debug", {})
    logging.getLogger("asyncio").error("exception was never retrieved\nValueError(%s)", SECRET)
    logging.getLogger("httpx").info("GET %s", SECRET)
    [line] = written()
    assert "never retrieved" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_is_told_the_priority(
    monkeypatch: pytest.MonkeyPatch, level: int, priority: int, form: str
) -> None:
    """Where standard error is the journal's, a line begins with its priority and has no time of its own."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as stream, os.fdopen(reading) as journal:
        monkeypatch.setattr(sys, "stderr", stream)
        status = os.fstat(writing)
        start_logging("debug", {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, format_wanted(form, {}))
        logging.getLogger("tokenward.x").log(level, "said")
        line = journal.readline()
    if form == "text":
        assert line == f"<{priority}>said\n"
    else:
        assert line.startswith(f"<{priority}>{{")
        assert json.loads(line[3:])["message"] == "said"


def test_another_programs_journal_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable inherited from elsewhere does not make a pipe the journal."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1) as stream, os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stderr", stream)
        start_logging("info", {"JOURNAL_STREAM": "1:1"})
        logging.getLogger("tokenward.x").info("said")
        assert pipe.readline().endswith("Z INFO said\n")


def test_the_form_is_the_command_lines_then_the_environments() -> None:
    """Text unless somebody says otherwise; a form that there is not stops the start."""
    variable = {"TOKENWARD_LOG_FORMAT": "json"}
    assert [format_wanted("text", variable), format_wanted(None, variable), format_wanted(None, {})] == [
        "text",
        "json",
        "text",
    ]
    with pytest.raises(ConfigurationFault, match="TOKENWARD_LOG_FORMAT"):
        format_wanted(None, {"TOKENWARD_LOG_FORMAT": "xml"})
