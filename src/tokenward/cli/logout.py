"""``tokenward logout``: forget a login of our own store, and say what that does not do.

The problem: a person who logs out expects to be logged out, and forgetting one copy is less than that: the
server knows nothing of it, and a file or a variable of another program may hold the same account's login.

Rules:
- What lives in another place stays there: where that is, and how one logs out there, is said.
- A provider's name means its one login; of several, one has to be named, or all of them meant.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_agent, add_command, add_json
from tokenward.core.credential import Kind
from tokenward.core.token_variables import ANTHROPIC, usual_variable

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

CALL_SECONDS = 120.0
"""To revoke takes up to three requests, each at its slowest."""
_STORE = "store"
_SHARED = "shared"
_ADOPTED = "adopted"
_WAYS_OUT = {
    "claude-code": "log out there: claude auth logout",
    "neurolink": "log out there: neurolink auth logout anthropic",
    "environment": "unset {location} where the daemon is started, and start it again",
    "dotenv": "remove its line from {location}",
    "config": "remove it from [{location}] in the configuration",
    "command": "log out of the program that [{location}] in the configuration runs, or remove that table",
    "shared": "to take it from all hosts, name it: tokenward logout PROVIDER:NAME",
    "federation": "remove the provider's federation from the configuration, or unset its variables",
}
"""How one logs out where a source's credential lives; ``location`` is the profile's."""
_ANTHROPIC_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_OAUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_OAUTH_TOKEN",
)


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "logout",
        "forget a login that our store keeps",
        run=run,
        example="tokenward logout anthropic:work",
        about="It is deleted here, and with --revoke ended at the server first; logins of other programs stay.",
    )
    parser.add_argument(
        "profile", metavar="PROFILE", help="which one, as provider:name; provider alone = its only one"
    )
    parser.add_argument("--all", action="store_true", help="with a provider: every login that our store keeps")
    parser.add_argument("--revoke", action="store_true", help="end it at the server first (RFC 7009)")
    add_agent(parser)
    add_json(parser, "profile, forgotten, revoked, and still_held: where else a login of this provider lies")


def run(arguments: argparse.Namespace) -> int:
    """Forget one profile, or all that our store keeps of a provider."""
    from tokenward.cli.service_access import with_service

    def act(call: Call) -> int:
        if ":" in arguments.profile:
            return _one(call, arguments.profile, arguments)
        asked = {"provider": arguments.profile, "agent": arguments.agent}
        profiles = call("profile.list", asked)["profiles"]
        stored = [each["profile"] for each in profiles if each["source"] == _STORE]
        if not stored:
            return _none_of_ours(arguments.profile, profiles)
        if len(stored) > 1 and not arguments.all:
            output.complain(
                f"our store keeps {len(stored)} logins of {arguments.profile}: {', '.join(stored)}",
                f"name one, or mean all of them: tokenward logout {arguments.profile} --all",
            )
            return output.USAGE
        return max(_one(call, each, arguments) for each in stored)

    return with_service(act, timeout=CALL_SECONDS)


def _one(call: Call, name: str, arguments: argparse.Namespace) -> int:
    """Forget one profile and say what is left."""
    which = {"profile": name, "agent": arguments.agent}
    profile = call("profile.get", which)
    if profile["source"] not in {_STORE, _SHARED, _ADOPTED}:
        output.complain(
            f"{profile['profile']} is not ours to forget: it lives in {profile['location']}", _way_out(profile)
        )
        return output.ERROR
    call("profile.revoke" if arguments.revoke else "profile.forget", which)
    held = still_held(call, profile["provider"])
    if arguments.json:
        output.as_json(
            {
                "profile": profile["profile"],
                "forgotten": True,
                "revoked": arguments.revoke,
                "still_held": held,
            }
        )
        return output.OK
    _say_what_is_left(profile, held, revoked=arguments.revoke)
    return output.OK


def _say_what_is_left(profile: dict[str, Any], held: Sequence[str], *, revoked: bool) -> None:
    where = "on all hosts" if profile["source"] == _SHARED else "here"
    if revoked:
        output.say(f"{profile['profile']}: the server has revoked it, and it is forgotten {where}")
    else:
        output.say(f"{profile['profile']}: forgotten {where}")
        if profile["source"] == _ADOPTED:
            output.say(f"the login stays as it is in {profile['location']}: log out with its program")
        output.say(_what_it_is_not(profile))
    for place in held:
        output.say(f"a login of {profile['provider']} is still in {place}")


def _none_of_ours(provider: str, profiles: Sequence[dict[str, Any]]) -> int:
    """Say where the logins of a provider live, none of them in our store."""
    if not profiles:
        output.complain(f"there is no login of {provider}", "see: tokenward status")
    for each in profiles:
        where = f"{each['profile']} lives in {each['location']}"
        output.complain(f"our store keeps no login of {provider}; {where}", _way_out(each))
    return output.ERROR


def _way_out(profile: dict[str, Any]) -> str:
    way = _WAYS_OUT.get(profile["source"], "log out with the program that keeps it")
    if profile["source"] == _ADOPTED:
        way += f"; to only let it go here: tokenward logout {profile['profile']}"
    return way.format(location=profile["location"])


def still_held(call: Call, provider: str) -> list[str]:
    """Where else logins of this provider lie: places of other programs, and variables of this shell."""
    profiles = call("profile.list", {"provider": provider})["profiles"]
    # A place that is watched and holds no login has no generation.
    holding = [each for each in profiles if each["source"] != _STORE and each["generation"] is not None]
    places = [f"{each['location']} ({each['profile']})" for each in holding]
    names = _ANTHROPIC_VARIABLES if provider == ANTHROPIC else (usual_variable(provider, Kind.API_KEY),)
    return places + [f"the variable {name} of this shell" for name in names if os.environ.get(name)]


def _what_it_is_not(profile: dict[str, Any]) -> str:
    if profile["kind"] in {"oauth", "federated"}:
        return "at the server nothing was revoked: tokens handed out before work until they end"
    return "the key itself still works: to end it, delete it where it was made"
