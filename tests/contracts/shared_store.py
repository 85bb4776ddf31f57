"""What every `ports.SharedStore` promises: subclass `SharedStoreContract` and give it a rig.

Rules: no test waits for a lease to lapse; the rig moves the engine's clock. A subscriber is waited for by what it
is told, never by time.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Protocol

import anyio
import pytest

from tokenward.core.sharing import (
    Claimed,
    Committed,
    Condemnation,
    Orphan,
    Outdated,
    Removal,
    SealedValue,
    SharedRecord,
)
from tokenward.ports.sharing import SharedStore, SharedStoreAway

ME = "acme:me"
RACERS = 8
GENEROUS_SECONDS = 60.0
"""How long a subscriber may take to be told, on a machine that does much else."""


def value(number: int = 1) -> SealedValue:
    """A sealed value; every number makes another."""
    return SealedValue(f"generation-{number}", "key-1", f"sealed {number}".encode() + b"\0\xff")


class SharedStoreRig(Protocol):
    """An engine in which nothing is at first, and the hands that move it."""

    @property
    def store(self) -> SharedStore:
        """The engine as one daemon sees it."""

    def another(self) -> SharedStore:
        """The same engine as another daemon sees it."""

    def orphans(self) -> Sequence[Orphan]:
        """What came too late, oldest first."""

    def pass_time(self, seconds: float) -> None:
        """Let the leases grow older by the engine's clock."""

    def go_away(self) -> None:
        """Let it answer nobody, and cut whoever is connected."""

    def come_back(self) -> None:
        """Let it answer again."""


def stored(store: SharedStore, number: int = 1, profile: str = ME) -> SharedRecord:
    """A first value in the engine."""
    outcome = store.commit(profile, None, value(number), holder="first")
    assert isinstance(outcome, Committed)
    assert outcome.record is not None
    return outcome.record


def the_record(store: SharedStore, profile: str = ME) -> SharedRecord:
    """The one record of a profile."""
    (record,) = store.read(profile)
    return record


def claimed(store: SharedStore, seen: SharedRecord, holder: str = "a", seconds: float = 40.0) -> SharedRecord:
    """The record, after a claim that succeeds."""
    outcome = store.claim(seen, holder=holder, seconds=seconds)
    assert isinstance(outcome, Claimed)
    return outcome.record


