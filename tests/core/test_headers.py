"""The header table of design section 1, with the packaged rules of Anthropic and of any other provider."""

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.headers import HeaderRules, advice
from tokenward.provider_files import provider_named

ANTHROPIC = provider_named("anthropic").headers
GENERIC = provider_named("acme").headers


def headers(kind: Kind, rules: HeaderRules, text: str = "tok-1") -> dict[str, str]:
    """The advice for a credential of a kind."""
    return advice(Credential(kind, Secret(text)), rules)


@pytest.mark.covers("P25", "P37")
def test_an_anthropic_api_key_travels_in_x_api_key_alone() -> None:
    """An API key goes into x-api-key, with the API's version and nothing else."""
    assert headers(Kind.API_KEY, ANTHROPIC, "sk-ant-api03-x") == {
        "x-api-key": "sk-ant-api03-x",
        "anthropic-version": "2023-06-01",
    }


@pytest.mark.covers("P26")
@pytest.mark.parametrize("kind", [Kind.OAUTH, Kind.SETUP_TOKEN, Kind.FEDERATED])
def test_anthropic_oauth_tokens_are_bearer_tokens_with_the_beta(kind: Kind) -> None:
    """Every token that comes from OAuth goes out as Bearer, with the OAuth beta and without x-api-key."""
    assert headers(kind, ANTHROPIC, "sk-ant-oat01-x") == {
        "authorization": "Bearer sk-ant-oat01-x",
        "anthropic-beta": "oauth-2025-04-20",
        "anthropic-version": "2023-06-01",
    }


def test_a_gateway_token_is_a_bearer_token_without_the_beta() -> None:
    """A gateway knows no Anthropic OAuth: Authorization only."""
    assert headers(Kind.AUTH_TOKEN, ANTHROPIC) == {
        "authorization": "Bearer tok-1",
        "anthropic-version": "2023-06-01",
    }


@pytest.mark.parametrize("kind", list(Kind))
def test_any_other_provider_gets_a_bearer_token(kind: Kind) -> None:
    """RFC 6750 is the rule where the provider's file has none."""
    assert headers(kind, GENERIC) == {"authorization": "Bearer tok-1"}


@pytest.mark.parametrize("rules", [ANTHROPIC, GENERIC])
@pytest.mark.parametrize("kind", list(Kind))
def test_exactly_one_header_carries_the_token(kind: Kind, rules: HeaderRules) -> None:
    """Two headers with one token are a 401 at some servers."""
    assert sum("tok-1" in value for value in headers(kind, rules).values()) == 1


def test_advice_does_not_change_the_rules() -> None:
    """One caller's headers never appear in another's."""
    rules = HeaderRules(always={"x-version": "1"})
    headers(Kind.OAUTH, rules)["x-version"] = "2"
    assert headers(Kind.OAUTH, rules)["x-version"] == "1"


@pytest.mark.parametrize(
    ("kind", "billing"),
    [
        (Kind.API_KEY, "api"),
        (Kind.AUTH_TOKEN, "api"),
        (Kind.SETUP_TOKEN, "subscription"),
        (Kind.OAUTH, "subscription"),
        (Kind.FEDERATED, "api"),
    ],
)
def test_who_pays(kind: Kind, billing: str) -> None:
    """A subscription pays for its login and setup token, the API account for the rest."""
    assert ANTHROPIC.billing[kind] == billing
