"""``tokenward profiles`` and ``tokenward refresh``: the profiles there are, and new material for them now."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json
from tokenward.client import Client, Profile
from tokenward.errors import DaemonUnreachable, TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser, Subparsers

_REFRESHED_BY_US = frozenset({"direct", "delegate", "mint"})
_REFRESH_PATIENCE = 60.0
"""Seconds: the daemon's own deadline of a refresh is 25, and the locks of its owner may have to be awaited."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    group = add_command(
        subparsers, "profiles", "the profiles there are", run=_list, example="tokenward profiles list --json"
    )
    actions: Subparsers = group.add_subparsers(required=True, metavar="ACTION", title="actions")
    _add_list(actions)
    refresh = add_command(
        subparsers,
        "refresh",
        "refresh now, though it may not be due",
        run=_refresh,
        example="tokenward refresh acme:me@work.com",
    )
    which = refresh.add_mutually_exclusive_group(required=True)
    which.add_argument("profile", nargs="?", metavar="PROFILE", help="which one, as provider:name")
    which.add_argument("--all", action="store_true", help="every profile that can be refreshed")
    add_json(refresh, "each profile after, one a line, as `profile.refresh` answers")


def _add_list(actions: Subparsers) -> Parser:
    parser = add_command(
        actions,
        "list",
        "list the profiles, and where each lives",
        run=_list,
        example="tokenward profiles list --provider anthropic",
    )
    parser.add_argument("--provider", metavar="NAME", help="only those of this provider")
    parser.add_argument("--agent", metavar="NAME", help="only those of this agent")
    add_json(parser, "the result of `profile.list`")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    with Client() as client:
        profiles = client.profiles(provider=arguments.provider, agent=arguments.agent)
    if arguments.json:
        output.as_json({"profiles": profiles})
        return output.OK
    rows = [
        (each["profile"], each["agent"], each["kind"] or "-", each["refresh"], each["source"], each["location"])
        for each in profiles
    ]
    print("\n".join(output.columns([("PROFILE", "AGENT", "KIND", "REFRESH", "SOURCE", "LOCATION"), *rows])))
    return output.OK


def _refresh(arguments: argparse.Namespace) -> int:
    with Client(timeout=_REFRESH_PATIENCE) as client:
        if not arguments.all:
            _say_refreshed(client.refresh(arguments.profile), as_json=arguments.json)
            return output.OK
        wanted = [each["profile"] for each in client.profiles() if each["refresh"] in _REFRESHED_BY_US]
        worst = output.OK
        for profile in wanted:
            try:
                _say_refreshed(client.refresh(profile), as_json=arguments.json)
            except DaemonUnreachable:
                raise
            except TokenwardError as error:
                output.complain(f"{profile}: {error.cause}", error.hint)
                worst = max(worst, output.exit_status(error))
    if not wanted and not arguments.json:
        output.say("there is nothing to refresh")
    return worst


def _say_refreshed(profile: Profile, *, as_json: bool) -> None:
    if as_json:
        output.as_json(profile)
        return
    end = profile["valid_for"]
    output.say(f"{profile['profile']}: refreshed" + ("" if end is None else f", valid for {output.duration(end)}"))
