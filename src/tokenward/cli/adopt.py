"""``tokenward adopt``: go on using another program's login where it lies.

The problem: to have it refreshed by us is a consent, and a person who gives it must have read to what.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

_TERMS = (
    "Anthropic does not permit third-party developers to offer Claude.ai login into their own applications, or to "
    "route requests through Free, Pro, or Max plan credentials on behalf of their users."
)
"""Claude Code's documentation, "Legal and compliance"; the README quotes more of it."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "adopt",
        "keep another program's login in place",
        run=run,
        example="tokenward adopt ~/.neurolink/anthropic-credentials.json --layout neurolink --as anthropic:nl",
        about="The file stays its program's: it is watched, and written only where --refresh direct was said, so "
        "that only the tokens change. tokenward logout PROFILE lets it go.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the file that holds the login")
    parser.add_argument(
        "--as", dest="profile", metavar="PROFILE", required=True, help="its name here: provider:name"
    )
    parser.add_argument("--layout", metavar="NAME", required=True, help="whose file: claude-code, neurolink, …")
    parser.add_argument("--entry", metavar="NAME", help="its name in the file, where that holds many")
    parser.add_argument(
        "--refresh",
        choices=("watch", "direct"),
        default="watch",
        help="who refreshes it: its program (watch, the default), or tokenward (direct: this is a consent)",
    )
    add_json(parser, "the profile, as `profile.get` answers")


def run(arguments: argparse.Namespace) -> int:
    """Adopt one login."""
    from tokenward.cli.service_access import with_service

    params = {
        "path": str(arguments.file.expanduser().absolute()),
        "profile": arguments.profile,
        "layout": arguments.layout,
        "entry": arguments.entry,
        "refresh": arguments.refresh,
    }

    def act(call: Call) -> int:
        profile = call("source.adopt", params)
        if arguments.refresh == "direct":
            output.remark(_consent(profile["provider"]))
        if arguments.json:
            output.as_json(profile)
            return output.OK
        note = f"; {profile['note']}" if profile["note"] else ""
        output.say(f"{profile['profile']}: kept in {profile['location']}, refresh: {profile['refresh']}{note}")
        return output.OK

    return with_service(act)


def _consent(provider: str) -> str:
    if provider == "anthropic":
        return f'you consented to tokenward spending this refresh token. Anthropic says: "{_TERMS}"'
    return f"you consented to tokenward spending this refresh token; the terms of {provider} hold"
