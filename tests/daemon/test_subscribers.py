"""Events for those who asked for them, and for as long as they take them."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.served import (
    serving,
    settle,
    slow,
    unsent,
    until,
)
from tokenward.core import protocol
from tokenward.daemon.event_hub import Happening


def _event(number: int = 0, detail: str = "") -> Happening:
    return Happening(type="rotated", profile="acme:me", generation="0123456789ab", at_ms=number, detail=detail)


async def test_a_subscriber_gets_events_after_its_answer(tmp_path: Path) -> None:
    """The answer first, then each event as a notification in order, and calls go on in between."""
    async with serving(tmp_path) as served, served.peer() as peer:
        assert (await peer.call("events.subscribe"))["result"] == {"subscribed": True}
        assert served.server.subscribers == 1
        for number in range(3):
            await served.service.feeds[0].send.send(_event(number))
        for number in range(3):
            expected = {"jsonrpc": "2.0", "method": "event", "params": _event(number)._asdict()}
            assert await peer.line() == expected
        assert (await peer.call("token.get"))["result"]


async def test_events_that_are_there_already_wait_for_the_answer(tmp_path: Path) -> None:
    """A batch that subscribes is answered before its first event, however slow the rest of it is."""
    batch = [{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe"}, json.loads(slow(2))]
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(json.dumps(batch).encode() + b"\n")
        await until(lambda: served.service.waiting and served.service.feeds)
        await served.service.feeds[0].send.send(_event())
        await settle()
        served.service.release.set()
        assert {answer["id"] for answer in await peer.line()} == {1, 2}
        assert (await peer.line())["method"] == "event"


async def test_a_subscriber_may_be_silent_for_ever(tmp_path: Path) -> None:
    """The idle limit is not for it."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("events.subscribe")
        await served.advance(100 * protocol.IDLE_SECONDS)
        await served.service.feeds[0].send.send(_event())
        assert (await peer.line())["method"] == "event"


async def test_a_connection_has_one_subscription(tmp_path: Path) -> None:
    """The second is refused; the first goes on."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("events.subscribe")
        assert (await peer.call("events.subscribe"))["error"]["code"] == -32600
        await served.service.feeds[0].send.send(_event())
        assert (await peer.line())["method"] == "event"


async def test_a_subscriber_that_overflows_is_told_and_closed(tmp_path: Path) -> None:
    """When the feed ends, its last event goes out, then the connection is closed and the feed let go."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("events.subscribe")
        feed = served.service.feeds[0]
        await feed.send.send(Happening(type="lost", profile=None, generation=None, at_ms=0))
        feed.send.close()
        assert json.loads(await peer.rest())["params"]["type"] == "lost"
        await until(lambda: served.service.open_feeds == 0)
        assert served.server.connections == 0


async def test_a_subscriber_that_does_not_read_holds_up_its_feed_only(tmp_path: Path) -> None:
    """Events stay in the feed, which is bounded, and not in the server; after ten seconds it is closed."""
    async with serving(tmp_path) as served, served.peer() as peer, served.peer() as other:
        await peer.call("events.subscribe")
        feed = served.service.feeds[0]
        for number in range(500):
            feed.send.send_nowait(_event(number, "x" * 4096))
        await until(lambda: unsent(served) > 0)
        await settle()
        assert unsent(served) < 3 * 4096
        assert feed.send.statistics().current_buffer_used > 100
        assert (await other.call("token.get"))["result"]
        await served.advance(protocol.WRITE_SECONDS)
        await until(lambda: served.service.open_feeds == 0)
        assert served.server.connections == 1


async def test_a_subscriber_that_reads_late_gets_every_event(tmp_path: Path) -> None:
    """Whole lines, in order, none missing."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("events.subscribe")
        for number in range(500):
            served.service.feeds[0].send.send_nowait(_event(number, "x" * 4096))
        await until(lambda: unsent(served) > 0)
        assert [(await peer.line())["params"]["at_ms"] for _ in range(500)] == list(range(500))


async def test_a_subscriber_that_hangs_up_lets_its_feed_go(tmp_path: Path) -> None:
    """A half-close ends a subscription."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.call("events.subscribe")
        await peer.stream.send_eof()
        assert await peer.rest() == b""
        await until(lambda: served.service.open_feeds == 0)


async def test_who_subscribes_and_hangs_up_at_once_is_not_kept(tmp_path: Path) -> None:
    """The half-close that is read before the subscription begins ends it too: answered, and nothing is left."""
    async with serving(tmp_path) as served, served.peer() as peer:
        await peer.send(b'{"jsonrpc": "2.0", "method": "events.subscribe", "id": 1}')
        await peer.stream.send_eof()
        assert json.loads(await peer.rest())["result"] == {"subscribed": True}
        await until(lambda: (served.service.open_feeds, served.server.subscribers) == (0, 0))
