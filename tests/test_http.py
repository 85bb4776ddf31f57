"""Whether a request may have been received is known whatever the network does, and no secret is told of it."""

import gzip
import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import anyio
import pytest

from e2e.connect_proxy import ConnectProxy
from fakes.raw_server import Peer, RawServer
from tokenward.http import MAX_ANSWER_BYTES, Answer, HttpClient, HttpResult, NoAnswer, NotSent
from tokenward.sandbox import CUT_OFF, LOST_ANSWER, SLOW_DRIP, STALL, Sandbox

SECRET = "sk-ant-ort01-short"
LONG = 20.0  # seconds; longer than anything here takes
SHORT = 0.3  # seconds; for answers that never come
PLAYED = "auth.example.test"

Serve = Callable[..., RawServer]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client, closed at the end."""
    opened = HttpClient(user_agent="tokenward/0 (test)")
    yield opened
    await opened.aclose()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers made of bare sockets, and stops them at the end."""
    with ExitStack() as stack:

        def start(handler: Callable[[Peer], None], *, tls: ssl.SSLContext | None = None) -> RawServer:
            return stack.enter_context(RawServer(handler, tls=tls))

        yield start


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An authorization server."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def proxy(sandbox: Sandbox) -> Iterator[ConnectProxy]:
    """The sandbox behind TLS and a proxy, as the host `PLAYED`; its certificate is good for localhost too."""
    with ConnectProxy(sandbox.base_url, played_hosts=(PLAYED, "localhost")) as running:
        yield running


async def post(client: HttpClient, url: str, *, deadline: float = LONG) -> HttpResult:
    """A POST with a secret wherever a request has room for one."""
    result = await client.post(
        url,
        headers={"Authorization": f"Basic {SECRET}"},
        body=f"refresh_token={SECRET}".encode(),
        deadline=deadline,
    )
    if not isinstance(result, Answer):
        assert SECRET not in result.reason
        assert "path" not in result.reason
        assert "\n" not in result.reason
        assert result.reason
    assert SECRET not in repr(result)
    return result


def url_of(server: RawServer, scheme: str = "http") -> str:
    """An address with a path and a secret in its query."""
    return f"{scheme}://127.0.0.1:{server.port}/path?secret={SECRET}"


