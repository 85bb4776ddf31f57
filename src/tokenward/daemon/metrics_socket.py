"""Metrics over HTTP, on a Unix socket of their own (``[metrics] socket``).

The problem: collectors speak HTTP, and a port on TCP would be open to every user of the machine, with the names of
all logins behind it.

Rules:
- A socket of mode 0600 in a private directory, and our own uid only, as for the daemon's socket.
- ``GET /metrics`` and nothing else; one request a connection; ``PATIENCE_SECONDS`` for all of it, and
  ``MAX_AT_ONCE`` connections, so that nobody who does not read holds anything up. h11 reads the request.
- Nothing a peer does ends it.
- A reload opens it, moves it or closes it. Where the new place cannot be had, the old one is served on.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import CancelScope, EndOfStream, get_cancelled_exc_class
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

from tokenward.daemon import exposition, fault
from tokenward.daemon.exposition import Page
from tokenward.daemon.listener import bind_socket
from tokenward.daemon.peer import admitted_uids, peer_of
from tokenward.errors import ConfigurationFault, TokenwardError

if TYPE_CHECKING:
    import h11

PATH = b"/metrics"
PATIENCE_SECONDS = 10.0
MAX_AT_ONCE = 8
_PIECE = 16 * 1024
_TEXT = "text/plain; charset=utf-8"

log = logging.getLogger(__name__)

Render = Callable[[str], Awaitable[Page]]
"""From the request's ``Accept`` to the page."""


class MetricsSocket:
    """The one socket for collectors, where the configuration in force wants it.

    Args:
        group: where it is served.
        render: makes the page.
    """

    def __init__(self, group: TaskGroup, render: Render) -> None:
        self._group = group
        self._render = render
        self._place: Path | None = None
        self._serving = CancelScope()

    async def serve(self, place: Path | None) -> None:
        """Serve there and nowhere else; where it is served already, it goes on undisturbed.

        Args:
            place: absolute; None = nowhere.

        Raises:
            ConfigurationFault: if it cannot be served there; all is as before then.
        """
        if place == self._place:
            return
        serving = CancelScope()
        if place is not None:
            exposition.require()
            bound = _bind(place)
            self._group.start_soon(self._serve, bound, serving)
        self._serving.cancel()
        self._place, self._serving = place, serving

    async def _serve(self, bound: socket.socket, until: CancelScope) -> None:
        with until:
            await serve_metrics(bound, self._render)


def _bind(place: Path) -> socket.socket:
    try:
        return bind_socket(str(place))
    except (OSError, TokenwardError) as error:
        why = error.cause if isinstance(error, TokenwardError) else f"{place}: {error.strerror or error}"
        raise ConfigurationFault(
            f"collectors cannot be served: {why}", hint="choose another path: socket, under [metrics]"
        ) from error


async def serve_metrics(bound: socket.socket, render: Render) -> None:
    """Answer until cancelled; closes the socket.

    Args:
        bound: a listening AF_UNIX stream socket (``listener.bind_socket``).
        render: makes the page.
    """
    turns = anyio.Semaphore(MAX_AT_ONCE)

    async def answer(stream: SocketStream) -> None:
        try:
            with anyio.move_on_after(PATIENCE_SECONDS):
                async with turns, stream:
                    await _answer(stream, render)
        except get_cancelled_exc_class():
            raise
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the peer has gone
        except Exception as error:  # noqa: BLE001 - one request's trouble is not the others'
            log.error("a request for metrics failed: %s", fault.describe(error))  # noqa: TRY400 - no traceback

    try:
        async with await SocketListener.from_socket(bound) as listener:
            await listener.serve(answer)
    finally:
        bound.close()  # also where it is cancelled before it has begun


async def _answer(stream: SocketStream, render: Render) -> None:
    import h11

    raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not a database
    if peer_of(raw).uid not in admitted_uids(allow_root=False):
        return
    connection = h11.Connection(h11.SERVER)
    try:
        request = await _request(connection, stream)
    except h11.RemoteProtocolError:
        await _send(connection, stream, 400, Page(_TEXT, "that is no HTTP request\n"))
        return
    if request is None:
        return
    if request.target.partition(b"?")[0] != PATH:
        await _send(connection, stream, 404, Page(_TEXT, "only /metrics is here\n"))
    elif request.method != b"GET":
        await _send(connection, stream, 405, Page(_TEXT, "GET it\n"))
    else:
        accept = b",".join(value for name, value in request.headers if name == b"accept")
        await _send(connection, stream, 200, await render(accept.decode("latin-1")))


async def _request(connection: h11.Connection, stream: SocketStream) -> h11.Request | None:
    import h11

    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        try:
            connection.receive_data(await stream.receive(_PIECE))
        except EndOfStream:
            return None


async def _send(connection: h11.Connection, stream: SocketStream, status: int, page: Page) -> None:
    import h11

    body = page.text.encode()
    headers = [
        ("Content-Type", page.content_type),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *((("Allow", "GET"),) if status == 405 else ()),
    ]
    parts = (
        h11.Response(status_code=status, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    )
    await stream.send(b"".join(connection.send(part) or b"" for part in parts))
