"""``docs/reference/cli.md`` and the golden files of ``--help``, from the parsers that really parse."""

from __future__ import annotations

import os
from unittest.mock import patch

from tokenward.cli.command_tree import Argument, Command, command_tree, parsers
from tokenward.cli.main import whole_parser
from tokenward.reference.schema_words import cell, table

HELP_COLUMNS = "80"
"""How wide a golden file is."""

_HEAD = """# The commands

`tokenward COMMAND --help` says the same. Exit status: 0 ok, 1 error, 2 usage, 3 a person must log in, 4 no
daemon answers, 5 locked. `--json` prints one JSON value a line; errors go to standard error, as two lines: the
cause, and a hint.

"""


def page() -> str:
    """The page."""
    tree = command_tree(whole_parser())
    rows = [(f"[`{each.words[0]}`](#tokenward-{each.words[0]})", cell(each.summary)) for each in tree.below]
    sections = "".join(_section(each) for each in list(tree.everything())[1:])
    return _HEAD + table(("command", "what it does"), rows) + sections


def _section(command: Command) -> str:
    heading = "#" * (1 + len(command.words))
    words = " ".join(("tokenward", *command.words))
    parts = [f"\n{heading} {words}\n\n{command.about}\n\n```sh\n{command.example or words}\n```\n"]
    if command.arguments:
        parts.append("\n" + table(("argument", "meaning"), [_row(each) for each in command.arguments]))
    return "".join(parts)


def _row(argument: Argument) -> tuple[str, str]:
    spelt = ", ".join(argument.flags)
    return f"`{cell(f'{spelt} {argument.metavar}'.strip())}`", cell(argument.meaning)


def helps() -> dict[str, str]:
    """Every ``--help``, as a terminal of ``HELP_COLUMNS`` shows it, by the words joined with hyphens."""
    with patch.dict(os.environ, {"COLUMNS": HELP_COLUMNS}):
        return {"-".join(("tokenward", *words)): each.format_help() for words, each in parsers(whole_parser())}
