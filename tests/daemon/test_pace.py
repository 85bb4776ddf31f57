"""One process may not keep the daemon from the others: what it may have carried out, and what it is told."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import anyio
import pytest

from daemon.served import RawPeer, ScriptedService, Served, StillClock, answered_by, serving
from fakes.machine import FakeClock
from tokenward.daemon.pace import BURST, CALLS_PER_SECOND, Pace
from tokenward.daemon.peer import Peer
from tokenward.daemon.second_sockets import SecondSockets
from tokenward.errors import RATE_LIMIT, RefreshFailed
from tokenward.settings import SocketSettings

LOOP = Peer(100, 1000, 1000)
OTHER = Peer(101, 1000, 1000)
MYSELF = Peer(os.getpid(), os.getuid(), os.getgid())
SECONDS_TO_FILL = BURST / CALLS_PER_SECOND


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def pace(clock: FakeClock) -> Pace:
    """The pace under test."""
    return Pace(clock)


def drain(pace: Pace, peer: Peer = LOOP) -> None:
    """Draw until nothing is left."""
    for _ in range(BURST):
        pace.draw(peer, 1)


def test_a_burst_and_then_a_pace(pace: Pace, clock: FakeClock) -> None:
    """Empty, it says when to come again; after that time so many are let through, and no more."""
    drain(pace)
    with pytest.raises(RefreshFailed) as refused:
        pace.draw(LOOP, 1)
    assert refused.value.details["retry_after"] == 1
    assert refused.value.error_class == RATE_LIMIT
    assert pace.refused == 1
    clock.advance(refused.value.details["retry_after"])
    for _ in range(int(CALLS_PER_SECOND)):
        pace.draw(LOOP, 1)
    with pytest.raises(RefreshFailed):
        pace.draw(LOOP, 1)


def test_the_wait_is_until_there_are_as_many_as_are_asked_for(pace: Pace, clock: FakeClock) -> None:
    """In whole seconds, rounded up; a batch takes nothing until all of it is there."""
    drain(pace)
    wanted = int(2.5 * CALLS_PER_SECOND)
    with pytest.raises(RefreshFailed) as refused:
        pace.draw(LOOP, wanted)
    assert refused.value.details["retry_after"] == 3
    assert pace.refused == wanted
    clock.advance(3)
    pace.draw(LOOP, wanted)


def test_each_process_has_its_own(pace: Pace) -> None:
    """Of one user too."""
    drain(pace)
    drain(pace, OTHER)
    with pytest.raises(RefreshFailed):
        pace.draw(LOOP, 1)


@pytest.mark.parametrize("unnamed", [None, 0])
def test_processes_that_the_kernel_does_not_name_share_one_of_their_user(pace: Pace, unnamed: int | None) -> None:
    """A pid of None where the system has no such thing, 0 where it is outside of our namespace."""
    drain(pace, Peer(unnamed, 5, 5))
    with pytest.raises(RefreshFailed):
        pace.draw(Peer(unnamed, 5, 5), 1)
    pace.draw(Peer(unnamed, 6, 6), 1)
    pace.draw(Peer(5, 5, 5), 1)


def test_processes_that_are_gone_leave_nothing(pace: Pace, clock: FakeClock) -> None:
    """A machine runs for years, and each command is a new process: what is full again is forgotten."""
    drain(pace)
    with pytest.raises(RefreshFailed):
        pace.draw(LOOP, 1)
    for pid in range(1000, 6000):
        pace.draw(Peer(pid, 1000, 1000), 1)
        clock.advance(1 / CALLS_PER_SECOND)
        assert len(pace._buckets) <= 3
    assert LOOP.pid not in {pid for pid, _ in pace._buckets}
    assert not pace._told


def test_the_log_names_the_process_once(pace: Pace, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """And again when it was quiet in between, so that a second loop is seen too."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            drain(pace)
            for _ in range(5):
                with pytest.raises(RefreshFailed):
                    pace.draw(LOOP, 1)
            clock.advance(SECONDS_TO_FILL)
    assert [each.getMessage() for each in caplog.records] == [
        "process 100 (user 1000) asks too often; some of it is refused"
    ] * 2


