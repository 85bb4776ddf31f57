"""``tokenward events``: what happens to the profiles, while it happens."""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.client import Client, Event

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "events",
        "wait for the next event, or follow them all",
        run=run,
        example="tokenward events --follow anthropic:claude-cli",
        about="An event never holds a token.",
    )
    parser.add_argument("profile", nargs="*", metavar="PROFILE", help="only the events of these profiles")
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")
    add_json(parser, "one event a line: type, profile, generation, at_ms, detail")


def run(arguments: argparse.Namespace) -> int:
    """Print events."""
    try:
        with Client() as client, client.events(arguments.profile or None) as events:
            for event in events:
                _show(event, as_json=arguments.json)
                if not arguments.follow:
                    return output.OK
    except KeyboardInterrupt:
        if not arguments.follow:
            raise
        return output.OK
    output.complain("no more events will come", "ask for the status, and follow again: tokenward status")
    return output.ERROR


def _show(event: Event, *, as_json: bool) -> None:
    if as_json:
        output.as_json(dataclasses.asdict(event))
        return
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.at_ms / 1000))
    words = (moment, event.type, event.profile or "-", event.generation or "-", event.detail)
    print(output.clean(" ".join(words)), flush=True)
