"""What one profile more costs a daemon that keeps ten thousand: counted, not timed."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import MethodType

import anyio
import pytest

from daemon.warding import Warding
from tokenward.core.classify import FailureClass
from tokenward.core.roster import Roster
from tokenward.core.selection import Candidate

MANY = 40


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Warding]:
    """A ward over a store."""
    async with anyio.create_task_group() as group:
        yield Warding(tmp_path, group)


async def test_what_never_happened_to_a_profile_takes_no_room(home: Warding) -> None:
    """No failure, flight or window, nothing prepared for callers, and no method but the one its alarm calls."""
    home.refresh_stored = True
    for number in range(MANY):
        home.log_in(f"acme:p{number:02}")
    before = _living()
    await home.fill()
    for number in range(MANY):
        home.log_in(f"acme:q{number:02}")
    await home.fill()
    more = {name for name, count in (_living() - before).items() if count >= MANY}
    assert {"Keeper", "Lookout"} <= more
    assert not more & {"Attempts", "Failure", "Flights", "Health", "Kept", "Prepared", "Event", "Lock", "Window"}
    ours = [
        each.__func__.__name__
        for each in gc.get_objects()
        if isinstance(each, MethodType) and each.__func__.__module__.startswith("tokenward.")
    ]
    assert {name for name, count in Counter(ours).items() if count >= MANY} == {"on_alarm"}


async def test_a_profile_that_is_well_has_no_entry_in_the_health_book(home: Warding) -> None:
    """Nor has one that is well again, be it that its windows were forgiven."""
    home.log_in("acme:a")
    home.log_in("acme:b")
    await home.fill()
    book = home.ward.line.health
    assert not book._healths
    book.failed("acme:a", FailureClass.OVERLOADED)
    assert book.windows("acme:a")
    assert set(book._healths) == {"acme:a"}
    book.forgive("acme:a")
    assert not book.windows("acme:a")
    assert not book._healths


async def test_at_a_start_each_is_put_in_the_order_once(home: Warding, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is known what it holds; afterwards whoever comes stands there at once, since somebody may ask."""
    placed: list[str] = []
    put = Roster.put

    def noted(roster: Roster, candidate: Candidate) -> None:
        placed.append(candidate.profile.key)
        put(roster, candidate)

    monkeypatch.setattr(Roster, "put", noted)
    for number in range(MANY):
        home.log_in(f"acme:p{number:02}")
    home.store.place("acme:vacant")
    await home.ward.keep([home.of_store(key) for key in ("acme:vacant", *home.store.profiles())])
    assert sorted(placed) == [*home.store.profiles(), "acme:vacant"]
    placed.clear()
    home.log_in("acme:later")
    await home.ward.keep_also(home.of_store("acme:later"))
    assert placed == ["acme:later"] * 2
    assert (await home.served(profile="acme:later")).profile == "acme:later"


def _living() -> Counter[str]:
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())
