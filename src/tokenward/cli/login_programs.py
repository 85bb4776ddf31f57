"""Logins that another program makes: the user's own Claude Code, run as it is on the user's own terminal.

The problem: a Claude subscription's login belongs to Claude Code and is made under its client_id, which is not
ours to use. So Claude Code itself is run, and what it makes is taken as it gives it: a token that it prints, or
its own file, which the daemon watches.

Rules:
- It gets the terminal as it is; nothing of what passes there is read by us.
- Its file stays its own: nothing is copied from it.
- A login that opens no API, as a free account's, is no success, and its place and the way out are said.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenward.cli import login, output, pasted
from tokenward.cli.hidden_input import read_secret
from tokenward.core.credential import MAIN_AGENT
from tokenward.errors import ConfigurationFault, InvalidParams, LoginRequired, ProfileUnavailable

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

CLAUDE_PROFILE = "anthropic:claude-cli"
SHORTEST_SETUP_TOKEN = 80
"""Characters; every setup token is longer, and half a line of one is not."""
NOTICED_WITHIN_SECONDS = 10.0
"""The daemon watches the file, and looks by itself where watching does not work."""
_LOOK_AGAIN_SECONDS = 0.2
_NAMES = ("anthropic", "claude-code", "claude-cli")
_LIFE = re.compile(r"([0-9]{1,6})([dhm]?)")
_SECONDS = {"d": 86_400, "": 86_400, "h": 3600, "m": 60}


def setup_token(arguments: argparse.Namespace, provider: str) -> int:
    """Have Claude Code make a token of a year, and store it; or store one that was made before."""
    if provider.strip().lower() not in _NAMES:
        output.complain("Only --provider anthropic is supported for setup-token", "others have: --method api-key")
        return output.USAGE
    life = _life(arguments.expires_in)
    if not arguments.paste:
        if not sys.stdin.isatty():
            output.complain("setup-token requires an interactive TTY.", "or pipe a token in, with --paste")
            return output.ERROR
        if not arguments.yes and login.ask("Run `claude setup-token` now? [Y/n] ").lower() not in {"", "y", "yes"}:
            return output.ERROR
        status = _run_claude("setup-token")
        if status != 0:
            output.complain(f"claude setup-token failed (exit {status})", "try it by itself: claude setup-token")
            return output.ERROR
    read = pasted.key(
        _setup_token(read_secret("Token that `claude setup-token` printed (not shown): ")),
        kind="setup_token",
        provider="anthropic",
    )
    if life is not None:
        read.credential["expires_in"] = life
    profile = arguments.profile or f"anthropic:{'manual' if arguments.paste else 'default'}"
    return login.keep(arguments, read, kind="setup_token", profile=profile)


def _setup_token(text: str) -> str:
    token = "".join(text.split())
    if "#" in token:
        raise ConfigurationFault(
            "this is an authorization code (code#state), not a setup token",
            hint="give it to Claude Code, which then prints the token",
        )
    if token.startswith("sk-ant-oat01-") and len(token) < SHORTEST_SETUP_TOKEN:
        raise ConfigurationFault("Token looks too short; paste the full setup-token", hint="with all its lines")
    return text


def _life(text: str | None) -> int | None:
    if text is None:
        return None
    match = _LIFE.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise InvalidParams("--expires-in is not a length of time", hint="as 365d, 12h or 30m")
    return int(match[1]) * _SECONDS[match[2]]


def claude_code(arguments: argparse.Namespace, provider: str) -> int:
    """Have Claude Code log in, and serve the login from its file."""
    from tokenward.cli.service_access import with_service

    if provider.strip().lower() not in _NAMES:
        output.complain("Claude Code logs in at anthropic only", "others have: --method oauth")
        return output.USAGE
    if arguments.profile not in {None, CLAUDE_PROFILE}:
        output.complain(f"Claude Code's login is always {CLAUDE_PROFILE}", "leave --profile out")
        return output.USAGE
    if arguments.agent != MAIN_AGENT:
        output.complain(
            f"Claude Code's login belongs to the agent {MAIN_AGENT}",
            "other agents use it where inherit_agents = true stands under [default]",
        )
        return output.USAGE
    before = _generations(with_service)
    status = _run_claude("auth", "login")
    if status != 0:
        output.complain(f"claude auth login failed (exit {status})", "try it by itself: claude auth login")
        return output.ERROR
    return with_service(lambda call: _adopted(arguments, call, before))


def _generations(with_service: Any) -> str | None:
    seen: list[str | None] = []

    def look(call: Call) -> int:
        profile = _held(call)
        seen.append(None if profile is None else profile["generation"])
        return output.OK

    with_service(look)
    return seen[0]


def _held(call: Call) -> dict[str, Any] | None:
    try:
        profile = call("profile.get", {"profile": CLAUDE_PROFILE})
    except ProfileUnavailable:
        return None
    return profile if profile["generation"] is not None else None


def _adopted(arguments: argparse.Namespace, call: Call, before: str | None) -> int:
    until = time.monotonic() + NOTICED_WITHIN_SECONDS
    while (profile := _held(call)) is None or profile["generation"] == before:
        if time.monotonic() > until:
            break
        time.sleep(_LOOK_AGAIN_SECONDS)
    if profile is None:
        raise LoginRequired(
            "Claude Code says that it has logged in, and its file holds no login",
            hint="see where it is looked for: tokenward doctor",
            command="claude auth login",
        )
    if profile["insufficient_access"]:
        raise LoginRequired(
            f"the account that Claude Code is logged in to has insufficient API access: "
            f"{profile['insufficient_access']}",
            hint="run it again with a Pro or Max account, or use an API key: "
            "tokenward login anthropic --method api-key",
            command="tokenward login anthropic --method claude-code",
        )
    login.succeeded(profile, as_json=arguments.json)
    return output.OK


def _run_claude(*words: str) -> int:
    command = shutil.which(_command())
    if command is None:
        raise ConfigurationFault(
            "no claude command was found", hint="install Claude Code, or name it in [sources.claude-code] command"
        )
    sys.stdout.flush()
    return subprocess.run([str(Path(command).absolute()), *words], check=False).returncode


def _command() -> str:
    from tokenward import config

    return config.load(
        None, os.environ, uid=os.getuid(), platform=sys.platform
    ).settings.sources.claude_code.command
