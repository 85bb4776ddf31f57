"""``tokenward top``: the day of every profile on one screen, with the keys to act on it."""

from __future__ import annotations

import argparse
import importlib.util
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command
from tokenward.client import Client

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "top",
        "watch the last day of every profile, and act on it by keys",
        run=run,
        example="tokenward top",
        about="Needs the extra: pip install 'tokenward[tui]'. Keys: r refresh, p pin, c clear, d disable or "
        "enable, z zoom, q quit.",
    )
    parser.add_argument("--agent", metavar="NAME", help="only the profiles of this agent")


def run(arguments: argparse.Namespace) -> int:
    """Show it until a key ends it."""
    if importlib.util.find_spec("textual") is None:
        output.complain("top needs textual, which is not installed", "pip install 'tokenward[tui]'")
        return output.ERROR
    if not output.has_screen():
        output.complain("top needs a terminal that can draw", "use: tokenward status --watch")
        return output.ERROR
    from tokenward.cli.top_app import Top

    with Client() as client:
        client.hello()
        Top(client, arguments.agent).run()
    return output.OK
