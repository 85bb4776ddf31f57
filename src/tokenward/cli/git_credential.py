"""``tokenward git-credential``: a credential helper of git (gitcredentials(7), git-credential(1)).

The problem: git asks its helpers for a name and a password for whatever host an address or a redirect names, and
tells every helper what the host took and what it refused. A helper that answers every question gives the token to
every host; one that keeps what others found keeps passwords nobody gave it.

Rules:
- It answers for the hosts of ``--host`` alone, over https, or http on loopback. Everything else is silence, after
  which git asks its next helper.
- ``get`` answers with the token as the password and, where it is known, its end (git 2.41 and later read it).
- ``store`` keeps nothing. ``erase`` reports a 401 for the token's generation, if the password that was refused is
  the token that would be served now; another one has its place already. Other operations are ignored, as git asks.
- A value with a line break would be another attribute: it is refused.
"""

from __future__ import annotations

import argparse
import hmac
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.client import Client

LONGEST_REQUEST = 64 * 1024
"""Bytes; git refuses longer lines itself, and sends a dozen."""
_PUSH_SECONDS = 300.0
"""Life to ask for: git uses one password for all requests of a fetch or push."""
_UNAUTHORIZED = 401


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "git-credential",
        "answer git, as one of its credential helpers",
        run=run,
        example="git config --global credential.https://github.com.helper "
        "'!tokenward git-credential --profile gh:default --host github.com'",
        about="The token is the password, for the named hosts and over https only. Nothing that git offers is "
        "stored, and a token that the host refused is reported as such.",
    )
    parser.add_argument("--profile", metavar="PROFILE", required=True, help="whose token, as provider:name")
    parser.add_argument(
        "--host", action="append", required=True, metavar="NAME[:PORT]", help="only for it; may be given again"
    )
    parser.add_argument("--username", metavar="NAME", help="the name beside the token, if git knows none (oauth2)")
    parser.add_argument("operation", metavar="get|store|erase", help="git adds it")


def run(arguments: argparse.Namespace) -> int:
    """Do what git asks."""
    from tokenward.client import Client

    if arguments.operation not in {"get", "erase"}:
        return output.OK
    asked = attributes(sys.stdin.buffer.read(LONGEST_REQUEST).decode(errors="replace"))
    if not is_for(asked, arguments.host):
        return output.OK
    with Client() as client:
        if arguments.operation == "get":
            return _get(client, arguments, asked)
        return _erase(client, arguments.profile, asked)


def attributes(text: str) -> dict[str, str]:
    """The attributes of a request: ``key=value`` lines up to a blank one."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if not line:
            break
        name, equals, value = line.partition("=")
        if equals:
            found[name] = value
    return found


def is_for(asked: Mapping[str, str], hosts: list[str]) -> bool:
    """Whether the request is for one of these hosts, over something that nobody listens to."""
    from tokenward.core.provider import endpoint_problem

    host = asked.get("host", "").lower()
    return (
        host in {each.lower() for each in hosts} and endpoint_problem(f"{asked.get('protocol')}://{host}") is None
    )


def _get(client: Client, arguments: argparse.Namespace, asked: Mapping[str, str]) -> int:
    from tokenward.cli.token_formats import USERNAME

    token = client.token(profile=arguments.profile, min_valid=_PUSH_SECONDS)
    answer = {
        "username": asked.get("username") or arguments.username or USERNAME,
        "password": token.token,
    }
    output.refuse_control_characters(answer.values())
    if token.expires_at_ms is not None:
        answer["password_expiry_utc"] = str(token.expires_at_ms // 1000)
    print("\n".join(f"{name}={value}" for name, value in answer.items()))
    return output.OK


def _erase(client: Client, profile: str, asked: Mapping[str, str]) -> int:
    refused = asked.get("password")
    if not refused:
        return output.OK
    token = client.token(profile=profile)
    if hmac.compare_digest(token.token.encode(), refused.encode()):
        client.report(profile, token.generation, status=_UNAUTHORIZED)
    return output.OK
