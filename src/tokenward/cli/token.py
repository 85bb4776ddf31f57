"""``tokenward token``: the token itself, in the shape that its taker wants."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command
from tokenward.client import Client, Token
from tokenward.core import protocol
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers

KINDS = ("api_key", "auth_token", "setup_token", "oauth", "federated")
FORMATS = ("raw", "json", "header", "env")

ANTHROPIC_VARIABLES = {
    "api_key": "ANTHROPIC_API_KEY",
    "auth_token": "ANTHROPIC_AUTH_TOKEN",
    "setup_token": "CLAUDE_CODE_OAUTH_TOKEN",
    "oauth": "CLAUDE_CODE_OAUTH_TOKEN",
    "federated": "CLAUDE_CODE_OAUTH_TOKEN",
}
"""Under which name Anthropic's own programs read each kind; others read ``<PROVIDER>_API_KEY`` or ``_TOKEN``."""


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
    parser.add_argument("--model", metavar="MODEL", help="what it is for; its provider serves if none is named")
    parser.add_argument(
        "--beta", action="append", metavar="NAME", help="an anthropic-beta for --format header; may be given again"
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
    parser.add_argument(
        "--timeout",
        type=float,
        default=protocol.DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for a refresh (%(default)g)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="raw",
        help="raw: the token; json: all of it; header: lines for a request; env: lines for a shell (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a token."""
    with Client() as client:
        token = client.token(
            profile=arguments.profile,
            provider=arguments.provider,
            agent=arguments.agent,
            kinds=arguments.kind,
            min_valid=arguments.min_valid,
            newer_than=arguments.newer_than,
            timeout=arguments.timeout,
            model=arguments.model,
            betas=arguments.beta,
        )
    if arguments.format == "json":
        output.as_json(dataclasses.asdict(token))
    else:
        lines = {"raw": _raw, "header": _header, "env": _environment}[arguments.format](token)
        if not all(line.isprintable() for line in lines):
            raise TokenwardError(
                "the token holds a control character", hint="look at its source: tokenward doctor"
            )
        print("\n".join(lines))
    if arguments.model and token.model_note and sys.stderr.isatty():
        output.remark(token.model_note)
    if token.degraded and sys.stderr.isatty():
        output.remark(f"this token is less than what was asked for ({token.degraded}); see: tokenward status")
    return output.OK


def _raw(token: Token) -> list[str]:
    return [token.token]


def _header(token: Token) -> list[str]:
    return [f"{name}: {value}" for name, value in token.headers.items()]


def _environment(token: Token) -> list[str]:
    prefix = token.provider.upper().replace("-", "_")
    if token.provider == "anthropic":
        name = ANTHROPIC_VARIABLES[token.kind]
    else:
        name = f"{prefix}_API_KEY" if token.kind == "api_key" else f"{prefix}_TOKEN"
    lines = [f"export {name}={shlex.quote(token.token)}"]
    if token.base_url is not None:
        lines.append(f"export {prefix}_BASE_URL={shlex.quote(token.base_url)}")
    return lines
