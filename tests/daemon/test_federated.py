"""Which profiles are minted, from which identity, and at which endpoint."""

from __future__ import annotations

from pathlib import Path

from daemon.equipped import configured, environment, equipped, in_force
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.federated import Federated
from tokenward.daemon.household import Kept
from tokenward.daemon.minting import MintRefresher
from tokenward.oauth.federation import GivenIdentity, IdentityCommand, IdentityFile
from tokenward.oauth.token_endpoint import HttpTokenEndpoint
from tokenward.ports import IdentitySource

OF_ANTHROPIC = {"ANTHROPIC_FEDERATION_RULE_ID": "fdrl_1", "ANTHROPIC_ORGANIZATION_ID": "org"}
ACME = '[providers.acme]\nclient_id = "c"\n{0}\n[providers.acme.federation]\n{1}\n'
TOKEN_ENDPOINT = 'token_endpoint = "https://auth.acme.dev/token"'


async def minted(equipment: Equipment, home: Path, text: str = "", *, discovered: bool = False) -> list[Kept]:
    """The federated profiles of one configuration."""
    settings = configured(home, text, equipment.environ)
    providers = in_force(equipment, settings)
    if discovered:
        await providers.discover(online=False)
    return Federated(settings, equipment, providers).all_kept()


def identity_of(kept: Kept) -> IdentitySource:
    """From what it is minted."""
    assert isinstance(kept.refresher, MintRefresher)
    return kept.refresher._identity


def endpoint_of(kept: Kept) -> HttpTokenEndpoint:
    """Where it is minted."""
    assert isinstance(kept.refresher, MintRefresher)
    endpoint = kept.refresher._endpoint
    assert isinstance(endpoint, HttpTokenEndpoint)
    return endpoint


async def test_nobody_says_so_and_nothing_is_minted(own_home: Path) -> None:
    """A provider without a federation has no such profile, nor has Anthropic without its variables."""
    text = f'[providers.acme]\nclient_id = "c"\n{TOKEN_ENDPOINT}\n'
    async with equipped(own_home) as equipment:
        assert await minted(equipment, own_home, text) == []


async def test_anthropics_variables_make_a_profile_without_any_configuration(own_home: Path) -> None:
    """A file wins over a token in the environment, which is used where no file is named."""
    given = environment(own_home, **OF_ANTHROPIC, ANTHROPIC_IDENTITY_TOKEN="a.b.c")
    async with equipped(own_home, given) as equipment:
        (kept,) = await minted(equipment, own_home)
    assert kept.profile.id == "anthropic:federated"
    assert endpoint_of(kept).url == "https://api.anthropic.com/v1/oauth/token"
    identity = identity_of(kept)
    assert isinstance(identity, GivenIdentity)
    assert identity.description == "$ANTHROPIC_IDENTITY_TOKEN"
    file = str(own_home / "identity")
    async with equipped(own_home, {**given, "ANTHROPIC_IDENTITY_TOKEN_FILE": file}) as equipment:
        (kept,) = await minted(equipment, own_home)
    assert isinstance(identity_of(kept), IdentityFile)
    assert identity_of(kept).description == file


async def test_a_command_runs_in_a_clean_environment(own_home: Path) -> None:
    """What is named is passed on, and no credential of the daemon's environment."""
    environ = environment(own_home, ANTHROPIC_API_KEY="sk-ant-api03-1", CLOUD="eu")
    text = ACME.format(TOKEN_ENDPOINT, 'identity_command = ["print-identity"]\nenv = ["CLOUD"]')
    async with equipped(own_home, environ) as equipment:
        (kept,) = await minted(equipment, own_home, text)
    identity = identity_of(kept)
    assert isinstance(identity, IdentityCommand)
    assert identity.description == "the command print-identity"
    assert dict(identity._environ) == {**environment(own_home), "CLOUD": "eu"}


async def test_the_endpoint_of_the_federation_goes_before_the_providers(own_home: Path) -> None:
    """Where it has none of its own, the provider's serves."""
    file = f'identity_token_file = "{own_home}/identity"\n'
    own = 'token_endpoint = "https://sts.acme.dev/token"'
    async with equipped(own_home) as equipment:
        (kept,) = await minted(equipment, own_home, ACME.format(TOKEN_ENDPOINT, file))
        assert endpoint_of(kept).url == "https://auth.acme.dev/token"
        (kept,) = await minted(equipment, own_home, ACME.format(TOKEN_ENDPOINT, file + own))
        assert endpoint_of(kept).url == "https://sts.acme.dev/token"


async def test_an_issuer_that_has_not_answered_leaves_the_profile_waiting(own_home: Path) -> None:
    """It is kept and cannot be minted; the note says why."""
    text = ACME.format('issuer = "https://auth.acme.dev"', f'identity_token_file = "{own_home}/identity"')
    async with equipped(own_home) as equipment:
        (kept,) = await minted(equipment, own_home, text, discovered=True)
    assert kept.refresher is None
    assert kept.note == "https://auth.acme.dev has not been asked for its endpoints yet"


async def test_the_same_words_keep_the_keeper(own_home: Path) -> None:
    """And another timeout, scope or endpoint makes another."""
    file = f'identity_token_file = "{own_home}/identity"\n'
    text = ACME.format(TOKEN_ENDPOINT, file)
    others = (
        text + "[default]\nrefresh_timeout = 7\n",
        ACME.format(TOKEN_ENDPOINT, file + 'scope = "more"'),
        ACME.format('token_endpoint = "https://auth.acme.dev/other"', file),
    )
    async with equipped(own_home) as equipment:
        (first,) = await minted(equipment, own_home, text)
        (again,) = await minted(equipment, own_home, text)
        assert again.made_of == first.made_of
        for other in others:
            (kept,) = await minted(equipment, own_home, other)
            assert kept.made_of != first.made_of
