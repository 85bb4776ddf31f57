"""How every command takes its arguments, and how it refuses them.

The problem: ``argparse`` repeats a wrong argument in its message, and a wrong argument may be a secret that was
typed into the wrong place. So our parser speaks in the voice of the command line, and masks.

Rules: a command's module has ``add_parser(subparsers)``, whose parser sets ``run``: from the parsed arguments to
the exit status. Every help ends with one example. What a command imports to run, it imports in ``run``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from tokenward.cli import output
from tokenward.core import protocol, redact

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["Parser"]  # noqa: SLF001 - argparse gives its type no public name


_NO_CHOICE = re.compile(
    r"argument (?P<argument>\S+): invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>.*)\)"
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are two lines without a secret."""

    def error(self, message: str) -> NoReturn:
        """Complain and exit with the status of wrong usage."""
        way = f"see: {self.prog} --help"
        if (wrong := _NO_CHOICE.fullmatch(message)) is not None:
            from tokenward.core.nearest import did_you_mean

            way = did_you_mean(wrong["given"], re.findall(r"[\w.-]+", wrong["known"])) + way
            if wrong["argument"] in {"COMMAND", "ACTION", "VERB"}:
                message = f"there is no command {self.prog} {wrong['given']}"
        output.complain(redact.printable(message), way)
        self.exit(output.USAGE)


def add_command(
    subparsers: Subparsers, name: str, summary: str, *, run: Callable[[Any], int], example: str, about: str = ""
) -> Parser:
    """Add one command.

    Args:
        subparsers: where to.
        name: the command's word.
        summary: one line, for the list of commands.
        run: what it does.
        example: one line that works, without the prompt.
        about: what else its help says.
    """
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.{' ' if about else ''}{about}",
        epilog=f"example:\n  {example}",
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_json(parser: argparse.ArgumentParser, shape: str) -> None:
    """Add ``--json``.

    Args:
        parser: the command's.
        shape: what is printed, in words.
    """
    parser.add_argument("--json", action="store_true", help=f"print {shape}, as JSON")


def add_agent(parser: argparse.ArgumentParser) -> None:
    """Add ``--agent``, which is main unless somebody says otherwise."""
    parser.add_argument("--agent", metavar="NAME", default="main", help="the namespace of profiles (%(default)s)")


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add ``--timeout``, seconds for which a caller of ``token.get`` waits."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=protocol.DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for a refresh (%(default)g)",
    )


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps the description and leaves the example alone."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return "".join(f"{indent}{line}\n" for line in text.splitlines())
        return super()._fill_text(text, width, indent)
