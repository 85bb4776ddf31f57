"""Anthropic's own SDK with our tokens: its requests arrive as it makes them, and a refusal is mended once.

Each request is made twice, without tokenward and with it, and what arrived at the Messages API of the sandbox is
compared byte by byte.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic

from client.fake_api import FakeApi, Reply, Seen
from client.fake_daemon import TOKEN, FakeDaemon, Json, Refusal
from client.http_callers import NO_TLS
from client.messages import REQUESTS
from tokenward.client import Token
from tokenward.client._held_token import HeldToken
from tokenward.client.anthropic import NoToken, credentials
from tokenward.client.auth import TokenwardAuth
from tokenward.errors import LoginRequired
from tokenward.sandbox import Sandbox

PLACEHOLDER = "tokenward"
KEY = "sk-ant-api03-of-the-program"
OAUTH_BETA = "oauth-2025-04-20"
CREDENTIAL_HEADERS = frozenset({"authorization", "x-api-key", "anthropic-beta"})

MakeClient = Callable[[str], Anthropic]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A Messages API that wants what Anthropic's wants of OAuth."""
    with Sandbox(require_oauth_beta=True, reply_text="pong pong") as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[FakeApi]:
    """The sandbox, with a record of every byte that it gets."""

    def relay(seen: Seen) -> Reply:
        connection = http.client.HTTPConnection(urlsplit(sandbox.base_url).netloc, timeout=20)
        try:
            connection.request(seen.method, seen.path, seen.body, dict(seen.headers))
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() in KEPT_HEADERS}
            return Reply(answer.status, answer.read(), kept)
        finally:
            connection.close()

    with FakeApi(relay) as running:
        yield running


KEPT_HEADERS = frozenset({"content-type", "request-id", "anthropic-ratelimit-requests-remaining"})


@pytest.fixture
def login(daemon: FakeDaemon, api: FakeApi, sandbox: Sandbox) -> Callable[[], str]:
    """A login at the sandbox that the daemon serves; called, it is revoked and renewed there."""
    issued = [sandbox.issue()]

    def answer(params: Json) -> Json:
        generation = f"{len(issued):012x}"
        if params.get("newer_than") == generation:
            renew()
            generation = f"{len(issued):012x}"
        token = issued[-1].access_token
        headers = {**TOKEN["headers"], "authorization": f"Bearer {token}", "anthropic-beta": OAUTH_BETA}
        del headers["x-api-key"]
        return {
            **TOKEN, "token": token, "kind": "oauth", "generation": generation, "headers": headers,
            "base_url": api.url, "valid_for": 3600.0,
        }  # fmt: skip

    def renew() -> str:
        issued.append(sandbox.issue())
        return issued[-1].access_token

    def revoke() -> str:
        sandbox.revoke(issued[-1].access_token)
        return issued[-1].access_token

    daemon.answers["token.get"] = answer
    return revoke


def with_credentials(url: str) -> Anthropic:
    """The SDK with `credentials=`."""
    return Anthropic(credentials=credentials(), base_url=url, http_client=httpx2.Client(verify=NO_TLS))


def with_auth(url: str) -> Anthropic:
    """The SDK with an HTTP client that authenticates by itself."""
    client = httpx2.Client(auth=TokenwardAuth(provider="anthropic"), verify=NO_TLS)
    return Anthropic(api_key=PLACEHOLDER, base_url=url, http_client=client)


def without_us(url: str) -> Anthropic:
    """The SDK with an API key that the program put in."""
    return Anthropic(api_key=KEY, base_url=url, http_client=httpx2.Client(verify=NO_TLS))


def betas(headers: Mapping[str, str]) -> list[str]:
    """The betas that were asked for, without that of OAuth."""
    listed = [each.strip() for each in headers.get("anthropic-beta", "").split(",")]
    return [each for each in listed if each and each != OAUTH_BETA]


@pytest.mark.parametrize("make", [with_credentials, with_auth])
@pytest.mark.parametrize("stream", [False, True], ids=["create", "stream"])
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.covers(
    "E7", "P1", "P12", "P13", "P14", "P16", "P17", "P18", "L9", "L10",
    "N17", "N45", "N46", "N50", "N52", "N53", "N54", "N55",
)  # fmt: skip
def test_a_request_arrives_as_the_sdk_made_it(
    login: Callable[[], str], api: FakeApi, sandbox: Sandbox, make: MakeClient, name: str, *, stream: bool
) -> None:
    """Tools and their names, images, documents, thinking and cache marks arrive byte by byte as without us.

    Nothing is added either: no cache mark, no beta, no prefix, no User-Agent. Only the credential differs.
    """
    sandbox.register_api_key(KEY)
    request = REQUESTS[name]
    for client in (without_us(api.url), make(api.url)):
        with client:
            if stream:
                with client.messages.stream(**request) as events:
                    text = "".join(events.text_stream)
            else:
                text = client.messages.create(**request).content[0].text
        assert text == "pong pong"
    plain, ours = api.seen
    assert (ours.method, ours.path, ours.body) == (plain.method, plain.path, plain.body)
    assert others(ours) == others(plain)
    assert betas(ours.headers) == betas(plain.headers)
    assert ours.headers["authorization"].startswith("Bearer ")
    assert "x-api-key" not in ours.headers
    assert ("ttl" in json.dumps(json.loads(ours.body))) == (name == "caching")


