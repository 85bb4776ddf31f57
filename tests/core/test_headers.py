"""The header table of design section 1, with the packaged rules of Anthropic and of any other provider."""

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.headers import HeaderRules, advice, with_betas
from tokenward.provider_files import provider_named
from tokenward.provider_settings import ProviderSettings

ANTHROPIC = provider_named("anthropic").headers
GENERIC = provider_named("acme").headers
WITH_FEATURES = provider_named("anthropic", ProviderSettings(beta_features=True)).headers
CLAUDE_CODE, INTERLEAVED, FINE_GRAINED = (
    "claude-code-20250219",
    "interleaved-thinking-2025-05-14",
    "fine-grained-tool-streaming-2025-05-14",
)
OAUTH = "oauth-2025-04-20"
CACHE_TTL = "extended-cache-ttl-2025-04-11"


def headers(kind: Kind, rules: HeaderRules, text: str = "tok-1") -> dict[str, str]:
    """The advice for a credential of a kind."""
    return advice(Credential(kind, Secret(text)), rules)


@pytest.mark.covers("P25", "P37")
def test_an_anthropic_api_key_travels_in_x_api_key_alone() -> None:
    """An API key goes into x-api-key, with the API's version, the cache's beta and nothing else."""
    assert headers(Kind.API_KEY, ANTHROPIC, "sk-ant-api03-x") == {
        "x-api-key": "sk-ant-api03-x",
        "anthropic-beta": CACHE_TTL,
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


@pytest.mark.covers("N48")
def test_an_api_key_has_the_beta_features_where_they_are_switched_on() -> None:
    """The three of the document, and none without the switch."""
    sent = headers(Kind.API_KEY, WITH_FEATURES)["anthropic-beta"]
    assert sent.split(",") == [CACHE_TTL, CLAUDE_CODE, INTERLEAVED, FINE_GRAINED]
    assert headers(Kind.API_KEY, ANTHROPIC)["anthropic-beta"] == CACHE_TTL


@pytest.mark.covers("E10")
def test_the_beta_of_the_long_cache_is_kept_beside_the_callers() -> None:
    """Once, whether or not the caller names it too; a gateway's key and a login do not have it."""
    for asked in ([CLAUDE_CODE], [CACHE_TTL, CLAUDE_CODE]):
        merged = with_betas(headers(Kind.API_KEY, ANTHROPIC), asked)["anthropic-beta"]
        assert merged.split(",") == [CACHE_TTL, CLAUDE_CODE]
    for kind in (Kind.AUTH_TOKEN, Kind.OAUTH, Kind.SETUP_TOKEN):
        assert CACHE_TTL not in headers(kind, ANTHROPIC).get("anthropic-beta", "")


@pytest.mark.covers("N49")
@pytest.mark.parametrize("kind", [Kind.OAUTH, Kind.SETUP_TOKEN])
def test_a_subscription_has_fewer_and_its_own_always(kind: Kind) -> None:
    """The OAuth beta with and without the switch; Claude Code's only if the caller asks for it."""
    assert headers(kind, WITH_FEATURES)["anthropic-beta"] == f"{OAUTH},{INTERLEAVED}"
    assert headers(kind, ANTHROPIC)["anthropic-beta"] == OAUTH
    asked = with_betas(headers(kind, WITH_FEATURES), [CLAUDE_CODE])
    assert asked["anthropic-beta"] == f"{OAUTH},{INTERLEAVED},{CLAUDE_CODE}"


def test_a_gateway_gets_no_features() -> None:
    """It may know none of them."""
    assert "anthropic-beta" not in headers(Kind.AUTH_TOKEN, WITH_FEATURES)


@pytest.mark.covers("N49")
@pytest.mark.parametrize(
    ("needed", "asked", "merged"),
    [
        (OAUTH, ["x-1"], f"{OAUTH},x-1"),
        (OAUTH, ["x-1", OAUTH, "x-1"], f"{OAUTH},x-1"),
        (OAUTH, [f"x-2, {OAUTH},,x-1 ", "x-2"], f"{OAUTH},x-2,x-1"),
        (None, ["x-1,x-1"], "x-1"),
        (OAUTH, [], OAUTH),
    ],
)
def test_the_callers_betas_are_merged_once_each(needed: str | None, asked: list[str], merged: str) -> None:
    """What the credential needs first, then the caller's in its order; nothing is lost and nothing is double."""
    before = {"authorization": "Bearer t"} | ({"anthropic-beta": needed} if needed else {})
    after = with_betas(before, asked)
    assert after == {"authorization": "Bearer t", "anthropic-beta": merged}
    assert before.get("anthropic-beta") == needed


def test_without_any_beta_there_is_no_such_header() -> None:
    """An empty header is a 400 at some servers."""
    assert with_betas({"x": "y"}, [" , "]) == {"x": "y"}
