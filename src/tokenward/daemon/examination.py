"""What the doctor looks at: the part of the composition root that a daemon and a command without one share.

The problem: the checks must see what the daemon sees, its paths, settings and key, and must work where no daemon
starts, because the configuration is wrong or the keyring is locked.

Rules: nothing is made, moved or opened for good. A configuration that is wrong is the only finding, for without it
nobody knows where to look.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenward import unit_templates
from tokenward.checks import CheckContext, Finding, Probed, SharedLook, examine
from tokenward.checks import config as configuration
from tokenward.checks.commands import runner
from tokenward.config import READABLE_KEY, LoadedConfig
from tokenward.core.credential import Secret
from tokenward.daemon.equipment import key_custody
from tokenward.daemon.machine import SystemClock, SystemEntropy
from tokenward.daemon.options import Options
from tokenward.errors import ConfigurationFault, TokenwardError
from tokenward.ports.sharing import SharedStoreAway
from tokenward.provider_files import CLAUDE_CODE_PROVIDER
from tokenward.sources.anthropic_profile import directory_in
from tokenward.sources.keychain import claude_code_item, question

_MANAGED_SETTINGS = {
    "darwin": Path("/Library/Application Support/ClaudeCode/managed-settings.json"),
    "linux": Path("/etc/claude-code/managed-settings.json"),
}


def examination(
    options: Options,
    *,
    profiles: Sequence[Mapping[str, Any]] | None,
    probed: Mapping[str, Any] | None,
    project: Path | None,
) -> Sequence[Finding]:
    """Look at everything that could be wrong around the daemon; blocks for as long as commands take.

    Args:
        options: how the daemon is, or would be, started.
        profiles: what the running daemon answers to ``profile.list``; None = none answered.
        probed: what the daemon answers to ``doctor.probe``; None = it was not asked.
        project: the directory in which Claude Code would be started; None = none.
    """
    try:
        loaded = options.load()
    except ConfigurationFault as fault:
        return [configuration.refused(fault)]
    return examine(_context(options, loaded, profiles=profiles, probed=probed, project=project))


def _context(
    options: Options,
    loaded: LoadedConfig,
    *,
    profiles: Sequence[Mapping[str, Any]] | None,
    probed: Mapping[str, Any] | None,
    project: Path | None,
) -> CheckContext:
    places = options.paths
    key = key_custody(places.state, options.environ, loaded.settings.store, SystemEntropy()).look()
    claude = loaded.settings.sources.claude_code
    unit = unit_templates.service_unit(options.environ, platform=sys.platform)
    return CheckContext(
        uid=os.getuid(),
        environ=options.environ,
        clock=SystemClock(),
        run=runner(options.environ),
        socket=places.socket,
        state=places.state,
        store_key=places.store_key if key.place == "file" else None,
        config=loaded.path,
        config_holds_key=loaded.holds_key,
        claude_config=places.claude_config,
        claude_credentials=claude.path or places.claude_credentials,
        claude_command=claude.command,
        configured_key=_key_for_anthropic(loaded),
        claude_keychain=_claude_keychain(options, loaded, platform=sys.platform),
        profiles=profiles,
        store=key,
        # That others can read a key is found by the check of modes, with its own way out.
        config_warnings=[each for each in loaded.warnings if READABLE_KEY not in each],
        home=places.home,
        project=project,
        managed_settings=_MANAGED_SETTINGS.get(sys.platform, _MANAGED_SETTINGS["linux"]),
        secret_files=loaded.settings.sources.dotenv.paths,
        anthropic_profiles=directory_in(options.environ, places.home),
        service_unit=unit,
        service_program=None if unit is None else _program_of(unit, places.home),
        probed=None if probed is None else Probed(**probed),
        shared=_shared(options, loaded),
    )


def _shared(options: Options, loaded: LoadedConfig) -> SharedLook | None:
    """One question to the shared store, if there is one; blocks for as long as it may take."""
    said = loaded.settings.store
    if said.shared is None:
        return None
    from tokenward.daemon.fleet_access import fleet_place
    from tokenward.stores.shared_stores import open_fleet

    try:
        # Nobody's: a doctor takes no lease and says nothing of this host.
        look = open_fleet(fleet_place(options, said, holder="", host=""), SystemEntropy()).look()
    except SharedStoreAway as away:
        return SharedLook("the shared store", trouble=away.cause, hint=away.hint)
    except TokenwardError as fault:
        return SharedLook("the shared store", trouble=fault.cause, hint=fault.hint)
    unreadable = [each.record.profile for each in look.records if each.trouble is not None]
    return SharedLook(look.location, len(look.records), unreadable, len(look.orphans))


def _program_of(unit: Path, home: Path) -> Path | None:
    try:
        return unit_templates.program_of(unit.read_text(encoding="utf-8", errors="replace"), home=home)
    except OSError:
        return None


def _claude_keychain(options: Options, loaded: LoadedConfig, *, platform: str) -> tuple[str, ...] | None:
    """How to ask whether Claude Code's login is in the Keychain; None where it is not looked for there."""
    if platform != "darwin" or loaded.settings.sources.claude_code.path is not None:
        return None
    return question(claude_code_item(options.environ))


def _key_for_anthropic(loaded: LoadedConfig) -> Secret | None:
    """The configured key that goes to Anthropic itself."""
    said = loaded.settings.providers.get(CLAUDE_CODE_PROVIDER)
    if said is None or said.api_key is None or said.api_url is not None:
        return None
    return said.api_key
