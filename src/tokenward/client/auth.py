"""Authentication for httpx, httpx2 and requests: a token that is valid now on every request.

The problem: a program that puts a token into its HTTP client's headers once sends it long after it expired; one
that asks before each request still gets a 401 when a login is renewed elsewhere at that moment.

Rules:
- The token is kept for as long as asking again would change nothing, and while the daemon is away for as long as
  it lives. Threads, tasks and event loops share one ``TokenwardAuth``.
- A 401 is reported, a token newer than the refused one is asked for, and the request is sent once more. If there
  is none, the 401 is the answer. A body that is not in memory (a generator, a file, a multipart upload) is not
  sent again; a file that requests can rewind is.
- 400, 402, 403, 429, 5xx, and a 404 that is about the request's model are reported, and not retried: when to come
  back is the program's business. So are the rate-limit headers of answers that went well, every ten seconds. A
  report delays nothing and raises nothing; the request after it asks the daemon which token is best now.
- Of an answer's body nothing is read, but for an error in JSON of at most 64 KiB whose length the server said,
  and it stays readable. With ``stream=True``, requests' bodies are never read.
- The token goes to the ``base_url`` that the daemon gave with it and to ``origins``, and nowhere else: another
  address is refused before anything is sent, and a redirect to one goes there without the token.

With a daemon running::

    >>> import httpx
    >>> from tokenward.client.auth import TokenwardAuth
    >>> with httpx.Client(auth=TokenwardAuth(provider="acme")) as client:
    ...     client.get("http://127.0.0.1:8080/v1/things").json()
    {'things': []}
    >>> import requests
    >>> requests.get("http://127.0.0.1:8080/v1/things", auth=TokenwardAuth(provider="acme")).json()
    {'things': []}
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from tokenward.client import _token_headers as token_headers
from tokenward.client._destinations import Destinations
from tokenward.client._held_token import HeldToken
from tokenward.client._reporting import Reporter, decoded
from tokenward.client._requests_answers import RequestsAnswers
from tokenward.client._shapes import Kind, Token
from tokenward.core import protocol
from tokenward.errors import TokenwardError

if TYPE_CHECKING:
    import httpx
    import httpx2
    import requests

    class _AcceptedByBoth(httpx.Auth, httpx2.Auth):  # type: ignore[misc] # each knows only its own Request
        pass

else:

    def _auth_classes() -> Iterator[type]:
        for name in ("httpx", "httpx2"):
            try:
                yield import_module(name).Auth
            except ImportError:
                continue

    # Each of the two takes instances of its own class only, and neither need be there for requests.
    _AcceptedByBoth = type("_AcceptedByBoth", tuple(_auth_classes()), {})

__all__ = ["TokenwardAuth"]

UNAUTHORIZED = 401


class TokenwardAuth(_AcceptedByBoth):
    """Pass it as ``auth=`` to a client, a session or a request of httpx, httpx2 or requests.

    Args:
        provider: any profile of this provider.
        profile: exactly this profile.
        agent: the namespace of profiles; "main" if None.
        kinds: only these kinds of credential.
        auth_method: only keys, or only OAuth.
        tier: only profiles of this rate-limit tier.
        model: what the requests are for: a profile that lacks it, or that is limited for it, is then passed over.
        min_valid: seconds of life that a token must have to be used without asking for another.
        origins: where the token may go besides the ``base_url`` that the daemon knows for it: https, or loopback.
        socket_path: where the daemon listens; None = where ``protocol.socket_path`` says.
        timeout: seconds that the daemon may take, a refresh included.

    Raises:
        ConfigurationFault: if an origin is none, or ``HOME`` is needed and not set. From a request: if it goes to
            an address that the token may not be sent to.
        TokenwardError: from a request: if there is no token; see ``Client.token``.
    """

    def __init__(
        self,
        *,
        provider: str | None = None,
        profile: str | None = None,
        agent: str | None = None,
        kinds: Sequence[Kind] | None = None,
        auth_method: Literal["api_key", "oauth"] | None = None,
        tier: str | None = None,
        model: str | None = None,
        min_valid: float = protocol.DEFAULT_MIN_VALID,
        origins: Iterable[str] = (),
        socket_path: str | os.PathLike[str] | None = None,
        timeout: float = protocol.DEFAULT_TIMEOUT,
    ) -> None:
        self._held = HeldToken(
            socket_path,
            timeout=timeout,
            min_valid=min_valid,
            provider=provider,
            profile=profile,
            agent=agent,
            kinds=kinds,
            auth_method=auth_method,
            tier=tier,
            model=model,
        )
        self._destinations = Destinations(origins)
        self._reporter = Reporter(self._held.socket_path, agent, model)

    def close(self) -> None:
        """Close the connections to the daemon; the next request would open others."""
        self._held.close()
        self._reporter.close()

    # requests

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request of requests, and look at its answers."""
        token = self._held.current()
        self._destinations.require(token, request.url or "")
        token_headers.put_on(request.headers, token)
        answers = RequestsAnswers(request, token, self._held, self._destinations, self._reporter)
        request.register_hook("response", answers)  # type: ignore[no-untyped-call] # its own stubs leave it so
        return request

    # httpx and httpx2

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Put the token on a request of httpx or httpx2, and send it again once if it was refused."""
        token = self._held.current()
        self._put_on(request, token)
        response = yield request
        if (hop := self._bare_hop(response, token)) is not None:
            self._put_on(hop, token)
            response = yield hop
        body = None
        if self._is_to_be_read(response, token):
            body = b"".join(response.stream)
            response.stream.close()
            response.stream = _in_memory(response, body)
        if not self._is_refused(response, token, body):
            return
        try:
            newer = self._held.newer_than(token.generation)
        except TokenwardError:
            return
        self._put_on(request, newer)
        response = yield request
        if self._tell(response, newer):
            self._held.doubt(newer.generation)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """As ``sync_auth_flow``; the daemon is asked in a thread, so that no event loop waits for a refresh."""
        from anyio import to_thread

        token = self._held.settled()
        if token is None:
            token = await to_thread.run_sync(self._held.current, abandon_on_cancel=True)
        self._put_on(request, token)
        response = yield request
        if (hop := self._bare_hop(response, token)) is not None:
            self._put_on(hop, token)
            response = yield hop
        body = None
        if self._is_to_be_read(response, token):
            body = b"".join([part async for part in response.stream])
            await response.stream.aclose()
            response.stream = _in_memory(response, body)
        if not self._is_refused(response, token, body):
            return
        try:
            newer = await to_thread.run_sync(self._held.newer_than, token.generation, abandon_on_cancel=True)
        except TokenwardError:
            return
        self._put_on(request, newer)
        response = yield request
        if self._tell(response, newer):
            self._held.doubt(newer.generation)

    def _put_on(self, request: Any, token: Token) -> None:
        self._destinations.require(token, str(request.url))
        request.headers = token_headers.confined(request.headers, token)

    def _carried(self, response: Any, token: Token) -> bool:
        return token_headers.is_on(response.request.headers, token)

    def _bare_hop(self, response: Any, token: Token) -> Any | None:
        """The last request of a redirect inside the token's origins, if it was refused for lack of the token."""
        hop = response.request
        lacks_it = response.status_code == UNAUTHORIZED and not self._carried(response, token)
        return hop if lacks_it and self._destinations.permit(token, str(hop.url)) and _is_in_memory(hop) else None

    def _is_to_be_read(self, response: Any, token: Token) -> bool:
        return self._carried(response, token) and self._reporter.wants_body(response.status_code, response.headers)

    def _is_refused(self, response: Any, token: Token, body: bytes | None) -> bool:
        """Report an answer, and say whether another token may help."""
        is_refused = (
            response.status_code == UNAUTHORIZED
            and self._carried(response, token)
            and _is_in_memory(response.request)
        )
        # Whoever is refused asks for another by name; a doubt would have a second caller ask as well.
        if self._tell(response, token, body) and not is_refused:
            self._held.doubt(token.generation)
        return is_refused

    def _tell(self, response: Any, token: Token, body: bytes | None = None) -> bool:
        """Report an answer; says whether the daemon may have another token in mind now."""
        if not self._carried(response, token):
            return False
        return self._reporter.tell(
            token,
            response.status_code,
            response.headers,
            error_body=None if body is None else decoded(body, response.headers.get("content-encoding", "")),
            request_body=response.request.read() if _is_in_memory(response.request) else None,
        )


def _is_in_memory(request: Any) -> bool:
    return isinstance(request.stream, _library_of(request).ByteStream)


def _in_memory(response: Any, body: bytes) -> Any:
    """A stream of the library that a response is of, with a body that was read from the network already."""
    return _library_of(response).ByteStream(body)


def _library_of(thing: Any) -> Any:
    return sys.modules[type(thing).__module__.partition(".")[0]]
