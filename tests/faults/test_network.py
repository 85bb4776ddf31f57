"""Networks that do not carry: nothing was sent, so nothing is lost, and a dead server is asked seldom."""

from __future__ import annotations

import random
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from fakes.raw_server import Peer, RawServer
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from faults.ward_at_server import DUE, WardAtServer, back_at, ward_at, ward_at_sandbox
from tokenward.core.credential import Secret
from tokenward.core.grants import NotSent, RefreshOutcome, Unavailable
from tokenward.daemon.token_models import TokenResult
from tokenward.sandbox import Sandbox

DAY = 24 * 3600.0
NO_NAME = "https://auth.invalid/oauth/token"
"""RFC 6761 section 6.4: there is no such host."""
UNSENT = "`not_sent`: it is known to be unspent; the old token is served as `refresh_failing`, then renewed"
Recorder = Callable[[str, object], None]


async def goes_unsent_and_recovers(ward: WardAtServer, sandbox: Sandbox) -> None:
    """What must hold of every request that did not leave."""
    before = ward.kept
    answer = await ward.ask()
    assert isinstance(answer, TokenResult)
    assert (answer.token, answer.degraded) == (before.access.reveal(), "refresh_failing")
    assert (ward.failure, ward.kept) == ("not_sent", before)
    assert sandbox.statistics().token_requests == 0
    async with back_at(ward, sandbox):
        await ward.wait(ward.retry_in())
    answer = await ward.ask()
    assert isinstance(answer, TokenResult)
    assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)


@pytest.mark.fault("network-refused", "Nobody listens at the token endpoint", UNSENT)
async def test_a_closed_port(tmp_path: Path, sandbox: Sandbox) -> None:
    """A connection that is refused carried nothing."""
    with RawServer(lambda _: None) as closed:
        port = closed.port
    async with ward_at_sandbox(tmp_path, sandbox, url=f"http://127.0.0.1:{port}/token") as ward:
        await goes_unsent_and_recovers(ward, sandbox)


