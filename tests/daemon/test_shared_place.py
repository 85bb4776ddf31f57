"""The place of a shared credential: what it promises as a place, and who may spend its refresh token when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from contracts.place import PlaceContract, found_in
from daemon.sharing import LEASE_SECONDS, PROFILE, REQUEST_SECONDS, Fleet
from fakes.machine import FakeClock
from fakes.shared_sealer import OneKeySealer
from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Found
from tokenward.core.sharing import Removal, SealedValue
from tokenward.daemon.shared_place import SharedPlace
from tokenward.daemon.shared_records import SharedNews, SharedRecords
from tokenward.ports import LocksBusy
from tokenward.ports.leases import HeldLease, KnownDead, PerhapsSpent
from tokenward.stores.memory import MemoryCredentialStore
from tokenward.stores.memory_shared import MemorySharedStore

FAR = 1e12


class _PlaceRig:
    """Another host is the owner; what it does is heard at once."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.engine = MemorySharedStore(clock.boottime)
        self.records = SharedRecords(
            self.engine, OneKeySealer(), MemoryCredentialStore(), holder="us", clock=clock
        )
        self.place = SharedPlace(PROFILE, self.records, clock=clock, request_seconds=REQUEST_SECONDS)
        self.records.look()

    def _there(self) -> str | None:
        records = self.engine.read(PROFILE)
        return records[0].value.generation if records else None

    def put(self, credential: Credential) -> None:
        self._put(OneKeySealer().seal(PROFILE, credential, None))

    def _put(self, value: SealedValue) -> None:
        self.engine.commit(PROFILE, self._there(), value, holder="them")
        self.records.look()

    def tear(self) -> None:
        self._put(SealedValue("f" * 12, "another key", b"noise"))

    def vanish(self) -> None:
        self.engine.commit(PROFILE, self._there(), Removal(), holder="them")
        self.records.look()


