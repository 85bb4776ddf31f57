"""One peer's connection: bytes in, lines out to be answered, answers back, and how long the peer may take.

The problem: a peer may send a byte at a time, never end its line, never read its answers, hang up in the
middle, or ask for more than it takes, and must not cost the others anything while it does.

Rules:
- Nothing here waits. What cannot be read or written now is done when the socket is ready.
- We read on only while fewer than ``MAX_OVERLAPPING`` requests are under way and the peer has taken every
  answer so far; the rest waits in the kernel's buffer, and then in the peer.
- An answer or event is handed over whole, so lines never mix.
- After a half-close what was asked is still answered. ``close`` may be called at any time, more than once.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable
from typing import Any, Protocol

import anyio

from tokenward import errors
from tokenward.core import protocol
from tokenward.daemon import fault, message
from tokenward.daemon.peer import Peer

READ_BYTES = 16 * 1024
"""Read at once: many requests, and few enough that other connections are not kept waiting."""
MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""Answers waiting for one peer; a peer that lets so much lie is closed."""

logger = logging.getLogger(__name__)


class Readiness(Protocol):
    """The part of an event loop that tells when a descriptor is ready."""

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back whenever there is something to read."""

    def remove_reader(self, fd: int) -> bool:
        """No longer."""

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back whenever there is room to write."""

    def remove_writer(self, fd: int) -> bool:
        """No longer."""


class Owner(Protocol):
    """What a connection needs of the server."""

    def take_line(self, connection: Connection, line: bytes) -> bytes | None:
        """A line arrived: its answer, newline included, if there is one already."""

    def expect(self, deadline: float) -> None:
        """Call ``Connection.expire`` once the monotonic clock has reached this, in seconds."""

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""


