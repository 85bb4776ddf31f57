"""A login for Claude Code as a profile of Anthropic's SDKs: the daemon publishes it, and one variable names it.

Rule: a configuration that the daemon would refuse is not left behind; it is put back as it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward import config, config_edit, paths, whole_file
from tokenward.cli import claude_code_fit as fit
from tokenward.cli import output
from tokenward.client import Client
from tokenward.errors import ConfigurationFault, DaemonUnreachable

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

SINK = "tokenward"
"""The sink's name in the configuration, and the name of the profile that it publishes."""
FORMAT = "anthropic-profile"
_TABLE = ("sinks", SINK)
_CLAUDE_CODE = "claude-code"
"""The source of the login that Claude Code keeps itself."""


def install(profile: str | None) -> int:
    """Have the daemon publish a login.

    Args:
        profile: which; None = the only one.

    Raises:
        TokenwardError: if it was not; the configuration is what it was then.
    """
    from tokenward.cli.service_access import with_service

    chosen = []

    def choose(call: Call) -> int:
        chosen.append(fit.chosen_for_profile(fit.listed(call, profile)))
        return output.OK

    with_service(choose)
    (login,) = chosen
    values = {"format": FORMAT, "profile": str(login["profile"])}
    path = _config_file()
    output.say(str(path))
    for line in (f"[{'.'.join(_TABLE)}]", *(f'{key} = "{value}"' for key, value in values.items())):
        output.say(f"+ {line}")
    is_running = _edited(path, lambda: config_edit.set_values(path, _TABLE, values))
    for line in fit.before_the_profile(fit.settings_in_force()):
        output.remark(line)
    if login["source"] == _CLAUDE_CODE:
        output.remark("Claude Code uses this login by itself; the profile is for Anthropic's SDKs and its tools")
    if not is_running:
        output.remark("no daemon runs: it is published as soon as one does")
    output.say(f"Set this where Claude Code starts: export ANTHROPIC_PROFILE={SINK}")
    output.say("Undo it with: tokenward claude-code uninstall --via profile")
    return output.OK


def uninstall() -> int:
    """Have the daemon publish it no more.

    Raises:
        TokenwardError: if the configuration cannot be changed; it is what it was then.
    """
    path = _config_file()
    changed: list[bool] = []
    _edited(path, lambda: changed.append(config_edit.remove_table(path, _TABLE)))
    if any(changed):
        output.say(f"removed [{'.'.join(_TABLE)}] from {path}")
        output.say("Unset ANTHROPIC_PROFILE where Claude Code starts.")
    else:
        output.say(f"{path}: there is nothing to undo")
    return output.OK


def _config_file() -> Path:
    """The file that the running daemon reads, or would."""
    try:
        with Client() as client:
            said = client.status()["config"]
    except DaemonUnreachable:
        said = None
    return Path(said) if said else paths.config_file(os.environ, platform=sys.platform)


def _edited(path: Path, edit: Callable[[], object]) -> bool:
    """Edit the configuration and have it taken over, or put it back; whether a daemon runs."""
    was = whole_file.read(path)
    edit()
    now = whole_file.read(path)
    try:
        return _taken_over(path)
    except ConfigurationFault:
        if now != was:
            _put_back(path, was, now or b"")
        raise


def _taken_over(path: Path) -> bool:
    try:
        with Client() as client:
            taken = client.reload()
    except DaemonUnreachable:
        if path.exists():
            config.load(path, os.environ, uid=os.getuid(), platform=sys.platform)
        return False
    if not taken["reloaded"]:
        raise ConfigurationFault(
            f"the daemon does not take it: {taken['error']}", hint="the configuration was put back as it was"
        )
    return True


def _put_back(path: Path, was: bytes | None, now: bytes) -> None:
    if was is None:
        whole_file.remove(path, was=now)
    else:
        whole_file.replace(path, was, was=now)
    try:
        with Client() as client:
            client.reload()
    except DaemonUnreachable:
        return
