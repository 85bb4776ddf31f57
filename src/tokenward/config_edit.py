"""One value of the user's ``config.toml``, changed on the user's word, with everything else as it was.

The problem: a configuration is written by hand, with comments and an order that mean something to its writer;
a program that parses it and writes it anew loses both. So exactly one line is replaced or added.

Rules:
- The text after the edit is parsed, and must say what was asked for and otherwise what it said before; where it
  would not, nothing is written and the person is told the line to write.
- The file is replaced whole or not at all, and keeps its mode; a new one is its owner's alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenward import whole_file
from tokenward.errors import ConfigurationFault
from tokenward.toml_lines import line_of


def set_value(path: Path, table: Sequence[str], key: str, value: str) -> bool:
    """Have the configuration say ``key = "value"`` in a table; as ``set_values``."""
    return set_values(path, table, {key: value})


def set_values(path: Path, table: Sequence[str], values: Mapping[str, str]) -> bool:
    """Have the configuration say each ``key = "value"`` in a table.

    Args:
        path: the file; made if there is none.
        table: the table's name, part by part.
        values: bare keys, and texts without quotes and backslashes.

    Returns:
        Whether the file was changed; it is not where it says so already.

    Raises:
        ConfigurationFault: if the file cannot be read, edited safely or written.
    """
    lines = ", ".join(f'{key} = "{value}"' for key, value in values.items())

    def edited(text: str) -> str:
        for key, value in reversed(list(values.items())):  # each goes to the top of its table
            text = _with_value(text, table, key, value)
        return text

    return _edit(path, edited, by_hand=f"write it yourself: {lines} under [{'.'.join(table)}] in {path}")


def remove_table(path: Path, table: Sequence[str]) -> bool:
    """Have the configuration say nothing in a table.

    Args:
        path: the file.
        table: the table's name, part by part; it has a header of its own and no tables below it.

    Returns:
        Whether the file was changed; it is not where there is no such table.

    Raises:
        ConfigurationFault: if the file cannot be read, edited safely or written.
    """
    name = ".".join(table)
    return _edit(path, lambda text: _without_table(text, table), by_hand=f"remove [{name}] from {path} yourself")


def _edit(path: Path, edited: Callable[[str], str], *, by_hand: str) -> bool:
    try:
        was = whole_file.read(path)
        text = (was or b"").decode("utf-8")
        new = edited(text)
        if new == text:
            return False
        whole_file.replace(path, new.encode(), was=was)
    except (OSError, ValueError) as error:  # a TOML fault and a wrong encoding are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else "it is not written as tokenward can edit it"
        raise ConfigurationFault(f"{path} was not changed: {reason}", hint=by_hand) from None
    return True


def _with_value(text: str, table: Sequence[str], key: str, value: str) -> str:
    before = tomllib.loads(text)
    if _at(before, (*table, key)) == value:
        return text
    edited = _edited(text, before, table, key, value)
    if tomllib.loads(edited) != _expected(before, table, key, value):
        raise ValueError("the edit would change something else")
    return edited


def _without_table(text: str, table: Sequence[str]) -> str:
    before = tomllib.loads(text)
    if _at(before, table) is None:
        return text
    lines = text.splitlines()
    header = _header(lines, table)
    if header is None:
        raise ValueError("it has no header of its own")
    end = next((at for at in range(header + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    while end > header + 1 and lines[end - 1].lstrip().startswith("#"):
        end -= 1  # a comment above the next header is the next table's
    if header and not lines[header - 1].strip():
        header -= 1
    edited = "\n".join(lines[:header] + lines[end:]) + "\n" if lines[:header] + lines[end:] else ""
    if tomllib.loads(edited) != _expected_without(before, table):
        raise ValueError("the edit would change something else")
    return edited


def _edited(text: str, before: dict[str, Any], table: Sequence[str], key: str, value: str) -> str:
    lines = text.splitlines()
    wanted = f'{key} = "{value}"'
    if _at(before, (*table, key)) is not None:
        number = line_of(text, [*table, key])
        if number is None or not re.match(rf"\s*{re.escape(key)}\s*=", lines[number - 1]):
            raise ValueError("it stands in an inline table")
        comment = re.search(r"\s+#.*$", lines[number - 1])
        lines[number - 1] = wanted + (comment[0] if comment else "")
    elif (header := _header(lines, table)) is not None:
        lines.insert(header + 1, wanted)
    else:
        lines += ([""] if lines else []) + [f"[{'.'.join(table)}]", wanted]
    return "\n".join(lines) + "\n"


def _header(lines: Sequence[str], table: Sequence[str]) -> int | None:
    pattern = re.compile(r"\s*\[\s*" + r"\s*\.\s*".join(map(re.escape, table)) + r"\s*\]\s*(#.*)?")
    return next((number for number, line in enumerate(lines) if pattern.fullmatch(line)), None)


def _at(document: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _expected(document: dict[str, Any], table: Sequence[str], key: str, value: str) -> dict[str, Any]:
    if not table:
        return {**document, key: value}
    below = document.get(table[0], {})
    if not isinstance(below, dict):
        raise ValueError("a table of this name is something else")  # noqa: TRY004 - a fault of the file
    return {**document, table[0]: _expected(below, table[1:], key, value)}


def _expected_without(document: dict[str, Any], table: Sequence[str]) -> dict[str, Any]:
    others = {key: value for key, value in document.items() if key != table[0]}
    if len(table) == 1:
        return others
    below = _expected_without(document[table[0]], table[1:])
    return {**others, table[0]: below} if below else others
