"""The reference, made from the code: ``python -m tokenward.reference`` writes all of it.

The problem: a reference written by hand is wrong the day after, and one that must be mended by hand is not
mended. So every page under ``docs/reference``, ``openrpc.json``, the manual page and the golden files of
``--help`` are functions of the code, one command writes them all, and a test compares.

Rules:
- ``files`` is all of it: a path within the checkout, and the text.
- Nothing else of tokenward imports this room.
"""

from __future__ import annotations

from tokenward.daemon import openrpc
from tokenward.reference import commands, configuration, errors, events, manual, methods

NOTICE = "<!-- Made by: python -m tokenward.reference. Changes belong into the code. -->\n\n"
"""Stands above every page."""


def files() -> dict[str, str]:
    """Everything that is generated: a path within the checkout, and the text."""
    pages = {
        "cli": commands.page(),
        "config": configuration.page(),
        "errors": errors.page(),
        "events": events.page(),
        "rpc": methods.page(),
    }
    return {
        "openrpc.json": openrpc.text(),
        "man/tokenward.1": manual.page(),
        **{f"docs/reference/{name}.md": NOTICE + text for name, text in pages.items()},
        **{f"tests/cli/help/{name}.txt": text for name, text in commands.helps().items()},
    }
