"""One connection to the daemon on an asyncio event loop: many questions at once, answers in any order.

The problem: a task that is cancelled while it waits must not take the connection from the others, and there is
nobody to close a reader task that a program forgot. So this is a protocol with callbacks and no task: an answer
that nobody waits for any more is dropped.

Rules: the failures are those of ``_connection``: ``NotSent`` and ``Unanswered``. No line is logged.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from tokenward.client._answers import parsed
from tokenward.client._connection import START_HINT, NotSent, Unanswered
from tokenward.core import protocol
from tokenward.errors import DaemonUnreachable, TokenwardError

_CROWDED_SECONDS = 0.02
"""How long a full listener's queue is left alone; asyncio does not know that it cannot wait for room in it."""

Message = dict[str, Any]


class AsyncConnection(asyncio.Protocol):
    """A connected socket; made by ``open``.

    Args:
        connected: the socket, which the event loop will read.
        on_message: told every message that answers no question of ours.
        on_end: told that no more will come.
    """

    def __init__(
        self,
        connected: socket.socket,
        on_message: Callable[[Message], None] | None,
        on_end: Callable[[], None] | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._socket = connected
        self._on_message = on_message
        self._on_end = on_end
        self._unread = bytearray()
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls,
        path: str,
        on_message: Callable[[Message], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> AsyncConnection:
        """Connect; waits for room if the daemon's queue is full.

        Args:
            path: the daemon's socket.
            on_message: told every message that answers no question of ours.
            on_end: told that no more will come.

        Raises:
            DaemonUnreachable: if nothing accepts connections there.
        """
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await _connect(connecting, path)
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: cls(connecting, on_message, on_end), sock=connecting
            )
        except (OSError, ValueError) as error:
            connecting.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise DaemonUnreachable(f"no daemon answers on {path} ({reason})", hint=START_HINT) from None
        except BaseException:
            connecting.close()
            raise
        return connection

    def close(self) -> None:
        """Close it; may be called more than once, from another event loop, and after its own has ended."""
        if self._transport is None or self.loop.is_closed():
            self._socket.close()
        else:
            self.loop.call_soon_threadsafe(self._transport.close)

    def abandon(self) -> None:
        """Close our copy of the socket, in a child of fork() whose parent goes on with its own."""
        self._socket.close()

    def ended(self) -> bool:
        """Whether the peer has closed the connection, the event loop having noticed or not."""
        if self._transport is None or self._transport.is_closing():
            return True
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def exchange(self, identifier: int, line: bytes) -> Message:
        """Ask, and wait for the answer with this identifier.

        Raises:
            NotSent: if the connection was closed already.
            Unanswered: if it ended before the answer.
            TokenwardError: if the peer does not speak JSON-RPC.
        """
        if self._transport is None or self._transport.is_closing():
            raise NotSent
        answer: asyncio.Future[Message] = self.loop.create_future()
        self._waiting[identifier] = answer
        try:
            self._transport.write(line)
            return await answer
        finally:
            self._waiting.pop(identifier, None)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand out every line that is whole."""
        self._unread += data
        while (end := self._unread.find(b"\n")) >= 0:
            line = bytes(self._unread[:end])
            del self._unread[: end + 1]
            try:
                self._take(parsed(line))
            except TokenwardError as nonsense:
                self._fail_all(nonsense)
                self._hang_up()
                return
        if len(self._unread) > protocol.MAX_LINE_BYTES:
            self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it so
        """Tell everybody who waits."""
        self._fail_all(Unanswered())
        if self._on_end is not None:
            self._on_end()

    def _take(self, message: Message) -> None:
        waiter = self._waiting.get(cast("int", message.get("id")))
        if waiter is not None and not waiter.done():
            waiter.set_result(message)
        elif message.get("id") is None and "error" in message:
            # An error without an id is about a line as such, and does not say whose.
            for each in self._waiting.values():
                if not each.done():
                    each.set_result(message)
        elif self._on_message is not None:
            self._on_message(message)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _fail_all(self, failure: Exception) -> None:
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(failure)


async def rounds_until_closed() -> None:
    """Let the event loop do what ``close`` asked of it, so that a program may end right after."""
    for _ in range(2):
        await asyncio.sleep(0)


async def _connect(connecting: socket.socket, path: str) -> None:
    while True:
        try:
            connecting.connect(path)
        except BlockingIOError:
            await asyncio.sleep(_CROWDED_SECONDS)
        else:
            return
