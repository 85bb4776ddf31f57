"""Reports of failed requests: what they set going, and what the caller is told to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from daemon.keeping import Keeping, keeping
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.freshness import FORCED_BURST, FORCED_REFILL_SECONDS
from tokenward.core.grants import Condemned, Unavailable
from tokenward.core.lifecycle import Phase
from tokenward.daemon import failure_reports
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.token_models import ReportResult


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Keeping]:
    """A household."""
    async with keeping(tmp_path) as household:
        yield household


async def report(keeper: Keeper, generation: str | None = None) -> ReportResult:
    """A caller was refused with the value held, if no other generation is named."""
    if generation is None:
        assert keeper.credential is not None
        generation = keeper.credential.generation
    return await failure_reports.renew(keeper, generation)


@pytest.mark.covers("P22")
async def test_a_401_refreshes_and_the_caller_tries_once_more(home: Keeping) -> None:
    """One request for the token that was refused; the next caller gets the new one."""
    keeper = await home.directly(home.credential())
    home.clock.advance(60)
    assert await report(keeper) == ReportResult(failure="auth", action="retry")
    assert len(home.endpoint.sent) == 1
    held, _ = await keeper.obtain(60, newer_than=None, patience=20)
    assert held.credential.access == Secret("access-granted-1")


@pytest.mark.covers("P22")
async def test_a_401_of_a_token_that_was_replaced_asks_nobody(home: Keeping) -> None:
    """The stored token differs already: it is handed out, and no request is made."""
    old = home.credential(1)
    keeper = await home.directly(old)
    home.place.overwrite(home.credential(2))
    assert await report(keeper, old.generation) == ReportResult(failure="auth", action="retry")
    assert await report(keeper, old.generation) == ReportResult(failure="auth", action="retry")
    assert home.endpoint.sent == []
    held, _ = await keeper.obtain(60, newer_than=old.generation, patience=20)
    assert held.credential.access == Secret("sk-ant-oat01-access-2")


@pytest.mark.covers("P22")
async def test_a_client_that_is_refused_for_ever_makes_no_loop(home: Keeping) -> None:
    """Each new token refused again: three refreshes, then it is told to wait, and a minute buys one more."""
    keeper = await home.directly(home.credential())
    for _ in range(FORCED_BURST):
        home.clock.advance(1)
        assert (await report(keeper)).action == "retry"
    for _ in range(5):
        told = await report(keeper)
        assert told.action == "wait"
        assert told.retry_after is not None
        assert told.retry_after <= FORCED_REFILL_SECONDS
    assert len(home.endpoint.sent) == FORCED_BURST


async def test_many_reports_of_one_generation_make_one_request(home: Keeping) -> None:
    """Thirty workers were refused with one token."""
    value = home.credential()
    keeper = await home.directly(value)
    home.clock.advance(60)
    home.endpoint.hold()
    told: list[str] = []

    async def one() -> None:
        told.append((await report(keeper, value.generation)).action)

    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(one)
        await home.endpoint.arrived.wait()
        home.endpoint.release()
    assert told == ["retry"] * 30
    assert len(home.endpoint.sent) == 1


async def test_a_server_in_trouble_means_waiting(home: Keeping) -> None:
    """The refresh failed in a way that may pass: the caller is told for how long."""
    home.endpoint.next(Unavailable("HTTP 503", 33.0))
    keeper = await home.directly(home.credential())
    assert await report(keeper) == ReportResult(failure="auth", action="wait", retry_after=33.0)


async def test_an_unsaved_value_that_was_refused_means_waiting(home: Keeping) -> None:
    """It cannot be refreshed before it is saved, and a login would not help."""
    keeper = await home.directly(home.credential())
    home.place.fail_commits(1, OSError(28, "No space left on device"))
    await report(keeper)
    assert home.phase(keeper) is Phase.UNSAVED
    told = await report(keeper)
    assert told.action == "wait"
    assert told.retry_after == 2.5


async def test_a_dead_login_means_a_login(home: Keeping) -> None:
    """The refresh token was condemned: a person is needed, now and at every further report."""
    home.endpoint.next(Condemned("invalid_grant", ""))
    keeper = await home.directly(home.credential())
    for _ in range(FORCED_BURST + 2):
        assert await report(keeper) == ReportResult(failure="auth", action="login")
    assert len(home.endpoint.sent) == 1


async def test_a_login_that_is_only_watched_means_a_login(home: Keeping) -> None:
    """We cannot renew it; what its owner wrote meanwhile is taken."""
    value = home.credential(1)
    home.place.overwrite(value)
    keeper = home.keeper(None)
    await keeper.reconcile()
    assert (await report(keeper)).action == "login"
    home.place.overwrite(home.credential(2))
    assert (await report(keeper, value.generation)).action == "retry"


async def test_a_static_credential_that_was_refused_is_marked(home: Keeping) -> None:
    """Nothing renews it: a person is told; a report of another value has no effect; new material clears it."""
    key = Credential(Kind.SETUP_TOKEN, Secret("sk-ant-oat01-x"))
    home.place.overwrite(key)
    keeper = home.keeper(None)
    await keeper.reconcile()
    assert (await report(keeper, "0" * 12)).action == "retry"
    assert home.phase(keeper) is Phase.READY
    assert await report(keeper) == ReportResult(failure="auth", action="login")
    assert home.phase(keeper) is Phase.LOGIN_REQUIRED
    assert keeper.attempts.failure is not None
    assert keeper.attempts.failure.cause == "auth"
    home.place.overwrite(Credential(Kind.SETUP_TOKEN, Secret("sk-ant-oat01-y")))
    assert (await report(keeper, key.generation)).action == "retry"
    assert home.phase(keeper) is Phase.READY


async def test_where_nothing_is_held_a_login_is_needed(home: Keeping) -> None:
    """A late report about a profile that was logged out."""
    assert (await report(home.keeper(home.direct()), "0" * 12)).action == "login"