def others(seen: Seen) -> dict[str, str]:
    """The headers that are not about the credential."""
    return {name: value for name, value in seen.headers.items() if name not in CREDENTIAL_HEADERS}


@pytest.mark.parametrize("make", [with_credentials, with_auth])
@pytest.mark.covers("N55")
def test_a_token_that_is_refused_in_mid_life_is_replaced_once(
    login: Callable[[], str], daemon: FakeDaemon, api: FakeApi, make: MakeClient
) -> None:
    """One 401, one question for a newer token, one retry; the daemon hears of the refusal."""
    with make(api.url) as client:
        client.messages.create(**REQUESTS["tools"])
        login()
        assert client.messages.create(**REQUESTS["tools"]).content[0].text == "pong pong"
        daemon.wait_for(lambda: "token.report" in [each["method"] for each in daemon.requests])
    assert [each.body for each in api.seen] == [api.seen[0].body] * 3
    gets = [each["params"].get("newer_than") for each in daemon.requests if each["method"] == "token.get"]
    assert gets == [None, f"{1:012x}"]
    refusals = [each["params"] for each in daemon.requests if each["params"].get("status") == 401]
    assert [each["generation"] for each in refusals] == [f"{1:012x}"]


async def test_requests_that_are_refused_together_get_one_new_token(
    login: Callable[[], str], daemon: FakeDaemon, api: FakeApi
) -> None:
    """The asynchronous SDK takes the same credentials; ten refusals of one token cost one renewal."""
    client = AsyncAnthropic(
        credentials=credentials(), base_url=api.url, http_client=httpx2.AsyncClient(verify=NO_TLS)
    )
    async with client:
        await client.messages.create(**REQUESTS["plain"])
        login()
        await asyncio.gather(*(client.messages.create(**REQUESTS["plain"]) for _ in range(10)))
    gets = [each["params"].get("newer_than") for each in daemon.requests if each["method"] == "token.get"]
    assert gets == [None, f"{1:012x}"]


def test_only_what_the_sdk_sends_rightly_is_asked_for(login: Callable[[], str], daemon: FakeDaemon) -> None:
    """An API key would go out as a Bearer token with the OAuth beta: it is not asked for."""
    held = credentials(agent="bot")
    held()
    held.close()
    assert daemon.params("token.get") == {
        "provider": "anthropic",
        "agent": "bot",
        "kinds": ["oauth", "setup_token", "federated"],
        "min_valid": 60.0,
        "timeout": 30.0,
    }
    by_name = credentials(profile="anthropic:me")
    by_name()
    by_name.close()
    assert "provider" not in daemon.params("token.get")
    assert daemon.params("token.get")["profile"] == "anthropic:me"


def test_a_client_of_another_address_gets_no_token(
    login: Callable[[], str], daemon: FakeDaemon, api: FakeApi
) -> None:
    """The SDK's own default address is not where this token may go; a named one is."""
    client = Anthropic(credentials=credentials(), http_client=httpx2.Client(verify=NO_TLS))
    with client, pytest.raises(NoToken, match=r"not sent to https://api\.anthropic\.com"):
        client.messages.create(**REQUESTS["plain"])
    named = credentials(origins=["https://api.anthropic.com"]).for_base_url("https://api.anthropic.com")
    assert named().expires_at == 0
    named.close()
    assert api.seen == []


def test_without_a_login_the_error_is_ours(daemon: FakeDaemon, api: FakeApi) -> None:
    """The SDK passes on what the daemon said, and sends nothing."""

    def refuse(_: Json) -> Json:
        raise Refusal("LoginRequired", "log in")

    daemon.answers["token.get"] = refuse
    with with_credentials(api.url) as client, pytest.raises(NoToken, match="log in; do this") as caught:
        client.messages.create(**REQUESTS["plain"])
    assert isinstance(caught.value.__cause__, LoginRequired)
    assert daemon.methods() == ["token.get"]
    assert api.seen == []


def test_an_error_of_the_api_is_the_sdks_own(login: Callable[[], str], daemon: FakeDaemon, api: FakeApi) -> None:
    """What the API refuses for another reason is raised as the SDK raises it, body and all, and is reported."""
    document = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    api.answer = lambda _: Reply.of(document, 429, **{"retry-after": "9"})
    with with_auth(api.url).with_options(max_retries=0) as client:
        with pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(**REQUESTS["plain"])
        assert caught.value.body == document
        daemon.wait_for(lambda: "token.report" in daemon.methods())
    told = daemon.params("token.report")
    assert (told["status"], told["error"], told["headers"]) == (
        429,
        {"error": document["error"]},
        {"retry-after": "9"},
    )


def test_a_renewed_token_stands_only_for_a_while(login: Callable[[], str], daemon: FakeDaemon) -> None:
    """A refusal right after a renewal was of the token before it; a later one is of the new token."""
    now = [1000.0]
    held = HeldToken(None, clock=lambda: now[0])
    given_up: list[str] = []

    def note(token: Token) -> None:
        given_up.append(token.generation)

    first = held.renewed(note)
    second = held.renewed(note)
    assert held.renewed(note) == second != first
    now[0] += 10
    third = held.renewed(note)
    held.close()
    assert third.generation != second.generation
    assert given_up == [first.generation, second.generation]
