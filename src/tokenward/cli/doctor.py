"""``tokenward doctor``: look at everything that could be wrong, and say what to do about it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.client import Client, Profile
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

_FAIL = "fail"


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "doctor",
        "check the installation, the configuration and every login",
        run=run,
        example="tokenward doctor",
        about="Works with and without a daemon. Exit status 1 if a check fails; a warning is no failure.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, instead of the usual one")
    add_json(parser, "findings: a list of check, level (ok, warn, fail), cause, hint")


def run(arguments: argparse.Namespace) -> int:
    """Run every check."""
    from tokenward.daemon.app import run_checks

    findings = run_checks(config=arguments.config, profiles=_kept())
    if arguments.json:
        output.as_json(
            {
                "findings": [
                    {"check": each.check, "level": each.level, "cause": each.cause, "hint": each.hint}
                    for each in findings
                ]
            }
        )
    else:
        width = max((len(each.check) for each in findings), default=0)
        for each in findings:
            output.say(f"{each.level:<4}  {each.check:<{width}}  {each.cause}")
            if each.hint and each.level != "ok":
                print(f"      {' ' * width}  hint: {output.clean(each.hint)}")
    return output.ERROR if any(each.level == _FAIL for each in findings) else output.OK


def _kept() -> list[Profile] | None:
    """What the running daemon keeps; None if none answers, which a check of its own says."""
    try:
        with Client() as client:
            return client.profiles()
    except TokenwardError:
        return None
