"""Credentials in environment variables."""

import json

import pytest

from contracts.place import found_in
from tokenward.core.credential import Credential, Kind, to_unix_milliseconds
from tokenward.core.reading import Found, Reading, Unreadable
from tokenward.sources.environment import BASE_URL, Gateway, gateway, offered

KEY = "sk-ant-api03-" + "k" * 95
SETUP = "sk-ant-oat01-" + "s" * 95
NO_GATEWAY = Gateway(None, is_foreign=False)
LOGIN = {"accessToken": SETUP, "refreshToken": "sk-ant-ort01-r", "expiresAt": 1_893_456_000_000}


def readings(**environ: str) -> dict[str, Reading]:
    """What each profile of an environment reads as."""
    beside = gateway(environ, provider_is_gateway=False, anthropic_host="api.anthropic.com")
    return {each.profile.id: each.place.read() for each in offered(environ, beside)}


def found(profile: str, **environ: str) -> Credential:
    """The credential of one profile."""
    return found_in(readings(**environ)[profile])


def test_nothing_set_offers_nothing() -> None:
    """Blank counts as unset."""
    assert readings(PATH="/bin", ANTHROPIC_API_KEY=" \n") == {}


@pytest.mark.covers("P6", "P28", "L2")
def test_an_api_key_is_trimmed() -> None:
    """A non-empty value is the key, without what surrounds it."""
    credential = found("anthropic:env", ANTHROPIC_API_KEY=f" {KEY}\n")
    assert (credential.kind, credential.access.reveal()) == (Kind.API_KEY, KEY)


@pytest.mark.covers("P9")
def test_a_setup_token_in_the_place_of_a_key_is_one() -> None:
    """What it is decides."""
    assert found("anthropic:env", ANTHROPIC_API_KEY=SETUP).kind is Kind.SETUP_TOKEN


@pytest.mark.covers("N38")
@pytest.mark.parametrize("encoded", [json.dumps(LOGIN), f" {json.dumps(LOGIN, indent=1)}\n"])
def test_an_oauth_token_may_be_json(encoded: str) -> None:
    """Access token, refresh token and the end in milliseconds."""
    credential = found("anthropic:env-oauth", ANTHROPIC_OAUTH_TOKEN=encoded)
    assert credential.kind is Kind.OAUTH
    assert credential.access.reveal() == SETUP
    assert credential.refresh is not None
    assert credential.refresh.reveal() == "sk-ant-ort01-r"
    assert credential.expires_at is not None
    assert to_unix_milliseconds(credential.expires_at) == 1_893_456_000_000


@pytest.mark.covers("N38")
@pytest.mark.parametrize("encoded", [SETUP, json.dumps(SETUP), json.dumps({"accessToken": SETUP})])
def test_an_oauth_token_may_be_plain(encoded: str) -> None:
    """A plain string, a JSON string literal, or JSON without a refresh token: a static token."""
    credential = found("anthropic:env-oauth", CLAUDE_OAUTH_TOKEN=encoded)
    assert (credential.kind, credential.access.reveal(), credential.refresh) == (Kind.SETUP_TOKEN, SETUP, None)


@pytest.mark.covers("N42")
def test_the_first_oauth_variable_wins() -> None:
    """The three names are one profile, in this order."""
    names = ["ANTHROPIC_OAUTH_TOKEN", "CLAUDE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]
    values = {name: f"{SETUP}{number}" for number, name in enumerate(names)}
    for number, name in enumerate(names):
        assert found("anthropic:env-oauth", **values).access.reveal() == f"{SETUP}{number}"
        del values[name]


@pytest.mark.covers("A3", "A7", "A8")
def test_a_gateway_key_goes_to_its_gateway() -> None:
    """A sk- key with a base URL is served as a Bearer token for that root, without "Bearer" and "/v1"."""
    environ = {"ANTHROPIC_AUTH_TOKEN": "Bearer sk-gateway", BASE_URL: "https://gw.example/v1/"}
    beside = gateway(environ, provider_is_gateway=False, anthropic_host="api.anthropic.com")
    (offer,) = offered(environ, beside)
    credential = found_in(offer.place.read())
    assert offer.profile.base_url == "https://gw.example"
    assert (offer.profile.id, credential.kind) == ("anthropic:env-auth-token", Kind.AUTH_TOKEN)
    assert credential.access.reveal() == "sk-gateway"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"ANTHROPIC_AUTH_TOKEN": "sk-gateway"}, "gateway"),
        ({"ANTHROPIC_AUTH_TOKEN": "sk-gateway", BASE_URL: "https://api.anthropic.com"}, "gateway"),
        ({"ANTHROPIC_AUTH_TOKEN": "sk-gateway", BASE_URL: "http://gw.example"}, "https"),
        ({"ANTHROPIC_API_KEY": KEY, BASE_URL: "https://gw.example?key=1"}, "query"),
        ({"ANTHROPIC_API_KEY": "sk-gateway"}, "API keys begin with sk-ant-api"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": KEY}, "API key of the Console"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "abcdefgh#ijklmnop"}, "code#state"),
        ({"ANTHROPIC_OAUTH_TOKEN": '{"claudeAiOauth": {}}'}, "Claude Code's whole login file"),
        ({"ANTHROPIC_OAUTH_TOKEN": '{"refreshToken": "sk-ant-ort01-r"}'}, "access_token is missing"),
        ({"ANTHROPIC_OAUTH_TOKEN": '{"accessToken": "a", "expiresAt": "soon"}'}, "expiresAt"),
    ],
)
def test_what_cannot_be_used_says_what_it_is(environ: dict[str, str], said: str) -> None:
    """Never served, never taken for absent, and the reason is one line without the value."""
    (reading,) = readings(**environ).values()
    assert isinstance(reading, Unreadable)
    assert said in reading.reason
    assert "\n" not in reading.reason
    assert "sk-gateway" not in reading.reason
    assert KEY not in reading.reason


def test_its_refresh_token_is_never_spent() -> None:
    """A variable cannot be written, and what a person can do is said."""
    (offer,) = offered({"ANTHROPIC_OAUTH_TOKEN": json.dumps(LOGIN)}, NO_GATEWAY)
    with pytest.raises(OSError, match="never written"):
        offer.place.prepare_write()
    assert "tokenward add" in (offer.note or "")
    assert isinstance(offer.place.read(), Found)
