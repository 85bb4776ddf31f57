"""The refresh transaction among hosts: what engine and disk hold at every line, and how another host goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.place import FAR
from daemon.refreshing import Killed, records
from daemon.sharing import LEASE_SECONDS, PROFILE, Fleet, Host
from tokenward.core.credential import Credential
from tokenward.core.grants import Ambiguous, Condemned, NotSent, RefreshOutcome, Unavailable
from tokenward.core.sharing import Removal, SealedValue
from tokenward.daemon import left_answers
from tokenward.daemon.flight_results import (
    Adopted,
    Cause,
    Failed,
    Refreshed,
    Rejected,
    SaveFailed,
)
from tokenward.daemon.shared_records import SharedNews
from tokenward.errors import StoreUnavailable

LEFT = 60.0
"""Seconds of life of the first value: more than a lease."""


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """One login, and no host yet."""
    return Fleet(tmp_path)


def killed(host: Host) -> None:
    """A refresh that the host does not survive; then it starts again."""
    with pytest.raises(Killed):
        host.refresh()
    host.start()


def kill() -> None:
    """The end of the process."""
    raise Killed


def wait_in_vain(fleet: Fleet, host: Host) -> None:
    """The holder's lease lapses, and the host waits for it for as long as it must."""
    fleet.clock.advance(LEASE_SECONDS)
    doubt = host.refresh()
    assert isinstance(doubt, Failed)
    assert doubt.retry_after is not None
    fleet.clock.advance(doubt.retry_after)


def once(what: Callable[[], object]) -> Callable[[], None]:
    """The first call alone does something."""
    done: list[bool] = []

    def act() -> None:
        if not done:
            done.append(True)
            what()

    return act


# The straight line


def test_one_refreshes_and_the_other_adopts(fleet: Fleet) -> None:
    """Two hosts that are due: one request, one new value, and four questions to the engine in all."""
    a, b = fleet.host("a"), fleet.host("b")
    held = b.held
    fleet.engine.asked.clear()
    result = a.refresh()
    assert isinstance(result, Refreshed)
    assert fleet.record.value.generation == result.credential.generation
    assert fleet.record.lease is None
    assert b.transaction.refresh(held) == Adopted(result.credential)
    assert fleet.server.sent == ["sk-ant-ort01-refresh-0"]
    assert fleet.engine.asked == ["claim", "commit", "claim"]


def test_the_claim_is_in_the_engine_before_anything_is_sent(fleet: Fleet) -> None:
    """While the request is under way the lease is there for all to see, and no call to the engine is open."""
    seen = []
    fleet.server.during = lambda: seen.append((fleet.record.lease, list(fleet.engine.asked)))
    fleet.host("a").refresh()
    [(lease, asked)] = seen
    assert lease is not None
    assert lease.holder == "a"
    assert asked == ["read", "claim"]


# If the holder dies


def test_killed_after_the_claim(fleet: Fleet) -> None:
    """Nothing was sent, and only this host knows: it goes on when it starts, the others wait for the end."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.after_claim = once(kill)
    killed(a)
    assert records(a.directory / "a", fleet.first) == []
    fleet.clock.advance(LEASE_SECONDS)
    doubt = b.refresh()
    assert doubt == Failed(Cause.AMBIGUOUS, doubt.reason, retry_after=LEASE_SECONDS)
    assert isinstance(a.refresh(), Refreshed)
    assert isinstance(b.refresh(), Adopted)


def test_killed_after_the_claim_for_good(fleet: Fleet) -> None:
    """Another host refreshes when the access token has ended and it has watched the lease for long enough."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.after_claim = once(kill)
    killed(a)
    fleet.clock.advance(LEASE_SECONDS)
    assert isinstance(b.refresh(), Failed)
    assert fleet.server.sent == []
    fleet.clock.advance(LEASE_SECONDS - 1)
    assert isinstance(b.refresh(), Failed)
    assert fleet.server.sent == []
    fleet.clock.advance(1)
    assert isinstance(b.refresh(), Refreshed)