class TestSharedPlace(PlaceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _PlaceRig:
        """A shared place over an engine in memory."""
        return _PlaceRig()


def holder(fleet: Fleet) -> str | None:
    """Who has the lease, lapsed or not."""
    lease = fleet.record.lease
    return lease.holder if lease is not None else None


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """One login, and no host yet."""
    return Fleet(tmp_path)


def test_a_lease_is_taken_and_given_back(fleet: Fleet) -> None:
    """A claim is durable in the engine before it is ours; given back unused it leaves nothing in doubt."""
    a = fleet.host("a")
    lease = a.place.claim(fleet.first.generation, FAR)
    assert isinstance(lease, HeldLease)
    assert holder(fleet) == "a"
    lease.release()
    lease.release()
    assert holder(fleet) is None
    assert fleet.engine.asked == ["read", "claim", "release"]


def test_what_was_sent_is_left_in_doubt_until_it_is_settled(fleet: Fleet) -> None:
    """From the moment the token may leave the lease is not given back, unless it is said how that ended."""
    a = fleet.host("a")
    lease = a.place.claim(fleet.first.generation, FAR)
    assert isinstance(lease, HeldLease)
    assert lease.may_send()
    lease.release()
    assert holder(fleet) is not None
    lease.settle()
    lease.release()
    assert holder(fleet) is None


def test_a_lease_too_short_for_a_request_sends_nothing(fleet: Fleet) -> None:
    """A host that was stopped, or asleep, since its claim finds its lease too short and may not send."""
    a = fleet.host("a")
    lease = a.place.claim(fleet.first.generation, FAR)
    assert isinstance(lease, HeldLease)
    fleet.clock.suspend(LEASE_SECONDS - REQUEST_SECONDS)
    assert lease.still_owned()
    assert not lease.may_send()
    fleet.clock.suspend(REQUEST_SECONDS)
    assert not lease.still_owned()


def test_a_second_sending_that_may_not_be_leaves_the_first_in_doubt(fleet: Fleet) -> None:
    """What was sent once is not forgotten because it must not be sent again."""
    a = fleet.host("a")
    lease = a.place.claim(fleet.first.generation, FAR)
    assert isinstance(lease, HeldLease)
    assert lease.may_send()
    fleet.clock.advance(LEASE_SECONDS)
    assert not lease.may_send()
    lease.release()
    assert holder(fleet) is not None


def test_another_at_work_is_waited_for_until_the_deadline(fleet: Fleet) -> None:
    """The wait asks the engine once, at its end, and names who is at work."""
    a, b = fleet.host("a"), fleet.host("b")
    a.place.claim(fleet.first.generation, FAR)
    b.records.look()
    fleet.engine.asked.clear()
    began = fleet.clock.now
    busy = b.place.claim(fleet.first.generation, fleet.clock.monotonic() + 12)
    assert busy == LocksBusy("a is refreshing it")
    assert fleet.clock.now - began == timedelta(seconds=12)
    assert fleet.engine.asked == ["read"]


def test_a_new_value_ends_the_wait_at_once(fleet: Fleet) -> None:
    """Whoever waits goes on when it hears of the new value, and claims nothing."""
    a, b = fleet.host("a"), fleet.host("b")
    began = fleet.clock.now

    def commit() -> None:
        a.refresh()
        b.records.look(PROFILE)

    b.while_waiting = commit
    a.place.claim(fleet.first.generation, FAR)
    fleet.engine.asked.clear()
    busy = b.place.claim(fleet.first.generation, FAR)
    assert isinstance(busy, LocksBusy)
    assert b.held.generation == a.held.generation != fleet.first.generation
    assert fleet.clock.now == began


def test_of_hosts_that_come_at_once_one_claims_and_the_others_ask_once(fleet: Fleet) -> None:
    """A host that saw no lease and comes second learns from the refusal whom to wait for."""
    a, b = fleet.host("a"), fleet.host("b")
    assert isinstance(a.place.claim(fleet.first.generation, FAR), HeldLease)
    fleet.engine.asked.clear()
    busy = b.place.claim(fleet.first.generation, fleet.clock.monotonic())
    assert busy == LocksBusy("a is refreshing it")
    assert fleet.engine.asked == ["claim"]
    assert b.records.tally["conflicts"] == 1


def test_who_waited_in_vain_does_not_try_as_well(fleet: Fleet) -> None:
    """A lease that is given back with the old value in place means that the server is down: back off first."""
    a, b = fleet.host("a"), fleet.host("b")
    lease = a.place.claim(fleet.first.generation, FAR)
    assert isinstance(lease, HeldLease)

    def give_up() -> None:
        lease.release()
        b.records.look(PROFILE)

    b.while_waiting = give_up
    busy = b.place.claim(fleet.first.generation, FAR)
    assert isinstance(busy, LocksBusy)
    assert "could not" in busy.reason
    assert holder(fleet) is None
    assert isinstance(b.place.claim(fleet.first.generation, FAR), HeldLease)


def test_a_lapsed_lease_forbids_while_there_is_something_to_lose(fleet: Fleet) -> None:
    """Its holder may have spent the token: it is waited for as long again, and then one host sends it."""
    a, b = fleet.host("a"), fleet.host("b")
    a.place.claim(fleet.first.generation, FAR)
    fleet.clock.advance(LEASE_SECONDS + 1)
    doubt = b.place.claim(fleet.first.generation, FAR)
    assert isinstance(doubt, PerhapsSpent)
    assert doubt.seconds == LEASE_SECONDS
    assert "a began to refresh it 51 s ago" in doubt.reason
    fleet.clock.advance(doubt.seconds)
    assert isinstance(b.place.claim(fleet.first.generation, FAR), HeldLease)
    assert holder(fleet) == "b again"


def test_a_doubt_is_believed_of_a_fresh_word_only(fleet: Fleet) -> None:
    """A host that missed the news of a new value asks before it says that the old one is in doubt."""
    a, b = fleet.host("a"), fleet.host("b")
    a.place.claim(fleet.first.generation, FAR)
    b.records.look()
    a.refresh()
    fleet.clock.advance(LEASE_SECONDS + 1)
    assert isinstance(b.place.claim(fleet.first.generation, FAR), LocksBusy)
    assert b.held.generation == a.held.generation


def test_within_the_grace_a_lapsed_lease_is_taken_once_and_never_given_back(tmp_path: Path) -> None:
    """The server takes a spent token once more: one host may send it, and what it leaves is in doubt again."""
    fleet = Fleet(tmp_path, reuse_grace=LEASE_SECONDS)
    a, b, c = fleet.host("a"), fleet.host("b"), fleet.host("c")
    a.place.claim(fleet.first.generation, FAR)
    fleet.clock.advance(LEASE_SECONDS)
    lease = b.place.claim(fleet.first.generation, FAR)
    assert isinstance(lease, HeldLease)
    lease.release()
    assert holder(fleet) is not None
    fleet.clock.advance(1)
    assert c.place.claim(fleet.first.generation, fleet.clock.monotonic()) == LocksBusy("b is refreshing it")


def test_our_own_lease_is_ours_after_a_restart(fleet: Fleet) -> None:
    """What this host sent, its family file knows: the lease does not keep it out."""
    a = fleet.host("a")
    a.place.claim(fleet.first.generation, FAR)
    a.start()
    assert isinstance(a.place.claim(fleet.first.generation, FAR), HeldLease)


def test_what_one_host_was_told_is_dead_no_other_sends(fleet: Fleet) -> None:
    """A verdict reaches every host through the engine; a new login makes it void."""
    a, b = fleet.host("a"), fleet.host("b")
    a.place.condemn(fleet.first.generation, "invalid_grant")
    assert b.place.claim(fleet.first.generation, FAR) == KnownDead("invalid_grant")
    a.place.prepare_write().commit(fleet.first.generation, a.held.aged(granted_life=1.0))
    assert fleet.server.sent == []


def test_nobody_refreshes_while_the_engine_is_away(fleet: Fleet) -> None:
    """What is held is served on, also by a host that starts meanwhile; a claim says why it cannot be."""
    a = fleet.host("a")
    fleet.engine.go_away()
    a.start()
    assert a.held == fleet.first
    busy = a.place.claim(fleet.first.generation, FAR)
    assert isinstance(busy, LocksBusy)
    assert "the shared store is away" in busy.reason
    assert a.is_cut_off()
    assert (SharedNews.AWAY, None) in a.news
    fleet.engine.come_back()
    assert isinstance(a.place.claim(fleet.first.generation, FAR), HeldLease)
    assert not a.is_cut_off()
    assert (SharedNews.BACK, None) in a.news


def test_each_new_value_is_copied(fleet: Fleet) -> None:
    """The copy holds what the engine holds, from when it is known here."""
    a, b = fleet.host("a"), fleet.host("b")
    assert found_in(b.copies.place(PROFILE).read()) == fleet.first
    a.refresh()
    assert found_in(a.copies.place(PROFILE).read()) == a.held
    b.records.look(PROFILE)
    assert found_in(b.copies.place(PROFILE).read()) == a.held


def test_a_copy_that_cannot_be_written_costs_nothing_but_itself(fleet: Fleet) -> None:
    """The engine has the value: a full disk of ours neither loses it nor stops a refresh."""
    a = fleet.host("a")
    a.copies.place(PROFILE).fail_commits(1, OSError(28, "full"))
    a.refresh()
    assert fleet.record.value.generation == a.held.generation
    assert found_in(a.copies.place(PROFILE).read()) == fleet.first


def test_a_copy_outlives_an_engine_that_was_emptied_for_a_moment(fleet: Fleet) -> None:
    """A record that the engine misses is absent at once, and its copy goes when that has lasted."""
    a = fleet.host("a")
    fleet.engine.commit(PROFILE, fleet.first.generation, Removal(), holder="a person")
    a.records.look()
    assert a.place.read() == Absent()
    assert a.place.signature() is None
    assert a.records.profiles() == [PROFILE]
    assert isinstance(a.copies.place(PROFILE).read(), Found)
    fleet.clock.advance(60)
    a.records.look()
    assert a.records.profiles() == []
    assert a.copies.place(PROFILE).read() == Absent()


@pytest.mark.parametrize("name", ["", "no-colon", "acme:me\n", "../../x:y", "acme:" + "x" * 200])
def test_a_record_that_is_no_profiles_is_passed_over(fleet: Fleet, name: str) -> None:
    """What another host wrote there is not believed to be a name."""
    fleet.engine.commit(name, None, fleet.record.value, holder="somebody")
    assert fleet.host("a").records.profiles() == [PROFILE]


def test_a_word_that_was_overtaken_is_not_believed(fleet: Fleet) -> None:
    """Of two words that cross each other the one of the higher revision counts, whenever it comes."""
    a, b = fleet.host("a"), fleet.host("b")
    old = fleet.record
    a.refresh()
    b.records.look()
    b.records._learn(old)
    assert b.held.generation == a.held.generation
