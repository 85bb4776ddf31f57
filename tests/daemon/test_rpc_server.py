"""The server against peers that tear their lines, ask for too much, come in crowds or hang up."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.served import (
    GET,
    HELLO,
    ScriptedService,
    StillClock,
    answered_by,
    serving,
    settle,
    slow,
    until,
)
from tokenward.core import protocol
from tokenward.daemon import listener as listener_module
from tokenward.daemon import rpc_server as rpc_server_module
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.pace import Pace
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.service import Service

# Lines


@pytest.mark.parametrize("line", [GET, HELLO, HELLO.replace(b"\n", b"\r\n")])
async def test_a_line_may_come_byte_by_byte(tmp_path: Path, line: bytes) -> None:
    """However a line is torn, it is answered once, when it is whole."""
    async with serving(tmp_path) as served, served.peer() as peer:
        for byte in line:
            await peer.send(bytes([byte]))
            await settle()
        assert (await peer.line())["id"] == 1
        assert (await peer.call("daemon.hello", request_id=2))["id"] == 2


async def test_many_lines_may_come_at_once(tmp_path: Path) -> None:
    """Lines in one piece, torn anywhere, are all answered; those of the lane in their order."""
    lines = b"".join(GET.replace(b'"id":1', b'"id":%d' % number) for number in range(1000))
    async with serving(tmp_path) as served, served.peer() as peer, anyio.create_task_group() as tasks:
        tasks.start_soon(peer.send, lines)
        assert [(await peer.line())["id"] for _ in range(1000)] == list(range(1000))


async def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    """A half-close ends the last line too; torn JSON is then a parse error."""
    async with serving(tmp_path) as served:
        async with served.peer() as peer:
            await peer.send(HELLO.rstrip())
            await peer.stream.send_eof()
            assert json.loads(await peer.rest())["id"] == 1
        async with served.peer() as peer:
            await peer.send(HELLO[:20])
            await peer.stream.send_eof()
            assert json.loads(await peer.rest())["error"]["code"] == -32700


@pytest.mark.parametrize("has_newline", [True, False])
async def test_a_line_of_two_megabytes_is_refused(tmp_path: Path, has_newline: bool) -> None:  # noqa: FBT001 - a case
    """It is answered -32600 and the connection closed, whether or not it ever ends."""
    async with serving(tmp_path) as served, served.peer() as peer:
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                with contextlib.suppress(anyio.BrokenResourceError):  # the server hangs up before it is all sent
                    await peer.send(b" " * (2 * 1024 * 1024) + (b"\n" if has_newline else b""))

            tasks.start_soon(send)
            received = await peer.rest()
        assert json.loads(received)["error"]["code"] == -32600
        assert served.server.connections == 0


async def test_a_line_of_one_megabyte_is_served(tmp_path: Path) -> None:
    """The longest line that is allowed works; one byte more does not."""
    async with serving(tmp_path) as served:
        for length, expected in ((protocol.MAX_LINE_BYTES, 1), (protocol.MAX_LINE_BYTES + 1, None)):
            async with served.peer() as peer:
                await peer.send(HELLO.rstrip().ljust(length) + b"\n")
                assert (await peer.line())["id"] == expected


# Overlap and order


async def test_answers_come_as_they_are_ready(tmp_path: Path) -> None:
    """A request that waits does not hold up those after it."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(slow(1) + HELLO.replace(b":1,", b":2,") + GET.replace(b":1,", b":3,"))
        assert {(await peer.line())["id"], (await peer.line())["id"]} == {2, 3}
        served.service.release.set()
        assert (await peer.line())["id"] == 1


async def test_no_more_than_32_requests_of_a_connection_are_under_way(tmp_path: Path) -> None:
    """The 33rd waits, also on the lane, until one has ended; another connection does not wait."""
    async with serving(tmp_path) as served, served.peer() as peer, served.peer() as other:
        await peer.send(b"".join(slow(number) for number in range(40)) + GET.replace(b":1,", b":99,"))
        await until(lambda: served.service.waiting == protocol.MAX_OVERLAPPING)
        await settle()
        assert served.service.waiting == protocol.MAX_OVERLAPPING
        assert served.service.lane_served == 0
        assert (await other.call("token.get"))["result"]
        served.service.release.set()
        assert {(await peer.line())["id"] for _ in range(41)} == {*range(40), 99}