class Connection:
    """One accepted socket.

    Args:
        accepted: the socket, non-blocking; closed by us.
        peer: who is at its other end.
        owner: the server.
        readiness: the event loop.
        monotonic: the clock the deadlines are on, in seconds.
    """

    __slots__ = (
        "_closed", "_drained", "_fd", "_finishing", "_inbox", "_line_deadline", "_monotonic", "_outbox", "_owner",
        "_readiness", "_reading", "_scanned", "_socket", "_write_deadline", "last_active", "peer", "subscription",
        "under_way",
    )  # fmt: skip

    def __init__(
        self,
        accepted: socket.socket,
        peer: Peer,
        *,
        owner: Owner,
        readiness: Readiness,
        monotonic: Callable[[], float],
    ) -> None:
        self.peer = peer
        self.under_way = 0
        self.subscription: anyio.CancelScope | None = None
        self.last_active = monotonic()
        self._socket = accepted
        self._fd = accepted.fileno()
        self._owner = owner
        self._readiness = readiness
        self._monotonic = monotonic
        self._inbox = bytearray()
        self._scanned = 0
        self._outbox = bytearray()
        self._reading = False
        self._finishing = False
        self._closed = False
        self._line_deadline = math.inf
        self._write_deadline = math.inf
        self._drained: anyio.Event | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody would miss it: nothing under way, nothing unsent, no subscription."""
        return not (self.under_way or self._outbox or self.subscription)

    @property
    def is_subscriber(self) -> bool:
        """Whether it gets events."""
        return self.subscription is not None

    @property
    def is_ending(self) -> bool:
        """Whether it takes no more requests: its peer closed its half or is gone, or the server ends."""
        return self._finishing or self._closed

    @property
    def deadline(self) -> float:
        """When ``expire`` has something to do, in seconds on the monotonic clock."""
        deadline = self._write_deadline
        if self._reading:
            deadline = min(deadline, self._line_deadline)
        if self.is_idle:
            deadline = min(deadline, self.last_active + protocol.IDLE_SECONDS)
        return deadline

    def start(self) -> None:
        """Serve what has arrived already, then wait for more.

        A one-shot caller is answered at once, and has often hung up by then: it is not waited for at all.
        """
        if self.on_readable() and self._may_read():
            self.on_readable()
        self._update_reading()

    def on_readable(self) -> bool:
        """Read what there is and hand on every complete line.

        Returns:
            Whether there was anything.
        """
        try:
            received = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.close()
            return True
        try:
            self.last_active = self._monotonic()
            if not received:
                self._end_of_input()
            elif not self._inbox and received.find(b"\n") == len(received) - 1:  # one whole line: nearly always
                answer = self._owner.take_line(self, received[:-1])
                if answer is not None:
                    self.send(answer)
            else:
                self._inbox += received
                self._take_lines()
        except Exception as error:  # noqa: BLE001 - one connection's trouble is not the others'
            self._fail(error)
        return True

    def _fail(self, error: Exception) -> None:
        logger.error("a connection failed: %s", fault.describe(error))
        self.close()

    def _end_of_input(self) -> None:
        last = bytes(self._inbox)
        self._inbox.clear()
        if last:  # JSON says itself whether it is complete, so a last line needs no newline
            answer = self._owner.take_line(self, last)
            if answer is not None:
                self.send(answer)
        self.finish()

    def _take_lines(self) -> None:
        inbox = self._inbox
        answers = []
        is_too_long = False
        while self.under_way < protocol.MAX_OVERLAPPING and not self._finishing:
            end = inbox.find(b"\n", self._scanned)
            is_too_long = (len(inbox) if end < 0 else end) > protocol.MAX_LINE_BYTES
            if end < 0 or is_too_long:
                break
            line = bytes(inbox[:end])
            del inbox[: end + 1]
            self._scanned = 0
            self._line_deadline = math.inf
            answer = self._owner.take_line(self, line)
            if answer is not None:
                answers.append(answer)
        if answers:
            self.send(b"".join(answers))
        if is_too_long:
            self._refuse(f"a line has at most {protocol.MAX_LINE_BYTES} bytes")
        elif self.under_way < protocol.MAX_OVERLAPPING:
            self._watch_partial_line()

    def _watch_partial_line(self) -> None:
        self._scanned = len(self._inbox)
        if self._inbox and self._line_deadline == math.inf:
            self._line_deadline = self._monotonic() + protocol.PARTIAL_LINE_SECONDS
            self._owner.expect(self._line_deadline)

    def _refuse(self, cause: str) -> None:
        error = errors.InvalidRequest(cause, hint="send one JSON object a line, whole")
        self.send(message.refusal(error) + b"\n")
        self.finish()

    def begin(self, requests: int) -> None:
        """Requests of this connection are under way."""
        self.under_way += requests
        if self.under_way >= protocol.MAX_OVERLAPPING:
            self._update_reading()

    def end(self, requests: int, answer: bytes | None) -> None:
        """Requests have ended.

        Args:
            requests: as many as were begun together.
            answer: what to send, newline included; None for notifications.
        """
        self.under_way -= requests
        self.last_active = self._monotonic()
        self._owner.expect(self.last_active + protocol.IDLE_SECONDS)
        if answer is not None:
            self.send(answer)
        self._resume()

    def send(self, lines: bytes) -> None:
        """Send whole lines, now or as soon as the peer takes them; nothing if the connection is gone."""
        if self._closed:
            return
        if not self._outbox:
            try:
                sent = self._socket.send(lines)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.close()
                return
            if sent == len(lines):
                return
            lines = lines[sent:]
            self._write_deadline = self._monotonic() + protocol.WRITE_SECONDS
            self._owner.expect(self._write_deadline)
            self._readiness.add_writer(self._fd, self.on_writable)
        self._outbox += lines
        if len(self._outbox) > MAX_UNSENT_BYTES:
            logger.warning("closed a connection of process %s: it does not read its answers", self.peer.pid)
            self.close()
        self._update_reading()

    def on_writable(self) -> None:
        """Send on what the peer would not take before."""
        try:
            sent = self._socket.send(self._outbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        del self._outbox[:sent]
        if self._outbox:
            return
        self._readiness.remove_writer(self._fd)
        self._write_deadline = math.inf
        if self._drained is not None:
            self._drained.set()
            self._drained = None
        self.last_active = self._monotonic()
        self._owner.expect(self.last_active + protocol.IDLE_SECONDS)
        self._resume()

    async def wait_drained(self) -> None:
        """Wait until the peer has taken everything; for the subscription, which ends with the connection."""
        if self._outbox:
            if self._drained is None:
                self._drained = anyio.Event()
            await self._drained.wait()

    def _resume(self) -> None:
        try:
            if self._inbox and not self._outbox:
                if not self._reading:
                    self._line_deadline = math.inf  # the time we did not read is not the peer's
                self._take_lines()
            self._update_reading()
            self._close_if_done()
        except Exception as error:  # noqa: BLE001 - one connection's trouble is not the others'
            self._fail(error)

    def _may_read(self) -> bool:
        return not (self._closed or self._finishing or self._outbox or self.under_way >= protocol.MAX_OVERLAPPING)

    def _update_reading(self) -> None:
        wanted = self._may_read()
        if wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._readiness.add_reader(self._fd, self.on_readable)
        else:
            self._readiness.remove_reader(self._fd)

    def finish(self) -> None:
        """Take no more requests; close once what is under way has been answered and taken.

        A subscription ends after the events that it has ready.
        """
        self._finishing = True
        self._inbox.clear()
        if self.subscription is not None:
            self.subscription.cancel()
        self._update_reading()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._finishing and self.is_idle:
            self.close()

    def expire(self, now: float) -> None:
        """Close if the peer took longer than it may.

        Args:
            now: seconds on the monotonic clock.
        """
        if now >= self._write_deadline:
            logger.warning("closed a connection of process %s: it does not read its answers", self.peer.pid)
            self.close()
        elif self._reading and now >= self._line_deadline:
            self._refuse(f"a line once begun ends within {protocol.PARTIAL_LINE_SECONDS:g} seconds")
        elif self.is_idle and now >= self.last_active + protocol.IDLE_SECONDS:
            self.close()

    def close(self) -> None:
        """Close now; what is still under way is carried out and its answer dropped."""
        if self._closed:
            return
        self._closed = True
        self._update_reading()
        if self._write_deadline != math.inf:
            self._readiness.remove_writer(self._fd)
        self._socket.close()
        if self.subscription is not None:
            self.subscription.cancel()
        self._outbox.clear()
        self._owner.closed(self)
