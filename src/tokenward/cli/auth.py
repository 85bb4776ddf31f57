"""``tokenward auth``: the verbs by which other tools know these acts, asked of a provider instead of a profile.

The problem: people come from tools where one logs in to, refreshes and logs out of a *provider*, and a provider
here may have several profiles. So each verb says which profile it means before it acts on it: the one that would
be served next, or all that we keep.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_agent, add_command
from tokenward.client import Client, Profile
from tokenward.errors import ConfigurationFault

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

ACTIVE, RENEWABLE, DEAD = "*", "~", "x"
"""Can serve; cannot, but may again by itself; cannot until a person does something."""
_REFRESHED_BY_US = frozenset({"direct", "delegate"})
_EXPIRED = frozenset({"expired", "expired, refresh failing"})
_PATIENCE = 60.0
"""Seconds, as for ``tokenward refresh``."""


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    group = add_command(
        subparsers,
        "auth",
        "status, refresh and logout of a provider",
        run=_status,
        example="tokenward auth status",
    )
    verbs: Subparsers = group.add_subparsers(required=True, metavar="VERB", title="verbs")
    status = add_command(
        verbs,
        "status",
        "show the credentials of a provider, and which is served next",
        run=_status,
        example="tokenward auth status anthropic",
        about=f"{ACTIVE} can serve, {RENEWABLE} expired and may be refreshed, {DEAD} needs a person.",
    )
    status.add_argument("provider", nargs="?", metavar="PROVIDER", help="only this one")
    status.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="json: providers, a list of `provider.get` with profiles, as `profile.list` (%(default)s)",
    )
    status.add_argument(
        "--json", dest="format", action="store_const", const="json", help="the same as --format json"
    )
    add_agent(status)
    refresh = add_command(
        verbs,
        "refresh",
        "refresh the login of a provider now, and no other",
        run=_refresh,
        example="tokenward auth refresh anthropic",
    )
    refresh.add_argument("provider", metavar="PROVIDER", help="the login of it that would be served next")
    add_agent(refresh)
    logout = add_command(
        verbs,
        "logout",
        "forget what our store keeps of a provider",
        run=_logout,
        example="tokenward auth logout anthropic",
        about="Logins of other programs stay as they are; at the server nothing is revoked.",
    )
    logout.add_argument("provider", nargs="?", metavar="PROVIDER", help="whose credentials")
    logout.add_argument("--all", action="store_true", help="those of every provider")
    add_agent(logout)


def _status(arguments: argparse.Namespace) -> int:
    with Client() as client:
        if arguments.provider is None:
            providers = client.call("provider.list", {"agent": arguments.agent})["providers"]
        else:
            which = {"provider": arguments.provider, "agent": arguments.agent}
            providers = [client.call("provider.get", which)]
        for each in providers:
            each["profiles"] = client.profiles(provider=each["provider"], agent=arguments.agent)
    if arguments.format == "json":
        output.as_json({"providers": providers})
        return output.OK
    for each in providers:
        _show(each)
    return output.OK


def _show(provider: dict[str, Any]) -> None:
    if not provider["profiles"]:
        output.say(
            f"{provider['provider']}: no credentials; add one: tokenward add {provider['provider']}:default "
            "--api-key"
        )
        return
    output.explain(f"{provider['provider']}: {_served(provider['serves'])}")
    rows = [_row(each, is_next=each["profile"] == provider["serves"]) for each in provider["profiles"]]
    output.marked_rows(rows, ("", "valid for ", "from ", ""))


def _served(profile: str | None) -> str:
    return "none can be served now" if profile is None else f"{profile} is served next"


def _row(profile: Profile, *, is_next: bool) -> tuple[str, ...]:
    return (
        standing(profile),
        profile["profile"],
        profile["kind"] or "-",
        output.duration(profile["valid_for"]),
        profile["source"],
        "next" if is_next else profile["unusable"] or "comes later",
    )


def standing(profile: Profile) -> str:
    """How a profile stands, as one character."""
    if profile["unusable"] is None:
        return ACTIVE
    renewable = profile["enabled"] and profile["refresh"] in _REFRESHED_BY_US
    return RENEWABLE if renewable and profile["unusable"] in _EXPIRED else DEAD


def _refresh(arguments: argparse.Namespace) -> int:
    with Client(timeout=_PATIENCE) as client:
        which = {"provider": arguments.provider, "agent": arguments.agent}
        provider = client.call("provider.get", which)
        ours = [
            each["profile"]
            for each in client.profiles(provider=arguments.provider, agent=arguments.agent)
            if each["refresh"] in _REFRESHED_BY_US and each["enabled"]
        ]
        name = provider["serves"] if provider["serves"] in ours else ours[0] if len(ours) == 1 else None
        if name is None:
            raise _nothing_to_refresh(provider["provider"], ours)
        refreshed = client.refresh(name, agent=arguments.agent)
    left = refreshed["valid_for"]
    output.say(f"{name}: refreshed" + ("" if left is None else f", valid for {output.duration(left)}"))
    return output.OK


def _nothing_to_refresh(provider: str, ours: list[str]) -> ConfigurationFault:
    if ours:
        return ConfigurationFault(
            f"{provider} has several logins: {', '.join(ours)}", hint=f"name one: tokenward refresh {ours[0]}"
        )
    return ConfigurationFault(
        f"{provider} has no login that tokenward refreshes", hint=f"see: tokenward auth status {provider}"
    )


def _logout(arguments: argparse.Namespace) -> int:
    from tokenward.cli.service_access import with_service

    if (arguments.provider is None) != arguments.all:
        output.complain("Specify a provider or use --all.", "for example: tokenward auth logout anthropic")
        return output.USAGE

    def act(call: Call) -> int:
        wanted = {"agent": arguments.agent}
        if arguments.provider is not None:
            wanted["provider"] = arguments.provider
        kept = [each for each in call("profile.list", wanted)["profiles"] if each["source"] == "store"]
        for each in kept:
            call("profile.forget", {"profile": each["profile"], "agent": arguments.agent})
        for provider in sorted({each["provider"] for each in kept}) or [arguments.provider or "any provider"]:
            count = sum(each["provider"] == provider for each in kept)
            output.say(f'Removed {count} profile(s) for "{provider}".')
        _warn_of_others(call, arguments.provider)
        return output.OK

    return with_service(act)


def _warn_of_others(call: Call, provider: str | None) -> None:
    """What was not ours to remove still logs the person in."""
    from tokenward.cli.logout import still_held

    names = {provider} if provider is not None else _providers_left(call)
    for name in sorted(names):
        for place in still_held(call, name):
            output.remark(f"a login of {name} is still in {place}")


def _providers_left(call: Call) -> set[str]:
    left = {each["provider"] for each in call("profile.list", {})["profiles"]}
    return left | ({"anthropic"} if os.environ.get("ANTHROPIC_API_KEY") else set())
