"""``tokenward metrics``: the daemon's numbers, on standard output or in a file for node_exporter."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command
from tokenward.client import Client
from tokenward.errors import ConfigurationFault, DaemonUnreachable

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

FOR_FILES = "prometheus"
FOR_PIPES = "openmetrics"
READABLE_BY_ALL = 0o644
"""The collector runs as another user."""
DOWN = "# HELP tokenward_up Whether a daemon answers.\n# TYPE tokenward_up gauge\ntokenward_up 0.0\n"


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "metrics",
        "print the daemon's counters and gauges",
        run=run,
        example="tokenward metrics --output /var/lib/prometheus/node-exporter/tokenward.prom",
        about="They name profiles, and never a token. Needs the extra: pip install 'tokenward[metrics]'.",
    )
    parser.add_argument(
        "--format",
        choices=(FOR_PIPES, FOR_FILES),
        help="which text (openmetrics; with --output prometheus, which node_exporter reads)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="replace this file, for node_exporter's textfile collector; where no daemon answers, it says so",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print them, or replace the file."""
    wanted = arguments.format or (FOR_FILES if arguments.output is not None else FOR_PIPES)
    try:
        with Client() as client:
            text: str = client.call("metrics.get", {"format": wanted})["text"]
    except DaemonUnreachable:
        if arguments.output is not None:
            _replace(arguments.output, DOWN + ("# EOF\n" if wanted == FOR_PIPES else ""))
        raise
    if arguments.output is None:
        print(text, end="")
    else:
        _replace(arguments.output, text)
    return output.OK


def _replace(path: Path, text: str) -> None:
    """Put a whole file in the place of another: a collector may read at any moment.

    Raises:
        ConfigurationFault: if it cannot be written.
    """
    temporary = None
    try:
        # Not *.prom, so that a collector never reads it half written.
        descriptor, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), READABLE_BY_ALL)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigurationFault(
            f"{path} cannot be written: {error.strerror or type(error).__name__}",
            hint="name a file in a directory that you may write",
        ) from None
