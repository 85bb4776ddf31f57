"""The providers that one configuration makes: their registrations, and the endpoints that answer for them.

The problem: a provider is a built-in file, the configuration on top, and what its issuer says of its endpoints.
The issuer may not have answered yet, and everything else must go on meanwhile.

Rules:
- A provider whose issuer has not answered has no endpoint, and ``undiscovered`` says why; ``discover`` tries on.
- Claude Code's own endpoint is never discovered.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from typing import TYPE_CHECKING

from tokenward.config import Settings
from tokenward.core.credential import Profile, Secret
from tokenward.core.subscription_tier import TIERS, tier_named
from tokenward.daemon.default_model import default_models
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.household import unconfigured
from tokenward.ports import LoginServer, Place
from tokenward.provider_files import (
    CLAUDE_CODE_PROVIDER,
    Provider,
    claude_code_registration,
    is_built_in,
    provider_named,
)

if TYPE_CHECKING:
    from tokenward.core.grants import RefreshOutcome
    from tokenward.core.provider import ProviderRegistration
    from tokenward.daemon.refresher import Refresher
    from tokenward.oauth.token_endpoint import HttpTokenEndpoint

SUBSCRIPTION_TIER = "ANTHROPIC_SUBSCRIPTION_TIER"

log = getLogger(__name__)


class ProvidersInForce:
    """The providers of one configuration.

    Args:
        settings: the configuration.
        equipment: what endpoints and refreshers are made of.
    """

    def __init__(self, settings: Settings, equipment: Equipment) -> None:
        self.all: dict[str, Provider] = {
            name: provider_named(name, given) for name, given in settings.providers.items()
        }
        self.all[CLAUDE_CODE_PROVIDER] = _with_tier(self.named(CLAUDE_CODE_PROVIDER), equipment.environ)
        for name, model in default_models(settings, equipment.environ, self.named).items():
            self.all[name] = self.named(name).but(default_model=model.model, default_model_note=model.note)
        self.endpoints: dict[str, HttpTokenEndpoint] = {}
        self.undiscovered: dict[str, str] = {}
        self._refresh_timeout = settings.default.refresh_timeout
        self._equipment = equipment

    def named(self, name: str) -> Provider:
        """A provider in force, configured or built in; one that is only asked about is not in force afterwards."""
        return self.all.get(name) or unconfigured(name)

    async def discover(self, *, online: bool) -> bool:
        """Find the token endpoints of all providers that refresh.

        Args:
            online: whether issuers may be asked; else only endpoints that are configured are taken.

        Returns:
            Whether none is missing now.
        """
        for name in tuple(self.all):
            registration = self.named(name).registration
            if not registration.refreshes or name in self.endpoints:
                continue
            if registration.token_endpoint is None and not online:
                self.undiscovered[name] = f"{registration.issuer} has not been asked for its endpoints yet"
                continue
            await self._find_endpoint(name, registration)
        return not self.undiscovered

    async def _find_endpoint(self, name: str, registration: ProviderRegistration) -> None:
        from tokenward.oauth.metadata import Undiscovered, token_endpoint_for  # for whom we refresh something

        found = await token_endpoint_for(
            registration,
            metadata=self._equipment.network.metadata,
            http_client=self._equipment.network.http,
            clock=self._equipment.clock,
            refresh_timeout=self._refresh_timeout,
        )
        if isinstance(found, Undiscovered):
            self.undiscovered[name] = found.reason
        else:
            self.endpoints[name] = found
            self.undiscovered.pop(name, None)

    def claude_code_endpoint(self) -> HttpTokenEndpoint:
        """Where Claude Code's own login is refreshed, under its own client_id; never discovered."""
        from tokenward.oauth.token_endpoint import HttpTokenEndpoint  # a person has to consent to it

        registration = claude_code_registration(self.named(CLAUDE_CODE_PROVIDER))
        return HttpTokenEndpoint(
            url=registration.token_endpoint or "",
            client_id=registration.client_id or "",
            body=registration.body,
            dead_errors=registration.dead_errors,
            clock=self._equipment.clock,
            http_client=self._equipment.network.http,
            timeout=self._refresh_timeout,
        )

    def refresh_terms(self, provider: str) -> tuple[object, ...]:
        """What the configuration says of a provider's refreshes: with another word the keeper is another one."""
        return self.named(provider).registration, self._refresh_timeout

    def direct_refresher(
        self, profile: str, place: Place, endpoint: HttpTokenEndpoint, provider: str
    ) -> Refresher:
        """The refresher that spends refresh tokens itself.

        Args:
            profile: whose credential it is.
            place: where it lives.
            endpoint: where it is refreshed.
            provider: whose rules hold for a token that may be spent.
        """
        from tokenward.daemon.refresher import DirectRefresher
        from tokenward.daemon.transaction import Transaction  # not every login is refreshed by us

        equipment = self._equipment
        transaction = Transaction(
            profile=profile,
            place=place,
            token_endpoint=endpoint.url,
            reuse_grace=self.named(provider).registration.reuse_grace,
            families=equipment.paths.families,
            sealer=equipment.sealer,
            clock=equipment.clock,
            wait=equipment.wait,
            post=_unset,
        )
        return DirectRefresher(transaction, endpoint, equipment.gate(endpoint.url), equipment.flights)

    def login_server(self, name: str) -> LoginServer:
        """Where a person logs in, under the client_id of the configuration."""
        from tokenward.oauth.authorization_server import HttpAuthorizationServer  # people log in once

        provider, equipment = self.named(name), self._equipment
        return HttpAuthorizationServer(
            registration=provider.registration,
            rules=provider.login,
            headers=provider.headers,
            metadata=equipment.network.metadata,
            http_client=equipment.network.http,
            clock=equipment.clock,
            entropy=equipment.entropy,
        )

    def unusual_base_url(self, profile: Profile) -> str | None:
        """The API's root for a profile, where it is not the one that its provider is known by."""
        if profile.base_url is not None:
            return profile.base_url
        provider = self.named(profile.provider)
        is_unusual = provider.api.base_url_overridden or not is_built_in(profile.provider)
        return provider.registration.base_url if is_unusual else None


def _unset(_: Secret) -> RefreshOutcome:
    raise AssertionError("a transaction's post is set by its refresher")


def _with_tier(provider: Provider, environ: Mapping[str, str]) -> Provider:
    """The provider with the tier of its subscription that the environment names (N43)."""
    said = environ.get(SUBSCRIPTION_TIER, "").strip()
    if not said:
        return provider
    tier = tier_named(said)
    if tier is None:
        log.warning("%s is none of %s, and is ignored", SUBSCRIPTION_TIER, ", ".join(TIERS))
    return provider.but(tier=tier or provider.tier)
