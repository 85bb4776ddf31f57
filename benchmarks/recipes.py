"""What the pages tell a shell to type, word for word, so that what is measured is what people do."""

from __future__ import annotations

import re

from benchmarks.stage import SOURCES

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def function() -> str:
    """The function of ``docs/shell.md``, and a call of it: prints a token, or says on stderr why there is none."""
    return _shown("docs/shell.md", "tokenward_token() (") + "tokenward_token\n"


def published_file() -> str:
    """The line of ``docs/sinks.md`` that prints the key of ``~/job.env``."""
    return _shown("docs/sinks.md", '. "$HOME/job.env"')


def _shown(page: str, containing: str) -> str:
    """The one block of a page in which this stands.

    Raises:
        ValueError: if there is none, or more than one.
    """
    blocks: list[str] = _BLOCK.findall((SOURCES / page).read_text(encoding="utf-8"))
    [found] = (block for block in blocks if containing in block)
    return found
