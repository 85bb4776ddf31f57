"""``tokenward daemon``: the daemon itself, in the foreground."""

from __future__ import annotations

import argparse
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command
from tokenward.errors import ConfigurationFault

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "daemon",
        "run the daemon in the foreground",
        run=run,
        example="tokenward daemon --log-level debug",
        about="To have it run by itself: tokenward service install.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, instead of the usual one")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="where credentials and state are kept")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where to listen")
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="how much to say on standard error (%(default)s)",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="how to say it: lines for people, or one JSON object a line ($TOKENWARD_LOG_FORMAT, or text)",
    )
    parser.add_argument(
        "--debuggable",
        action="store_true",
        help="let debuggers and profilers of this user read its memory, and with it every token",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop.

    A wrong configuration is a usage error here: the service managers must not start it again and again.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # nobody else's code where tokens are
    gc.disable()  # a third of a million objects, of which none is garbage
    from tokenward.daemon.app import run_daemon

    gc.freeze()
    gc.enable()
    try:
        return run_daemon(
            config=arguments.config,
            state_dir=arguments.state_dir,
            socket=arguments.socket,
            log_level=arguments.log_level,
            log_format=arguments.log_format,
            debuggable=arguments.debuggable,
        )
    except ConfigurationFault as fault:
        output.complain_of(fault)
        return output.USAGE
