"""What a collector reads: right numbers under names that stay, and never a word from outside."""

from __future__ import annotations

from pathlib import Path
from shutil import which

import anyio
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from daemon.keeping import settled
from daemon.served import answered_by
from daemon.warding import Warding, warding
from fakes.shared_sealer import OneKeySealer
from tokenward.core.grants import Unavailable
from tokenward.core.lifecycle import Phase
from tokenward.core.notices import Kind
from tokenward.daemon import exposition
from tokenward.daemon.daemon_models import DaemonStatusResult, MetricsParams
from tokenward.daemon.metrics import Family, Watched, families
from tokenward.daemon.notices import Notices
from tokenward.daemon.pace import Pace
from tokenward.daemon.profile_models import ProfileListParams
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.shared_records import SharedRecords
from tokenward.daemon.token_models import ReportParams
from tokenward.errors import ConfigurationFault
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.memory import MemoryCredentialStore
from tokenward.stores.memory_shared import MemorySharedStore

PROMTOOL = which("promtool")
LABELS = {"profile": "acme:me", "provider": "acme", "agent": "main"}


def looked_at(
    household: Warding, *, store_trouble: str | None = None, server: RpcServer | None = None
) -> list[Family]:
    """The families of a ward."""
    notices = Notices(
        household.ward.keepers,
        household.ward.household.routing,
        clock=household.clock,
        locked=lambda: None,
        spawn=household.group.start_soon,
        platform="linux",
    )
    notices.told[Kind.UNSAVED] += 2
    status = DaemonStatusResult(
        version="1.2",
        pid=1,
        started_at_ms=5000,
        uptime=1.0,
        socket="/s",
        state_directory="/d",
        config=None,
        config_error=None,
        store_key="file",
        store_trouble=store_trouble,
        connections=3,
        subscribers=2,
        profiles=household.ward.profiles(ProfileListParams()),
    )
    shared = household.ward.household.shared
    watched = Watched(household.ward.keepers, household.ward.broker, household.hub, notices, server, shared)
    return families(watched, status)


def value(found: list[Family], name: str, **labels: str) -> float:
    """The value of one sample, which must be there once."""
    [family] = [each for each in found if each.name == name]
    [one] = [number for of, number in family.samples if dict(of) == labels]
    return one


def share_nothing(household: Warding) -> SharedRecords:
    """Have it share through an engine in which nothing is yet."""
    shared = SharedRecords(
        MemorySharedStore(household.clock.boottime),
        OneKeySealer(),
        MemoryCredentialStore(),
        holder="here",
        clock=household.clock,
    )
    household.ward.household.shared = shared
    return shared


async def failing(household: Warding) -> None:
    """A profile whose refresh failed once, with 60 s left."""
    household.refresh_stored = True
    household.endpoint.next(Unavailable("it answered 503"))
    household.log_in("acme:me", left=60.0)
    await household.fill()
    keeper = household.ward.keepers["acme:me"]
    keeper.refresh_if_due()
    await settled(keeper)


async def test_a_profile_in_numbers(tmp_path: Path) -> None:
    """Its phase, its life, what failed: as ``status`` has it."""
    async with warding(tmp_path) as household:
        await failing(household)
        found = looked_at(household)
        end = household.clock.now.timestamp() + 60.0
    phases = {phase: value(found, "tokenward_profile_phase", **LABELS, phase=phase) for phase in Phase}
    assert [phase for phase, one in phases.items() if one] == [Phase.BACKOFF]
    assert value(found, "tokenward_profile_usable", **LABELS) == 1
    assert value(found, "tokenward_profile_refresh_failures", **LABELS) == 1
    assert value(found, "tokenward_token_remaining_seconds", **LABELS) == pytest.approx(60.0)
    assert value(found, "tokenward_token_expiry_timestamp_seconds", **LABELS) == pytest.approx(end)


async def test_refreshes_are_counted_by_their_end(tmp_path: Path) -> None:
    """One that failed, then one that went well; each outcome that did not happen is there with 0."""
    async with warding(tmp_path) as household:
        await failing(household)
        keeper = household.ward.keepers["acme:me"]
        household.clock.advance(50.0)
        keeper.refresh_if_due()
        await settled(keeper)
        found = looked_at(household)
    [family] = [each for each in found if each.name == "tokenward_refreshes"]
    counted = {labels["outcome"]: number for labels, number in family.samples}
    assert counted.pop("failed") == 1
    assert counted.pop("refreshed") == 1
    assert len(counted) == 5
    assert set(counted.values()) == {0}


async def test_windows_are_counted_by_kind_and_reason(tmp_path: Path) -> None:
    """What callers reported; a profile without a window has no sample."""
    async with warding(tmp_path) as household:
        household.log_in("acme:me")
        household.log_in("acme:you")
        await household.fill()
        credential = household.ward.keepers["acme:me"].credential
        assert credential is not None
        await household.ward.report(ReportParams(profile="acme:me", generation=credential.generation, status=429))
        found = looked_at(household)
    assert value(found, "tokenward_profile_windows", **LABELS, kind="cooldown", reason="rate_limit") == 1
    [family] = [each for each in found if each.name == "tokenward_profile_windows"]
    assert len(family.samples) == 1


