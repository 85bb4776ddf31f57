"""``tokenward profiles`` and ``tokenward refresh``: the profiles there are, and new material for them now."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_agent, add_command, add_json
from tokenward.client import Client, Profile
from tokenward.errors import DaemonUnreachable, TokenwardError

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser, Subparsers
    from tokenward.cli.service_access import Call

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
    _add_decision(actions, "enable", "let a profile serve again", done="serves again")
    _add_decision(actions, "disable", "neither serve nor refresh a profile", done="rests until it is enabled")
    _add_decision(
        actions,
        "clear",
        "forget what programs reported of a profile",
        done="serves again, as if nothing had failed",
        about="It ends every rest; a key that was refused is tried again.",
    )
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
    add_agent(refresh)
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


def _add_decision(
    actions: Subparsers,
    verb: str,
    summary: str,
    *,
    done: str,
    about: str = "It holds until the opposite is said, also after a restart.",
) -> None:
    parser = add_command(
        actions,
        verb,
        summary,
        run=_decide,
        example=f"tokenward profiles {verb} anthropic:work",
        about=about,
    )
    parser.add_argument("profile", metavar="PROFILE", help="which one, as provider:name")
    add_agent(parser)
    add_json(parser, f"the profile after, as `profile.{verb}` answers")
    parser.set_defaults(method=f"profile.{verb}", done=done)


def _decide(arguments: argparse.Namespace) -> int:
    from tokenward.cli.service_access import with_service

    def act(call: Call) -> int:
        profile = call(arguments.method, {"profile": arguments.profile, "agent": arguments.agent})
        if arguments.json:
            output.as_json(profile)
        else:
            output.say(f"{profile['profile']}: {arguments.done}")
        return output.OK

    return with_service(act)


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
    output.table([("PROFILE", "AGENT", "KIND", "REFRESH", "SOURCE", "LOCATION"), *rows])
    return output.OK


def _refresh(arguments: argparse.Namespace) -> int:
    with Client(timeout=_REFRESH_PATIENCE) as client:
        if not arguments.all:
            _say_refreshed(client.refresh(arguments.profile, agent=arguments.agent), as_json=arguments.json)
            return output.OK
        wanted = [
            each["profile"]
            for each in client.profiles(agent=arguments.agent)
            if each["refresh"] in _REFRESHED_BY_US and each["enabled"]
        ]
        worst = output.OK
        for profile in wanted:
            try:
                _say_refreshed(client.refresh(profile, agent=arguments.agent), as_json=arguments.json)
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
