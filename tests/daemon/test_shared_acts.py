"""What people do with shared profiles: share, take back, log in, forget; and who is refused as too late."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.refreshing import credential_at
from daemon.shared_hosts import KEY, SharingFleet, SharingHost, sharing, until
from tokenward.core.credential import Credential
from tokenward.core.lifecycle import Phase
from tokenward.core.reading import Absent, Found
from tokenward.daemon.profile_models import ProfileAddParams
from tokenward.errors import ConfigurationFault, ProfileUnavailable, StoreUnavailable

pytestmark = pytest.mark.anyio


def login(fleet: SharingFleet, number: int = 0, *, left: float = 6000.0) -> Credential:
    """A login of some hours."""
    return credential_at(fleet.clock, number, left=left)


def own(host: SharingHost) -> Credential | None:
    """What the host's own store has under the profile's name."""
    reading = host.store.place(KEY).read()
    return reading.credential if isinstance(reading, Found) else None


async def with_own_login(fleet: SharingFleet, name: str) -> SharingHost:
    """A host that keeps a login in its own store."""
    host = SharingHost(name, fleet)
    fleet.hosts.append(host)
    host.store.add(KEY, login(fleet))
    await host.start()
    return host


async def test_a_login_is_shared_and_serves_every_host(tmp_path: Path) -> None:
    """It moves: the engine has it, the own store has it no more, and the others serve it."""
    async with sharing(tmp_path) as fleet:
        a, b = await with_own_login(fleet, "a"), await fleet.host("b")
        shown = await a.ward.share(KEY)
        assert shown.source == "shared"
        assert own(a) is None
        await until(lambda: b.holds(login(fleet)))
        assert (await a.served(profile=KEY)).token == (await b.served(profile=KEY)).token
        with pytest.raises(ProfileUnavailable, match="shared already"):
            await b.ward.share(KEY)


async def test_a_name_that_others_share_already_is_not_taken(tmp_path: Path) -> None:
    """A second login under a shared name would log the others out of theirs."""
    async with sharing(tmp_path) as fleet:
        a = await with_own_login(fleet, "a")
        other = login(fleet, 5)
        fleet.engine.notifies = False
        fleet.put(other)
        with pytest.raises(ProfileUnavailable, match="by another host already"):
            await a.ward.share(KEY)
        assert own(a) == login(fleet)
        assert fleet.record is not None
        assert fleet.record.value.generation == other.generation


async def test_sharing_without_the_engine_changes_nothing(tmp_path: Path) -> None:
    """It is the own store's still, and is served and refreshed from there."""
    async with sharing(tmp_path) as fleet:
        a = await with_own_login(fleet, "a")
        fleet.engine.go_away()
        with pytest.raises(StoreUnavailable, match="is away"):
            await a.ward.share(KEY)
        assert own(a) == login(fleet)
        assert a.mine.profile.source == "store"
        assert a.copies.profiles() == []


async def test_when_the_answer_is_lost_nothing_is_refreshed_until_it_is_known(tmp_path: Path) -> None:
    """The engine may have it: the shared name goes first, and when the engine answers it is known to."""
    async with sharing(tmp_path) as fleet:
        a, b = await with_own_login(fleet, "a"), await fleet.host("b")

        def lose() -> None:
            fleet.engine.go_away()
            fleet.engine.read(KEY)

        fleet.engine.after_commit = lose
        with pytest.raises(StoreUnavailable, match="not known"):
            await a.ward.share(KEY)
        assert a.mine.profile.source == "shared"
        assert own(a) == login(fleet)
        fleet.clock.advance(5950)
        a.alarm.ring_due()
        await until(lambda: a.is_in(Phase.BACKOFF))
        assert fleet.endpoint.sent == []
        fleet.engine.come_back()
        await until(lambda: b.holds(login(fleet, left=50)) or KEY in b.ward.keepers)
        assert (await a.ward.share(KEY)).source == "shared"
        assert own(a) is None


async def test_who_dies_before_the_commit_keeps_its_own(tmp_path: Path) -> None:
    """A copy without a record is forgotten when the engine has missed it for a while."""
    async with sharing(tmp_path) as fleet:
        a = await with_own_login(fleet, "a")
        a.copies.add(KEY, login(fleet))
        await a.restart()
        assert a.mine.profile.source == "shared"
        assert own(a) == login(fleet)
        fleet.pass_time(61)
        a.sharing.heard(None)
        await until(lambda: KEY in a.ward.keepers and a.mine.profile.source == "store")
        assert (await a.served(profile=KEY)).source == "store"