def race(acts: Sequence[object]) -> list[object]:
    """What each of these returns, started at once."""
    start = threading.Barrier(len(acts))
    results: list[object] = [None] * len(acts)

    def run(number: int) -> None:
        start.wait()
        results[number] = acts[number]()  # type: ignore[operator]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class SharedStoreContract:
    @pytest.fixture
    def rig(self) -> SharedStoreRig:
        """Overridden by every adapter's tests."""
        raise NotImplementedError

    # Reading and first values.

    def test_nothing_is_there_at_first(self, rig: SharedStoreRig) -> None:
        """An empty engine has no records, and says where it is."""
        assert list(rig.store.read()) == []
        assert list(rig.store.read(ME)) == []
        assert rig.store.description

    def test_a_first_value_is_seen_by_others_as_it_went(self, rig: SharedStoreRig) -> None:
        """Every byte; nobody is at work, and nothing is condemned."""
        record = stored(rig.store)
        assert record == SharedRecord(ME, record.revision, value(1))
        assert the_record(rig.another()) == record

    def test_records_are_read_sorted(self, rig: SharedStoreRig) -> None:
        """All of them, or the one that was asked for."""
        for profile in ("b:x", "a:x", "agent/a:x"):
            stored(rig.store, profile=profile)
        assert [record.profile for record in rig.store.read()] == ["a:x", "agent/a:x", "b:x"]
        assert [record.profile for record in rig.store.read("b:x")] == ["b:x"]

    def test_of_many_first_values_one_is_stored_and_the_others_are_kept(self, rig: SharedStoreRig) -> None:
        """None replaces another, and none is lost."""
        stores = [rig.another() for _ in range(RACERS)]
        outcomes = race(
            [
                lambda number=number: stores[number].commit(ME, None, value(number), holder=str(number))
                for number in range(RACERS)
            ]
        )
        assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 1
        late = [outcome for outcome in outcomes if isinstance(outcome, Outdated)]
        assert len(late) == RACERS - 1
        assert all(outcome.orphan is not None for outcome in late)
        kept = {orphan.value.generation for orphan in rig.orphans()}
        assert kept | {the_record(rig.store).value.generation} == {value(n).generation for n in range(RACERS)}

    # Claims.

    def test_a_claim_leaves_a_lease_and_raises_the_revision(self, rig: SharedStoreRig) -> None:
        """Everybody sees who is at work, for how long, and on what."""
        seen = stored(rig.store)
        record = claimed(rig.store, seen, "host-a", 40.0)
        assert record.revision > seen.revision
        assert record.value == seen.value
        there = the_record(rig.another())
        assert there.revision == record.revision
        assert there.lease is not None
        assert there.lease.holder == "host-a"
        assert 0 <= there.lease.age < 40
        assert there.lease.age + there.lease.left == pytest.approx(40.0, abs=0.01)

    def test_a_claim_on_what_changed_meanwhile_is_outdated(self, rig: SharedStoreRig) -> None:
        """Also by whoever holds the lease, and on what is gone; what is there is told, and stays."""
        seen = stored(rig.store)
        record = claimed(rig.store, seen, "a")
        for holder in ("a", "b"):
            outcome = rig.another().claim(seen, holder=holder, seconds=40)
            assert isinstance(outcome, Outdated)
            assert outcome.orphan is None
            assert outcome.record is not None
            assert outcome.record.revision == record.revision
            assert outcome.record.lease is not None
            assert outcome.record.lease.holder == "a"
        gone = SharedRecord("gone:me", 1, value(1))
        assert rig.store.claim(gone, holder="a", seconds=40) == Outdated(None)

    def test_of_many_claims_one_succeeds(self, rig: SharedStoreRig) -> None:
        """However many daemons saw the same record."""
        seen = stored(rig.store)
        stores = [rig.another() for _ in range(RACERS)]
        outcomes = race(
            [
                lambda number=number: stores[number].claim(seen, holder=str(number), seconds=40)
                for number in range(RACERS)
            ]
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, Claimed)]
        assert len(winners) == 1
        assert winners[0].record.lease is not None
        there = the_record(rig.store)
        assert there.lease is not None
        assert there.lease.holder == winners[0].record.lease.holder

    def test_a_lease_given_back_leaves_nothing_in_doubt(self, rig: SharedStoreRig) -> None:
        """Zero seconds: no lease is there, and what was seen before is outdated."""
        held = claimed(rig.store, stored(rig.store))
        record = claimed(rig.store, held, seconds=0)
        assert record.lease is None
        assert record.revision > held.revision
        assert the_record(rig.another()) == record
        assert isinstance(rig.store.claim(held, holder="b", seconds=40), Outdated)

    def test_a_lapsed_lease_stays_until_somebody_takes_it_over(self, rig: SharedStoreRig) -> None:
        """Its holder may have spent the token; the next one sees that, and may claim."""
        held = claimed(rig.store, stored(rig.store), "a", 40.0)
        rig.pass_time(41.0)
        lapsed = the_record(rig.another())
        assert lapsed.revision == held.revision
        assert lapsed.lease is not None
        assert lapsed.lease.holder == "a"
        assert lapsed.lease.left <= 0
        assert lapsed.lease.age >= 41
        taken = claimed(rig.another(), lapsed, "b", 40.0)
        assert taken.lease is not None
        assert taken.lease.holder == "b"
        assert taken.lease.age < 40
        assert taken.lease.left > 0

    # Commits.

    def test_a_commit_ends_the_lease(self, rig: SharedStoreRig) -> None:
        """The new value is there for everybody, and nobody is at work on it."""
        held = claimed(rig.store, stored(rig.store))
        outcome = rig.store.commit(ME, value(1).generation, value(2), holder="a")
        assert isinstance(outcome, Committed)
        assert outcome.record == the_record(rig.another())
        assert outcome.record == SharedRecord(ME, outcome.record.revision, value(2))
        assert outcome.record.revision > held.revision

    def test_a_late_holder_is_stored_if_nothing_replaced_what_he_sent(self, rig: SharedStoreRig) -> None:
        """His lease lapsed and another's is in force: the generation alone decides."""
        claimed(rig.store, stored(rig.store), "a")
        rig.pass_time(41.0)
        claimed(rig.another(), the_record(rig.store), "b")
        outcome = rig.store.commit(ME, value(1).generation, value(2), holder="a")
        assert isinstance(outcome, Committed)
        assert outcome.record is not None
        assert outcome.record.lease is None
        assert the_record(rig.store).value == value(2)
        assert list(rig.orphans()) == []

    def test_a_value_that_comes_too_late_is_kept_as_an_orphan(self, rig: SharedStoreRig) -> None:
        """What is there stays; what came is not lost, and is kept once however often it comes."""
        stored(rig.store)
        assert isinstance(rig.another().commit(ME, value(1).generation, value(2), holder="b"), Committed)
        there = the_record(rig.store)
        names = set()
        for _ in range(2):
            outcome = rig.store.commit(ME, value(1).generation, value(3), holder="a")
            assert isinstance(outcome, Outdated)
            assert outcome.record == there
            names.add(outcome.orphan)
        assert the_record(rig.store) == there
        (orphan,) = rig.orphans()
        assert names == {orphan.name}
        assert (orphan.profile, orphan.value, orphan.holder) == (ME, value(3), "a")
        assert orphan.age >= 0

    def test_a_value_for_a_record_that_is_gone_is_kept_as_an_orphan(self, rig: SharedStoreRig) -> None:
        """It was forgotten while a holder was at work: it does not come back by itself."""
        stored(rig.store)
        assert rig.another().commit(ME, value(1).generation, Removal(), holder="b") == Committed(None)
        outcome = rig.store.commit(ME, value(1).generation, value(2), holder="a")
        assert isinstance(outcome, Outdated)
        assert outcome.record is None
        assert outcome.orphan is not None
        assert list(rig.store.read()) == []
        assert [orphan.value for orphan in rig.orphans()] == [value(2)]

    def test_a_commit_whose_answer_was_lost_can_be_repeated(self, rig: SharedStoreRig) -> None:
        """First values, values and removals; nothing becomes an orphan."""
        for expected, number in ((None, 1), (value(1).generation, 2)):
            first = rig.store.commit(ME, expected, value(number), holder="a")
            assert isinstance(first, Committed)
            again = rig.store.commit(ME, expected, value(number), holder="a")
            assert isinstance(again, Committed)
            assert again.record is not None
            assert again.record.value == value(number)
        for _ in range(2):
            assert rig.store.commit(ME, value(2).generation, Removal(), holder="a") == Committed(None)
        assert list(rig.orphans()) == []

    def test_a_repeat_after_another_replaced_it_is_no_orphan(self, rig: SharedStoreRig) -> None:
        """It was stored, and then spent by somebody: there is nothing to keep."""
        stored(rig.store)
        for expected, number in ((1, 2), (2, 3)):
            assert isinstance(
                rig.store.commit(ME, value(expected).generation, value(number), holder="b"), Committed
            )
        outcome = rig.store.commit(ME, value(1).generation, value(2), holder="a")
        assert outcome == Outdated(the_record(rig.store))
        assert list(rig.orphans()) == []

    def test_of_many_commits_one_is_stored_and_the_others_are_kept(self, rig: SharedStoreRig) -> None:
        """What was sealed before is replaced once."""
        stored(rig.store, 100)
        stores = [rig.another() for _ in range(RACERS)]
        outcomes = race(
            [
                lambda number=number: stores[number].commit(
                    ME, value(100).generation, value(number), holder=str(number)
                )
                for number in range(RACERS)
            ]
        )
        assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 1
        kept = {orphan.value.generation for orphan in rig.orphans()}
        assert len(kept) == RACERS - 1
        assert kept | {the_record(rig.store).value.generation} == {value(n).generation for n in range(RACERS)}

    # Condemnations and removals.

    def test_a_condemnation_stays_until_a_new_value_comes(self, rig: SharedStoreRig) -> None:
        """It ends the lease; a login, or the holder who was late, replaces it."""
        held = claimed(rig.store, stored(rig.store))
        outcome = rig.store.commit(ME, value(1).generation, Condemnation("invalid_grant"), holder="a")
        assert isinstance(outcome, Committed)
        assert outcome.record is not None
        assert outcome.record == SharedRecord(ME, outcome.record.revision, value(1), None, "invalid_grant")
        assert outcome.record.revision > held.revision
        assert the_record(rig.another()) == outcome.record
        assert isinstance(rig.another().commit(ME, value(1).generation, value(2), holder="b"), Committed)
        assert the_record(rig.store).condemned is None

    def test_a_claim_keeps_what_is_condemned(self, rig: SharedStoreRig) -> None:
        """Whether to try again is decided elsewhere; a lease taken and given back forgets nothing."""
        stored(rig.store)
        rig.store.commit(ME, value(1).generation, Condemnation("invalid_grant"), holder="a")
        held = claimed(rig.store, the_record(rig.store))
        assert held.condemned == "invalid_grant"
        assert claimed(rig.store, held, seconds=0).condemned == "invalid_grant"

    def test_what_was_replaced_cannot_be_condemned_or_removed(self, rig: SharedStoreRig) -> None:
        """A verdict on a former value is outdated, and keeps nothing."""
        stored(rig.store)
        rig.store.commit(ME, value(1).generation, value(2), holder="b")
        there = the_record(rig.store)
        for change in (Condemnation("invalid_grant"), Removal()):
            assert rig.store.commit(ME, value(1).generation, change, holder="a") == Outdated(there)
        assert the_record(rig.store) == there
        assert rig.store.commit("gone:me", "g", Condemnation("dead"), holder="a") == Outdated(None)
        assert list(rig.orphans()) == []

    def test_a_record_made_again_is_not_the_one_that_was_seen(self, rig: SharedStoreRig) -> None:
        """A claim on the former one is outdated, though all else is equal."""
        seen = stored(rig.store)
        rig.store.commit(ME, value(1).generation, Removal(), holder="a")
        assert stored(rig.store).revision > seen.revision
        assert isinstance(rig.store.claim(seen, holder="a", seconds=40), Outdated)

    # The engine is away.

    def test_when_it_is_away_every_act_says_so_and_changes_nothing(self, rig: SharedStoreRig) -> None:
        """One line of cause; afterwards all is as it was."""
        seen = stored(rig.store)
        rig.go_away()
        for act in (
            rig.store.read,
            lambda: rig.store.read(ME),
            lambda: rig.store.claim(seen, holder="a", seconds=40),
            lambda: rig.store.commit(ME, value(1).generation, value(2), holder="a"),
        ):
            with pytest.raises(SharedStoreAway) as caught:
                act()
            assert caught.value.cause
            assert "\n" not in caught.value.cause
        rig.come_back()
        assert the_record(rig.store) == seen

    # Being told.

    @pytest.mark.anyio
    async def test_a_subscriber_is_told_of_what_happens(self, rig: SharedStoreRig) -> None:
        """None at the beginning; then the profile of each commit and of each lease given back, whoever did it."""
        told = _Told()
        other = rig.another()
        async with anyio.create_task_group() as group:
            group.start_soon(rig.store.subscribe, told)
            await told.until(None)
            record = await anyio.to_thread.run_sync(stored, other)
            await told.until(ME)
            held = await anyio.to_thread.run_sync(claimed, other, record)
            await anyio.to_thread.run_sync(stored, other, 1, "other:me")
            await told.until("other:me")
            await anyio.to_thread.run_sync(claimed, other, held, "a", 0)
            await told.until(ME)
            await anyio.to_thread.run_sync(
                lambda: other.commit(ME, value(1).generation, Condemnation("dead"), holder="a")
            )
            await told.until(ME)
            await anyio.to_thread.run_sync(lambda: other.commit(ME, value(1).generation, Removal(), holder="a"))
            await told.until(ME)
            group.cancel_scope.cancel()

    @pytest.mark.anyio
    async def test_a_subscriber_learns_that_the_engine_was_away(self, rig: SharedStoreRig) -> None:
        """After each time anything may have changed; and it goes on telling."""
        told = _Told()
        async with anyio.create_task_group() as group:
            group.start_soon(rig.store.subscribe, told)
            await told.until(None)
            for number in (1, 2):
                await anyio.to_thread.run_sync(rig.go_away)
                await anyio.to_thread.run_sync(rig.come_back)
                await told.until(None)
                await anyio.to_thread.run_sync(stored, rig.store, number, f"a:{number}")
                await told.until(f"a:{number}")
            group.cancel_scope.cancel()


class _Told:
    """What a subscriber was told and nobody waited for yet."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()

    def __call__(self, profile: str | None) -> None:
        self._queue.put_nowait(profile)

    async def until(self, profile: str | None) -> None:
        """Wait until this is told; what was told before it is passed over."""
        with anyio.fail_after(GENEROUS_SECONDS):
            while await self._queue.get() != profile:
                pass
