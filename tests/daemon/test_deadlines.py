"""How long a peer may take, on a clock that stands still until told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.served import (
    GET,
    HELLO,
    RawPeer,
    Served,
    serving,
    settle,
    slow,
    unsent,
    until,
)
from tokenward.core import protocol
from tokenward.daemon import connection as connection_module


async def test_an_idle_connection_is_closed_after_300_seconds(tmp_path: Path) -> None:
    """Not a moment earlier, and counted from the last request."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("token.get")
        await served.advance(200)
        await peer.call("token.get")
        await served.advance(protocol.IDLE_SECONDS - 1)
        assert served.server.connections == 1
        await served.advance(1)
        assert await peer.rest() == b""


async def test_a_waiting_caller_is_not_idle(tmp_path: Path) -> None:
    """A request under way keeps its connection, and idleness is counted from its answer."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(slow(1))
        await until(lambda: served.service.waiting == 1)
        await served.advance(10 * protocol.IDLE_SECONDS)
        served.service.release.set()
        assert (await peer.line())["id"] == 1
        await served.advance(protocol.IDLE_SECONDS - 1)
        assert served.server.connections == 1


async def test_a_line_once_begun_ends_within_5_seconds(tmp_path: Path) -> None:
    """Counted from its first byte, so that a byte now and then does not help; it is answered -32600."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(HELLO[:5])
        await settle()
        await served.advance(protocol.PARTIAL_LINE_SECONDS - 1)
        await peer.send(HELLO[5:10])
        await settle()
        assert served.server.connections == 1
        await served.advance(1)
        assert json.loads(await peer.rest())["error"]["code"] == -32600


async def test_a_line_after_another_has_its_own_5_seconds(tmp_path: Path) -> None:
    """A whole line ends the time of the one before."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(HELLO[:5])
        await settle()
        await served.advance(protocol.PARTIAL_LINE_SECONDS - 1)
        await peer.send(HELLO[5:] + HELLO[:5])
        assert (await peer.line())["id"] == 1
        await served.advance(protocol.PARTIAL_LINE_SECONDS - 1)
        await peer.send(HELLO[5:])
        assert (await peer.line())["id"] == 1


async def test_an_answer_in_between_does_not_lengthen_a_line(tmp_path: Path) -> None:
    """A request that ends while a line is torn leaves that line's time as it was."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(slow(1) + HELLO[:5])
        await until(lambda: served.service.waiting == 1)
        await served.advance(protocol.PARTIAL_LINE_SECONDS - 1)
        served.service.release.set()
        assert (await peer.line())["id"] == 1
        await served.advance(1)
        assert json.loads(await peer.rest())["error"]["code"] == -32600


async def test_time_in_which_we_do_not_read_is_not_the_peers(tmp_path: Path) -> None:
    """A torn line behind 32 requests under way keeps its five seconds for when we read on."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(b"".join(slow(number) for number in range(32)) + HELLO[:5])
        await until(lambda: served.service.waiting == 32)
        await served.advance(60)
        served.service.release.set()
        for _ in range(32):
            await peer.line()
        await peer.send(HELLO[5:])
        assert (await peer.line())["id"] == 1


async def _clog(peer: RawPeer, served: Served, then: bytes = b"") -> None:
    """Ask for more than the kernel's buffers take, and read nothing."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "token.get", "params": {"profile": "acme:large"}}
    await peer.send(json.dumps(request).encode() + b"\n" + then)
    await until(lambda: unsent(served) > 0)


async def test_a_peer_that_does_not_read_is_closed_after_10_seconds(tmp_path: Path) -> None:
    """Its unsent answer is dropped with it."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await _clog(peer, served)
        await served.advance(protocol.WRITE_SECONDS - 1)
        assert served.server.connections == 1
        await served.advance(1)
        assert served.server.connections == 0


async def test_a_peer_that_reads_late_gets_everything(tmp_path: Path) -> None:
    """What was buffered arrives whole, and the connection goes on; meanwhile nothing more was read from it."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await _clog(peer, served)
        await peer.send(GET.replace(b":1,", b":2,"))
        await settle()
        assert served.service.lane_served == 0
        assert len((await peer.line())["result"]["token"]) == 900 * 1024
        assert (await peer.line())["id"] == 2
        await served.advance(protocol.WRITE_SECONDS)
        assert (await peer.call("daemon.hello"))["result"]


async def test_a_torn_line_waits_while_its_peer_is_slow_to_read(tmp_path: Path) -> None:
    """As long as we do not read because of an unsent answer, the rest of a line cannot be late."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await _clog(peer, served, then=HELLO[:5])
        await served.advance(protocol.WRITE_SECONDS - 1)
        await peer.line()
        await settle()
        await served.advance(protocol.PARTIAL_LINE_SECONDS - 1)
        await peer.send(HELLO[5:])
        assert (await peer.line())["id"] == 1


async def test_the_answers_kept_for_one_peer_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past ``MAX_UNSENT_BYTES`` the connection is closed."""
    monkeypatch.setattr(connection_module, "MAX_UNSENT_BYTES", 1024 * 1024)
    request = {"jsonrpc": "2.0", "id": 1, "method": "token.get", "params": {"profile": "acme:large"}}
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send((json.dumps(request).encode() + b"\n") * 3)
        await until(lambda: served.server.connections == 1)
        await until(lambda: served.server.connections == 0)


async def test_an_idle_server_sets_no_timer(tmp_path: Path) -> None:
    """Without a connection there is no deadline, so the process sleeps."""
    async with serving(tmp_path) as served:
        async with served.peer() as peer:
            await peer.call("token.get")
            assert served.server._next_sweep == served.clock.now + protocol.IDLE_SECONDS
        await until(lambda: served.server.connections == 0)
        served.server.sweep()
        assert served.server._next_sweep == float("inf")
