"""The HTTP token endpoint sends what the registration says and tells truly what became of it."""

import base64
import json
import socket
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote_plus

import pytest

from contracts.token_endpoint import TokenEndpointContract, granted_in
from fakes.machine import FakeClock
from fakes.raw_server import Peer, RawServer
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from tokenward.core.credential import Secret
from tokenward.core.grants import Ambiguous, Condemned, NotSent, RefreshOutcome, Unavailable
from tokenward.core.provider import BodyFormat, ClientAuth
from tokenward.http import HttpClient
from tokenward.oauth.token_endpoint import HttpTokenEndpoint, basic_authorization
from tokenward.sandbox import CAPTIVE_PORTAL, EMPTY_400, HOLD_AFTER, LOST_ANSWER, Fault, Sandbox

CLIENT_ID = "tokenward sandbox:ü"
CLIENT_SECRET = "s3cr:t %+&=/ä"


class _SandboxRig:
    def __init__(self, sandbox: Sandbox, client: HttpClient) -> None:
        self._sandbox = sandbox
        self.endpoint = HttpTokenEndpoint(
            url=sandbox.token_endpoint, client_id=sandbox.client_id, clock=FakeClock(), http_client=client
        )

    def login(self) -> Secret:
        issued = self._sandbox.issue().refresh_token
        assert issued is not None
        return Secret(issued)

    def overload(self, retry_after: float) -> None:
        fault = Fault(status=429, body={"error": "rate_limited"}, retry_after=int(retry_after))
        self._sandbox.faults.next("token", fault)

    def lose_the_next_answer(self) -> None:
        self._sandbox.faults.next("token", LOST_ANSWER)

    def go_away(self) -> None:
        self._sandbox.stop()

    @property
    def reuse_detected(self) -> int:
        return self._sandbox.statistics().reuse_detected


class TestHttpTokenEndpoint(TokenEndpointContract):
    @pytest.fixture
    def rig(self, client: HttpClient) -> Iterator[_SandboxRig]:
        """The real adapter against the sandbox."""
        with Sandbox() as sandbox:
            yield _SandboxRig(sandbox, client)


class _ScriptedRig:
    def __init__(self) -> None:
        self.endpoint = ScriptedTokenEndpoint()
        self._logins = 0

    def login(self) -> Secret:
        self._logins += 1
        return Secret(f"login-{self._logins}")

    def overload(self, retry_after: float) -> None:
        self.endpoint.next(Unavailable("HTTP 429", retry_after))

    def lose_the_next_answer(self) -> None:
        self.endpoint.lose_the_next_answer()

    def go_away(self) -> None:
        self.endpoint.unreachable = True

    @property
    def reuse_detected(self) -> int:
        return self.endpoint.reuse_detected


class TestScriptedTokenEndpoint(TokenEndpointContract):
    @pytest.fixture
    def rig(self) -> _ScriptedRig:
        """The fake."""
        return _ScriptedRig()


@pytest.mark.parametrize("body", ["form", "json"])
@pytest.mark.parametrize("client_auth", ["none", "basic", "post"])
async def test_every_registration_is_understood(
    client: HttpClient, body: BodyFormat, client_auth: ClientAuth
) -> None:
    """Each way to authenticate and each body is what the authorization server expects, odd characters included."""
    secret = None if client_auth == "none" else CLIENT_SECRET
    with Sandbox(client_id=CLIENT_ID, client_secret=secret) as sandbox:
        endpoint = HttpTokenEndpoint(
            url=sandbox.token_endpoint,
            client_id=CLIENT_ID,
            client_auth=client_auth,
            client_secret=None if secret is None else Secret(secret),
            body=body,
            clock=FakeClock(),
            http_client=client,
        )
        granted_in(await endpoint.refresh(Secret(sandbox.issue().refresh_token or "")))


async def sent_by(client: HttpClient, *, refresh: str = "r&1", **registration: object) -> tuple[str, bytes]:
    """Head and body of the request that a registration makes, as bytes on the wire."""

    def answer(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b'{"access_token": "a"}')

    with RawServer(answer) as server:
        endpoint = HttpTokenEndpoint(
            url=f"http://127.0.0.1:{server.port}/token",
            client_id="me",
            clock=FakeClock(),
            http_client=client,
            **registration,  # type: ignore[arg-type]  # the test names them one by one
        )
        granted_in(await endpoint.refresh(Secret(refresh)))
        head, _, body = server.received.partition(b"\r\n\r\n")
        return head.decode().lower(), body


async def test_a_form_holds_what_rfc_6749_says(client: HttpClient) -> None:
    """Grant, token and client_id and nothing else: no scope that was not asked for."""
    head, body = await sent_by(client)
    assert parse_qs(body.decode(), strict_parsing=True) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["r&1"],
        "client_id": ["me"],
    }
    assert "content-type: application/x-www-form-urlencoded" in head
    assert "accept: application/json" in head
    assert "authorization" not in head


