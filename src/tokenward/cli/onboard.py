"""``tokenward onboard``: from nothing to a token, by a conversation or by flags alone.

The problem: a person who starts does not know yet what a profile or a kind is, but knows what they have: a key,
a token, or Claude Code. And a machine that is set up by a script has nobody to ask.

Rules:
- Every question has a flag that answers it. Without a terminal, or with --non-interactive, nothing is asked.
- A key that was mistyped, or that the API refuses, is asked for again; nothing before it is lost.
- A secret is typed where it is not shown, or comes from standard input; on the command line it is accepted, since
  other tools' documents do so, with a warning.
- That tokenward spends the refresh token of Claude Code's login is a consent: the terms are quoted before it is
  asked for, and it is written into the configuration, where it can be seen and taken back.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenward.cli import key_check, onboard_claude, onboard_store, output, pasted
from tokenward.cli.arguments import add_agent, add_command
from tokenward.cli.hidden_input import read_secret
from tokenward.cli.onboard_claude import Survey
from tokenward.cli.prompts import TRIES, choose, is_yes
from tokenward.cli.store import PLACES
from tokenward.core.credential import MAIN_AGENT
from tokenward.errors import ConfigurationFault, LoginRequired

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

API_KEY, SETUP_TOKEN, CLAUDE_CLI, SKIP = "api-key", "setup-token", "claude-cli", "skip"
LABELS = {
    CLAUDE_CLI: "Claude Code's login on this machine",
    API_KEY: "Anthropic API key",
    SETUP_TOKEN: "Anthropic token (paste setup-token)",
    SKIP: "Nothing now",
}
"""What is offered, in its order."""
_OTHER_NAMES = {"apiKey": API_KEY, "token": SETUP_TOKEN}
_KEY_PROFILE = "anthropic:default"
_TOKEN_PROFILE = "anthropic:manual"  # noqa: S105 - a profile's id
_KEY_PROMPT = "API key (not shown): "
_TOKEN_PROMPT = "Token that `claude setup-token` printed (not shown): "  # noqa: S105 - a question
_CHECK_QUESTION = "Ask Anthropic now whether it takes this key? It costs nothing."
_STDIN = "-"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = add_command(
        subparsers,
        "onboard",
        "set tokenward up: what to use, and the service",
        run=run,
        example="pass show anthropic | tokenward onboard --non-interactive --anthropic-api-key -",
        about="On a terminal it asks for what no flag says.",
    )
    parser.add_argument("--non-interactive", action="store_true", help="ask nothing")
    parser.add_argument(
        "--auth-choice",
        choices=(*LABELS, *_OTHER_NAMES),
        help="what to use (apiKey is api-key, token is setup-token)",
    )
    parser.add_argument("--anthropic-api-key", metavar="KEY", help="the API key; - reads standard input")
    parser.add_argument("--token", metavar="TOKEN", help="what claude setup-token printed; - reads standard input")
    parser.add_argument(
        "--token-profile-id", metavar="PROFILE", default=_TOKEN_PROFILE, help="the token's profile (%(default)s)"
    )
    parser.add_argument(
        "--claude-refresh",
        choices=onboard_claude.MODES,
        help="who refreshes Claude Code's login; direct is a consent: read the README first",
    )
    parser.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        help="ask Anthropic first whether it takes the API key; costs nothing",
    )
    parser.add_argument(
        "--store-key",
        choices=PLACES,
        help="where the key goes that encrypts what is stored (SECURITY.md compares the places)",
    )
    service = parser.add_mutually_exclusive_group()
    service.add_argument("--install-service", action="store_true", help="have the service manager run the daemon")
    service.add_argument("--no-install-service", action="store_true", help="do not ask for that")
    add_agent(parser)


def run(arguments: argparse.Namespace) -> int:
    """Set tokenward up."""
    asks = _has_terminal() and not arguments.non_interactive
    choice = _choice_of_flags(arguments)
    if choice is None and not asks:
        output.complain("no --auth-choice was given, and there is nobody to ask", f"one of: {', '.join(LABELS)}")
        return output.USAGE
    try:
        status = _set_up(arguments, choice, asks=asks)
        return status or _finish(arguments, asks=asks)
    except EOFError:
        output.complain("the conversation ended before its end", "run it again: tokenward onboard")
        return output.ERROR


def _choice_of_flags(arguments: argparse.Namespace) -> str | None:
    implied = {
        API_KEY: arguments.anthropic_api_key is not None,
        SETUP_TOKEN: arguments.token is not None,
        CLAUDE_CLI: arguments.claude_refresh is not None,
    }
    named = _OTHER_NAMES.get(arguments.auth_choice, arguments.auth_choice)
    choices = {choice for choice, is_implied in implied.items() if is_implied} | ({named} if named else set())
    if len(choices) > 1:
        raise ConfigurationFault(
            f"the flags say several things: {', '.join(sorted(choices))}", hint="run it once for each"
        )
    return next(iter(choices), None)


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _ask_choice(found: Survey) -> str:
    output.say("tokenward keeps logins and keys, and gives your programs a token that is valid now.")
    output.say("Nothing is changed before you have answered; Ctrl-C ends this at any time.")
    output.say("")
    output.say("Found:" if found.profiles else "Found: no login and no key.")
    for each in found.profiles:
        output.say(f"- {_described(each)}")
    labels = dict(LABELS)
    if not found.has_claude_login:
        labels[CLAUDE_CLI] = "Claude Code's login (there is none yet)"
    # An expired login of Claude Code is a login still: it is refreshed once the daemon runs.
    if found.claude is not None and found.has_claude_login and not found.claude["insufficient_access"]:
        default = CLAUDE_CLI
    else:
        has_usable = any(not (each["unusable"] or each["insufficient_access"]) for each in found.profiles)
        default = SKIP if has_usable else API_KEY
    return choose("What should tokenward use?", labels, default=default)


def _described(profile: Mapping[str, Any]) -> str:
    where = "tokenward's own store" if profile["source"] == "store" else profile["location"]
    trouble = profile["unusable"] or (profile["insufficient_access"] and "insufficient API access")
    return f"{profile['profile']}: {profile['kind'] or 'no login'} in {where}{f' ({trouble})' if trouble else ''}"


def _set_up(arguments: argparse.Namespace, choice: str | None, *, asks: bool) -> int:
    # Nothing is asked while the store is open: an interrupted question would have to be waited for.
    found = onboard_claude.survey() if choice in {None, CLAUDE_CLI} else Survey((), None)
    choice = choice or _ask_choice(found)
    keeps = choice in {API_KEY, SETUP_TOKEN}
    onboard_store.place_key(arguments.store_key, asks=asks and keeps)
    if keeps:
        return _take_secret(arguments, choice, asks=asks)
    if choice == CLAUDE_CLI:
        return _use_claude(arguments, found, asks=asks)
    return output.OK


def _use_claude(arguments: argparse.Namespace, found: Survey, *, asks: bool) -> int:
    if arguments.agent != MAIN_AGENT:
        raise ConfigurationFault(
            "Claude Code's login belongs to the agent main",
            hint="other agents use it where inherit_agents = true stands under [default]",
        )
    if asks and found.claude is not None and not found.has_claude_login and shutil.which("claude") is not None:
        if (status := onboard_claude.log_in()) != output.OK:
            return status
        found = onboard_claude.survey()
    return onboard_claude.reuse(found, arguments.claude_refresh, asks=asks)


def _take_secret(arguments: argparse.Namespace, choice: str, *, asks: bool) -> int:
    """Take a key or token, and ask for it again where a person at a terminal has mistaken it."""
    if choice == API_KEY:
        given, kind, profile, prompt = arguments.anthropic_api_key, "api_key", _KEY_PROFILE, _KEY_PROMPT
    else:
        given, kind, profile, prompt = arguments.token, "setup_token", arguments.token_profile_id, _TOKEN_PROMPT
    tries = TRIES if asks and given is None else 1
    checks: bool | None = arguments.check if choice == API_KEY else False
    for left in reversed(range(tries)):
        try:
            read = pasted.key(_secret(given, prompt, asks=asks), kind=kind, provider=profile.partition(":")[0])
            if checks is None:
                checks = tries > 1 and is_yes(_CHECK_QUESTION, default=True)
            if checks:
                _check(profile, read)
        except (ConfigurationFault, LoginRequired) as refusal:
            if not left:
                raise
            output.complain(refusal.cause, refusal.hint)
        else:
            return _keep(profile, kind, read, arguments.agent)
    raise AssertionError("the last try raises")


def _secret(given: str | None, prompt: str, *, asks: bool) -> str:
    if given is not None and given != _STDIN:
        output.remark("a secret on the command line can be read by others while it runs; - reads standard input")
        return given
    if given is None and not asks and _has_terminal():
        raise ConfigurationFault(
            "no secret was given, and nothing is to be asked", hint="pipe it in, or leave out --non-interactive"
        )
    return read_secret(prompt)


def _check(profile: str, read: pasted.Pasted) -> None:
    from tokenward.cli.service_access import with_service

    def act(call: Call) -> int:
        key_check.refuse_bad_key(call, profile.partition(":")[0], read.credential["access_token"])
        return output.OK

    with_service(act)


def _keep(profile: str, kind: str, read: pasted.Pasted, agent: str) -> int:
    from tokenward.cli.service_access import with_service

    for note in read.notes:
        output.remark(note)
    params = {"profile": profile, "kind": kind, "credential": read.credential, "agent": agent}

    def act(call: Call) -> int:
        kept = call("profile.add", params)
        output.say(f"{kept['profile']}: kept, encrypted, in tokenward's own store")
        return output.OK

    return with_service(act)


def _finish(arguments: argparse.Namespace, *, asks: bool) -> int:
    """The service, and what to do next."""
    from tokenward.cli.main import main

    install, runs = arguments.install_service, _daemon_runs()
    if runs:
        output.say("The daemon runs.")
    elif not install and not arguments.no_install_service and asks:
        install = is_yes("Have the service manager of your login run the daemon from now on?", default=True)
    if install and (status := main(["service", "install", "--now"])) != output.OK:
        return status
    if install or runs:
        output.say("Next: tokenward status")
    else:
        output.say("Next: start the daemon (tokenward daemon, or tokenward service install --now)")
        output.say("then: tokenward status")
    return output.OK


def _daemon_runs() -> bool:
    from tokenward.client import Client
    from tokenward.errors import TokenwardError

    try:
        with Client() as client:
            client.hello()
    except TokenwardError:
        return False
    return True