async def test_who_dies_after_the_commit_refreshes_it_once(tmp_path: Path) -> None:
    """Both have it: the shared one goes first, and the own one is never refreshed again."""
    async with sharing(tmp_path) as fleet:
        fleet.put(login(fleet, left=600))
        a = await with_own_login(fleet, "a")
        assert a.mine.profile.source == "shared"
        fleet.clock.advance(540)
        a.alarm.ring_due()
        await until(lambda: a.happened("rotated") == 1)
        assert len(fleet.endpoint.sent) == 1
        assert own(a) is not None
        await a.ward.share(KEY)
        assert own(a) is None
        assert a.is_in(Phase.READY)


async def test_a_shared_login_is_taken_back(tmp_path: Path) -> None:
    """It is this host's alone; the others have it no more."""
    async with sharing(tmp_path) as fleet:
        fleet.put(login(fleet))
        a, b = await fleet.host("a"), await fleet.host("b")
        shown = await a.ward.unshare(KEY)
        assert shown.source == "store"
        assert own(a) == login(fleet)
        assert fleet.record is None
        await until(lambda: KEY not in b.ward.keepers)
        assert a.happened("forgotten") == 0
        assert (await a.served(profile=KEY)).source == "store"


async def test_what_another_refreshes_is_not_taken_back(tmp_path: Path) -> None:
    """Its new token would be nobody's: who takes back has the lease first."""
    async with sharing(tmp_path) as fleet:
        fleet.put(login(fleet))
        a, b = await fleet.host("a"), await fleet.host("b")
        fleet.endpoint.hold()
        b.fleet.group.start_soon(b.ward.refresh, KEY)
        await fleet.endpoint.arrived.wait()
        with pytest.raises(StoreUnavailable, match="b is refreshing it"):
            await a.ward.unshare(KEY)
        assert own(a) is None
        assert fleet.record is not None
        fleet.endpoint.release()
        await until(lambda: b.happened("rotated") == 1)


async def test_forgetting_is_for_all_and_refused_to_who_saw_an_older_value(tmp_path: Path) -> None:
    """Somebody changed it since: nothing is removed; who has seen that removes it for everybody."""
    async with sharing(tmp_path) as fleet:
        fleet.put(login(fleet))
        a = await fleet.host("a")
        new = login(fleet, 4)
        fleet.engine.notifies = False
        fleet.put(new, replaced=login(fleet).generation)
        with pytest.raises(StoreUnavailable, match="changed on another host"):
            await a.ward.forget(KEY)
        assert fleet.holds(new)
        await until(lambda: a.holds(new))
        await a.ward.forget(KEY)
        assert not fleet.holds(new)
        assert KEY not in a.ward.keepers
        assert a.copies.place(KEY).read() == Absent()


async def test_a_new_login_replaces_what_is_there_for_everybody(tmp_path: Path) -> None:
    """New material for a shared profile is shared, whoever gives it and whatever was there."""
    async with sharing(tmp_path) as fleet:
        fleet.put(login(fleet))
        a, b = await fleet.host("a"), await fleet.host("b")
        new = login(fleet, 4)
        await a.ward.install(KEY, new)
        await until(lambda: b.holds(new))
        assert own(a) is None
        assert fleet.endpoint.sent == []


async def test_a_new_profile_is_shared_if_that_was_asked(tmp_path: Path) -> None:
    """``profile.add`` with ``shared`` makes the record; a name of this host's own is not taken over by it."""
    async with sharing(tmp_path) as fleet:
        a, b = await fleet.host("a"), await fleet.host("b")
        given = {
            "profile": "acme:key",
            "kind": "api_key",
            "credential": {"access_token": "sk-acme-1"},
            "shared": True,
        }
        assert (await a.ward.add(ProfileAddParams.model_validate(given))).source == "shared"
        await until(lambda: "acme:key" in b.ward.keepers)
        assert (await b.served(profile="acme:key")).token == "sk-acme-1"
        await a.ward.add(ProfileAddParams.model_validate({**given, "profile": "acme:mine", "shared": False}))
        with pytest.raises(ProfileUnavailable, match="this host's own"):
            await a.ward.add(ProfileAddParams.model_validate({**given, "profile": "acme:mine"}))


async def test_where_nothing_is_shared_that_is_said(tmp_path: Path) -> None:
    """A host without a shared store refuses, and says what to set."""
    async with sharing(tmp_path) as fleet:
        a = await with_own_login(fleet, "a")
        a.ward.household.shared = None
        with pytest.raises(ConfigurationFault, match="nothing is shared"):
            await a.ward.share(KEY)