async def test_a_login_that_ends_and_one_that_does_not(tmp_path: Path) -> None:
    """What is unknown has no sample, rather than a zero that would raise an alarm."""
    async with warding(tmp_path) as household:
        household.log_in("acme:me")
        await household.fill()
        found = looked_at(household)
    [family] = [each for each in found if each.name == "tokenward_login_end_timestamp_seconds"]
    assert family.samples == ()


async def test_the_daemon_in_numbers(tmp_path: Path) -> None:
    """Connections, trouble, and what people were told."""
    async with warding(tmp_path) as household:
        fine, troubled = looked_at(household), looked_at(household, store_trouble="locked")
    assert (value(fine, "tokenward_store_trouble"), value(troubled, "tokenward_store_trouble")) == (0, 1)
    assert (value(fine, "tokenward_connections"), value(fine, "tokenward_subscribers")) == (3, 2)
    assert value(fine, "tokenward_notices", event="unsaved") == 2
    assert value(fine, "tokenward_notices", event="login_required") == 0
    assert value(fine, "tokenward_start_timestamp_seconds") == 5.0


async def test_calls_are_counted_by_their_way_and_result(tmp_path: Path) -> None:
    """What the lane answered is ``ok`` but for what it had to mark."""
    async with warding(tmp_path) as household:
        server = RpcServer(*answered_by(household.ward), clock=household.clock, pace=Pace(household.clock))
        server._lane.answered = 10
        household.ward.broker.degraded["short"] = 3
        server.calls["token.get", "LoginRequired"] = 2
        server.pace.refused = 5
        found = looked_at(household, server=server)
    assert value(found, "tokenward_calls_refused") == 5
    [family] = [each for each in found if each.name == "tokenward_calls"]
    assert {tuple(labels.values()): number for labels, number in family.samples} == {
        ("token.get", "lane", "ok"): 7,
        ("token.get", "lane", "short"): 3,
        ("token.get", "dispatcher", "LoginRequired"): 2,
    }


async def test_no_label_holds_what_came_from_outside(tmp_path: Path) -> None:
    """The reason of a failure is a server's text; labels are the names of what is kept, and our own words."""
    async with warding(tmp_path) as household:
        await failing(household)
        credential = household.ward.keepers["acme:me"].credential
        page = await exposition.page(looked_at(household), exposition.OPENMETRICS)
    assert credential is not None
    assert credential.refresh is not None
    for secret in ("503", credential.access.reveal(), credential.refresh.reveal(), credential.generation):
        assert secret not in page.text


class TestText:
    """The formats, judged by those who read them."""

    async def test_openmetrics_is_read_by_its_parser(self, tmp_path: Path) -> None:
        """Every family has its type and a sentence, and the page its end."""
        async with warding(tmp_path) as household:
            await failing(household)
            page = await exposition.page(looked_at(household), exposition.OPENMETRICS)
        assert page.content_type.startswith("application/openmetrics-text")
        assert page.text.endswith("# EOF\n")
        parsed = text_string_to_metric_families(page.text)  # type: ignore[no-untyped-call] # it has no types
        read = {family.name: family for family in parsed}
        assert read["tokenward_refreshes"].type == "counter"
        assert read["tokenward_token_remaining_seconds"].unit == "seconds"
        assert all(family.documentation.endswith(".") for family in read.values())

    @pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
    async def test_the_older_text_has_nothing_that_promtool_minds(self, tmp_path: Path) -> None:
        """As node_exporter reads it: ``promtool check metrics`` finds no fault."""
        async with warding(tmp_path) as household:
            await failing(household)
            page = await exposition.page(looked_at(household), "")
        assert PROMTOOL is not None
        done = await anyio.run_process([PROMTOOL, "check", "metrics"], input=page.text.encode(), check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    async def test_by_rpc(self, tmp_path: Path) -> None:
        """Either text, with its type."""
        async with warding(tmp_path) as household:
            household.ward.household.metrics = lambda: looked_at(household)
            new = await household.ward.metrics(MetricsParams())
            old = await household.ward.metrics(MetricsParams(format="prometheus"))
        assert new.content_type.startswith("application/openmetrics-text")
        assert old.content_type.startswith("text/plain; version=0.0.4")
        assert "tokenward_build_info" in new.text
        assert "# EOF" not in old.text

    async def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is said what to install."""
        monkeypatch.setattr(exposition, "find_spec", lambda _: None)
        with pytest.raises(ConfigurationFault) as fault:
            await exposition.page([], "")
        assert "tokenward[metrics]" in fault.value.hint


async def test_a_shared_store_is_counted(tmp_path: Path) -> None:
    """Whether it answers, and what it was asked; nothing is said of one where nothing is shared."""
    async with warding(tmp_path) as household:
        assert not [each for each in looked_at(household) if each.name.startswith("tokenward_shared_store")]
        shared = share_nothing(household)
        shared.look()
        assert value(looked_at(household), "tokenward_shared_store_up") == 1
        assert value(looked_at(household), "tokenward_shared_store_questions", kind="reads") == 1
        assert value(looked_at(household), "tokenward_shared_store_unanswered") == 0
        engine = shared.engine
        assert isinstance(engine, MemorySharedStore)
        engine.go_away()
        with pytest.raises(SharedStoreAway):
            shared.look()
        assert value(looked_at(household), "tokenward_shared_store_up") == 0
        assert value(looked_at(household), "tokenward_shared_store_unanswered") == 1
