"""Which profiles the sources without a program of their own offer: the part of the composition root that grows.

The problem: variables, ``.env`` files, commands and the SDKs' profiles each have settings and rules of their own,
and what is kept must in the end be one list in which a name stands once.

Rules: as in ``daemon.composition``: nothing here is watched, refreshed or served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokenward.config import Settings
from tokenward.core.credential import Profile
from tokenward.core.redact import printable
from tokenward.core.written_token import Written
from tokenward.daemon.household import Kept
from tokenward.ports import Place
from tokenward.provider_files import CLAUDE_CODE_PROVIDER, Provider, goes_to_gateway, provider_named
from tokenward.sources import environment
from tokenward.sources.claude_code_command import clean_environment

if TYPE_CHECKING:
    from tokenward.daemon.equipment import Equipment
    from tokenward.daemon.refresher import Refresher
    from tokenward.oauth.token_endpoint import HttpTokenEndpoint
    from tokenward.source_settings import CommandSettings

CONSENT = 'to let tokenward refresh it, set refresh = "direct" under [sources.anthropic-profile]'

log = getLogger(__name__)


@dataclass(slots=True, eq=False, repr=False)
class Gathering:
    """The sources of one configuration.

    Args:
        settings: the configuration.
        equipment: what places and refreshers are made of.
        provider: the provider of a name, as it is in force.
        direct: makes the refresher that spends refresh tokens itself.
    """

    settings: Settings
    equipment: Equipment
    provider: Callable[[str], Provider]
    direct: Callable[[str, Place, HttpTokenEndpoint, str], Refresher]

    def all_kept(self) -> list[Kept]:
        """Every profile that they offer."""
        said, environ, beside = self.settings.sources, self.equipment.environ, self._gateway()
        offers = [*environment.offered(environ, beside)]
        if said.dotenv.paths:
            from tokenward.sources import dotenv  # here and below: for whom they are named

            offers.extend(dotenv.offered(said.dotenv.paths, environ, beside))
        kept = [Kept(each.profile, each.place, None, each.note, (each.profile, *each.made_of)) for each in offers]
        kept.extend(self._command(name, each) for name, each in said.command.items())
        if said.anthropic_profile.enabled:
            kept.extend(self._anthropic_profiles())
        return kept

    def _gateway(self) -> environment.Gateway:
        return environment.gateway(
            self.equipment.environ,
            provider_is_gateway=goes_to_gateway(self.provider(CLAUDE_CODE_PROVIDER).registration.base_url),
            anthropic_host=urlsplit(provider_named(CLAUDE_CODE_PROVIDER).registration.base_url or "").hostname,
        )

    def _command(self, name: str, said: CommandSettings) -> Kept:
        from tokenward.sources import command

        profile = said.profile or f"{self.settings.default.provider}:{name}"
        provider = profile.partition(":")[0]
        run = command.Command(
            command.argv_of(said.command, through_shell=said.shell),
            clean_environment(self.equipment.environ, said.env),
            said.timeout,
            said.lifetime,
        )
        written = Written(
            anthropic=provider == CLAUDE_CODE_PROVIDER,
            gateway=goes_to_gateway(self.provider(provider).registration.base_url),
        )
        place = command.CommandPlace(
            run, written, description=f"sources.command.{name}", clock=self.equipment.clock
        )
        return Kept(Profile(profile, provider, place.name), place, None, None, (name, said, written))

    def _anthropic_profiles(self) -> list[Kept]:
        """The profiles of Anthropic's SDKs that the configuration names, or the active one."""
        from tokenward.sources import anthropic_profile

        said, environ = self.settings.sources.anthropic_profile, self.equipment.environ
        directory = said.directory or anthropic_profile.directory_in(environ, self.equipment.paths.home)
        kept = []
        for name in dict.fromkeys(said.profiles or [anthropic_profile.active_name(directory, environ)]):
            if (fault := anthropic_profile.name_fault(name)) is not None:
                log.warning("%s %s, and is not kept", printable(name), fault)
            else:
                kept.append(self._anthropic_profile(directory, name, direct=said.refresh == "direct"))
        return kept

    def _anthropic_profile(self, directory: Path, name: str, *, direct: bool) -> Kept:
        from tokenward.oauth.token_endpoint import HttpTokenEndpoint
        from tokenward.sources import anthropic_profile

        config = anthropic_profile.config_of(directory, name)
        place = anthropic_profile.AnthropicProfileFile(directory, name, clock=self.equipment.clock)
        place.tidy()
        profile = anthropic_profile.kept_profile(name, config)
        refresher: Refresher | None = None
        note = CONSENT
        if direct and config.client_id is None:
            note = "it names no client_id: whoever publishes this profile refreshes it"
        elif direct and config.client_id is not None and config.fault is None:
            root = config.base_url or provider_named(CLAUDE_CODE_PROVIDER).registration.base_url
            endpoint = HttpTokenEndpoint(
                url=f"{root}{anthropic_profile.TOKEN_PATH}",
                client_id=config.client_id,
                body="json",
                headers={"anthropic-beta": anthropic_profile.OAUTH_BETA},
                clock=self.equipment.clock,
                http_client=self.equipment.network.http,
                timeout=self.settings.default.refresh_timeout,
            )
            refresher = self.direct(profile.id, place, endpoint, CLAUDE_CODE_PROVIDER)
        return Kept(profile, place, refresher, note, (profile, config, direct))


def one_of_each(kept: list[Kept]) -> list[Kept]:
    """Of two profiles of one name the first, which is in our own store if either is."""
    named: dict[str, Kept] = {}
    for each in kept:
        first = named.setdefault(each.profile.key, each)
        if first is not each:
            where = each.place.description
            log.warning("%s in %s is not kept: %s has that name", each.profile.key, where, first.profile.source)
    return list(named.values())
