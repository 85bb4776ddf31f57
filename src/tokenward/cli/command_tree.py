"""Every command with its arguments, as plain values, read off the parsers that really parse.

The problem: the reference, the manual page and the shells' completions must say what the parsers do, and
``argparse`` offers its structure by private names only. So those names are used here and nowhere else.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from tokenward.cli.arguments import Parser


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command.

    Args:
        flags: its spellings; empty = it is given by its position.
        metavar: what stands for its value, as ``SECONDS``; empty = it takes none.
        choices: the values it takes; empty = any.
        meaning: one line.
        is_file: whether its value names a file or a directory.
    """

    flags: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    meaning: str
    is_file: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or one verb of a command.

    Args:
        words: what is typed, without ``tokenward``; empty = the program itself.
        summary: its line in the list above it.
        about: what it does.
        example: a line that works; empty = none.
        arguments: its own, without ``--help``.
        below: its verbs.
    """

    words: tuple[str, ...]
    summary: str
    about: str
    example: str
    arguments: tuple[Argument, ...]
    below: tuple[Command, ...]

    def everything(self) -> Iterator[Command]:
        """This command and all below it, in the order of the help."""
        yield self
        for command in self.below:
            yield from command.everything()


def parsers(parser: Parser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parser]]:
    """A parser and all below it, each with the words that are typed to get there."""
    yield words, parser
    for action in parser._actions:  # noqa: SLF001 - see the docstring of the module
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for name, each in action.choices.items():
                yield from parsers(each, (*words, name))


def command_tree(parser: Parser, words: tuple[str, ...] = (), summary: str = "") -> Command:
    """What a parser takes.

    Args:
        parser: of the program, or of one command.
        words: what is typed to get there.
        summary: its line in the list above it.
    """
    below: list[Command] = []
    arguments: list[Argument] = []
    for action in parser._actions:  # noqa: SLF001 - see the docstring of the module
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            lines = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            below += [
                command_tree(each, (*words, name), lines.get(name, "")) for name, each in action.choices.items()
            ]
        elif not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS:  # noqa: SLF001
            arguments.append(_argument(parser, action))
    example = (parser.epilog or "").removeprefix("example:\n").strip()
    return Command(words, summary, parser.description or "", example, tuple(arguments), tuple(below))


def _argument(parser: Parser, action: argparse.Action) -> Argument:
    choices = tuple(str(each) for each in action.choices or ())
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    takes_value = action.nargs != 0
    meaning = parser._get_formatter()._expand_help(action) if action.help else ""  # noqa: SLF001 - as above
    metavar = ("|".join(choices) or name) if takes_value else ""
    return Argument(tuple(action.option_strings), metavar, choices, meaning, name in {"FILE", "DIR", "PATH"})
