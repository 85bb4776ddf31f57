"""A peer in memory whose bytes come in pieces of any size: the server's own code, without a kernel in between.

The problem: a fuzzer needs ten thousand peers a second, and one that tears its lines anywhere. So a connection of
the real server reads from and writes to this object.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Self, cast

import anyio

from daemon.served import SECRET, ScriptedService, StillClock, answered_by
from tokenward.core import protocol
from tokenward.daemon.connection import Connection
from tokenward.daemon.pace import BURST, CALLS_PER_SECOND, Pace
from tokenward.daemon.peer import Peer
from tokenward.daemon.rpc_server import RpcServer

PEER = Peer(1, 1000, 1000)
INTERNAL_ERROR = b"-32603"
KNOWN_FAULTS = (b"broken", b"huge")
"""The scripted service fails inside for a profile of this name."""


class TornSocket:
    """The socket of such a peer.

    Args:
        data: all that the peer sends before it closes its half.
        piece: how many bytes arrive at once.
    """

    def __init__(self, data: bytes, piece: int) -> None:
        self._data = data
        self._piece = piece
        self.received = bytearray()
        self.is_closed = False

    def fileno(self) -> int:
        """No descriptor."""
        return -1

    def recv(self, most: int) -> bytes:
        """The next piece; nothing at the end."""
        piece, self._data = self._data[: min(most, self._piece)], self._data[min(most, self._piece) :]
        return piece

    def send(self, data: bytes) -> int:
        """Take everything."""
        self.received += data
        return len(data)

    def close(self) -> None:
        """Hang up."""
        self.is_closed = True


class TurnByTurn:
    """The part of an event loop that a connection sees: it wants to read, or it does not."""

    def __init__(self) -> None:
        self.on_readable: Callable[..., Any] | None = None

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """It reads on."""
        self.on_readable = callback

    def remove_reader(self, fd: int) -> bool:
        """It does not."""
        self.on_readable = None
        return True

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        """Never: everything is taken at once."""
        raise AssertionError("everything was taken")

    def remove_writer(self, fd: int) -> bool:
        """As above."""
        return False


class Faultless(Connection):
    """Whatever a peer sends, the connection's own code has no fault: its net must never be needed."""

    def _fail(self, error: Exception) -> None:
        raise error


class TornPeers:
    """A server without a listening socket; use it as a context manager, which runs its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        service = ScriptedService()
        service.release.set()
        self._clock = StillClock()
        self._server = RpcServer(*answered_by(service), clock=self._clock, pace=Pace(self._clock))
        self._serving: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        logging.getLogger("tokenward").setLevel(logging.CRITICAL)
        self._serving = self._loop.create_task(self._server.serve([]))
        self._loop.run_until_complete(asyncio.sleep(0))
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._server.aclose())
        assert self._serving is not None
        self._loop.run_until_complete(self._serving)
        self._loop.close()
        logging.getLogger("tokenward").setLevel(logging.NOTSET)

    def answers_to(self, data: bytes, *, piece: int) -> list[Any]:
        """Everything that the server says to these bytes, with what must hold for any bytes asserted.

        Args:
            data: what the peer sends.
            piece: how many bytes arrive at once.
        """
        self._clock.now += BURST / CALLS_PER_SECOND  # what the peer before asked for is forgiven
        torn = TornSocket(data, piece)
        self._loop.run_until_complete(self._spoken(torn))
        said = bytes(torn.received)
        assert torn.is_closed, "a peer that closed its half is hung up on after its answers"
        assert SECRET.encode() not in said
        assert said == b"" or said.endswith(b"\n")
        lines = said.split(b"\n")[:-1]
        assert len(lines) <= data.count(b"\n") + 1, "at most one answer to a line"
        if not any(fault in data for fault in KNOWN_FAULTS) and b"\\" not in data:
            assert INTERNAL_ERROR not in said
        answers = [json.loads(line) for line in lines]
        for each in answers:
            _check(each)
        return answers

    async def _spoken(self, torn: TornSocket) -> None:
        turns = TurnByTurn()
        connection = Faultless(
            cast("Any", torn), PEER, owner=self._server, readiness=turns, monotonic=self._clock.monotonic
        )
        self._server._connections.add(connection)
        connection.start()
        while not connection._closed:
            if turns.on_readable is not None:
                turns.on_readable()
            else:
                await anyio.lowlevel.checkpoint()


def _check(answer: Any) -> None:
    """One JSON-RPC response, or an array of them (JSON-RPC 2.0 sections 5 and 6)."""
    if isinstance(answer, list):
        assert 0 < len(answer) <= protocol.MAX_BATCH
        for each in answer:
            assert isinstance(each, dict)
            _check(each)
        return
    assert answer["jsonrpc"] == protocol.JSONRPC
    assert ("result" in answer) != ("error" in answer)
    assert answer["id"] is None or isinstance(answer["id"], int | str)
    if "error" in answer:
        assert {"type", "class", "hint"} <= answer["error"]["data"].keys()
        assert "\n" not in answer["error"]["message"]