async def test_a_half_close_still_gets_its_answers(tmp_path: Path) -> None:
    """What was asked before the peer stopped writing is answered, then the server closes."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(slow(1) + slow(2))
        await peer.stream.send_eof()
        await until(lambda: served.service.waiting == 2)
        served.service.release.set()
        answers = (await peer.rest()).splitlines()
        assert {json.loads(answer)["id"] for answer in answers} == {1, 2}
        assert served.server.connections == 0


async def test_a_peer_that_is_gone_costs_nothing(tmp_path: Path) -> None:
    """Hanging up with requests under way leaves neither a connection nor an error behind."""
    async with serving(tmp_path) as served:
        async with served.peer() as peer:
            await peer.send(slow(1))
            await until(lambda: served.service.waiting == 1)
        served.service.release.set()
        await until(lambda: served.server.connections == 0)
        async with served.peer() as peer:
            assert (await peer.call("daemon.hello"))["result"]


async def test_a_raising_handler_ends_nothing(tmp_path: Path) -> None:
    """Neither the connection nor the server nor another connection notices."""
    async with serving(tmp_path) as served, served.peer() as peer, served.peer() as other:
        for _ in range(3):
            assert (await peer.call("token.get", {"profile": "acme:broken"}))["error"]["code"] == -32603
        assert (await peer.call("token.get"))["result"]
        assert (await other.call("token.get"))["result"]


async def test_what_cannot_be_imported_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An upgrade replaced our files under us: all calls but the lane's are told so, and tokens are served on."""

    async def gone() -> Service:
        raise ImportError(name="tokenward.daemon.ward")

    async with serving(tmp_path) as served, served.peer() as peer:
        served.server._service = gone
        refused = await peer.call("daemon.hello")
        assert (refused["error"]["code"], refused["id"]) == (-32603, 1)
        assert "restart it" in refused["error"]["data"]["hint"]
        await peer.send(b'[{"jsonrpc":"2.0","method":"daemon.hello"},1,' + HELLO.rstrip() + b"]\n")
        assert sorted(each["error"]["code"] for each in await peer.line()) == [-32603, -32600]
        assert (await peer.call("token.get", request_id=7))["result"]
    assert "ImportError" in caplog.text


async def test_a_fault_in_the_server_closes_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an exception of our own reading code costs only the connection it happened on."""
    async with serving(tmp_path) as served, served.peer() as other:
        assert (await other.call("token.get"))["result"]
        async with served.peer() as peer:
            with monkeypatch.context() as patch:
                patch.setattr(served.server._lane, "answer", lambda *_arguments: 1 / 0)
                await peer.send(HELLO)
                assert await peer.rest() == b""
        assert (await other.call("token.get"))["result"]


# How many


async def test_the_longest_idle_connection_yields_to_a_newcomer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit, neither a subscriber nor a waiting caller yields, but the longest idle of the rest."""
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 4)
    async with serving(tmp_path) as served, contextlib.AsyncExitStack() as stack:
        subscriber, waiting, idle, fresh = [await stack.enter_async_context(served.peer()) for _ in range(4)]
        await subscriber.call("events.subscribe")
        await waiting.send(slow(1))
        await idle.call("token.get")
        served.clock.now += 1
        await fresh.call("token.get")
        newcomer = await stack.enter_async_context(served.peer())
        assert (await newcomer.call("token.get"))["result"]
        assert await idle.rest() == b""
        assert (await fresh.call("token.get"))["result"]
        assert (served.server.connections, served.server.subscribers) == (4, 1)


