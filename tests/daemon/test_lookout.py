"""The lookout: a change is heard of once, and what is no change never."""

from __future__ import annotations

import threading

import anyio
import pytest

from daemon.keeping import turns
from daemon.refreshing import HookedPlace, credential_at, nothing
from fakes.machine import FakeClock
from tokenward.core.credential import Credential
from tokenward.core.reading import GONE_AFTER_SECONDS, Absent, Found, News, Reading, Unreadable
from tokenward.daemon.lookout import READINGS, REMEMBERED_GENERATIONS, Lookout


class Scene:
    """A place, and who looks at it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.place = HookedPlace()
        self.lookout = Lookout(self.place, self.clock, anyio.CapacityLimiter(2))
        self.held: Credential | None = None
        self.at_work = False
        self.reads = 0
        self.place.before_read = self._count

    def _count(self) -> None:
        self.reads += 1

    async def look(self) -> tuple[News, Reading | None]:
        """Look once."""
        return await self.lookout.look(lambda: self.held, at_work=lambda: self.at_work)

    def absent_for(self) -> float | None:
        """Seconds since it was first seen without a file."""
        since = self.lookout.absent_since
        return None if since is None else (self.clock.now - since).total_seconds()

    def credential(self, number: int = 0, left: float = 3600) -> Credential:
        """A value."""
        return credential_at(self.clock, number, left=left)


@pytest.fixture
async def scene() -> Scene:
    """A scene; the limiter belongs to the event loop."""
    return Scene()


async def test_a_change_is_news_once(scene: Scene) -> None:
    """The first look and each change are read; what is as it was is only looked at."""
    assert scene.lookout.changed()
    assert await scene.look() == (News.NOTHING, Absent())
    assert not scene.lookout.changed()
    value = scene.credential()
    scene.place.overwrite(value)
    assert scene.lookout.changed()
    assert await scene.look() == (News.NEW_CREDENTIAL, Found(value))
    scene.held = value
    assert await scene.look() == (News.NOTHING, None)
    assert scene.reads == 2


async def test_what_was_read_ahead_is_read_no_second_time(scene: Scene) -> None:
    """It counts for the look that follows, once, and only if the place is as it was then."""
    value, newer = scene.credential(1), scene.credential(2)
    scene.place.overwrite(value)
    scene.lookout.read_ahead()
    assert await scene.look() == (News.NEW_CREDENTIAL, Found(value))
    scene.held = value
    assert (await scene.look(), scene.reads) == ((News.NOTHING, None), 1)
    scene.lookout.read_ahead()
    scene.place.overwrite(newer)
    assert (await scene.look(), scene.reads) == ((News.NEW_CREDENTIAL, Found(newer)), 3)


async def test_whether_a_look_could_find_anything(scene: Scene) -> None:
    """Before the first look, after a change, and while something is missing that was there."""
    assert scene.lookout.may_have_news()
    scene.place.overwrite(scene.credential())
    await scene.look()
    scene.held = scene.credential()
    assert not scene.lookout.may_have_news()
    scene.place.vanish()
    assert scene.lookout.may_have_news()
    await scene.look()
    assert scene.lookout.may_have_news(), "only another look finds out that it is gone for good"


async def test_a_reading_counts_only_if_the_place_stood_still(scene: Scene) -> None:
    """Changed while it is read: read again; changing for ever: unreadable, and changed at the next look too."""
    first, second = scene.credential(1), scene.credential(2)
    scene.place.overwrite(first)

    def change_once() -> None:
        if scene.reads == 1:
            scene.place.overwrite(second)

    scene.place.after_read = change_once
    assert await scene.look() == (News.NEW_CREDENTIAL, Found(second))
    assert scene.reads == 2
    scene.held, scene.reads = second, 0
    scene.place.overwrite(first)
    scene.place.after_read = lambda: scene.place.overwrite(scene.credential(9))
    judged, reading = await scene.look()
    assert judged is News.NOTHING
    assert isinstance(reading, Unreadable)
    assert scene.reads == READINGS
    assert scene.lookout.changed()
    assert scene.lookout.trouble == reading.reason


async def test_a_replaced_value_is_never_news_again(scene: Scene) -> None:
    """Whatever is held; until a person brings it back."""
    old, new = scene.credential(1), scene.credential(2)
    scene.lookout.replaced(old.generation)
    scene.place.overwrite(old)
    for held in (new, None):
        scene.held = held
        assert (await scene.look())[0] is News.NOTHING
        scene.place.overwrite(old)
    assert scene.lookout.trouble == "it holds a value that was replaced already"
    assert scene.lookout.is_over(old, new)
    scene.lookout.reinstate(old.generation)
    assert not scene.lookout.is_over(old, new)
    assert (await scene.look())[0] is News.NEW_CREDENTIAL
    assert scene.lookout.trouble is None


async def test_two_months_of_values_are_remembered(scene: Scene) -> None:
    """The oldest is forgotten first."""
    values = [scene.credential(number) for number in range(REMEMBERED_GENERATIONS + 1)]
    for value in values:
        scene.lookout.replaced(value.generation)
    assert [scene.lookout.is_over(value, None) for value in values] == [False] + [True] * REMEMBERED_GENERATIONS


async def test_an_absence_is_dated_and_looked_at_until_it_ends(scene: Scene) -> None:
    """From its first sight on; a logout after a minute; ended by whatever appears."""
    value = scene.held = scene.credential()
    scene.place.overwrite(value)
    await scene.look()
    scene.place.vanish()
    assert (await scene.look())[0] is News.NOTHING
    assert scene.absent_for() == 0
    scene.clock.advance(GONE_AFTER_SECONDS - 0.001)
    assert (await scene.look())[0] is News.NOTHING
    assert scene.absent_for() == pytest.approx(GONE_AFTER_SECONDS - 0.001)
    scene.place.tear()
    assert (await scene.look())[0] is News.NOTHING
    assert scene.absent_for() is None
    scene.place.vanish()
    await scene.look()
    assert scene.absent_for() == 0
    scene.clock.advance(GONE_AFTER_SECONDS)
    assert (await scene.look())[0] is News.LOGGED_OUT


async def test_where_nothing_is_held_nothing_can_be_absent(scene: Scene) -> None:
    """A place that was always empty is not looked at again and again."""
    await scene.look()
    assert scene.lookout.absent_since is None
    assert await scene.look() == (News.NOTHING, None)
    assert scene.reads == 1


async def test_trouble_is_told_while_it_lasts(scene: Scene) -> None:
    """What could not be read is said, until it can."""
    scene.place.tear("not whole JSON")
    await scene.look()
    assert scene.lookout.trouble == "not whole JSON"
    scene.place.overwrite(scene.credential())
    await scene.look()
    assert scene.lookout.trouble is None


async def test_while_we_write_there_nothing_is_read(scene: Scene) -> None:
    """What changes meanwhile is seen by the look after it."""
    scene.place.overwrite(scene.credential())
    scene.at_work = True
    assert await scene.look() == (News.NOTHING, None)
    assert scene.reads == 0
    assert scene.lookout.changed()
    scene.at_work = False
    assert (await scene.look())[0] is News.NEW_CREDENTIAL


async def test_a_reading_that_met_our_writing_is_forgotten_and_made_again(scene: Scene) -> None:
    """Begun before our transaction, ended within it: not judged, and not taken for seen."""
    scene.place.overwrite(scene.credential())

    def begin() -> None:
        scene.at_work = True

    scene.place.before_read = begin
    assert await scene.look() == (News.NOTHING, None)
    assert scene.lookout.changed()
    scene.at_work, scene.place.before_read = False, nothing
    assert (await scene.look())[0] is News.NEW_CREDENTIAL


async def test_what_is_held_counts_when_the_reading_is_done(scene: Scene) -> None:
    """A value that arrived by another way during the reading is not taken for new."""
    value = scene.credential()
    scene.place.overwrite(value)
    read, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        read.set()
        assert go_on.wait(30)

    scene.place.before_read = wait
    results: list[tuple[News, Reading | None]] = []

    async def look() -> None:
        results.append(await scene.look())

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await turns()
        scene.held = value
        go_on.set()
    assert results == [(News.NOTHING, Found(value))]


async def test_what_is_worse_than_what_is_held_is_looked_at_again(scene: Scene) -> None:
    """A token without a refresh token is no news while ours lives, and is when ours has ended."""
    scene.held = scene.credential(1, left=100)
    static = Credential(scene.held.kind, scene.credential(2).access)
    scene.place.overwrite(static)
    assert (await scene.look())[0] is News.NOTHING
    scene.clock.advance(100)
    assert await scene.look() == (News.NEW_CREDENTIAL, Found(static))


async def test_many_looks_at_one_change_read_it_once(scene: Scene) -> None:
    """Fifty callers after one rotation: one reading."""
    value = scene.credential()
    scene.place.overwrite(value)

    async def look() -> None:
        judged, _ = await scene.look()
        if judged is News.NEW_CREDENTIAL:
            scene.held = value

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(look)
    assert scene.reads == 1