async def emptied(served: Served, peer: RawPeer) -> None:
    """Use up what this process may have, but for one call, which it makes."""
    served.server.pace.draw(MYSELF, BURST - 1)
    assert (await peer.call("daemon.hello"))["result"]


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    """By the request's id, with its reason, and the connection goes on; in a second it is served again."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await emptied(served, peer)
        answer = await peer.call("daemon.hello", request_id="x")
        assert answer == {
            "jsonrpc": "2.0",
            "id": "x",
            "error": {
                "code": -32004,
                "message": "this process asks more than 500 times a second",
                "data": {
                    "type": "RefreshFailed",
                    "class": "RateLimitError",
                    "hint": "wait for retry_after seconds; a token that lies ready may be asked for at any pace",
                    "retry_after": 1,
                },
            },
        }
        await served.advance(1)
        assert (await peer.call("daemon.hello"))["result"]


async def test_connections_of_one_process_share(tmp_path: Path) -> None:
    """Opening another one is no way around it."""
    async with serving(tmp_path) as served, served.peer() as peer, served.peer() as second:
        await emptied(served, peer)
        assert (await second.call("daemon.hello"))["error"]["code"] == -32004


async def test_what_the_lane_answers_is_not_counted(tmp_path: Path) -> None:
    """Neither before nor while nothing else is carried out; a token that needs the dispatcher is."""
    async with serving(tmp_path) as served, served.peer() as peer:
        for _ in range(20):
            assert (await peer.call("token.get"))["result"]
        await emptied(served, peer)
        assert (await peer.call("token.get"))["result"]
        assert (await peer.call("token.get", {"profile": "acme:other"}))["error"]["code"] == -32004
        assert served.server.pace.refused == 1


async def test_lines_that_are_not_carried_out_are_not_counted(tmp_path: Path) -> None:
    """What is no request is refused as ever."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await emptied(served, peer)
        assert (await peer.ask(7))["error"]["code"] == -32600
        await served.advance(1.5 / CALLS_PER_SECOND)
        await peer.ask(7)
        assert (await peer.call("daemon.hello"))["result"]


async def test_a_batch_is_refused_whole(tmp_path: Path) -> None:
    """Each request by its id, notifications in silence, and what is no request for its own reason."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await emptied(served, peer)
        hello = {"jsonrpc": "2.0", "method": "daemon.hello"}
        answers = await peer.ask([{**hello, "id": 1}, hello, 7, {**hello, "id": "b"}])
        assert {each["id"]: each["error"]["code"] for each in answers} == {1: -32004, None: -32600, "b": -32004}
        await peer.send(json.dumps(hello).encode() + b"\n" + json.dumps([hello]).encode() + b"\n")
        assert (await peer.call("daemon.hello", request_id=2))["id"] == 2
        assert served.server.pace.refused == 6


async def test_a_restricted_socket_draws_from_the_same(tmp_path: Path) -> None:
    """A process that has used up its calls gets none there; the daemon's sockets have one pace."""
    clock = StillClock()
    pace = Pace(clock)
    said = SocketSettings(path=tmp_path / "second.sock", profiles=("acme:me",))
    async with anyio.create_task_group() as tasks:
        sockets = SecondSockets(tasks, clock, lambda *_: None, pace)
        await sockets.serve(answered_by(ScriptedService())[1], [said])
        async with await anyio.connect_unix(said.path) as stream:
            assert (await RawPeer(stream).call("daemon.hello"))["result"]
            pace.draw(MYSELF, BURST - 1)
            assert (await RawPeer(stream).call("daemon.hello"))["error"]["code"] == -32004
        await sockets.aclose()
