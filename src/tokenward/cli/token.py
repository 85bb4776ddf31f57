"""``tokenward token``: the token itself, in the shape that its taker wants."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_timeout
from tokenward.client import Client, Token
from tokenward.core import protocol

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

KINDS = ("api_key", "auth_token", "setup_token", "oauth", "federated")
FORMATS = ("raw", "json", "header", "env", "curl", "netrc", "exec-credential", "aws-credential-process")
_PLAIN = FORMATS[:2]
"""What is printed without loading the module of the others: the way that most callers take."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "token",
        "print a token that is valid now",
        run=run,
        example="tokenward token anthropic:work --format header | curl -H @- https://api.anthropic.com/v1/models",
        about="It is refreshed first if need be.",
    )
    parser.add_argument("profile", nargs="?", metavar="PROFILE", help="exactly this profile, as provider:name")
    parser.add_argument("--provider", metavar="NAME", help="any profile of this provider")
    parser.add_argument("--agent", metavar="NAME", help='the namespace of profiles ("main")')
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be given again")
    parser.add_argument("--session", metavar="NAME", help="stay with one profile, and obey `tokenward pin`")
    parser.add_argument("--model", metavar="MODEL", help="what it is for; its provider serves if none is named")
    parser.add_argument(
        "--beta", action="append", metavar="NAME", help="an anthropic-beta among the headers; may be given again"
    )
    parser.add_argument(
        "--min-valid",
        type=float,
        metavar="SECONDS",
        help=f"life that it must have left ({protocol.DEFAULT_MIN_VALID:g})",
    )
    parser.add_argument(
        "--newer-than", metavar="GENERATION", help="not this one: the API answered 401 to it (12 hex digits)"
    )
    add_timeout(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="raw",
        help="raw: the token; json: all of it; header: lines for a request; env: for a shell; curl: for curl -K; "
        "netrc: a line of such a file; exec-credential: for kubectl; aws-credential-process: for the AWS SDKs "
        "(%(default)s)",
    )
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="the same as --format json"
    )
    parser.add_argument("--host", metavar="NAME", help="the host in a netrc line (the API's)")
    parser.add_argument("--username", metavar="NAME", help="the name in it (oauth2)")


def run(arguments: argparse.Namespace) -> int:
    """Print a token."""
    with Client() as client:
        token = client.token(
            profile=arguments.profile,
            provider=arguments.provider,
            agent=arguments.agent,
            kinds=arguments.kind,
            min_valid=_min_valid(arguments),
            newer_than=arguments.newer_than,
            timeout=arguments.timeout,
            session=arguments.session,
            model=arguments.model,
            betas=arguments.beta,
        )
    show(token, arguments)
    return output.OK


def show(token: Token, arguments: argparse.Namespace) -> None:
    """Print a token, and remark what is wrong with it.

    Args:
        token: the answer.
        arguments: ``format``, ``model`` and ``min_valid``, and what the format needs besides.

    Raises:
        TokenwardError: if it cannot be printed on lines.
    """
    if arguments.format == "json":
        output.as_json(dataclasses.asdict(token))
    else:
        print("\n".join(_lines(token, arguments)))
    if arguments.model and token.model_note and sys.stderr.isatty():
        output.remark(token.model_note)
    if token.degraded and sys.stderr.isatty() and _min_valid(arguments) == arguments.min_valid:
        output.remark(f"this token is less than what was asked for ({token.degraded}); see: tokenward status")


def _min_valid(arguments: argparse.Namespace) -> float | None:
    """The life to ask for: a person's wish, else that of the format's takers."""
    if arguments.min_valid is not None or arguments.format in _PLAIN:
        wish: float | None = arguments.min_valid
        return wish
    from tokenward.cli.token_formats import LIFE_WANTED

    return LIFE_WANTED.get(arguments.format)


def _lines(token: Token, arguments: argparse.Namespace) -> list[str]:
    if arguments.format in _PLAIN:
        output.refuse_control_characters([token.token])
        return [token.token]
    import os
    import time

    from tokenward.cli.token_formats import Taker, lines_of

    taker = Taker(os.environ, time.time(), arguments.host, arguments.username)
    return lines_of(arguments.format, token, taker)
