"""One value of the user's ``config.toml``, changed on the user's word, with everything else as it was.

The problem: a configuration is written by hand, with comments and an order that mean something to its writer;
a program that parses it and writes it anew loses both. So exactly one line is replaced or added.

Rules:
- The text after the edit is parsed, and must say what was asked for and otherwise what it said before; where it
  would not, nothing is written and the person is told the line to write.
- The file is replaced whole or not at all, and keeps its mode; a new one is its owner's alone.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenward.errors import ConfigurationFault
from tokenward.toml_lines import line_of

_PRIVATE = 0o600


def set_value(path: Path, table: Sequence[str], key: str, value: str) -> bool:
    """Have the configuration say ``key = "value"`` in a table.

    Args:
        path: the file; made if there is none.
        table: the table's name, part by part.
        key: a bare key.
        value: a text without quotes and backslashes.

    Returns:
        Whether the file was changed; it is not where it says so already.

    Raises:
        ConfigurationFault: if the file cannot be read, edited safely or written.
    """
    by_hand = f'write it yourself: {key} = "{value}" under [{".".join(table)}] in {path}'
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before = tomllib.loads(text)
        if _at(before, (*table, key)) == value:
            return False
        edited = _edited(text, before, table, key, value)
        if tomllib.loads(edited) != _expected(before, table, key, value):
            raise ValueError("the edit would change something else")
        _replace(path, edited)
    except (OSError, ValueError) as error:  # a TOML fault and a wrong encoding are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else "it is not written as tokenward can edit it"
        raise ConfigurationFault(f"{path} was not changed: {reason}", hint=by_hand) from None
    return True


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


def _replace(path: Path, text: str) -> None:
    real = path.resolve()
    real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = real.stat().st_mode & 0o777 if real.exists() else _PRIVATE
    descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            os.fchmod(descriptor, mode)
            opened.write(text)
            opened.flush()
            os.fsync(descriptor)
        Path(temporary).replace(real)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
