"""Two daemons that share a login: who refreshes, who adopts, and what each does without the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.refreshing import credential_at
from daemon.shared_hosts import KEY, REQUEST_SECONDS, SharingFleet, SharingHost, sharing, until
from tokenward.core.grants import Condemned
from tokenward.core.lifecycle import Phase
from tokenward.core.sharing import Removal
from tokenward.daemon.household import Kept
from tokenward.daemon.sharing import RETURN_SPREAD_SECONDS
from tokenward.errors import RefreshFailed

pytestmark = pytest.mark.anyio


def due(fleet: SharingFleet, number: int = 0, *, left: float = 60.0) -> None:
    """A login that is due for its refresh, or will be."""
    fleet.put(credential_at(fleet.clock, number, left=left))


def failed(host: SharingHost) -> int:
    """How often its refresh failed in a row."""
    failure = host.mine.attempts.failure
    return failure.count if failure is not None else 0


async def test_two_are_due_one_refreshes_and_the_other_adopts(tmp_path: Path) -> None:
    """One request at the server; the other waits for the news of it, asks once, and serves the same."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a, b = await fleet.host("a"), await fleet.host("b")
        fleet.endpoint.hold()
        fleet.clock.advance(540)
        a.alarm.ring_due()
        await fleet.endpoint.arrived.wait()
        fleet.engine.asked.clear()
        b.alarm.ring_due()
        await until(lambda: fleet.engine.asked == ["claim"])
        assert (await b.served(profile=KEY, min_valid=0)).valid_for == 60
        fleet.endpoint.release()
        await until(lambda: b.is_in(Phase.READY) and b.happened("rotated") == 1)
        await until(lambda: a.is_in(Phase.READY))
        assert a.mine.credential == b.mine.credential
        assert len(fleet.endpoint.sent) == 1
        await until(lambda: fleet.engine.asked.count("read") == 2)
        assert sorted(fleet.engine.asked) == ["claim", "commit", "read", "read"]
        assert b.happened("refresh_failed") == 0


async def test_who_is_not_due_yet_hears_of_the_new_value(tmp_path: Path) -> None:
    """A refresh on one host reaches the others before they would refresh themselves."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a, b = await fleet.host("a"), await fleet.host("b")
        fleet.clock.advance(540)
        a.alarm.ring_due()
        await until(lambda: b.happened("rotated") == 1 and a.is_in(Phase.READY))
        fleet.pass_time(60)
        assert a.mine.credential == b.mine.credential
        assert len(fleet.endpoint.sent) == 1


async def test_without_the_engine_what_is_valid_is_served_and_nothing_refreshed(tmp_path: Path) -> None:
    """It says once that the engine is away; when it is back, those who failed try again, each at its moment."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a, b = await fleet.host("a"), await fleet.host("b")
        fleet.engine.go_away()
        fleet.pass_time(540)
        await until(lambda: a.is_in(Phase.BACKOFF) and b.is_in(Phase.BACKOFF))
        assert (await a.served(profile=KEY, min_valid=0)).valid_for == 60
        for failures, wait in ((2, 2.5), (3, 5.0)):  # from now on each waits for longer than the spread
            fleet.pass_time(wait)
            await until(lambda n=failures: all(failed(host) == n for host in (a, b)))  # type: ignore[misc]
        assert fleet.endpoint.sent == []
        with pytest.raises(RefreshFailed, match="the shared store is away") as refused:
            await a.served(profile=KEY, min_valid=0, newer_than=a.mine.credential.generation)  # type: ignore[union-attr]
        assert "log in" not in refused.value.hint
        await until(lambda: a.happened("shared_store_away") == 1)
        assert a.sharing.shown().trouble == "the shared store in memory was told to be away"
        fleet.engine.come_back()
        await until(lambda: a.happened("shared_store_back") == 1 and b.happened("shared_store_back") == 1)
        assert a.sharing.shown().away_since_ms is None
        fleet.pass_time(RETURN_SPREAD_SECONDS)
        await until(lambda: a.is_in(Phase.READY) and b.is_in(Phase.READY))
        assert len(fleet.endpoint.sent) == 1
        assert a.mine.credential == b.mine.credential


