"""An issuer's endpoints are found, and never believed of anybody else."""

import json
from typing import Any

import pytest

from contracts.token_endpoint import granted_in
from fakes.machine import FakeClock
from fakes.raw_server import Peer, RawServer
from tokenward.core.credential import Secret
from tokenward.core.provider import ProviderRegistration
from tokenward.http import Answer, HttpClient, HttpResult
from tokenward.oauth.metadata import Metadata, MetadataCache, Undiscovered, discover, token_endpoint_for
from tokenward.oauth.token_endpoint import HttpTokenEndpoint
from tokenward.sandbox import CLOSE_BEFORE, Sandbox

LONG = 20.0  # seconds; longer than anything here takes
ISSUER = "https://auth.example.test"


class CannedClient(HttpClient):
    """Answers from a table of documents by URL, 404 for the rest, and remembers what was asked."""

    def __init__(self, documents: dict[str, Any]) -> None:
        super().__init__(user_agent="canned")
        self.documents = documents
        self.asked: list[str] = []

    async def get(self, url: str, *, headers: object, deadline: float) -> HttpResult:
        """The document of that URL."""
        self.asked.append(url)
        document = self.documents.get(url)
        if document is None:
            return Answer(404, {}, b"")
        return Answer(200, {}, document if isinstance(document, bytes) else json.dumps(document).encode())