def test_a_lease_is_not_watched_while_the_engine_is_away(fleet: Fleet) -> None:
    """Its holder could not tell then: it is given as long again after that."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.after_claim = once(kill)
    killed(a)
    fleet.clock.advance(LEASE_SECONDS)
    assert isinstance(b.refresh(), Failed)
    fleet.engine.go_away()
    fleet.clock.advance(LEASE_SECONDS)
    assert isinstance(b.refresh(), Failed)
    fleet.engine.come_back()
    doubt = b.refresh()
    assert doubt == Failed(Cause.AMBIGUOUS, doubt.reason, retry_after=LEASE_SECONDS)


def test_killed_during_the_request(fleet: Fleet) -> None:
    """The mark is on its disk, the lease in the engine: neither it nor another sends the token while it lives."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.server.during = once(kill)
    killed(a)
    assert records(a.directory / "a", fleet.first) == ["mark"]
    fleet.clock.advance(LEASE_SECONDS)
    for host, wait in ((a, LEFT - LEASE_SECONDS), (b, LEASE_SECONDS)):
        doubt = host.refresh()
        assert doubt == Failed(Cause.AMBIGUOUS, doubt.reason, retry_after=wait)
    assert len(fleet.server.sent) == 1


@pytest.mark.parametrize("later", [0.0, LEASE_SECONDS + 1, LEFT + 1], ids=["at once", "lapsed", "ended"])
def test_killed_after_the_answer_was_sealed(fleet: Fleet, later: float) -> None:
    """The answer is on its disk: it is committed when the host starts, also after its lease."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.before_commit = once(kill)
    killed(a)
    fleet.clock.advance(later)
    result = a.refresh()
    assert isinstance(result, Refreshed)
    assert fleet.record.value.generation == result.credential.generation
    assert b.refresh() == Adopted(result.credential)
    assert len(fleet.server.sent) == 1


def test_killed_after_the_commit(fleet: Fleet) -> None:
    """All hosts have the new value; the one that died commits it once more, which is stored, and sends nothing."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.after_commit = once(kill)
    killed(a)
    assert fleet.record.lease is None
    assert a.held == fleet.first
    result = a.refresh()
    assert isinstance(result, Refreshed)
    assert fleet.record.value.generation == result.credential.generation
    assert b.refresh() == Adopted(result.credential)
    assert fleet.engine.orphans == []
    assert len(fleet.server.sent) == 1


def test_killed_after_the_answer_was_sealed_while_another_replaced_the_value(fleet: Fleet) -> None:
    """It starts with another's value; its own is brought, kept beside the records, and a person is told. Once."""
    fleet.server.rotate = False
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.before_commit = once(kill)
    killed(a)
    wait_in_vain(fleet, b)
    assert isinstance(b.refresh(), Refreshed)
    a.records.look()
    assert left_answers.bring(a.transaction, a.held.generation) == 1
    assert left_answers.bring(a.transaction, a.held.generation) == 0
    [orphan] = fleet.engine.orphans
    assert orphan.holder == "a"
    assert a.held == b.held


def test_what_is_left_of_the_value_held_is_left_to_its_refresh(fleet: Fleet) -> None:
    """An answer to the token that all still hold is no orphan: the flight after the start commits it."""
    a = fleet.host("a")
    fleet.engine.before_commit = once(kill)
    killed(a)
    a.records.look()
    assert left_answers.bring(a.transaction, a.held.generation) == 0
    assert isinstance(a.refresh(), Refreshed)
    assert left_answers.bring(a.transaction, a.held.generation) == 0
    assert fleet.engine.orphans == []


# If the holder is stopped, and goes on


def test_stopped_between_claim_and_request(fleet: Fleet) -> None:
    """It finds its lease too short and sends nothing: the others may have spent the token meanwhile."""
    a = fleet.host("a")
    fleet.engine.after_claim = once(lambda: fleet.clock.advance(LEASE_SECONDS))
    result = a.refresh()
    assert isinstance(result, Failed)
    assert result.cause is Cause.LOCKED
    assert fleet.server.sent == []
    assert records(a.directory / "a", fleet.first) == ["mark", "not_sent"]


