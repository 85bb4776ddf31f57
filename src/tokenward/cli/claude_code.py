"""``tokenward claude-code``: have Claude Code ask tokenward, undo that, or print what to write by hand.

The problem: there are two ways, and which one works depends on the kind of the credential. A key goes through the
``apiKeyHelper``; a login's token, which needs one header and a beta beside it, goes through a profile of
Anthropic's SDKs, and would be refused through the helper.

Rules: what will be changed is shown before it is changed, nothing of somebody else's is replaced without
``--force``, and only ``print --with-token`` prints a token.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from tokenward.cli import output
from tokenward.cli.arguments import add_command

if TYPE_CHECKING:
    from tokenward.cli.arguments import Parser, Subparsers
    from tokenward.client import Kind

HELPER, PROFILE = "helper", "profile"
_USER = "user"
_WAYS = (
    "--via helper is for API keys and gateway tokens, and for any kind where ANTHROPIC_BASE_URL names a gateway; "
    "--via profile is for logins, setup tokens and workload identities."
)


def add_parser(subparsers: Subparsers) -> None:
    """Register the commands."""
    group = add_command(
        subparsers,
        "claude-code",
        "have Claude Code ask tokenward for its key or token",
        run=_install,
        example="tokenward claude-code install",
        about=_WAYS,
    )
    actions: Subparsers = group.add_subparsers(required=True, metavar="ACTION", title="actions")
    install = add_command(
        actions,
        "install",
        "set Claude Code up",
        run=_install,
        example="tokenward claude-code install --profile anthropic:work",
        about=_WAYS,
    )
    _add_common(install)
    _add_scope(install)
    install.add_argument("--force", action="store_true", help="replace a helper that tokenward did not write")
    uninstall = add_command(
        actions,
        "uninstall",
        "put back what was there before install",
        run=_uninstall,
        example="tokenward claude-code uninstall",
    )
    _add_scope(uninstall)
    _add_via(uninstall)
    _add_print(actions)


def _add_print(actions: Subparsers) -> None:
    parser = add_command(
        actions,
        "print",
        "print the settings, as JSON to paste",
        run=_print,
        example="tokenward claude-code print --profile anthropic:gateway --model claude-sonnet-4-6",
        about="The gateway's address is the profile's.",
    )
    _add_common(parser)
    parser.add_argument("--model", metavar="NAME", help="a model to name in it (ANTHROPIC_MODEL)")
    parser.add_argument(
        "--with-token",
        action="store_true",
        help="the token itself, and not the command that asks for it: do not commit it",
    )


def _add_common(parser: Parser) -> None:
    _add_via(parser)
    parser.add_argument("--profile", metavar="PROFILE", help="always this one, as provider:name")
    parser.add_argument("--spawn", action="store_true", help="have the helper start a daemon where none runs")


def _add_via(parser: Parser) -> None:
    parser.add_argument(
        "--via", choices=(HELPER, PROFILE), default=HELPER, help="which of the two ways (%(default)s)"
    )


def _add_scope(parser: Parser) -> None:
    parser.add_argument(
        "--scope",
        choices=(_USER, "local"),
        default=_USER,
        help="all of yours (~/.claude/settings.json, the default), or this directory's project "
        "(.claude/settings.local.json)",
    )


def _install(arguments: argparse.Namespace) -> int:
    from tokenward.cli import claude_code_helper, claude_code_profile

    if arguments.via == PROFILE:
        if arguments.force or arguments.spawn or arguments.scope != _USER:
            return _refuse("--scope, --force and --spawn are for the helper; a profile is for everything of yours")
        return claude_code_profile.install(arguments.profile)
    return claude_code_helper.install(
        arguments.scope, arguments.profile, force=arguments.force, spawn=arguments.spawn
    )


def _uninstall(arguments: argparse.Namespace) -> int:
    from tokenward.cli import claude_code_helper, claude_code_profile

    if arguments.via == PROFILE:
        if arguments.scope != _USER:
            return _refuse("--scope is for the helper; a profile is for everything of yours")
        return claude_code_profile.uninstall()
    return claude_code_helper.uninstall(arguments.scope)


def _print(arguments: argparse.Namespace) -> int:
    from tokenward.cli.claude_code_helper import command
    from tokenward.cli.claude_code_profile import SINK
    from tokenward.client import Client
    from tokenward.core.token_variables import ANTHROPIC_VARIABLES
    from tokenward.helper_ask import OFFICIAL_HOST

    settings: dict[str, object] = {}
    env: dict[str, str] = {}
    if arguments.via == PROFILE:
        if arguments.profile or arguments.with_token or arguments.spawn:
            return _refuse("--profile, --with-token and --spawn are for the helper; only a name is printed here")
        env["ANTHROPIC_PROFILE"] = SINK
    else:
        provider = None if arguments.profile else "anthropic"
        kinds: list[Kind] | None = None if arguments.with_token or arguments.profile else ["api_key", "auth_token"]
        with Client() as client:
            token = client.token(profile=arguments.profile, provider=provider, kinds=kinds)
        if token.base_url is not None and token.base_url.partition("://")[2] != OFFICIAL_HOST.decode():
            env["ANTHROPIC_BASE_URL"] = token.base_url
        if arguments.with_token:
            env[ANTHROPIC_VARIABLES[token.kind]] = token.token
            _warn_of_token(token.valid_for)
        else:
            settings["apiKeyHelper"] = command(arguments.profile, spawn=arguments.spawn)
    if arguments.model:
        env["ANTHROPIC_MODEL"] = arguments.model
    if env:
        settings["env"] = env
    print(json.dumps(settings, indent=2))
    return output.OK


def _refuse(cause: str) -> int:
    output.complain(cause, "see: tokenward claude-code --help")
    return output.USAGE


def _warn_of_token(valid_for: float | None) -> None:
    output.remark("this holds the token itself: keep it out of every repository")
    if valid_for is not None:
        output.remark(f"it ends in {output.duration(valid_for)}, and nothing renews it in the settings")
