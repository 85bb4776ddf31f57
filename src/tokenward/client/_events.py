"""The daemon's events, as they happen, on a connection of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tokenward.client._answers import parsed, request, result_of
from tokenward.client._connection import Connection, NotSent, Unanswered
from tokenward.client._shapes import Event
from tokenward.errors import CallTimeout, DaemonUnreachable

LAST_WORDS = frozenset({"lost", "stopping"})


class EventStream:
    """An iterator over events; subscribed when it is made, closed when it ends or by ``close``.

    It ends after ``lost`` (events were dropped: ask for the status, and subscribe again) and when the daemon
    stops in good order.

    Args:
        path: the daemon's socket.
        profiles: whose events; None = all.
        timeout: seconds that subscribing may take.

    Raises:
        DaemonUnreachable: if no daemon answers; on iteration, if it ends without a word.
        CallTimeout: if it does not answer in time.
    """

    def __init__(self, path: str, profiles: Sequence[str] | None, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._connection: Connection | None = Connection(path, deadline)
        self._last: str | None = None
        try:
            self._connection.send(request(1, "events.subscribe", {"profiles": profiles}), deadline)
            while (message := parsed(self._connection.receive(deadline))).get("id") != 1:
                pass
            result_of(message)
        except (NotSent, Unanswered):
            self.close()
            raise DaemonUnreachable(
                "the daemon closed the connection", hint="see whether it runs: tokenward status"
            ) from None
        except TimeoutError:
            self.close()
            raise CallTimeout(f"the daemon did not answer within {timeout:g} s", hint="ask again") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self.wait(None)
        if event is None:
            raise StopIteration
        return event

    @property
    def ended(self) -> bool:
        """Whether no more events will come."""
        return self._connection is None

    def wait(self, timeout: float | None) -> Event | None:
        """The next event.

        Args:
            timeout: seconds; None = for ever.

        Returns:
            None if there is none in time, or if no more will come (``ended``).

        Raises:
            DaemonUnreachable: if the daemon ended without a word.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._connection is not None:
            try:
                message = parsed(self._connection.receive(deadline))
            except TimeoutError:
                return None
            except Unanswered:
                self.close()
                if self._last in LAST_WORDS:
                    return None
                raise DaemonUnreachable(
                    "the daemon ended while events were awaited", hint="see whether it runs: tokenward status"
                ) from None
            if message.get("method") == "event" and isinstance(params := message.get("params"), dict):
                event = Event.from_params(params)
                self._last = event.type
                return event
        return None

    def close(self) -> None:
        """End the subscription; may be called more than once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