async def test_json_and_scope_and_headers_as_registered(client: HttpClient) -> None:
    """A server that wants JSON, a scope or a header of its own gets them."""
    head, body = await sent_by(client, body="json", scope="a b", headers={"X-Beta": "yes", "Accept": "text/html"})
    assert json.loads(body) == {
        "grant_type": "refresh_token",
        "refresh_token": "r&1",
        "client_id": "me",
        "scope": "a b",
    }
    assert "content-type: application/json" in head
    assert "x-beta: yes" in head
    assert "accept: application/json" in head
    assert "text/html" not in head


async def test_a_client_that_authenticates_by_header_says_it_once(client: HttpClient) -> None:
    """With basic neither id nor secret is in the body; with post both are and there is no header."""
    head, body = await sent_by(client, client_auth="basic", client_secret=Secret("s"))
    assert set(parse_qs(body.decode())) == {"grant_type", "refresh_token"}
    assert "authorization: basic " in head
    head, body = await sent_by(client, client_auth="post", client_secret=Secret("s"))
    assert parse_qs(body.decode())["client_secret"] == ["s"]
    assert parse_qs(body.decode())["client_id"] == ["me"]
    assert "authorization" not in head


def test_basic_is_quoted_by_rfc_6749() -> None:
    """Both halves are form-encoded before they are joined, so a colon in either does no harm."""
    scheme, _, encoded = basic_authorization("a:b c", Secret("d:+ü")).partition(" ")
    assert scheme == "Basic"
    halves = base64.b64decode(encoded).decode().split(":")
    assert halves == ["a%3Ab+c", "d%3A%2B%C3%BC"]
    assert [unquote_plus(half) for half in halves] == ["a:b c", "d:+ü"]


async def test_a_client_without_its_secret_is_a_mistake(client: HttpClient) -> None:
    """To authenticate without a secret is found when the endpoint is made, not at the first refresh."""
    with pytest.raises(ValueError, match="needs a client_secret"):
        HttpTokenEndpoint(
            url="https://a.test/", client_id="me", client_auth="basic", clock=FakeClock(), http_client=client
        )


async def test_a_token_that_cannot_be_encoded_is_not_sent(client: HttpClient) -> None:
    """What no request can carry is unspent, and no exception."""
    endpoint = HttpTokenEndpoint(url="https://127.0.0.1:1/", client_id="me", clock=FakeClock(), http_client=client)
    outcome = await endpoint.refresh(Secret("lone \ud800 surrogate"))
    assert isinstance(outcome, NotSent)
    assert "characters" in outcome.reason


async def outcome_of(client: HttpClient, fault: Fault, **registration: object) -> RefreshOutcome:
    """What a refresh comes to under a fault."""
    with Sandbox() as sandbox:
        sandbox.faults.next("token", fault)
        endpoint = HttpTokenEndpoint(
            url=sandbox.token_endpoint,
            client_id=sandbox.client_id,
            clock=FakeClock(),
            http_client=client,
            **registration,  # type: ignore[arg-type]  # the test names them one by one
        )
        return await endpoint.refresh(Secret(sandbox.issue().refresh_token or ""))


@pytest.mark.parametrize(
    "fault",
    [
        CAPTIVE_PORTAL,
        EMPTY_400,
        Fault(status=400, body="<html>invalid_grant</html>", content_type="text/html"),
        Fault(status=403, body={"error": "invalid_grant"}),
        Fault(status=500, body={"error": "invalid_grant"}),
        Fault(status=302, headers={"Location": "/elsewhere"}),
        Fault(status=400, body={"error": "expired_token"}),
    ],
)
async def test_nothing_but_the_servers_word_condemns(client: HttpClient, fault: Fault) -> None:
    """Pages, empty bodies, other statuses and other errors are passing troubles (design I4)."""
    assert isinstance(await outcome_of(client, fault), Unavailable)


async def test_a_provider_may_have_its_own_word_for_dead(client: HttpClient) -> None:
    """What the provider file lists condemns like invalid_grant."""
    fault = Fault(status=400, body={"error": "token_dead"})
    outcome = await outcome_of(client, fault, dead_errors=frozenset({"token_dead"}))
    assert isinstance(outcome, Condemned)
    assert outcome.error == "token_dead"


async def test_a_date_in_retry_after_is_read_by_our_clock(client: HttpClient) -> None:
    """Retry-After as an HTTP date becomes seconds from the wall clock's now."""
    fault = Fault(status=503, body={}, retry_after="Sat, 21 Nov 2026 12:01:30 GMT")
    outcome = await outcome_of(client, fault)
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after == 90


async def test_its_deadline_is_its_own(client: HttpClient) -> None:
    """An answer that does not come within the timeout leaves the token's fate open."""
    assert isinstance(await outcome_of(client, HOLD_AFTER, timeout=0.3), Ambiguous)


async def test_an_unresolvable_server_is_not_sent(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network every refresh token stays unspent."""

    def offline(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    endpoint = HttpTokenEndpoint(
        url="https://auth.invalid/token", client_id="me", clock=FakeClock(), http_client=client
    )
    outcome = await endpoint.refresh(Secret("r"))
    assert isinstance(outcome, NotSent)
    assert "Temporary failure" in outcome.reason
