"""The logins that were made under Claude Code's client_id: its own, and NeuroLink's.

The problem: these refresh tokens are another program's. Who refreshes them is a question of consent, and where
Claude Code's lies depends on the platform.

Rules:
- Claude Code's login is refreshed by its setting alone: ``auto`` delegates where Claude Code is installed, and
  otherwise only watches. Spending its refresh token ourselves is a consent that somebody wrote down.
- Nothing here is watched, refreshed or served; that is the keepers'.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tokenward.config import Settings
from tokenward.core.credential import Profile
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.household import Kept
from tokenward.daemon.providers_in_force import ProvidersInForce
from tokenward.provider_files import (
    CLAUDE_CODE_PROVIDER,
    claude_code_registration,
)
from tokenward.sources.claude_code import ClaudeCodeFile
from tokenward.sources.claude_code_command import ClaudeCodeCommand, clean_environment

if TYPE_CHECKING:
    from tokenward.daemon.refresher import Refresher
    from tokenward.sources.keychain import KeychainLogin, KeychainOrFile

CLAUDE_PROFILE = "anthropic:claude-cli"
CLAUDE_CODE = "claude-code"
NEUROLINK_PROFILE = "anthropic:neurolink"
CONSENT = 'to let tokenward refresh it, set refresh = "direct" under [sources.claude-code] (read the README first)'

ClaudeMode = Literal["delegate", "direct", "watch"]


@dataclass(slots=True, eq=False, repr=False)
class ClaudeLogins:
    """The logins of one configuration that were made under Claude Code's client_id.

    Args:
        settings: the configuration.
        equipment: what places and refreshers are made of.
        providers: the providers in force.
        keychain: the item of the Keychain of macOS that was looked at; None = none.
    """

    settings: Settings
    equipment: Equipment
    providers: ProvidersInForce
    keychain: KeychainLogin | None = None

    def all_kept(self) -> list[Kept]:
        """The logins that the configuration enables."""
        kept = []
        if self.settings.sources.claude_code.enabled:
            kept.append(self._claude_code())
        if self.settings.sources.neurolink.enabled:
            kept.append(self._neurolink())
        return kept

    def _claude_code(self) -> Kept:
        said, equipment = self.settings.sources.claude_code, self.equipment
        place = self._claude_place()
        place.tidy()
        command = shutil.which(said.command, path=equipment.environ.get("PATH", os.defpath))
        mode, note = _claude_mode(said.refresh, command)
        registration = claude_code_registration(self.providers.named(CLAUDE_CODE_PROVIDER))
        refresher: Refresher | None = None
        if mode == "direct":
            refresher = self.providers.direct_refresher(
                CLAUDE_PROFILE, place, self.providers.claude_code_endpoint(), CLAUDE_CODE_PROVIDER
            )
        elif mode == "delegate" and command is not None:
            from tokenward.daemon.refresher import DelegateRefresher  # where Claude Code is, and nowhere else

            environ = clean_environment(equipment.environ, said.env)
            refresher = DelegateRefresher(
                ClaudeCodeCommand(str(Path(command).absolute()), environ=environ, processes=equipment.processes),
                place,
                token_endpoint=registration.token_endpoint or "",
                families=equipment.paths.families,
                clock=equipment.clock,
                limiter=equipment.flights,
            )
        profile = Profile(CLAUDE_PROFILE, CLAUDE_CODE_PROVIDER, CLAUDE_CODE)
        terms = self.providers.refresh_terms(CLAUDE_CODE_PROVIDER)
        return Kept(profile, place, refresher, note, (said, command, terms))

    def _claude_place(self) -> ClaudeCodeFile | KeychainOrFile:
        """Where Claude Code keeps its login on this platform; a configured path means that file alone."""
        said, equipment = self.settings.sources.claude_code, self.equipment
        file = ClaudeCodeFile(
            said.path or equipment.paths.claude_credentials,
            clock=equipment.clock,
            wait=equipment.wait,
            entropy=equipment.entropy.fraction,
        )
        if equipment.platform != "darwin" or said.path is not None:
            return file
        from tokenward.sources.keychain import SECURITY, KeychainLogin, KeychainOrFile, claude_code_item  # macOS

        self.keychain = KeychainLogin(
            claude_code_item(equipment.environ),
            environ=clean_environment(equipment.environ),
            clock=equipment.clock,
            security=equipment.security or SECURITY,
        )
        return KeychainOrFile(self.keychain, file)

    def _neurolink(self) -> Kept:
        """NeuroLink's login, which was made under Claude Code's client_id and is refreshed under it."""
        from tokenward.sources.neurolink import DEFAULT_PATH as NEUROLINK_PATH  # few people have it
        from tokenward.sources.neurolink import NeuroLinkFile

        said, equipment = self.settings.sources.neurolink, self.equipment
        place = NeuroLinkFile(said.path or equipment.paths.home / NEUROLINK_PATH, clock=equipment.clock)
        place.tidy()
        refresher = None
        if said.refresh == "direct":
            refresher = self.providers.direct_refresher(
                NEUROLINK_PROFILE, place, self.providers.claude_code_endpoint(), CLAUDE_CODE_PROVIDER
            )
        profile = Profile(NEUROLINK_PROFILE, CLAUDE_CODE_PROVIDER, place.name)
        return Kept(profile, place, refresher, None, (said, self.providers.refresh_terms(CLAUDE_CODE_PROVIDER)))

    def looked_at(self) -> list[tuple[str, bool]]:
        """Where Claude Code's login was looked for, and whether it was found."""
        said = self.settings.sources.claude_code
        path = said.path or self.equipment.paths.claude_credentials
        item = self.keychain
        return [
            *([] if item is None else [(f"Claude Code's login, {item.description}", item.is_there)]),
            (f"Claude Code's login {path}", said.enabled and path.exists()),
        ]


def _claude_mode(setting: str, command: str | None) -> tuple[ClaudeMode, str | None]:
    """What ``auto`` comes to, and what a person should know about it."""
    match setting, command:
        case "direct", _:
            return "direct", None
        case "watch", _:
            return "watch", None
        case "delegate", None:
            return "watch", 'refresh = "delegate" needs Claude Code, and no claude command was found'
        case _, None:
            return "watch", f"no claude command was found, so this login is only watched; {CONSENT}"
        case _:
            return "delegate", None
