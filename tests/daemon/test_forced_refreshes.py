"""Forced refreshes are drawn from a bucket a login has, wherever it lies and however often it was rotated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.warding import Warding, warding
from fakes.machine import FakeClock
from tokenward.core.freshness import FORCED_BURST, FORCED_REFILL_SECONDS
from tokenward.daemon.forced_refreshes import ForcedRefreshBuckets
from tokenward.daemon.profile_models import ProfileListParams
from tokenward.errors import RefreshFailed

ME = "acme:me"
TWIN = "acme:twin"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def buckets(clock: FakeClock) -> ForcedRefreshBuckets:
    """Buckets under test."""
    return ForcedRefreshBuckets(clock)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Warding]:
    """A household whose stored logins are refreshed by us."""
    async with warding(tmp_path) as household:
        household.refresh_stored = True
        yield household


def empty(buckets: ForcedRefreshBuckets, family: str = "one") -> None:
    """Draw until nothing is left."""
    for _ in range(FORCED_BURST):
        buckets.draw(family, ME)


def test_a_bucket_holds_three_and_gains_one_a_minute(buckets: ForcedRefreshBuckets, clock: FakeClock) -> None:
    """Empty, it says in how many seconds one is there; drawing in vain costs nothing."""
    empty(buckets)
    clock.advance(20)
    for _ in range(3):
        with pytest.raises(RefreshFailed, match="too many forced refreshes of acme:me") as refused:
            buckets.draw("one", ME)
        assert refused.value.details["retry_after"] == pytest.approx(FORCED_REFILL_SECONDS - 20, abs=1)
    buckets.draw("another", ME)
    clock.suspend(FORCED_REFILL_SECONDS - 20)
    buckets.draw("one", ME)
    clock.advance(100 * FORCED_REFILL_SECONDS)
    empty(buckets)
    with pytest.raises(RefreshFailed):
        buckets.draw("one", ME)


def test_a_rotation_takes_the_bucket_along(buckets: ForcedRefreshBuckets) -> None:
    """Who holds the old refresh token still draws from the same one as who holds the new."""
    buckets.draw("one", ME)
    buckets.follow("one", "two")
    buckets.draw("two", ME)
    buckets.draw("one", TWIN)
    for family in ("one", "two"):
        with pytest.raises(RefreshFailed):
            buckets.draw(family, ME)


def test_what_is_full_is_forgotten(buckets: ForcedRefreshBuckets, clock: FakeClock) -> None:
    """A login is rotated for years: no name of a family is kept for ever."""
    buckets.follow("never drawn", "from")
    empty(buckets)
    clock.advance(FORCED_BURST * FORCED_REFILL_SECONDS)
    buckets.follow("one", "two")
    buckets.draw("three", ME)
    assert buckets._buckets.keys() == {"three"}


async def test_one_login_in_two_places_has_one_bucket(home: Warding) -> None:
    """Else a program that rejects good tokens by both names would rotate it twice as often."""
    for key in (ME, TWIN):
        home.store.place(key).overwrite(home.credential())
    await home.fill()
    for turn in range(FORCED_BURST):
        home.clock.advance(1)
        await home.ward.refresh((ME, TWIN)[turn % 2])
    for key in (ME, TWIN):
        with pytest.raises(RefreshFailed, match="too many forced refreshes"):
            await home.ward.refresh(key)
    assert len(home.endpoint.sent) == 2, "the twin's turn found the answer that the other one got"
    home.clock.advance(FORCED_REFILL_SECONDS)
    await home.ward.refresh(TWIN)
    assert home.endpoint.reuse_detected == 0


async def test_a_reload_fills_no_bucket(home: Warding) -> None:
    """The keepers are made anew, and the login is the same."""
    home.log_in(ME)
    await home.fill()
    for _ in range(FORCED_BURST):
        home.clock.advance(1)
        await home.ward.refresh(ME)
    before = home.ward.keepers[ME]
    before.made_of = ("of something else",)
    await home.fill()
    assert home.ward.keepers[ME] is not before
    with pytest.raises(RefreshFailed, match="too many forced refreshes"):
        await home.ward.refresh(ME)
    assert [shown.phase for shown in home.ward.profiles(ProfileListParams())] == ["ready"]
