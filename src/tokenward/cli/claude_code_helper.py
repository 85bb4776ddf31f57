"""Claude Code's ``apiKeyHelper``, installed into its settings and taken out again."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward import claude_settings, helper, helper_ask, paths
from tokenward.claude_settings import HELPER, Installation, SettingsFile
from tokenward.cli import claude_code_fit as fit
from tokenward.cli import output
from tokenward.client import Client
from tokenward.errors import ConfigurationFault, DaemonUnreachable

if TYPE_CHECKING:
    from tokenward.cli.service_access import Call

_LOCAL = "local"
_GIT_SECONDS = 10.0
_NOT_IGNORED = 1
"""What ``git check-ignore`` ends with; outside a repository it is another number."""


def command(profile: str | None, *, spawn: bool) -> str:
    """What Claude Code is to run, quoted for sh; it finds interpreter and file wherever it is started.

    Raises:
        ConfigurationFault: if the helper would not take the profile's name.
    """
    words = [sys.executable, "-IS", str(Path(helper.__file__).absolute())]
    if profile is not None:
        words += ["--profile", profile]
    if spawn:
        words.append("--spawn")
    try:
        helper_ask.parse_arguments(words[3:])
    except helper_ask.Failure as failure:
        raise ConfigurationFault(failure.cause, hint=failure.hint) from None
    return shlex.join(words)


def install(scope: str, profile: str | None, *, force: bool, spawn: bool) -> int:
    """Have Claude Code run the helper.

    Args:
        scope: ``user`` or ``local``.
        profile: always this profile; None = whichever of Anthropic's serves.
        force: whether somebody else's helper is replaced.
        spawn: whether the helper starts a daemon where none runs.

    Raises:
        TokenwardError: if it was not installed; nothing was changed then.
    """
    wanted = json.dumps(command(profile, spawn=spawn), ensure_ascii=False)
    installation = _installation(scope)
    settings = fit.settings_in_force()
    _require_fit(profile, settings)
    found = installation.settings.helper
    if found is not None and not installation.is_ours and not force:
        raise ConfigurationFault(
            f"{installation.settings.path} has another {HELPER}: {claude_settings.shown(found)}",
            hint="--force replaces it, and uninstall brings it back",
        )
    for line in fit.beside_the_helper(installation.settings.path, settings):
        output.remark(line)
    if found == wanted:
        output.say(f"{installation.settings.path}: it is installed already")
        return output.OK
    _show_change(installation.settings.path, found, wanted)
    if scope == _LOCAL:
        _warn_if_committed(installation.settings.path)
    installation.install(wanted)
    output.say("Installed. Claude Code asks tokenward from its next start on.")
    output.say(f"Undo it with: tokenward claude-code uninstall{' --scope local' if scope == _LOCAL else ''}")
    if not spawn:
        _remark_where_nobody_answers()
    return output.OK


def uninstall(scope: str) -> int:
    """Put back what Claude Code's settings held before.

    Raises:
        ConfigurationFault: if they were changed since, or cannot be written.
    """
    installation = _installation(scope)
    path, found = installation.settings.path, installation.settings.helper
    if not installation.is_ours:
        installation.uninstall()
        output.say(f"{path}: no {HELPER} of tokenward's; there is nothing to undo")
        return output.OK
    _show_change(path, found, installation.before)
    installation.uninstall()
    output.say("Uninstalled. A Claude Code that runs keeps the key it has until it ends.")
    return output.OK


def _require_fit(profile: str | None, settings: Sequence[SettingsFile]) -> None:
    """Refuse what cannot work, and say what is missing."""
    from tokenward.cli.service_access import with_service

    def check(call: Call) -> int:
        profiles = fit.listed(call, profile)
        fit.require_helper_kind(profiles, settings)
        if not profiles:
            output.remark("there is no credential for it yet; add one: tokenward add anthropic:default --api-key")
        elif fit.variable(fit.BASE_URL, settings) is None and fit.are_for_a_gateway(call, profiles):
            hint = f"tokenward claude-code print{' --profile ' + profile if profile else ''}"
            output.remark(f"a gateway's token needs {fit.BASE_URL} in the settings; see: {hint}")
        return output.OK

    with_service(check)


def _remark_where_nobody_answers() -> None:
    with Client() as client:
        try:
            client.hello()
        except DaemonUnreachable:
            output.remark(
                "no daemon runs, and without one Claude Code gets no token: tokenward service install --now"
            )


def _installation(scope: str) -> Installation:
    places = paths.resolve(os.environ, uid=os.getuid(), platform=sys.platform)
    of_user = places.claude_config / claude_settings.USER_FILE
    path = Path.cwd() / claude_settings.PROJECT_FILES[0] if scope == _LOCAL else of_user
    return Installation(places.state, path)


def _show_change(path: Path, before: str | None, after: str | None) -> None:
    output.say(str(path))
    for mark, value in (("-", before), ("+", after)):
        if value is not None:
            output.say(f'{mark} "{HELPER}": {claude_settings.shown(value)}')


def _warn_if_committed(path: Path) -> None:
    """The command names paths of this machine, and beside it people put keys."""
    git = shutil.which("git")
    if git is None:
        return
    try:
        asked = subprocess.run(
            [git, "check-ignore", "--quiet", "--", str(path)],
            cwd=Path.cwd(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if asked.returncode == _NOT_IGNORED:
        output.remark(
            f"git does not ignore {path}; add it to .gitignore: it is of this machine, and people keep keys there"
        )
