"""``tokenward sinks``: the files that are published for programs that cannot ask the socket."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.client import Client

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

_HEADINGS = ("SINK", "FORMAT", "PROFILE", "STATE", "EXPIRES", "PATH")


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "sinks",
        "show the files that are published",
        run=run,
        example="tokenward sinks",
        about="They are configured as [sinks.NAME]. Why one is not published is said on standard error.",
    )
    add_json(parser, "the result of `sink.list`")


def run(arguments: argparse.Namespace) -> int:
    """Show the sinks."""
    with Client() as client:
        answer = client.call("sink.list")
    sinks: list[dict[str, Any]] = answer["sinks"]
    if arguments.json:
        output.as_json(answer)
        return output.OK
    if not sinks:
        output.remark("no sink is configured; one begins with [sinks.NAME] in the configuration")
        return output.OK
    output.table([_HEADINGS, *map(_row, sinks)])
    for sink in sinks:
        if sink["reason"] is not None:
            hint = f" ({sink['hint']})" if sink["hint"] else ""
            output.remark(f"{sink['sink']}: {sink['reason']}{hint}")
        if sink["command_failure"] is not None:
            output.remark(f"{sink['sink']}: its on_change command failed: {sink['command_failure']}")
    return output.OK


def _row(sink: dict[str, Any]) -> tuple[str, ...]:
    ends = sink["expires_at_ms"]
    left = "-" if ends is None else output.duration(ends / 1000 - time.time())
    return sink["sink"], sink["format"], sink["profile"], sink["state"], left, sink["paths"][-1]
