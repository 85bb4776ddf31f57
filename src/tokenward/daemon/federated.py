"""Which profiles are minted from a workload's identity, as the configuration or the environment says.

The problem: an identity token may come from a file, a command or a variable, and be presented at an endpoint of
its own, at the provider's, or at one that its issuer has yet to name.

Rules: as in ``daemon.composition``: nothing here is watched, refreshed or served.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.config import Settings
from tokenward.core.credential import Profile, Secret
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.household import Kept
from tokenward.daemon.providers_in_force import ProvidersInForce
from tokenward.ports import IdentitySource
from tokenward.provider_files import (
    CLAUDE_CODE_PROVIDER,
    federation_for,
)
from tokenward.sources.claude_code_command import clean_environment

if TYPE_CHECKING:
    from tokenward.core.federation import Federation


@dataclass(slots=True, eq=False, repr=False)
class Federated:
    """The federated profiles of one configuration.

    Args:
        settings: the configuration.
        equipment: what places and refreshers are made of.
        providers: the providers in force.
    """

    settings: Settings
    equipment: Equipment
    providers: ProvidersInForce

    def all_kept(self) -> list[Kept]:
        """What is minted from identity tokens, as the configuration or the environment says."""
        said = self.settings.providers
        found = []
        for name in sorted({*said, CLAUDE_CODE_PROVIDER}):
            federation = federation_for(self.providers.named(name), said.get(name), self.equipment.environ)
            if federation is not None:
                found.append(self._minted(name, federation))
        return found

    def _minted(self, name: str, federation: Federation) -> Kept:
        from tokenward.daemon.minting import FEDERATION, MintedPlace, MintRefresher  # few configurations have one
        from tokenward.oauth.client_key import client_key_of
        from tokenward.oauth.token_endpoint import HttpTokenEndpoint

        equipment, registration = self.equipment, self.providers.named(name).registration
        profile = Profile(f"{name}:federated", name, FEDERATION)
        identity = self._identity(federation)
        place = MintedPlace(profile.id, identity, equipment.clock)
        known = self.providers.endpoints.get(name)
        url = (
            federation.token_endpoint or registration.token_endpoint or (known.url if known is not None else None)
        )
        if url is None:
            note = self.providers.undiscovered.get(name)
            return Kept(profile, place, None, note, (federation, registration, note))
        endpoint = HttpTokenEndpoint(
            url=url,
            client_id=registration.client_id or "",
            client_auth=registration.client_auth,
            client_secret=registration.client_secret,
            client_key=client_key_of(registration),
            body=federation.body,
            scope=federation.scope,
            dead_errors=registration.dead_errors | federation.refused_errors,
            headers=federation.headers,
            mint_parameters=federation.parameters,
            clock=equipment.clock,
            http_client=equipment.network.http,
            timeout=self.settings.default.refresh_timeout,
        )
        refresher = MintRefresher(place, identity, endpoint, gate=equipment.gate(url), clock=equipment.clock)
        made_of = (federation, registration, url, self.settings.default.refresh_timeout)
        return Kept(profile, place, refresher, None, made_of)

    def _identity(self, federation: Federation) -> IdentitySource:
        from tokenward.oauth.federation import GivenIdentity, IdentityCommand, IdentityFile

        if federation.identity_command:
            environ = clean_environment(self.equipment.environ, federation.env)
            return IdentityCommand(
                federation.identity_command, environ=environ, timeout=federation.command_timeout
            )
        if federation.identity_token_file is not None:
            return IdentityFile(Path(federation.identity_token_file).absolute())
        return GivenIdentity(federation.identity_token or Secret(""), description="$ANTHROPIC_IDENTITY_TOKEN")
