"""Where the daemon's log goes, and in what form.

The problem: under systemd every line has a time already and wants a priority, on a terminal it wants a time, and
a collector wants JSON; and libraries log URLs, headers, tracebacks and form bodies at levels that somebody will
one day switch on.

Rules:
- One line an event, to standard error, whatever a message holds: control characters become blanks.
- No traceback, which may show a secret: type and place of an exception only.
- Libraries that speak HTTP or OAuth stay at WARNING, whatever is asked for, and what any library says is masked
  like a text from outside.
- Fields (``extra=fields(...)``) follow the message as ``name=value``, or are members of the JSON object.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from tokenward.core.redact import one_line, printable
from tokenward.daemon import fault
from tokenward.errors import ConfigurationFault

QUIET = ("httpx", "httpcore", "authlib", "apscheduler", "watchfiles", "asyncio")
FORMATS = ("text", "json")
FORMAT_VARIABLE = "TOKENWARD_LOG_FORMAT"

LogFormat = Literal["text", "json"]

_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""sd-daemon(3): the kernel's levels, as a prefix that journald takes off again."""
_OURS = "tokenward"
_PLAIN = re.compile(r"[A-Za-z0-9._:/@+-]+")
"""A value that needs no quotes."""


def fields(**values: str | int | None) -> dict[str, dict[str, str | int]]:
    """What ``extra`` of a log call takes: values by name; None is left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


class _OneLine(logging.Formatter):
    """Text for people.

    Args:
        dated: whether a line begins with its time and level; the journal knows both.
    """

    def __init__(self, *, dated: bool) -> None:
        super().__init__()
        self._dated = dated

    def format(self, record: logging.LogRecord) -> str:
        said = " ".join([_message(record), *(f"{name}={_value(it)}" for name, it in _fields(record).items())])
        return f"{_moment(record)} {record.levelname} {said}" if self._dated else said


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        head = {"time": _moment(record), "level": record.levelname.lower(), "message": _message(record)}
        return json.dumps({**head, "logger": record.name, **_fields(record)}, separators=(",", ":"))


class _Prioritised(logging.Formatter):
    """A line for the journal.

    Args:
        inner: makes the line.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{self._inner.format(record)}"


def _message(record: logging.LogRecord) -> str:
    said = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        said = f"{said} ({fault.describe(record.exc_info[1])})"
    ours = record.name.partition(".")[0] == _OURS
    return one_line(said) if ours else printable(said)


def _fields(record: logging.LogRecord) -> Mapping[str, str | int]:
    given: Any = getattr(record, "fields", {})
    return {name: one_line(value) if isinstance(value, str) else value for name, value in given.items()}


def _value(value: str | int) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_wanted(said: str | None, environ: Mapping[str, str]) -> LogFormat:
    """The form that the command line or else the environment asks for.

    Args:
        said: what ``--log-format`` named, if anything.
        environ: may hold ``TOKENWARD_LOG_FORMAT``.

    Raises:
        ConfigurationFault: if it is none that there is.
    """
    match said or environ.get(FORMAT_VARIABLE) or "text":
        case "text":
            return "text"
        case "json":
            return "json"
        case _:
            raise ConfigurationFault(
                f"{FORMAT_VARIABLE} names no form of the log", hint=f"set it to {' or '.join(FORMATS)}"
            )


def start_logging(level: str, environ: Mapping[str, str], form: LogFormat = "text") -> None:
    """Send the log to standard error.

    Args:
        level: a level's name.
        environ: tells whether standard error is the journal's.
        form: how a line is written.
    """
    handler = logging.StreamHandler(sys.stderr)
    journal = _is_journal(environ.get("JOURNAL_STREAM", ""))
    line: logging.Formatter = _Json() if form == "json" else _OneLine(dated=not journal)
    handler.setFormatter(_Prioritised(line) if journal else line)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_journal(stream: str) -> bool:
    """systemd.exec(5): ``JOURNAL_STREAM`` names device and inode of the journal's end of a pipe."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
