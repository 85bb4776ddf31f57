"""Onboarding with Claude Code's own login: used where it lies, refreshed as the person says.

Rule: nothing of the login is copied. What is written is one line of the configuration, and only where the person
chose something.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenward import config_edit, paths
from tokenward.cli import output
from tokenward.cli.prompts import choose, is_yes
from tokenward.client import Client
from tokenward.errors import ConfigurationFault, DaemonUnreachable, ProfileUnavailable

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

PROFILE = "anthropic:claude-cli"
MODES = {
    "delegate": "Claude Code refreshes it: tokenward runs your own `claude` when the end is near",
    "watch": "nobody of ours does: it is served until it expires, and renewed when you use Claude Code",
    "direct": "tokenward does, at Anthropic's token endpoint (read the terms above)",
}
TERMS = (
    'Anthropic\'s documentation says (Claude Code docs, "Legal and compliance", as of August 2026):',
    '"OAuth authentication is intended exclusively for purchasers of Claude Free, Pro, Max, Team, and Enterprise',
    "subscription plans and is designed to support ordinary use of Claude Code and other native Anthropic",
    "applications. [...] developers may not collect, store, or intermediate Claude.ai credentials or session",
    "tokens — sign-in to a Claude account must complete through Anthropic's own flow.\"",
    "Read it yourself, and decide.",
)
_TABLE = ("sources", "claude-code")


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is before anything is set up.

    Args:
        profiles: as ``profile.list`` answers.
        claude: the profile of Claude Code's login, whether or not there is a login; None = switched off.
    """

    profiles: Sequence[Mapping[str, Any]]
    claude: Mapping[str, Any] | None

    @property
    def has_claude_login(self) -> bool:
        """Whether Claude Code is logged in here."""
        return self.claude is not None and self.claude["generation"] is not None


def survey() -> Survey:
    """Look at what there is."""
    from tokenward.cli.service_access import with_service

    seen: list[Survey] = []

    def look(call: Call) -> int:
        try:
            claude = call("profile.get", {"profile": PROFILE})
        except ProfileUnavailable:
            claude = None
        seen.append(Survey(call("profile.list", {})["profiles"], claude))
        return output.OK

    with_service(look)
    return seen[0]


def reuse(found: Survey, mode: str | None, *, asks: bool) -> int:
    """Use the login where it lies.

    Args:
        found: what there is.
        mode: who refreshes it; None = as the configuration says, unless somebody can be asked.
        asks: whether somebody can.

    Raises:
        ConfigurationFault: if there is no login.
    """
    if found.claude is None or not found.has_claude_login:
        where = (
            "no file: [sources.claude-code] is switched off" if found.claude is None else found.claude["location"]
        )
        raise ConfigurationFault(
            f"there is no login of Claude Code; looked at {where}",
            hint="run: claude auth login; or on a machine without it: tokenward onboard --auth-choice setup-token",
        )
    output.say(f"{PROFILE}: used where it lies, in {found.claude['location']}")
    if found.claude["insufficient_access"]:
        output.remark(found.claude["note"])
    if mode is None and asks:
        mode = _asked_mode()
    if mode is not None:
        write_down(_TABLE, "refresh", mode)
    return output.OK


def log_in() -> int:
    """Have Claude Code log in, if the person wishes so."""
    from tokenward.cli.main import main

    if not is_yes("Claude Code is not logged in. Have it log in now?", default=True):
        output.say("Then log in when you like: claude auth login. tokenward finds the login by itself.")
        return output.ERROR
    return main(["login", "anthropic", "--method", "claude-code"])


def _asked_mode() -> str:
    output.say("")
    for line in TERMS:
        output.say(line)
    found = shutil.which("claude") is not None
    mode = choose("Who refreshes this login?", MODES, default="delegate" if found else "watch")
    if mode == "direct" and not is_yes(
        "Do you consent to tokenward sending the refresh token to Anthropic's token endpoint?", default=False
    ):
        output.say("Then tokenward only watches it.")
        return "watch"
    return mode


def write_down(table: Sequence[str], key: str, value: str) -> None:
    """Have the configuration say so, and a running daemon take it over.

    Args:
        table: the table's name, part by part.
        key: a bare key.
        value: a text without quotes and backslashes.

    Raises:
        ConfigurationFault: if the file cannot be changed, or the daemon does not take it.
    """
    path = paths.config_file(os.environ, platform=sys.platform)
    if config_edit.set_value(path, table, key, value):
        output.say(f'wrote {key} = "{value}" under [{".".join(table)}] in {path}')
    try:
        with Client() as client:
            taken = client.reload()
    except DaemonUnreachable:
        return
    if not taken["reloaded"]:
        raise ConfigurationFault(str(taken["error"]), hint="correct it; the daemon goes on with what it had")