async def test_a_daemon_that_starts_without_the_engine_serves_its_copy(tmp_path: Path) -> None:
    """What was valid when it ended is served again, and refreshed when the engine is back."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a = await fleet.host("a")
        fleet.engine.go_away()
        await a.restart()
        assert (await a.served(profile=KEY, min_valid=0)).valid_for == 600
        await until(lambda: a.happened("shared_store_away") >= 1)


async def test_a_value_that_the_engine_could_not_take_is_saved_when_it_is_back(tmp_path: Path) -> None:
    """The holder serves it, unsaved; the others serve the old one, and get it when it is committed."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a, b = await fleet.host("a"), await fleet.host("b")
        fleet.endpoint.hold()
        fleet.clock.advance(540)
        a.alarm.ring_due()
        await fleet.endpoint.arrived.wait()
        fleet.engine.go_away()
        fleet.endpoint.release()
        await until(lambda: a.is_in(Phase.UNSAVED))
        assert (await a.served(profile=KEY, min_valid=0)).degraded == "unsaved"
        assert (await b.served(profile=KEY, min_valid=0)).valid_for == 60
        assert a.sharing._patience(10) == REQUEST_SECONDS / 4
        fleet.engine.come_back()  # and no time passes: it is before all others
        await until(lambda: a.is_in(Phase.READY) and b.happened("rotated") == 1)
        assert len(fleet.endpoint.sent) == 1


async def test_a_dead_login_is_dead_on_every_host_and_asked_once(tmp_path: Path) -> None:
    """Both say that a person must log in; a login on one of them serves both."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a, b = await fleet.host("a"), await fleet.host("b")
        fleet.endpoint.next(Condemned("invalid_grant", "revoked"))
        fleet.clock.advance(540)
        a.alarm.ring_due()
        await until(lambda: b.is_in(Phase.LOGIN_REQUIRED))
        assert a.is_in(Phase.LOGIN_REQUIRED)
        assert b.happened("login_required") == 1
        assert len(fleet.endpoint.sent) == 1
        late = await fleet.host("late")
        await until(lambda: late.is_in(Phase.LOGIN_REQUIRED))
        assert len(fleet.endpoint.sent) == 1
        new = credential_at(fleet.clock, 7, left=3600)
        await a.ward.install(KEY, new)
        await until(lambda: b.holds(new) and b.is_in(Phase.READY))
        assert a.holds(new)
        assert a.is_in(Phase.READY)


async def test_profiles_come_and_go_with_their_records(tmp_path: Path) -> None:
    """What another host shares is kept from then on; what it removes is gone, and its copy too."""
    async with sharing(tmp_path) as fleet:
        a = await fleet.host("a")
        due(fleet, left=6000)
        await until(lambda: KEY in a.ward.keepers)
        assert (await a.served(profile=KEY)).source == "shared"
        held = a.mine.credential
        assert held is not None
        fleet.engine.commit(KEY, held.generation, Removal(), holder="another host")
        await until(lambda: KEY not in a.ward.keepers)
        assert a.copies.profiles() == []
        assert a.happened("forgotten") == 1


async def test_an_engine_that_was_emptied_takes_nothing_with_it_at_once(tmp_path: Path) -> None:
    """Nobody told of a removal: it is served on for a minute, and again when it is back by then."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=6000)
        a = await fleet.host("a")
        rows = dict(fleet.engine._rows)
        fleet.engine._rows.clear()
        a.sharing.heard(None)
        await until(lambda: a.mine.lookout.absent_since is not None)
        assert (await a.served(profile=KEY)).source == "shared"
        fleet.engine._rows.update(rows)
        a.sharing.heard(None)
        await until(lambda: a.mine.lookout.absent_since is None)
        fleet.engine._rows.clear()
        a.sharing.heard(None)
        await until(lambda: a.mine.lookout.absent_since is not None)
        fleet.pass_time(61)
        await until(lambda: KEY not in a.ward.keepers)
        assert a.copies.profiles() == []


async def test_a_record_that_breaks_us_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in following one change is logged by its type, and the next change is followed."""
    async with sharing(tmp_path) as fleet:
        a = await fleet.host("a")
        there = a.of_shared

        def broken(key: str) -> Kept:
            a.of_shared = there  # type: ignore[method-assign]
            raise ValueError("its text could hold a secret")

        a.of_shared = broken  # type: ignore[method-assign]
        due(fleet, left=6000)
        await until(lambda: "ValueError" in caplog.text)
        assert "secret" not in caplog.text
        a.sharing.heard(None)
        await until(lambda: KEY in a.ward.keepers)


async def test_an_orphan_is_told(tmp_path: Path) -> None:
    """A token that came too late is an event of its profile, and counted."""
    async with sharing(tmp_path) as fleet:
        due(fleet, left=600)
        a = await fleet.host("a")
        fleet.endpoint.hold()
        fleet.clock.advance(540)
        a.alarm.ring_due()
        await fleet.endpoint.arrived.wait()
        assert fleet.record is not None
        new = credential_at(fleet.clock, 9, left=3600)
        fleet.put(new, replaced=fleet.record.value.generation)
        fleet.endpoint.release()
        await until(lambda: a.happened("orphaned") == 1)
        await until(lambda: a.holds(new))
        assert a.sharing.shown().orphans == 1