def test_stopped_after_the_answer_while_nobody_replaced_the_value(fleet: Fleet) -> None:
    """A commit is fenced by the generation alone: late, it is stored."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.engine.before_commit = once(lambda: fleet.clock.advance(LEASE_SECONDS + 5))
    result = a.refresh()
    assert isinstance(result, Refreshed)
    assert b.refresh() == Adopted(result.credential)
    assert fleet.engine.orphans == []


def test_stopped_after_the_answer_while_another_replaced_the_value(fleet: Fleet) -> None:
    """Its value is kept beside the records, a person is told, and it serves what the others serve."""
    fleet.server.rotate = False
    a, b = fleet.host("a"), fleet.host("b")

    def another() -> None:
        wait_in_vain(fleet, b)
        assert isinstance(b.refresh(), Refreshed)

    fleet.engine.before_commit = once(another)
    result = a.refresh()
    assert result == Adopted(b.held)
    [orphan] = fleet.engine.orphans
    assert (orphan.profile, orphan.holder) == (PROFILE, "a")
    assert (SharedNews.ORPHANED, PROFILE) in a.news
    assert a.records.tally["orphans"] == 1


def test_a_removal_meanwhile_is_not_undone(fleet: Fleet) -> None:
    """A late value brings no login back that a person removed for all."""
    a = fleet.host("a")

    def logout() -> None:
        fleet.engine.commit(PROFILE, fleet.first.generation, Removal(), holder="a person")

    fleet.engine.before_commit = once(logout)
    result = a.refresh()
    assert isinstance(result, SaveFailed)
    assert fleet.engine.read(PROFILE) == []
    assert len(fleet.engine.orphans) == 1


# If the engine goes away


def test_the_engine_is_away_before_the_claim(fleet: Fleet) -> None:
    """Nobody refreshes without a claim."""
    a = fleet.host("a")
    fleet.engine.go_away()
    result = a.refresh()
    assert isinstance(result, Failed)
    assert result.cause is Cause.LOCKED
    assert fleet.server.sent == []


def test_the_engine_goes_away_during_the_request(fleet: Fleet) -> None:
    """The answer is sealed on our disk and served; the lease stays, and the value is committed later."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.server.during = fleet.engine.go_away
    result = a.refresh()
    assert isinstance(result, SaveFailed)
    assert result.sealed
    assert a.transaction.save(result) == result
    fleet.engine.come_back()
    assert fleet.record.lease is not None
    saved = a.transaction.save(result)
    assert saved == Refreshed(result.credential)
    assert b.refresh() == Adopted(result.credential)


