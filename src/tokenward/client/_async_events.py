"""The daemon's events as an asynchronous iterator, on a connection of its own; the rules are ``_events``'s."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tokenward.client._answers import request, result_of
from tokenward.client._async_connection import AsyncConnection, Message, rounds_until_closed
from tokenward.client._calls import unanswered_within
from tokenward.client._connection import NotSent, Unanswered
from tokenward.client._events import LAST_WORDS
from tokenward.client._shapes import Event
from tokenward.errors import DaemonUnreachable


class AsyncEventStream:
    """An asynchronous iterator over events; made by ``AsyncClient.events``.

    It ends after ``lost`` (events were dropped: ask for the status, and subscribe again) and when the daemon
    stops in good order; otherwise the iteration raises ``DaemonUnreachable``.
    """

    def __init__(self) -> None:
        self._connection: AsyncConnection | None = None
        self._arrived: asyncio.Queue[Event | None] = asyncio.Queue()
        self._last: str | None = None

    @classmethod
    async def open(cls, path: str, profiles: Sequence[str] | None, patience: float) -> AsyncEventStream:
        """Subscribe.

        Args:
            path: the daemon's socket.
            profiles: whose events; None = all.
            patience: seconds that subscribing may take.

        Raises:
            DaemonUnreachable: if no daemon answers.
            CallTimeout: if it does not answer in time.
        """
        stream = cls()
        try:
            async with asyncio.timeout(patience):
                stream._connection = await AsyncConnection.open(path, stream._take, stream._end)
                line = request(1, "events.subscribe", {"profiles": profiles})
                result_of(await stream._connection.exchange(1, line))
        except (NotSent, Unanswered):
            await stream.aclose()
            raise DaemonUnreachable(
                "the daemon closed the connection", hint="see whether it runs: tokenward status"
            ) from None
        except TimeoutError:
            await stream.aclose()
            raise unanswered_within(patience) from None
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = None if self._connection is None else await self._arrived.get()
        if event is not None:
            self._last = event.type
            return event
        ended_here = self._connection is None
        await self.aclose()
        if ended_here or self._last in LAST_WORDS:
            raise StopAsyncIteration
        raise DaemonUnreachable(
            "the daemon ended while events were awaited", hint="see whether it runs: tokenward status"
        )

    async def aclose(self) -> None:
        """End the subscription; may be called more than once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            await rounds_until_closed()

    def _take(self, message: Message) -> None:
        if message.get("method") == "event" and isinstance(params := message.get("params"), dict):
            self._arrived.put_nowait(Event.from_params(params))

    def _end(self) -> None:
        self._arrived.put_nowait(None)