class TestAnswers:
    async def test_an_answer_is_whole(self, client: HttpClient, serve: Serve) -> None:
        """Status, headers by lower-case names and body come back; the request is as asked, honestly signed."""
        server = serve(
            lambda peer: (peer.read_request(), peer.answer(b"{}", headers="Retry-After: 7\r\nX-A: b\r\n"))
        )
        result = await post(client, url_of(server))
        assert isinstance(result, Answer)
        assert (result.status, result.body) == (200, b"{}")
        assert (result.headers["retry-after"], result.headers["x-a"]) == ("7", "b")
        head, _, body = server.received.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /path?secret=" + SECRET.encode() + b" HTTP/1.1\r\n")
        assert b"user-agent: tokenward/0 (test)\r\n" in head.lower()
        assert b"gzip" not in head
        assert body == f"refresh_token={SECRET}".encode()

    async def test_a_get_has_no_body(self, client: HttpClient, serve: Serve) -> None:
        """A GET is one."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"hello")))
        result = await client.get(url_of(server), headers={"Accept": "text/plain"}, deadline=LONG)
        assert isinstance(result, Answer)
        assert result.body == b"hello"
        assert server.received.startswith(b"GET /path")
        assert b"content-length" not in server.received.lower()

    async def test_any_status_and_type_is_an_answer(self, client: HttpClient, serve: Serve) -> None:
        """A captive portal's page is passed on as what it is; to judge it is another's task."""
        server = serve(
            lambda peer: (
                peer.read_request(),
                peer.answer(b"<html>", status="503 Busy", headers="Content-Type: text/html\r\n"),
            )
        )
        result = await post(client, url_of(server))
        assert isinstance(result, Answer)
        assert (result.status, result.headers["content-type"], result.body) == (503, "text/html", b"<html>")

    async def test_a_redirect_is_not_followed(self, client: HttpClient, serve: Serve) -> None:
        """A 307 is an answer: no secret goes where an answer points."""
        elsewhere = serve(lambda peer: (peer.read_request(), peer.answer(b"{}")))
        server = serve(
            lambda peer: (
                peer.read_request(),
                peer.answer(b"", status="307 There", headers=f"Location: {url_of(elsewhere)}\r\n"),
            )
        )
        result = await post(client, url_of(server))
        assert isinstance(result, Answer)
        assert result.status == 307
        assert elsewhere.peers == []

    async def test_cookies_are_refused_and_connections_not_reused(self, client: HttpClient, serve: Serve) -> None:
        """A second request carries nothing of the first and has a connection of its own: the first is closed."""

        def answer_and_stay(peer: Peer) -> None:
            peer.read_request()
            peer.answer(b"", headers="Set-Cookie: a=b\r\n")
            peer.wait_until_gone()

        server = serve(answer_and_stay)
        for _ in range(2):
            assert isinstance(await post(client, url_of(server)), Answer)
        assert len(server.peers) == 2
        assert b"cookie" not in server.received.lower()

    async def test_a_compressed_answer_is_unpacked(self, client: HttpClient, serve: Serve) -> None:
        """A server that compresses unasked costs no token."""
        packed = gzip.compress(b'{"access_token": "a"}')
        server = serve(
            lambda peer: (peer.read_request(), peer.answer(packed, headers="Content-Encoding: gzip\r\n"))
        )
        result = await post(client, url_of(server))
        assert isinstance(result, Answer)
        assert result.body == b'{"access_token": "a"}'

    @pytest.mark.parametrize(("size", "kind"), [(MAX_ANSWER_BYTES, Answer), (MAX_ANSWER_BYTES + 1, NoAnswer)])
    async def test_the_body_is_capped(
        self, client: HttpClient, serve: Serve, size: int, kind: type[HttpResult]
    ) -> None:
        """The largest answer is read, one byte more is none."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"x" * size)))
        assert isinstance(await post(client, url_of(server)), kind)

    async def test_an_endless_body_is_cut(self, client: HttpClient, serve: Serve) -> None:
        """A body without an end is left as soon as it is too large, before any deadline."""

        def pour(peer: Peer) -> None:
            peer.read_request()
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

        result = await post(client, url_of(serve(pour)), deadline=3600)
        assert isinstance(result, NoAnswer)
        assert "more than" in result.reason