def test_a_value_that_could_not_be_sealed_leaves_the_lease(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine answers, and still nobody else may send what is spent: our value is not there yet."""
    a, b = fleet.host("a"), fleet.host("b")

    def no_key(*_: object) -> SealedValue:
        raise StoreUnavailable("the fleet's key is not here", hint="")

    with monkeypatch.context() as without_key:
        without_key.setattr(a.records, "seal", no_key)
        result = a.refresh()
    assert isinstance(result, SaveFailed)
    assert fleet.record.lease is not None
    fleet.clock.advance(LEASE_SECONDS)
    assert isinstance(b.refresh(), Failed)
    assert a.transaction.save(result) == Refreshed(result.credential)
    assert len(fleet.server.sent) == 1


def test_a_commit_whose_answer_was_lost_is_repeated(fleet: Fleet) -> None:
    """What is there already counts as stored."""
    a = fleet.host("a")

    def lose() -> None:
        fleet.engine.go_away()
        fleet.engine.read(PROFILE)

    fleet.engine.after_commit = once(lose)
    result = a.refresh()
    assert isinstance(result, SaveFailed)
    fleet.engine.come_back()
    assert a.transaction.save(result) == Refreshed(result.credential)
    assert fleet.engine.orphans == []


# What the server says


@pytest.mark.parametrize(
    ("outcome", "stays"),
    [(NotSent("no route"), False), (Unavailable("503"), False), (Ambiguous("silence"), True)],
    ids=["not sent", "unavailable", "ambiguous"],
)
def test_a_lease_stays_only_where_the_token_may_be_spent(
    fleet: Fleet, outcome: RefreshOutcome, *, stays: bool
) -> None:
    """After an answer without a grant the next host may try at once; after silence it may not."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.server.script, fleet.server.rotate = [outcome], False
    assert isinstance(a.refresh(), Failed)
    assert (fleet.record.lease is not None) is stays
    fleet.clock.advance(LEASE_SECONDS)
    assert isinstance(b.refresh(), Failed if stays else Refreshed)


def test_silence_when_nothing_is_left_to_lose_is_asked_again_by_one_host_a_lease(fleet: Fleet) -> None:
    """After the end of the access token hosts take turns, and none sends while another's lease runs."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.clock.advance(LEFT)
    fleet.server.script = [Ambiguous("silence"), Ambiguous("silence")]
    assert isinstance(a.refresh(), Failed)
    b.records.look()
    result = b.refresh()
    assert isinstance(result, Failed)
    assert result.cause is Cause.LOCKED
    wait_in_vain(fleet, b)
    assert isinstance(b.refresh(), Failed)
    assert len(fleet.server.sent) == 2
    wait_in_vain(fleet, a)
    assert isinstance(a.refresh(), Rejected)


def test_a_verdict_reaches_all_and_none_asks_again(fleet: Fleet) -> None:
    """One host was told that the token is dead: the others say so too, and send nothing."""
    a, b = fleet.host("a"), fleet.host("b")
    fleet.server.script = [Condemned("invalid_grant", "revoked")]
    verdict = Rejected(fleet.first.generation, "invalid_grant: revoked")
    assert a.refresh() == verdict
    assert fleet.record.condemned == "invalid_grant: revoked"
    assert fleet.record.lease is None
    assert b.refresh() == verdict
    assert len(fleet.server.sent) == 1


def test_a_verdict_on_a_value_that_was_replaced_is_void(fleet: Fleet) -> None:
    """While the server condemned the old token, its late new one was committed: that is adopted."""
    a, b = fleet.host("a"), fleet.host("b")
    a.place.claim(fleet.first.generation, FAR)
    new = fleet.first.aged(granted_life=1.0)
    wait_in_vain(fleet, b)
    later = _another_value(new)

    def late() -> None:
        a.place.prepare_write().commit(fleet.first.generation, later)

    fleet.server.during = once(late)
    fleet.server.script = [Condemned("invalid_grant", "spent")]
    assert b.refresh() == Adopted(later)
    assert fleet.record.condemned is None


def test_a_late_value_lifts_a_verdict(fleet: Fleet) -> None:
    """The holder was stopped with the answer in hand; another was refused with the spent token meanwhile."""
    a, b = fleet.host("a"), fleet.host("b")

    def refused() -> None:
        wait_in_vain(fleet, b)
        assert isinstance(b.refresh(), Rejected)

    fleet.engine.before_commit = once(refused)
    result = a.refresh()
    assert isinstance(result, Refreshed)
    assert fleet.record.condemned is None
    b.records.look(PROFILE)
    assert b.held == result.credential


def test_a_verdict_that_cannot_be_told_is_not_taken_for_certain(fleet: Fleet) -> None:
    """Without the engine nobody can say whether the value was replaced: it is tried again (design I4)."""
    a = fleet.host("a")
    fleet.server.script = [Condemned("invalid_grant", "revoked")]
    fleet.server.during = fleet.engine.go_away
    result = a.refresh()
    assert isinstance(result, Failed)
    assert result.cause is Cause.SOURCE_UNREADABLE


def _another_value(credential: Credential) -> Credential:
    from dataclasses import replace

    from tokenward.core.credential import Secret

    return replace(credential, access=Secret("late-access"), refresh=Secret("late-refresh"))