async def test_a_newcomer_is_turned_away_where_all_are_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who is being served is dropped for a newcomer."""
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 1)
    async with serving(tmp_path) as served, served.peer() as waiting:
        await waiting.send(slow(1))
        await until(lambda: served.service.waiting == 1)
        async with served.peer() as newcomer:
            assert await newcomer.rest() == b""
        served.service.release.set()
        assert (await waiting.line())["id"] == 1


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_running_out_of_descriptors_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """Accepting pauses, those connected are served on, and a second later newcomers are too."""
    refused = 0

    def refuse(listener: Any) -> Any:
        nonlocal refused
        refused += 1
        raise OSError(code, os.strerror(code))

    async with serving(tmp_path) as served, served.peer() as connected:
        await connected.call("token.get")
        with monkeypatch.context() as patch:
            patch.setattr(listener_module.BoundSocket, "accept", refuse)
            async with served.peer() as newcomer:
                await newcomer.send(GET)
                await until(lambda: refused)
                assert (await connected.call("token.get"))["result"]
                await settle()
                assert refused == 1
                patch.undo()
                await served.advance(rpc_server_module.ACCEPT_PAUSE_SECONDS)
                assert (await newcomer.line())["id"] == 1
    assert os.strerror(code) in caplog.text


async def test_a_closing_connection_ends_the_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gave a descriptor back, so nobody waits for the second to pass."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(tmp_path) as served, contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(served.peer())
        await first.call("token.get")
        second = socket.socket(socket.AF_UNIX)
        stack.callback(second.close)
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        second.connect(str(served.path))
        second.setblocking(False)
        await until(lambda: not served.server._is_accepting)
        await first.stream.aclose()
        await until(lambda: served.server._is_accepting)
        await until(lambda: served.server.connections == 1)


# The end


async def test_shutting_down_answers_what_is_under_way(tmp_path: Path) -> None:
    """Nobody new is accepted, idle connections close, and a waiting caller still gets its answer."""
    async with serving(tmp_path) as served, served.peer() as waiting, served.peer() as idle:
        await idle.call("token.get")
        await waiting.send(slow(1))
        await until(lambda: served.service.waiting == 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.server.aclose)
            assert await idle.rest() == b""
            assert not served.path.exists()
            with pytest.raises(FileNotFoundError):
                await anyio.connect_unix(served.path)
            served.service.release.set()
            assert json.loads(await waiting.rest())["id"] == 1
        assert served.server.connections == 0


async def test_shutting_down_waits_no_longer_than_5_seconds(tmp_path: Path) -> None:
    """A handler that does not end is cancelled, and ``aclose`` returns."""
    async with serving(tmp_path) as served, served.peer() as waiting, served.peer() as subscriber:
        await subscriber.call("events.subscribe")
        await waiting.send(slow(1))
        await until(lambda: served.service.waiting == 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.server.aclose)
            assert await subscriber.rest() == b""
            assert served.server._next_sweep == served.clock.now + rpc_server_module.SHUTDOWN_SECONDS
            await served.advance(rpc_server_module.SHUTDOWN_SECONDS - 1)
            assert served.server.connections == 1
            await served.advance(1)
        assert await waiting.rest() == b""


async def test_the_last_events_go_out_before_the_end(tmp_path: Path) -> None:
    """What lies ready for a subscriber when the server is asked to end is still sent."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("events.subscribe")
        served.service.feeds[0].send.send_nowait(
            Happening(type="stopping", profile=None, generation=None, at_ms=1)
        )
        await served.server.aclose()
        assert json.loads(await peer.rest())["params"]["type"] == "stopping"


async def test_closing_a_server_that_never_served_is_harmless() -> None:
    """``aclose`` may come at any time."""
    await RpcServer(*answered_by(ScriptedService()), clock=StillClock(), pace=Pace(StillClock())).aclose()


async def test_a_cancelled_server_leaves_nothing_behind(tmp_path: Path) -> None:
    """Connections and listeners are closed, our socket file is gone."""
    async with serving(tmp_path) as served:
        stream = await anyio.connect_unix(served.path)
        await settle()
        server = served.server
    assert (server.connections, served.path.exists()) == (0, False)
    await stream.aclose()
