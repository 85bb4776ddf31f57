"""Where in a TOML text a key stands, so that "wrong key" can say which line.

The problem: ``tomllib`` gives values and forgets where they came from, and a second parser would read some
files differently. So the same parser is asked again, with less and less of the text.

Rules:
- The text is valid TOML; its beginning up to the end of any expression is then valid too.
- Only the error path calls this: it parses the text some fifteen times.
"""

from __future__ import annotations

import bisect
import tomllib
from collections.abc import Sequence
from typing import Any


def line_of(text: str, keys: Sequence[str | int]) -> int | None:
    """The line on which a key is first given a value, or its table a header.

    Args:
        text: a valid TOML document.
        keys: the way to the value, as in pydantic's ``loc``; what the text does not hold is left out from
            the end, so that a missing key is reported at its table.

    Returns:
        A line number from 1; None if not even the first key is in the text.
    """
    lines = [f"{line}\n" for line in text.split("\n")]
    path = list(keys)
    whole = tomllib.loads(text)
    while path and not _holds(whole, path):
        path.pop()
    if not path:
        return None
    ends = bisect.bisect_left(
        range(len(lines) + 1), True, key=lambda count: _holds(_longest_valid(lines, count)[1], path)
    )
    return _longest_valid(lines, ends - 1)[0] + 1


def _longest_valid(lines: list[str], count: int) -> tuple[int, dict[str, Any]]:
    """The most of the first ``count`` lines that is a document, and what it says."""
    for length in range(count, 0, -1):
        try:
            return length, tomllib.loads("".join(lines[:length]))
        except tomllib.TOMLDecodeError:
            continue
    return 0, {}


def _holds(document: Any, path: Sequence[str | int]) -> bool:
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
