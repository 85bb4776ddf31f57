"""What a built-in file, a configuration and an issuer make of a provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.equipped import configured, environment, equipped, in_force
from tokenward.core.credential import Profile
from tokenward.provider_files import CLAUDE_CODE_PROVIDER, provider_named
from tokenward.sandbox import Fault, Sandbox

CLAUDE_CODE_CLIENT = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
ACME = '[providers.acme]\nclient_id = "c"\n'


async def test_an_endpoint_that_is_configured_needs_no_issuer(own_home: Path) -> None:
    """Offline, it is there at once; a provider that does not refresh has none and lacks none."""
    text = f'{ACME}token_endpoint = "https://auth.acme.dev/token"\n\n[providers.keys]\napi_key = "sk-1"\n'
    async with equipped(own_home) as equipment:
        providers = in_force(equipment, configured(own_home, text))
        assert await providers.discover(online=False)
        assert providers.endpoints["acme"].url == "https://auth.acme.dev/token"
        assert "keys" not in providers.endpoints
        assert providers.undiscovered == {}


async def test_an_issuer_is_asked_until_it_answers_and_then_no_more(own_home: Path) -> None:
    """Offline it is not asked; while it fails the reason is kept; with its answer nothing is missing."""
    with Sandbox() as sandbox:
        async with equipped(own_home) as equipment:
            text = f'{ACME}issuer = "{sandbox.base_url}"\n'
            providers = in_force(equipment, configured(own_home, text))
            assert not await providers.discover(online=False)
            assert "has not been asked" in providers.undiscovered["acme"]
            sandbox.faults.next("metadata", Fault(status=503), times=2)
            assert not await providers.discover(online=True)
            assert "has not been asked" not in providers.undiscovered["acme"]
            assert providers.endpoints == {}
            assert await providers.discover(online=True)
            assert providers.endpoints["acme"].url == sandbox.token_endpoint
            assert providers.undiscovered == {}
            found = providers.endpoints["acme"]
            assert await providers.discover(online=True)
            assert providers.endpoints["acme"] is found


async def test_one_issuer_that_is_away_delays_no_other(own_home: Path) -> None:
    """The rest of the providers have their endpoints."""
    with Sandbox() as sandbox:
        sandbox.faults.next("metadata", Fault(status=503), times=2)
        text = (
            f'[providers.away]\nclient_id = "c"\nissuer = "{sandbox.base_url}"\n\n'
            f'{ACME}token_endpoint = "https://auth.acme.dev/token"\n'
        )
        async with equipped(own_home) as equipment:
            providers = in_force(equipment, configured(own_home, text))
            assert not await providers.discover(online=True)
            assert set(providers.endpoints) == {"acme"}
            assert set(providers.undiscovered) == {"away"}


async def test_claude_codes_login_is_refreshed_under_its_own_client(own_home: Path) -> None:
    """Whatever client and issuer a person configured for logins of their own: its token is not sent there."""
    text = '[providers.anthropic]\nclient_id = "mine"\nissuer = "https://auth.acme.dev"\n'
    async with equipped(own_home) as equipment:
        endpoint = in_force(equipment, configured(own_home, text)).claude_code_endpoint()
    assert endpoint._client_id == CLAUDE_CODE_CLIENT
    assert endpoint.url == "https://platform.claude.com/v1/oauth/token"


async def test_the_environment_names_the_tier_of_a_subscription(
    own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is none is ignored, and said."""
    usual = provider_named(CLAUDE_CODE_PROVIDER).tier
    for said, tier in (("", usual), (" Max ", "max"), ("gold", usual)):
        environ = environment(own_home, ANTHROPIC_SUBSCRIPTION_TIER=said)
        async with equipped(own_home, environ) as equipment:
            assert in_force(equipment, configured(own_home)).named(CLAUDE_CODE_PROVIDER).tier == tier
        assert ("ANTHROPIC_SUBSCRIPTION_TIER is none of" in caplog.text) is (said == "gold")


async def test_an_address_is_told_where_it_is_not_the_usual_one(own_home: Path) -> None:
    """Of a built-in provider only if it was moved; of one's own always; a profile's own goes first."""
    text = f'{ACME}token_endpoint = "https://auth.acme.dev/token"\napi_url = "https://api.acme.dev"\n'
    here = Profile("acme:me", "acme", "store")
    login = Profile("anthropic:me", "anthropic", "store")
    async with equipped(own_home) as equipment:
        providers = in_force(equipment, configured(own_home, text))
        assert providers.unusual_base_url(here) == "https://api.acme.dev"
        assert providers.unusual_base_url(login) is None
        moved = '[providers.anthropic]\napi_url = "https://gateway.example"\n'
        providers = in_force(equipment, configured(own_home, moved))
        assert providers.unusual_base_url(login) == "https://gateway.example"
        own = Profile("anthropic:me", "anthropic", "environment", base_url="https://mine.example")
        assert providers.unusual_base_url(own) == "https://mine.example"
