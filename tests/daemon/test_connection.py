"""A connection from its acceptance: who has hung up already is not waited for, and nobody is read too much of."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tokenward.core import protocol
from tokenward.daemon.connection import Connection
from tokenward.daemon.peer import Peer

PEER = Peer(41, 1000, 1000)
LINE = b'{"id":1}\n'


class Loop:
    """Tells which descriptors somebody waits for, and how often it was asked to."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[..., Any]] = {}
        self.asked = 0

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Remember it."""
        self.asked += 1
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        """Forget it."""
        return self.readers.pop(fd, None) is not None

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Nothing here is so long."""

    def remove_writer(self, fd: int) -> bool:
        """As above."""
        return False


class Echo:
    """A server that answers each line with itself, or begins to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.closed_ones = 0
        self.begins = 0
        self.does: Callable[[], None] = lambda: None

    def take_line(self, connection: Connection, line: bytes) -> bytes | None:
        """Answer, and let the test do something first."""
        self.lines.append(line)
        connection.begin(self.begins)
        self.does()
        return None if self.begins else line + b"\n"

    def expect(self, deadline: float) -> None:
        """Time stands still."""

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self.closed_ones += 1


class Pair:
    """A connection that was accepted, and the peer's end of it."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        self.peer.settimeout(20.0)
        self.loop, self.server = Loop(), Echo()
        self.connection = Connection(ours, PEER, owner=self.server, readiness=self.loop, monotonic=lambda: 0.0)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Nothing was sent yet."""
    made = Pair()
    yield made
    made.connection.close()
    made.peer.close()


def test_whoever_asked_and_hung_up_is_answered_and_gone(pair: Pair) -> None:
    """The loop hears nothing of a caller that was answered and is gone before we would have waited for it."""
    pair.peer.sendall(LINE)
    pair.server.does = lambda: pair.peer.shutdown(socket.SHUT_WR)
    pair.connection.start()
    assert pair.peer.recv(100) == LINE
    assert pair.connection.is_ending
    assert (pair.loop.asked, pair.server.closed_ones) == (0, 1)


def test_whoever_stays_is_waited_for(pair: Pair) -> None:
    """Answered at once, and read again when there is more."""
    pair.peer.sendall(LINE)
    pair.connection.start()
    assert pair.peer.recv(100) == LINE
    assert len(pair.loop.readers) == 1
    pair.peer.sendall(LINE)
    (on_readable,) = pair.loop.readers.values()
    on_readable()
    assert pair.peer.recv(100) == LINE


def test_whoever_says_nothing_yet_is_waited_for(pair: Pair) -> None:
    """Connected before it knew what to ask."""
    pair.connection.start()
    assert (len(pair.loop.readers), pair.server.lines) == (1, [])


def test_no_more_is_read_of_whoever_asked_enough(pair: Pair) -> None:
    """With as many requests under way as there may be, what was sent since stays where it is."""
    pair.server.begins = protocol.MAX_OVERLAPPING
    pair.server.does = lambda: pair.peer.sendall(LINE)
    pair.peer.sendall(LINE)
    pair.connection.start()
    assert len(pair.server.lines) == 1
    assert pair.loop.readers == {}


def test_nothing_is_read_once_it_ends(pair: Pair) -> None:
    """The daemon stops while a request is under way: what follows it is not read any more."""

    def end() -> None:
        pair.peer.sendall(LINE)
        pair.connection.finish()

    pair.server.begins, pair.server.does = 1, end
    pair.peer.sendall(LINE)
    pair.connection.start()
    assert len(pair.server.lines) == 1
    assert pair.loop.readers == {}
