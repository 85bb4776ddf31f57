"""The voice of the command line: what goes to a person, what to a pipe, and how it says that it failed.

The problem: people want tables and words, programs want lines that never change shape, and both must never be
shown a secret, a traceback, or a control character that a server or a file has put into a text.

Rules:
- Standard output carries what was asked for, and nothing else; remarks and errors go to standard error.
- An error is two lines: ``tokenward: <cause>`` and ``  hint: <hint>``. No shouting, no traceback.
- Every text that came from outside goes through ``clean``. Only ``tokenward token`` prints a token.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tokenward.errors import (
    DaemonUnreachable,
    InvalidParams,
    PersonNeeded,
    StoreUnavailable,
    TokenwardError,
)

OK = 0
ERROR = 1
USAGE = 2
LOGIN_NEEDED = 3
UNREACHABLE = 4
LOCKED = 5
INTERRUPTED = 130
"""As a shell says it of a program that SIGINT ended."""

_COLUMN_GAP = "  "


def clean(text: str) -> str:
    """The text on one line, without anything that a terminal obeys: control, direction, zero-width characters."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def as_seen(text: str) -> str:
    """The text on one line, on a terminal with ``~`` for the home directory where a shell would read it so."""
    home = os.environ.get("HOME", "")
    line = clean(text)
    if not home.startswith("/") or not on_terminal():
        return line
    import re

    return re.sub(rf"(?<![^\s(]){re.escape(home.rstrip('/'))}(?=/)", "~", line)


def refuse_control_characters(texts: Iterable[str]) -> None:
    """See that nothing in a token or beside it would be another line, or a command to a terminal.

    Raises:
        TokenwardError: if it would.
    """
    if not all(text.isprintable() for text in texts):
        raise TokenwardError("the token holds a control character", hint="look at its source: tokenward doctor")


def say(line: str) -> None:
    """One line of what was asked for."""
    print(clean(line))


def explain(text: str) -> None:
    """A sentence beside what was asked for, on a terminal broken between words; commands go through ``say``."""
    if not on_terminal():
        say(text)
        return
    import shutil
    from textwrap import wrap

    width = shutil.get_terminal_size().columns
    print("\n".join(wrap(clean(text), width, break_long_words=False, break_on_hyphens=False)))


def remark(text: str) -> None:
    """One line beside what was asked for."""
    print(f"tokenward: {clean(text)}", file=sys.stderr)


def complain(cause: str, hint: str) -> None:
    """Say what went wrong, and what to do."""
    print(f"tokenward: {clean(cause)}", file=sys.stderr)
    if hint:
        print(f"  hint: {clean(hint)}", file=sys.stderr)


def complain_of(error: TokenwardError) -> int:
    """Say it of an error.

    Returns:
        The exit status for it.
    """
    complain(error.cause, error.hint)
    return exit_status(error)


def exit_status(error: TokenwardError) -> int:
    """Which exit status an error means (design section 7)."""
    for kind, status in (
        (PersonNeeded, LOGIN_NEEDED),
        (DaemonUnreachable, UNREACHABLE),
        (StoreUnavailable, LOCKED),
        (InvalidParams, USAGE),
    ):
        if isinstance(error, kind):
            return status
    return ERROR


def as_json(value: Any) -> None:
    """One JSON value on one line; other characters than ASCII are escaped, control characters among them."""
    print(json.dumps(value, separators=(",", ":")), flush=True)


def on_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def has_screen() -> bool:
    """Whether a picture can be drawn: on a terminal that can move its cursor."""
    return on_terminal() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as aligned lines."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    return [
        _COLUMN_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cleaned
    ]


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as aligned lines; where a terminal is too narrow for them, each as its first cell and some words.

    Args:
        rows: the headings first.
    """
    headings = [f"{heading.lower()} " for heading in rows[0][1:]]
    words = ((first, others) for first, *others in rows[1:])
    _print_fitting(columns(rows), "  ", ((first, zip(headings, others, strict=True)) for first, others in words))


def marked_rows(rows: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    """Print rows without headings as aligned lines, or, as ``table``, in words below their first two cells.

    Args:
        rows: each begins with a mark of one character.
        names: what the words are begun with, for each cell but the first two.
    """
    words = ((f"{mark}{_COLUMN_GAP}{first}", others) for mark, first, *others in rows)
    _print_fitting(columns(rows), "   ", ((first, zip(names, others, strict=True)) for first, others in words))


def _print_fitting(lines: list[str], indent: str, rows: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> None:
    """Print lines, or where a terminal is too narrow for them, rows: a line, and below it names and values."""
    if on_terminal():
        import shutil
        from textwrap import TextWrapper

        width = shutil.get_terminal_size().columns
        if max(map(len, lines)) > width:
            fold = TextWrapper(
                width,
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines = []
            for first, others in rows:
                known = ", ".join(f"{name}{as_seen(cell)}" for name, cell in others if cell != "-")
                lines += [clean(first), *fold.wrap(known)]
    print("\n".join(lines), flush=True)


def duration(seconds: float | None) -> str:
    """A length of time in two units at most, without spaces: ``7h12m``; ``-`` for None."""
    if seconds is None:
        return "-"
    left = max(0, int(seconds))
    days, left = divmod(left, 86_400)
    hours, left = divmod(left, 3600)
    minutes, left = divmod(left, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "m"), (left, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    shown = units[first : first + 2]
    return "".join(f"{count}{unit}" for count, unit in shown if count or unit == shown[0][1])