def document(named: str = ISSUER, /, **changes: Any) -> dict[str, Any]:
    """A good document, with changes; None takes a member away."""
    whole = {
        "issuer": named,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


async def discovered(changes: dict[str, Any], issuer: str = ISSUER) -> Metadata | Undiscovered:
    """What comes of a document at RFC 8414's address."""
    client = CannedClient({f"{issuer}/.well-known/oauth-authorization-server": document(issuer, **changes)})
    return await discover(issuer, client, deadline=LONG)


async def test_the_sandbox_is_discovered(client: HttpClient) -> None:
    """A loopback issuer over plain http is found with all its endpoints."""
    with Sandbox() as sandbox:
        assert await discover(sandbox.issuer, client, deadline=LONG) == Metadata(
            issuer=sandbox.issuer,
            token_endpoint=sandbox.token_endpoint,
            authorization_endpoint=sandbox.authorization_endpoint,
            revocation_endpoint=sandbox.revocation_endpoint,
            device_authorization_endpoint=sandbox.device_authorization_endpoint,
            promises_issuer=True,
        )


@pytest.mark.parametrize(
    ("issuer", "rfc_8414", "openid"),
    [
        ("https://a.test", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"),
        ("https://a.test/", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"),
        (
            "https://a.test/t/1",
            "/.well-known/oauth-authorization-server/t/1",
            "/t/1/.well-known/openid-configuration",
        ),
        ("https://a.test/t/", "/.well-known/oauth-authorization-server/t", "/t/.well-known/openid-configuration"),
    ],
)
async def test_where_the_document_is_looked_for(issuer: str, rfc_8414: str, openid: str) -> None:
    """The path of the issuer goes behind RFC 8414's suffix and before OpenID Connect's."""
    client = CannedClient({f"https://a.test{openid}": document(issuer)})
    found = await discover(issuer, client, deadline=LONG)
    assert isinstance(found, Metadata)
    assert found.issuer == issuer
    assert client.asked == [f"https://a.test{rfc_8414}", f"https://a.test{openid}"]


@pytest.mark.parametrize("first", [b"<html>", b"[]", b""])
async def test_what_is_no_document_does_not_hide_the_other_address(first: bytes) -> None:
    """A page in the place of the first document makes us look at the second."""
    client = CannedClient(
        {
            f"{ISSUER}/.well-known/oauth-authorization-server": first,
            f"{ISSUER}/.well-known/openid-configuration": document(),
        }
    )
    assert isinstance(await discover(ISSUER, client, deadline=LONG), Metadata)


async def test_no_document_anywhere(client: HttpClient) -> None:
    """An issuer without metadata is reported with its host and status, as something that may pass."""
    canned = CannedClient({})
    assert await discover(ISSUER, canned, deadline=LONG) == Undiscovered(
        "auth.example.test has no metadata (HTTP 404)"
    )
    with Sandbox() as sandbox:
        sandbox.faults.next("metadata", CLOSE_BEFORE, times=None)
        found = await discover(sandbox.issuer, client, deadline=LONG)
    assert isinstance(found, Undiscovered)
    assert not found.configuration
    assert "no answer" in found.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": "https://evil.test"}, "another issuer: https://evil.test"),
        ({"issuer": f"{ISSUER}/"}, "another issuer"),
        ({"issuer": None}, "another issuer: none"),
        ({"issuer": ["a\nb"]}, "another issuer: none"),
        ({"token_endpoint": None}, "token_endpoint"),
        ({"token_endpoint": 7}, "token_endpoint"),
        ({"token_endpoint": "http://auth.example.test/token"}, "must be https"),
        ({"token_endpoint": "http://127.0.0.1:9/token"}, "must be https"),
        ({"token_endpoint": "https://user@evil.test/token"}, "no user"),
        ({"revocation_endpoint": "ftp://a.test/"}, "revocation_endpoint"),
        ({"device_authorization_endpoint": "javascript:alert(1)"}, "device_authorization_endpoint"),
        ({"authorization_endpoint": None}, "authorization_endpoint"),
        ({"grant_types_supported": 7}, "RFC 8414"),
    ],
)
async def test_a_document_that_breaks_the_rules(changes: dict[str, Any], said: str) -> None:
    """A document of another issuer, or with an endpoint no secret may go to, is refused for good, on one line."""
    found = await discovered(changes)
    assert isinstance(found, Undiscovered)
    assert found.configuration
    assert said in found.reason
    assert "\n" not in found.reason


async def test_an_implicit_only_server_has_no_token_endpoint() -> None:
    """What Authlib forgives for lack of use is of no use to us."""
    found = await discovered({"token_endpoint": None, "grant_types_supported": ["implicit"]})
    assert isinstance(found, Undiscovered)
    assert "no token_endpoint" in found.reason


async def test_large_providers_break_rules_that_do_not_matter() -> None:
    """Claims that we do not use are not judged: a missing list of signing algorithms is another's affair."""
    found = await discovered(
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"], "response_types_supported": None}
    )
    assert isinstance(found, Metadata)


async def test_an_issuer_that_no_secret_may_go_to() -> None:
    """A plain http issuer beyond loopback is refused before anything is asked."""
    client = CannedClient({})
    found = await discover("http://auth.example.test", client, deadline=LONG)
    assert isinstance(found, Undiscovered)
    assert found.configuration
    assert client.asked == []


class TestCache:
    async def test_a_document_is_asked_for_once_a_day(self) -> None:
        """Within a day the first answer serves, after it a new one is fetched."""
        clock = FakeClock()
        client = CannedClient({f"{ISSUER}/.well-known/oauth-authorization-server": document()})
        cache = MetadataCache(client, clock)
        first = await cache.get(ISSUER, deadline=LONG)
        clock.advance(24 * 3600 - 1)
        assert await cache.get(ISSUER, deadline=LONG) == first
        assert len(client.asked) == 1
        clock.advance(1)
        client.documents = {
            f"{ISSUER}/.well-known/oauth-authorization-server": document(token_endpoint=f"{ISSUER}/new")
        }
        again = await cache.get(ISSUER, deadline=LONG)
        assert isinstance(again, Metadata)
        assert again.token_endpoint == f"{ISSUER}/new"

    async def test_what_is_known_outlives_an_outage(self) -> None:
        """A document that cannot be fetched again, or has turned bad, leaves the old one in force."""
        clock = FakeClock()
        address = f"{ISSUER}/.well-known/oauth-authorization-server"
        client = CannedClient({address: document()})
        cache = MetadataCache(client, clock)
        first = await cache.get(ISSUER, deadline=LONG)
        for later in ({}, {address: document("https://evil.test")}):
            clock.advance(48 * 3600)
            client.documents = later
            assert await cache.get(ISSUER, deadline=LONG) == first

    async def test_a_failure_is_not_kept(self) -> None:
        """What could not be found is looked for again at once when asked again."""
        client = CannedClient({})
        cache = MetadataCache(client, FakeClock())
        assert isinstance(await cache.get(ISSUER, deadline=LONG), Undiscovered)
        client.documents = {f"{ISSUER}/.well-known/oauth-authorization-server": document()}
        assert isinstance(await cache.get(ISSUER, deadline=LONG), Metadata)


class TestTokenEndpointFor:
    async def test_an_issuer_is_enough(self, client: HttpClient) -> None:
        """A registration of an issuer and a client_id becomes an endpoint that refreshes."""
        with Sandbox(client_secret="word") as sandbox:
            registration = ProviderRegistration(
                name="acme",
                issuer=sandbox.issuer,
                client_id=sandbox.client_id,
                client_auth="post",
                client_secret=Secret("word"),
                body="json",
            )
            endpoint = await self._made(registration, client)
            assert isinstance(endpoint, HttpTokenEndpoint)
            assert endpoint.url == sandbox.token_endpoint
            granted_in(await endpoint.refresh(Secret(sandbox.issue().refresh_token or "")))

    async def test_a_configured_endpoint_needs_no_discovery(self) -> None:
        """Without an issuer nothing is asked; with one that is away, the configured endpoint still serves."""
        client = CannedClient({})
        plain = ProviderRegistration(name="acme", token_endpoint=f"{ISSUER}/mine", client_id="me")
        endpoint = await self._made(plain, client)
        assert isinstance(endpoint, HttpTokenEndpoint)
        assert client.asked == []
        both = ProviderRegistration(name="acme", token_endpoint=f"{ISSUER}/mine", issuer=ISSUER, client_id="me")
        endpoint = await self._made(both, client)
        assert isinstance(endpoint, HttpTokenEndpoint)
        assert endpoint.url == f"{ISSUER}/mine"

    async def test_configured_endpoints_outrank_discovered_ones(self) -> None:
        """Discovery fills gaps and overrules nothing."""
        client = CannedClient({f"{ISSUER}/.well-known/oauth-authorization-server": document()})
        registration = ProviderRegistration(
            name="acme", token_endpoint=f"{ISSUER}/mine", issuer=ISSUER, client_id="me"
        )
        completed = await MetadataCache(client, FakeClock()).complete(registration, deadline=LONG)
        assert isinstance(completed, ProviderRegistration)
        assert completed.token_endpoint == f"{ISSUER}/mine"
        assert completed.authorization_endpoint == f"{ISSUER}/authorize"

    async def test_an_issuer_that_is_away_gives_a_reason(self) -> None:
        """The caller is told why there is no endpoint yet, and may try again."""
        registration = ProviderRegistration(name="acme", issuer=ISSUER, client_id="me")
        assert isinstance(await self._made(registration, CannedClient({})), Undiscovered)

    async def test_a_provider_without_oauth_is_a_mistake_of_the_caller(self) -> None:
        """Whoever asks for a token endpoint must know that there is one."""
        registration = ProviderRegistration(name="keys")
        assert not registration.refreshes
        with pytest.raises(ValueError, match="keys"):
            await self._made(registration, CannedClient({}))

    async def _made(
        self, registration: ProviderRegistration, client: HttpClient
    ) -> HttpTokenEndpoint | Undiscovered:
        clock = FakeClock()
        cache = MetadataCache(client, clock)
        return await token_endpoint_for(
            registration, metadata=cache, http_client=client, clock=clock, refresh_timeout=LONG
        )


async def test_a_redirected_document_is_not_followed(client: HttpClient) -> None:
    """Discovery goes where the issuer's name says, and nowhere else."""

    def redirect(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b"", status="302 Elsewhere", headers="Location: https://evil.test/\r\n")

    with RawServer(redirect) as server:
        found = await discover(f"http://127.0.0.1:{server.port}", client, deadline=LONG)
    assert isinstance(found, Undiscovered)
    assert "HTTP 302" in found.reason