class TestNotSent:
    async def test_an_unknown_name(self, client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the name does not resolve nothing was sent; the resolver is asked again once."""
        asked: list[object] = []

        def resolve(host: object, *_: object, **__: object) -> None:
            asked.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        result = await post(client, "https://auth.invalid/path")
        assert isinstance(result, NotSent)
        assert "auth.invalid" in result.reason
        assert "Name or service not known" in result.reason
        assert len(asked) == 2

    async def test_a_refused_connection(self, client: HttpClient) -> None:
        """Where nobody listens nothing was sent, and the reason says who refused."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        result = await post(client, f"http://127.0.0.1:{port}/path")
        assert isinstance(result, NotSent)
        assert f"127.0.0.1:{port}" in result.reason
        assert "ConnectionRefusedError" in result.reason

    async def test_tls_to_a_port_without_it(self, client: HttpClient, serve: Serve) -> None:
        """A failed handshake is not a sent request, and the peer saw no secret."""
        server = serve(lambda peer: peer.answer(b"plain"))
        result = await post(client, url_of(server, "https"))
        assert isinstance(result, NotSent)
        assert "SSL" in result.reason
        assert SECRET.encode() not in server.received

    async def test_a_silent_tls_port(self, client: HttpClient, serve: Serve) -> None:
        """A deadline that passes in the handshake passes before sending."""
        server = serve(Peer.wait_until_gone)
        result = await post(client, url_of(server, "https"), deadline=SHORT)
        assert isinstance(result, NotSent)
        assert "not within 0.3 s" in result.reason

    async def test_connecting_has_its_own_patience(self, serve: Serve) -> None:
        """A handshake that hangs ends by the connect timeout, twice, long before the deadline."""
        server = serve(Peer.wait_until_gone)
        client = HttpClient(user_agent="test", connect_timeout=SHORT)
        result = await post(client, url_of(server, "https"), deadline=3600)
        assert isinstance(result, NotSent)
        assert len(server.peers) == 2
        await client.aclose()

    async def test_no_time_at_all(self, client: HttpClient, serve: Serve) -> None:
        """A deadline that is already over sends nothing."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"")))
        assert isinstance(await post(client, url_of(server), deadline=0), NotSent)
        assert SECRET.encode() not in server.received

    @pytest.mark.parametrize(
        "url",
        [
            "http://example.test/path",
            "http://10.0.0.1/path",
            "http://127.1/path",
            "http://2130706433/path",
            "http://127.0.0.1@example.test/path",
            "http://127.0.0.1\\@example.test/path",
            "https://user:word@example.test/path",
            "https://example.test/path#fragment",
            "https:///path",
            "https://example.test:99999/path",
            "https://[::1/path",
            "ftp://127.0.0.1/path",
            "//127.0.0.1/path",
            "",
        ],
    )
    async def test_addresses_that_no_secret_may_go_to(
        self, client: HttpClient, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        """Plain http beyond loopback and addresses with two readings are refused before any name is resolved."""
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was resolved"))
        result = await post(client, url)
        assert isinstance(result, NotSent)
        assert "address" in result.reason

    async def test_a_header_that_cannot_be_written(self, client: HttpClient, serve: Serve) -> None:
        """A header with a line break is never written, and its value is not shown."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"")))
        for value in (f"{SECRET}\nX: y", f"{SECRET}ü\u2028"):
            result = await client.post(url_of(server), headers={"X-A": value}, body=b"", deadline=LONG)
            assert isinstance(result, NotSent)
            assert SECRET not in result.reason
        assert server.received == b""


class TestNoAnswer:
    async def test_a_reset_after_the_request(self, client: HttpClient, serve: Serve) -> None:
        """A connection reset once the request was read leaves its fate open."""
        server = serve(lambda peer: (peer.read_request(), peer.reset()))
        result = await post(client, url_of(server))
        assert isinstance(result, NoAnswer)
        assert f"127.0.0.1:{server.port}" in result.reason
        assert len(server.peers) == 1

    async def test_a_reset_before_the_request_was_read(self, client: HttpClient, serve: Serve) -> None:
        """Bytes were written, so it counts as sent, though nobody read them; it is not sent again."""
        server = serve(lambda peer: (peer.socket.recv(1), peer.reset()))
        results = {type(await post(client, url_of(server))) for _ in range(5)}
        assert results == {NoAnswer}
        assert len(server.peers) == 5

    async def test_an_end_without_an_answer(self, client: HttpClient, sandbox: Sandbox) -> None:
        """The sandbox's lost answer is no answer."""
        sandbox.faults.next("token", LOST_ANSWER)
        assert isinstance(await post(client, sandbox.token_endpoint), NoAnswer)
        assert len(sandbox.requests) == 1

    async def test_an_answer_cut_short(self, client: HttpClient, sandbox: Sandbox) -> None:
        """Less than Content-Length promised is no answer."""
        sandbox.faults.next("token", CUT_OFF)
        assert isinstance(await post(client, sandbox.token_endpoint), NoAnswer)

    async def test_silence_ends_by_the_deadline(self, client: HttpClient, sandbox: Sandbox) -> None:
        """A server that accepts the request and says nothing cannot hold us longer than the deadline."""
        sandbox.faults.next("token", STALL)
        result = await post(client, sandbox.token_endpoint, deadline=SHORT)
        assert isinstance(result, NoAnswer)
        assert "not within 0.3 s" in result.reason

    async def test_a_slow_drip_ends_by_the_deadline(self, client: HttpClient, sandbox: Sandbox) -> None:
        """An answer that comes byte by byte, each in time, still has to be whole by the deadline."""
        sandbox.faults.next("token", SLOW_DRIP)
        assert isinstance(await post(client, sandbox.token_endpoint, deadline=SHORT), NoAnswer)

    async def test_what_is_not_http_is_no_answer(self, client: HttpClient, serve: Serve) -> None:
        """A peer that echoes the request instead of answering is not quoted."""
        server = serve(lambda peer: peer.send(peer.read_request().partition(b"\r\n\r\n")[2] + b"\r\n\r\n"))
        assert isinstance(await post(client, url_of(server)), NoAnswer)


class TestTlsAndProxies:
    async def test_an_unknown_certificate_stops_before_sending(
        self, client: HttpClient, serve: Serve, proxy: ConnectProxy
    ) -> None:
        """A server whose certificate nobody vouches for gets nothing."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"")), tls=proxy.tls)
        result = await post(client, f"https://localhost:{server.port}/path")
        assert isinstance(result, NotSent)
        assert "CERTIFICATE_VERIFY_FAILED" in result.reason
        assert SECRET.encode() not in server.received

    async def test_ssl_cert_file_adds_a_certificate(
        self, client: HttpClient, serve: Serve, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The CA that SSL_CERT_FILE names is trusted, for the names in the certificate only."""
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca_file))
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"")), tls=proxy.tls)
        assert isinstance(await post(client, f"https://localhost:{server.port}/path"), Answer)
        assert isinstance(await post(client, f"https://127.0.0.1:{server.port}/path"), NotSent)

    async def test_a_wrong_ssl_cert_file_is_named(
        self, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The person is told which variable is wrong."""
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
        result = await post(client, "https://localhost:1/")
        assert isinstance(result, NotSent)
        assert "SSL_CERT_FILE" in result.reason

    async def test_a_proxy_of_the_environment_is_used(
        self, client: HttpClient, sandbox: Sandbox, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A https request goes through the proxy, end to end encrypted, to a server that does not resolve here."""
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca_file))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        result = await post(client, f"https://{PLAYED}/oauth/token")
        assert isinstance(result, Answer)
        assert result.status == 400
        assert [request.path for request in sandbox.requests] == ["/oauth/token"]
        sandbox.faults.next("token", LOST_ANSWER)
        assert isinstance(await post(client, f"https://{PLAYED}/oauth/token"), NoAnswer)

    async def test_a_proxy_that_refuses_got_nothing(
        self, client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A refused CONNECT is not a sent request, and the proxy saw no secret."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"", status="407 Who are you")))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
        result = await post(client, f"https://{PLAYED}/path")
        assert isinstance(result, NotSent)
        assert "407 Who are you" in result.reason
        assert server.received.startswith(b"CONNECT ")
        assert SECRET.encode() not in server.received

    async def test_a_proxy_that_dies_got_nothing(
        self, client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A connection lost between CONNECT and the request is before sending."""
        server = serve(lambda peer: (peer.read_request(), peer.reset()))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
        assert isinstance(await post(client, f"https://{PLAYED}/path"), NotSent)

    async def test_a_callers_own_error_is_not_the_reason(self, client: HttpClient, serve: Serve) -> None:
        """A request made while another error is handled is not explained by that one."""
        server = serve(lambda peer: peer.answer(b"not TLS"))
        try:
            raise OSError("the caller's disk is full")
        except OSError:
            result = await post(client, url_of(server, "https"))
        assert isinstance(result, NotSent)
        assert "disk" not in result.reason

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
    async def test_plain_http_never_goes_through_a_proxy(
        self, client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        """A loopback address is reached directly: a proxy would read the secret."""
        proxy = serve(lambda peer: (peer.read_request(), peer.answer(b"proxied")))
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"direct")))
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        result = await post(client, url_of(server))
        assert isinstance(result, Answer)
        assert result.body == b"direct"
        assert proxy.peers == []

    async def test_a_proxy_that_cannot_be_used_is_a_reason(
        self, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy of an unknown kind is reported, not raised, and its password is not shown."""
        monkeypatch.setenv("ALL_PROXY", f"gopher://me:{SECRET}@127.0.0.1:1")
        result = await post(client, f"https://{PLAYED}/")
        assert isinstance(result, NotSent)
        assert "proxies" in result.reason


class TestLifetime:
    async def test_a_cancelled_caller_is_cancelled(self, client: HttpClient, sandbox: Sandbox) -> None:
        """Cancellation from outside is no result; the client serves the next request."""
        sandbox.faults.next("token", STALL)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post, client, sandbox.token_endpoint)
            await anyio.to_thread.run_sync(sandbox.faults.reached.wait, LONG)
            tasks.cancel_scope.cancel()
        sandbox.faults.release()
        assert isinstance(await post(client, sandbox.token_endpoint), Answer)

    async def test_a_shield_outlives_cancellation(self, client: HttpClient, serve: Serve) -> None:
        """Inside a shield the answer arrives although the caller was cancelled while it was on its way."""
        asked, go = threading.Event(), threading.Event()

        def answer_late(peer: Peer) -> None:
            peer.read_request()
            asked.set()
            go.wait(LONG)
            peer.answer(b"late")

        server = serve(answer_late)
        results: list[HttpResult] = []

        async def flight() -> None:
            with anyio.CancelScope(shield=True):
                results.append(await post(client, url_of(server)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flight)
            await anyio.to_thread.run_sync(asked.wait, LONG)
            tasks.cancel_scope.cancel()
            go.set()
        assert [result.body for result in results if isinstance(result, Answer)] == [b"late"]

    async def test_many_at_once_share_one_client(self, client: HttpClient, serve: Serve) -> None:
        """Requests overlap: twenty that all wait for the last to arrive are all answered."""
        everyone = threading.Barrier(20)
        server = serve(lambda peer: (peer.read_request(), everyone.wait(LONG), peer.answer(b"")))
        results: list[HttpResult] = []

        async def one() -> None:
            results.append(await post(client, url_of(server)))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
        assert [type(result) for result in results] == [Answer] * 20

    async def test_it_can_be_closed_at_any_time(self, client: HttpClient, serve: Serve) -> None:
        """Closing is safe before the first request, twice, and does not forbid a later one."""
        server = serve(lambda peer: (peer.read_request(), peer.answer(b"")))
        await client.aclose()
        assert isinstance(await post(client, url_of(server)), Answer)
        await client.aclose()
        await client.aclose()
        assert isinstance(await post(client, url_of(server)), Answer)

    async def test_nothing_is_logged(
        self, client: HttpClient, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Even where everything else logs at DEBUG, no URL and no header reaches a log."""
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            server = serve(lambda peer: (peer.read_request(), peer.answer(b"")))
            await post(client, url_of(server))
        finally:
            logging.getLogger().setLevel(logging.WARNING)
        assert [
            record for record in caplog.records if record.name.partition(".")[0] in {"httpx", "httpcore"}
        ] == []
        assert SECRET not in caplog.text


def test_start_up_pays_nothing() -> None:
    """Importing the adapters loads neither httpx nor truststore, cryptography or Authlib."""
    program = (
        "import sys\n"
        "import tokenward.http, tokenward.oauth.token_endpoint, tokenward.oauth.metadata\n"
        "import tokenward.stores.credential_store, tokenward.stores.key_ring, tokenward.stores.memory\n"
        "heavy = {'httpx', 'httpcore', 'truststore', 'cryptography', 'authlib', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
