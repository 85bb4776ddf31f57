"""To refresh is to ask a question that may be asked only once, over a network that fails at every step.

The problem: after a failed request one thing matters more than its cause: may the server have seen it? A
refresh token that was never sent is still good; one that was sent without an answer may be spent. HTTP client
libraries do not tell the two apart, retry and redirect on their own, and wait for as long as bytes drip in.

Rules:
- This is the only module that imports httpx, and it does so at the first request: start-up pays nothing.
- A request ends in one of three ways. ``NotSent``: not one byte of it was written, which is known from the
  moment httpcore begins to write it. ``Answer``: the whole answer is here. ``NoAnswer``: everything else.
- One deadline covers name resolution, connection, TLS, request and the last byte of the answer.
- Only connecting is tried again. Redirects are answers, cookies are refused, and every request has a
  connection of its own, since a kept one may die in the moment of use and turn a certain failure into a doubt.
- Secrets travel over https; plain http is for loopback, and goes through no proxy.
- Proxies are those of the environment at the first request (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``).
- Certificates are checked against the system's trust store and, if set, the file that ``SSL_CERT_FILE`` names.
- A reason names the host and the error, never a path, a query, a header or a body.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from tokenward.core.provider import endpoint_problem
from tokenward.core.redact import printable

if TYPE_CHECKING:
    import httpcore
    import httpx

MAX_ANSWER_BYTES = 256 * 1024
"""Two tokens of the largest size accepted (64 KiB) and as much again; a larger answer is not one of ours."""
CONNECT_TRIES = 2
"""The second finds another address of a load balancer; more belong to the schedule of refreshes."""
LONGEST_DETAIL = 200
"""One line of a status table."""
_CHATTY_LOGGERS = ("httpx", "httpcore")
"""They log each URL at INFO and each header at DEBUG."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The server answered, and all of it is here.

    Args:
        status: the HTTP status.
        headers: names in lower case; repeated ones are joined by commas.
        body: the content, decoded by its Content-Encoding.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """Not one byte of the request was written.

    Args:
        reason: one line without a secret.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have been received, and its answer did not come whole.

    Args:
        reason: one line without a secret.
    """

    reason: str


HttpResult = Answer | NotSent | NoAnswer