@pytest.mark.fault("network-dns", "The token endpoint's name does not resolve", UNSENT)
async def test_a_name_that_does_not_resolve(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are looked up anew at each attempt."""
    import socket

    true = socket.getaddrinfo

    def without_it(host: object, *more: object, **named: object) -> object:
        if host in {"auth.invalid", b"auth.invalid"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return true(host, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", without_it)
    async with ward_at_sandbox(tmp_path, sandbox, url=NO_NAME) as ward:
        await goes_unsent_and_recovers(ward, sandbox)


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that nobody trusts."""
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run(
            [*made, *named, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed: NO UNTRUSTED CERTIFICATE IS TESTED")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.fault("network-untrusted", "The certificate of the token endpoint is of nobody we trust", UNSENT)
async def test_an_untrusted_certificate(tmp_path: Path, sandbox: Sandbox, self_signed: ssl.SSLContext) -> None:
    """The refresh token is not sent to whoever that is."""
    with RawServer(lambda peer: peer.wait_until_gone(), tls=self_signed) as impostor:
        async with ward_at_sandbox(tmp_path, sandbox, url=f"https://127.0.0.1:{impostor.port}/token") as ward:
            refresh = ward.kept.refresh
            assert refresh is not None
            await goes_unsent_and_recovers(ward, sandbox)
        assert impostor.peers, "it was asked"
        assert impostor.received == b""


@pytest.mark.fault("network-no-tls", "What answers at an https address does not speak TLS", UNSENT)
async def test_no_tls_where_tls_should_be(tmp_path: Path, sandbox: Sandbox) -> None:
    """Not a byte of the request is written in the clear."""

    def in_the_clear(peer: Peer) -> None:
        peer.socket.recv(1)
        peer.answer(b"hello", status="400 Bad Request")

    with RawServer(in_the_clear) as plain:
        async with ward_at_sandbox(tmp_path, sandbox, url=f"https://127.0.0.1:{plain.port}/token") as ward:
            await goes_unsent_and_recovers(ward, sandbox)


@pytest.mark.fault(
    "network-proxy",
    "HTTPS_PROXY names a proxy that refuses: 407, 403 or 502 to CONNECT, or RST",
    UNSENT,
)
@pytest.mark.parametrize("answer", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway", ""])
async def test_a_proxy_that_refuses(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """The proxy's answer is not the server's; loopback goes past it."""

    def refuse(peer: Peer) -> None:
        request = peer.read_request()
        assert request.startswith(b"CONNECT auth.invalid:443")
        if answer:
            peer.answer(b'{"error":"invalid_grant"}', status=answer, headers="Content-Type: application/json\r\n")
        else:
            peer.reset()

    with RawServer(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with ward_at_sandbox(tmp_path, sandbox, url=NO_NAME) as ward:
            refresh = ward.kept.refresh
            assert refresh is not None
            await goes_unsent_and_recovers(ward, sandbox)
        assert proxy.received.startswith(b"CONNECT")
        assert refresh.reveal().encode() not in proxy.received


@pytest.mark.fault(
    "network-reset",
    "RST as soon as a connection is accepted",
    "`not_sent` or, if a byte went out, `ambiguous`; either way nothing is lost and the login goes on",
)
async def test_a_reset_at_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """Which of the two it was, the kernel decides; the token is spent once in the end."""
    with RawServer(lambda peer: peer.reset()) as server:
        async with ward_at_sandbox(tmp_path, sandbox, url=f"http://127.0.0.1:{server.port}/token") as ward:
            before = ward.kept
            answer = await ward.ask()
            assert isinstance(answer, TokenResult)
            assert (answer.token, answer.degraded) == (before.access.reveal(), "refresh_failing")
            assert ward.failure in {"not_sent", "ambiguous"}
            async with back_at(ward, sandbox):
                await ward.wait(DUE + 300.0)
            answer = await ward.ask()
            assert isinstance(answer, TokenResult)
            assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)


@dataclass
class Dice:
    """A `ports.Entropy` whose fractions are spread, and the same in every run."""

    drawn: int = 0
    spread: random.Random = field(default_factory=lambda: random.Random(6749))

    def fraction(self) -> float:
        """In [0, 1)."""
        return self.spread.random()

    def token(self, size: int) -> bytes:
        """As `CountingEntropy`."""
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")


MOST_IN_A_DAY = 600
"""Full jitter below five minutes is 150 s on average: 576, and a few while the ceiling rises."""


@asynccontextmanager
async def dead_for_a_day(
    directory: Path, outcome: RefreshOutcome
) -> AsyncIterator[tuple[WardAtServer, list[float]]]:
    """A login whose server is dead, with dice for its jitter, and the moments of the requests."""
    endpoint = ScriptedTokenEndpoint()
    moments: list[float] = []
    async with ward_at(directory, endpoint) as ward:
        dice = Dice()
        ward.gate._entropy = dice
        ward.around.entropy = dice

        async def note(refresh: Secret) -> RefreshOutcome:
            del refresh
            moments.append(ward.clock.seconds)
            return outcome

        endpoint.refresh = note  # type: ignore[method-assign]
        await ward.begin("access", "refresh")
        yield ward, moments


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(
            outcome,
            id=name,
            marks=pytest.mark.fault(
                f"network-day-{name}",
                f"The server is dead for 24 hours: {what}; a caller asks every minute",
                f"at most {MOST_IN_A_DAY} requests, callers make none of them; no expired token is served",
            ),
        )
        for name, what, outcome in [
            ("unreachable", "no connection", NotSent("no route")),
            ("503", "503 to everything", Unavailable("HTTP 503")),
        ]
    ],
)
async def test_a_dead_server_is_asked_seldom(
    tmp_path: Path, outcome: RefreshOutcome, record_property: Recorder
) -> None:
    """Bounded, spread, and independent of how many callers there are; recovery needs nobody."""
    async with dead_for_a_day(tmp_path, outcome) as (ward, moments):
        answers: set[str] = set()
        for minute in range(24 * 60):
            sent = len(moments)
            answer = await ward.ask()
            assert len(moments) - sent <= (1 if minute == 0 else 0), "a caller's question is no reason to ask"
            answers.add(answer if isinstance(answer, str) else str(answer.degraded))
            assert isinstance(answer, TokenResult) == (minute == 0), "an expired token is not served"
            await ward.wait(60.0)
        assert answers == {"refresh_failing", "RefreshFailed"}
        assert 24 * 12 <= len(moments) <= MOST_IN_A_DAY
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert max(gaps) <= 300.0
        record_property("figure", f"{len(moments)} requests, at most {max(gaps):.0f} s apart")
