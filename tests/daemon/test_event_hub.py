"""The event hub: everybody hears in order, nobody holds it up, and who missed something is told."""

from __future__ import annotations

import anyio
import pytest

from daemon.keeping import turns
from fakes.machine import FakeClock
from tokenward.core.protocol import MAX_QUEUED_EVENTS
from tokenward.daemon.event_hub import EventHub, Feed, Happening
from tokenward.daemon.event_models import Event


async def rest(feed: Feed) -> list[Happening]:
    """What is queued; ends the feed."""
    feed.end()
    return [event async for event in feed]


async def test_an_event_says_what_when_and_to_whom() -> None:
    """Type, profile, generation, time and detail; never more."""
    clock = FakeClock()
    hub = EventHub(clock)
    async with hub.subscribe(None) as feed:
        hub.announce("rotated", profile="acme:me", generation="0123456789ab", detail="why")
        [event] = await rest(feed)
    assert (
        event._asdict()
        == Event.model_validate(event._asdict()).model_dump()
        == {
            "type": "rotated",
            "profile": "acme:me",
            "generation": "0123456789ab",
            "at_ms": round(clock.now.timestamp() * 1000),
            "detail": "why",
        }
    )


async def test_every_subscriber_hears_in_order() -> None:
    """Two subscribers, from when they came on."""
    hub = EventHub(FakeClock())
    hub.announce("rotated", profile="acme:before")
    async with hub.subscribe(None) as early:
        hub.announce("rotated", profile="acme:1")
        async with hub.subscribe(None) as late:
            hub.announce("unsaved", profile="acme:2")
            hub.announce("saved", profile="acme:2")
            assert [event.type for event in await rest(late)] == ["unsaved", "saved"]
        assert [event.type for event in await rest(early)] == ["rotated", "unsaved", "saved"]


async def test_a_subscriber_hears_of_its_profiles_and_of_the_daemon() -> None:
    """Others' profiles are not its affair; what concerns no profile concerns everybody."""
    hub = EventHub(FakeClock())
    async with hub.subscribe(frozenset({"acme:mine"})) as feed:
        hub.announce("rotated", profile="acme:other")
        hub.announce("rotated", profile="acme:mine")
        hub.announce("reloaded")
        heard = await rest(feed)
    assert [(event.type, event.profile) for event in heard] == [("rotated", "acme:mine"), ("reloaded", None)]


async def test_a_subscriber_that_waits_is_woken() -> None:
    """Each event as it comes, then the end."""
    hub = EventHub(FakeClock())
    heard: list[str] = []
    ready = anyio.Event()

    async def listen() -> None:
        async with hub.subscribe(None) as feed:
            ready.set()
            heard.extend([event.type async for event in feed])

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await ready.wait()
        hub.announce("rotated")
        await turns()
        hub.announce("stopping")
        await turns()
        hub.end()
    assert heard == ["rotated", "stopping"]


async def test_one_that_does_not_read_is_told_that_it_lost_something() -> None:
    """Its queue is bounded: the last event is ``lost``, and nothing follows; others are not concerned."""
    hub = EventHub(FakeClock())
    async with hub.subscribe(None) as slow, hub.subscribe(frozenset({"acme:1"})) as quick:
        for number in range(3 * MAX_QUEUED_EVENTS):
            hub.announce("rotated", profile=f"acme:{number}")
        heard = await rest(slow)
        assert len(heard) == MAX_QUEUED_EVENTS + 1
        assert [event.type for event in heard[-2:]] == ["rotated", "lost"]
        assert heard[-1].profile is None
        assert len(await rest(quick)) == 1
    assert hub.lost == 1


async def test_exactly_as_many_as_fit_are_kept() -> None:
    """The bound itself loses nothing."""
    hub = EventHub(FakeClock())
    async with hub.subscribe(None) as feed:
        for _ in range(MAX_QUEUED_EVENTS):
            hub.announce("rotated")
        assert [event.type for event in await rest(feed)] == ["rotated"] * MAX_QUEUED_EVENTS


async def test_who_has_left_is_not_told() -> None:
    """Leaving the context unsubscribes, also by an error, and ends the feed for whoever still reads it."""
    hub = EventHub(FakeClock())
    with pytest.raises(LookupError):
        async with hub.subscribe(None) as feed:
            raise LookupError
    hub.announce("rotated")
    assert [event async for event in feed] == []
    assert hub._feeds == set()
