"""``tokenward add``: give our own store a credential."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tokenward.cli import output, pasted
from tokenward.cli.arguments import add_agent, add_command, add_json
from tokenward.cli.hidden_input import read_secret
from tokenward.core.nearest import did_you_mean

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

BUILT_IN = ("anthropic",)
"""The providers that work without a configuration: a name near to one of them is seldom meant."""
_PROMPTS = {
    "oauth": "JSON with access_token, refresh_token and expires_in (not shown): ",
    "api_key": "API key (not shown): ",
    "auth_token": "Token (not shown): ",
    "setup_token": "Token that `claude setup-token` printed (not shown): ",
}


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "add",
        "keep a credential in our own store",
        run=run,
        example="pass show work/anthropic | tokenward add anthropic:work --api-key",
        about="The secret comes from standard input or from a hidden prompt, never from an argument.",
    )
    parser.add_argument("profile", metavar="PROFILE", help="provider:name; one that exists gets the new material")
    kind = parser.add_mutually_exclusive_group(required=True)
    for name, what in (
        ("oauth", "an OAuth login, as JSON: access token, refresh token, and its end"),
        ("api_key", "an API key"),
        ("setup_token", "a token of a year: run `claude setup-token` on any machine; the Console has none"),
        ("auth_token", "a token for a gateway"),
    ):
        kind.add_argument(f"--{name.replace('_', '-')}", dest="kind", action="store_const", const=name, help=what)
    # An option and no second positional: argparse would not take that one after the kind.
    parser.add_argument(
        "-",
        dest="reads_standard_input",
        action="store_true",
        help="read the secret from standard input, which is done without it too",
    )
    parser.add_argument("--shared", action="store_true", help="keep it in the shared store, for all hosts")
    add_agent(parser)
    add_json(parser, "the profile after, as `profile.add` answers")


def run(arguments: argparse.Namespace) -> int:
    """Read a credential and hand it over."""
    from tokenward.cli.service_access import with_service

    text = read_secret(_PROMPTS[arguments.kind])
    if arguments.kind == "oauth":
        read = pasted.oauth(text)
    else:
        read = pasted.key(text, kind=arguments.kind, provider=arguments.profile.partition(":")[0])
    for note in read.notes:
        output.remark(note)
    params = {
        "profile": arguments.profile,
        "kind": arguments.kind,
        "credential": read.credential,
        "agent": arguments.agent,
        "shared": arguments.shared,
    }

    def act(call: Call) -> int:
        profile = call("profile.add", params)
        if meant := did_you_mean(profile["provider"], BUILT_IN):
            output.remark(f"{profile['provider']} is a provider of its own; {meant.strip()}")
        if arguments.json:
            output.as_json(profile)
        else:
            end = "" if profile["valid_for"] is None else f", valid for {output.duration(profile['valid_for'])}"
            output.say(f"{profile['profile']}: kept{end}")
        return output.OK

    return with_service(act)
