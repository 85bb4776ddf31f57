"""The address on this machine to which a browser brings a login's answer (RFC 8252 section 7.3).

The problem: whatever listens on a port of loopback is asked by anybody: by the browser for an icon, by a page
that tries ports, by another user of the machine. Only the answer that we wait for may end the waiting.

Rules:
- 127.0.0.1 only, on a port that the system chooses unless one is registered; it is let go when the login ends.
- What does not match (path, state, issuer) gets a short refusal and changes nothing.
- No answer repeats a word of the request, and nothing of it is kept.
- Without anybody who waits nothing is read: what arrives meanwhile waits in the system's queue.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from urllib.parse import urlsplit

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from tokenward.core.login import Code, Expectation, NotOurs, Refused, read_redirect

PATH = "/callback"
MAX_HEAD_BYTES = 32 * 1024
"""A code, a state and what a browser says of itself; longer ones are not from a browser."""
HEAD_SECONDS = 10.0
"""A browser sends its request at once; what dawdles (a connection opened in advance) is let go."""
_DONE = "You can close this page and go back to the terminal."
_NOT_OURS = "This is not the answer that tokenward waits for. It still waits."


class LoopbackRedirect:
    """A redirect_uri that listens.

    Args:
        listener: bound to 127.0.0.1.
        uri: the redirect_uri as the authorization server is told.
        expected: what the answer must match.
    """

    def __init__(self, listener: Listener[SocketStream], uri: str, expected: Expectation) -> None:
        self._listener = listener
        self.uri = uri
        self._expected = expected
        self._answer: Code | Refused | None = None

    async def receive(self, patience: float) -> Code | Refused | None:
        """Wait for the browser.

        Args:
            patience: seconds.

        Returns:
            What it brought; None if it has not come.
        """
        with anyio.move_on_after(patience) as waiting:

            async def serve(stream: SocketStream) -> None:
                async with stream:
                    await self._serve(stream)
                if self._answer is not None:
                    waiting.cancel()

            if self._answer is None:
                try:
                    await self._listener.serve(serve)
                except* anyio.ClosedResourceError:
                    pass  # the login was given up
        return self._answer

    async def aclose(self) -> None:
        """Let the port go."""
        await self._listener.aclose()

    async def _serve(self, stream: SocketStream) -> None:
        try:
            with anyio.fail_after(HEAD_SECONDS):
                head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", MAX_HEAD_BYTES)
                status, text = self._judge(head)
                await stream.send(_response(status, text))
        except (TimeoutError, anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound):
            return
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    def _judge(self, head: bytes) -> tuple[HTTPStatus, str]:
        method, _, rest = head.decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        path, _, query = target.partition("?")
        if method != "GET" or path != (urlsplit(self.uri).path or "/"):
            return HTTPStatus.NOT_FOUND, _NOT_OURS
        answer = read_redirect(query, self._expected)
        if isinstance(answer, NotOurs):
            return HTTPStatus.BAD_REQUEST, _NOT_OURS
        self._answer = self._answer or answer
        return HTTPStatus.OK, _DONE


async def listen(registered: str | None, expected: Expectation) -> LoopbackRedirect:
    """Open a redirect_uri on loopback.

    Args:
        registered: a loopback address, taken as it is but for a missing port; None = our own.
        expected: what the answer must match.

    Raises:
        OSError: if the port that is registered cannot be had.
    """
    parts = urlsplit(registered or f"http://127.0.0.1{PATH}")
    opened = await anyio.create_tcp_listener(
        local_host="127.0.0.1", local_port=parts.port or 0, family=socket.AF_INET
    )
    port = opened.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's typed attributes, not Django
    uri = f"{parts.scheme}://{parts.hostname}:{port}{parts.path}"
    return LoopbackRedirect(opened.listeners[0], uri, expected)


def _response(status: HTTPStatus, text: str) -> bytes:
    body = f'<!doctype html><meta charset="utf-8"><title>tokenward</title><p>{text}</p>\n'.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: default-src 'none'\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