class HttpClient:
    """One client for the daemon's life: one TLS context, made at the first request.

    Args:
        user_agent: who we say we are; the truth.
        connect_timeout: seconds for one try to connect, TLS included.
    """

    def __init__(self, *, user_agent: str, connect_timeout: float = 5.0) -> None:
        self._user_agent = user_agent
        self._connect_timeout = connect_timeout
        self._client: httpx.AsyncClient | None = None
        self._building = anyio.Lock()
        for name in _CHATTY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float) -> HttpResult:
        """Send a POST, once. Never raises.

        Args:
            url: https, or http on loopback.
            headers: further headers.
            body: the content.
            deadline: seconds from now in which the whole answer must be here.
        """
        return await self._exchange("POST", url, headers, body, deadline)

    async def get(self, url: str, *, headers: Mapping[str, str], deadline: float) -> HttpResult:
        """Send a GET, once. Never raises.

        Args:
            url: https, or http on loopback.
            headers: further headers.
            deadline: seconds from now in which the whole answer must be here.
        """
        return await self._exchange("GET", url, headers, None, deadline)

    async def aclose(self) -> None:
        """Close what is open. A request made later opens it again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> HttpResult:
        if problem := endpoint_problem(url):
            return NotSent(problem)
        attempt = _Attempt(urlsplit(url).netloc)
        handled_by_caller = sys.exception()
        try:
            with anyio.move_on_after(deadline):
                client = await self._ready()
                attempt.begun = True
                request = client.build_request(
                    method, url, headers=headers, content=body, extensions={"trace": attempt.trace}
                )
                return await _send(client, request, attempt)
        except Exception as error:  # noqa: BLE001 - whatever fails in there, what counts is whether it was sent
            return attempt.failed(_detail(error, handled_by_caller))
        return attempt.failed(f"not within {deadline:g} s")

    async def _ready(self) -> httpx.AsyncClient:
        async with self._building:
            if self._client is None:
                # In a thread: importing and reading certificates takes long enough to be felt by other callers.
                self._client = await anyio.to_thread.run_sync(self._build)
            return self._client

    def _build(self) -> httpx.AsyncClient:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        return httpx.AsyncClient(
            verify=_tls_context(),
            headers={"user-agent": self._user_agent, "accept-encoding": "identity"},
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            mounts={"http://": None},  # no proxy, and it outranks every proxy of the environment
            timeout=httpx.Timeout(None, connect=self._connect_timeout),
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=True,
        )


@dataclass(slots=True, eq=False, repr=False)
class _Attempt:
    """What is known of a request under way.

    Args:
        host: where it goes.
        begun: whether there was a client to send it.
        sent: whether a byte of it may have been written.
        stream: its connection.
    """

    host: str
    begun: bool = False
    sent: bool = False
    stream: httpcore.AsyncNetworkStream | None = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear from httpcore; a proxy's CONNECT is not the request, and a malformed header is never written."""
        import httpcore

        if event.endswith(".connect_tcp.complete"):
            self.stream = info["return_value"]
        elif event.endswith(".start_tls.failed") and self.stream is not None:
            # httpcore 1.0.9 leaves the socket open when a handshake ends by a timeout or cancellation.
            with anyio.CancelScope(shield=True):
                await self.stream.aclose()
        elif event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self.sent = True
        elif event.endswith(".send_request_headers.failed"):
            self.sent = self.sent and not isinstance(info["exception"], httpcore.LocalProtocolError)

    def failed(self, detail: str) -> NotSent | NoAnswer:
        if self.sent:
            return NoAnswer(f"no answer from {self.host}: {detail}")
        if self.begun:
            return NotSent(f"{self.host} was not reached: {detail}")
        return NotSent(f"no HTTP client could be made with the environment's proxies and certificates: {detail}")


async def _send(client: httpx.AsyncClient, request: httpx.Request, attempt: _Attempt) -> HttpResult:
    import httpx

    for tries_left in reversed(range(CONNECT_TRIES)):
        try:
            response = await client.send(request, stream=True)
            break
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if attempt.sent or tries_left == 0:
                raise
        except httpx.ProxyError as error:
            return attempt.failed(f"the proxy says {printable(str(error))[:LONGEST_DETAIL]}")
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                return attempt.failed(f"HTTP {response.status_code} with more than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status_code, dict(response.headers), bytes(body))
    finally:
        await response.aclose()


def _tls_context() -> ssl.SSLContext:
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # OpenSSL heeds the variable by itself; the trust stores of macOS do not.
    if (extra := os.environ.get("SSL_CERT_FILE")) and not _loaded(context, extra):
        raise OSError("the file that SSL_CERT_FILE names holds no certificates")
    return context


def _loaded(context: ssl.SSLContext, certificates: str) -> bool:
    try:
        context.load_verify_locations(cafile=certificates)
    except OSError:
        return False
    return True


def _detail(error: BaseException, handled_by_caller: BaseException | None) -> str:
    """The innermost operating system error says the most; texts of most others may quote what was sent.

    httpcore cuts the causes off and leaves the contexts; where those lead out of here, they are the caller's.
    """
    telling = error
    cause: BaseException | None = error
    while cause is not None and cause is not handled_by_caller:
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        if isinstance(cause, OSError) and str(cause):
            telling = cause
        cause = cause.__cause__ or cause.__context__
    if not isinstance(telling, OSError | ImportError):
        return type(telling).__name__
    return f"{type(telling).__name__}: {printable(str(telling))[:LONGEST_DETAIL]}"
