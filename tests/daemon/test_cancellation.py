"""A refresh that may have been sent is never cut short: what was rotated is in its place afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from daemon.keeping import Keeping, turns
from daemon.refreshing import records
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from tokenward.core.credential import Credential, Secret
from tokenward.core.grants import RefreshOutcome
from tokenward.daemon.endpoint_gate import IN_FLIGHT
from tokenward.daemon.keeper import Keeper
from tokenward.errors import CallTimeout

PATIENCE = 30.0


class Moment:
    """One line of a flight: it is reached, and waits there until it is let go on.

    It may lie in a worker thread or in the event loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached = anyio.Event()
        self._go_on = threading.Event()
        self._go_on_async = anyio.Event()

    def in_thread(self) -> None:
        """The line, in a worker thread."""
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._go_on.wait(PATIENCE)

    async def in_loop(self) -> None:
        """The line, in the event loop."""
        self.reached.set()
        await self._go_on_async.wait()

    def go_on(self) -> None:
        """Let the flight go on."""
        self._go_on.set()
        self._go_on_async.set()


class StoppingEndpoint(ScriptedTokenEndpoint):
    """Rotates, and stops before or after it has done so."""

    before: Moment | None = None
    after: Moment | None = None

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """As a server that rotates."""
        if self.before is not None:
            await self.before.in_loop()
        outcome = await super().refresh(refresh)
        if self.after is not None:
            await self.after.in_loop()
        return outcome


def stop_at(line: str, home: Keeping, endpoint: StoppingEndpoint) -> Moment:
    """Let the flight stop at a line."""
    moment = Moment()
    if line == "request under way":
        endpoint.before = moment
    elif line == "rotated, not answered":
        endpoint.after = moment
    else:
        setattr(home.place, line, moment.in_thread)
    return moment


LINES = [
    "before_read",
    "before_lock",
    "before_prepare",
    "request under way",
    "rotated, not answered",
    "before_commit",
    "after_commit",
]


async def due(home: Keeping) -> tuple[Keeper, StoppingEndpoint, Credential]:
    """A keeper whose value is due."""
    endpoint = home.endpoint = StoppingEndpoint()
    held = home.credential(left=80)
    return await home.directly(held), endpoint, held


def is_whole(home: Keeping, keeper: Keeper, endpoint: StoppingEndpoint, held: Credential) -> None:
    """What was rotated is stored and held, and the journal is finished."""
    assert len(endpoint.sent) == 1
    assert endpoint.grants[0].access == home.stored().access == Secret("access-granted-1")
    assert home.stored().refresh == endpoint.grants[0].refresh
    assert keeper.credential == home.stored()
    assert records(home.directory, held) == ["mark", "answer", "stored"]
    assert not home.place.locked


@pytest.mark.parametrize("line", LINES)
async def test_a_stop_at_any_line_of_a_flight_loses_nothing(line: str, tmp_path: Path) -> None:
    """The daemon's task group is cancelled at each line of the transaction: the flight ends whole all the same."""
    async with anyio.create_task_group() as group:
        home = Keeping(tmp_path, group)
        keeper, endpoint, held = await due(home)
        moment = stop_at(line, home, endpoint)
        keeper.refresh_if_due()
        with anyio.fail_after(PATIENCE):
            await moment.reached.wait()
        group.cancel_scope.cancel()
        moment.go_on()
    is_whole(home, keeper, endpoint, held)


@pytest.mark.parametrize("line", LINES)
async def test_a_native_cancellation_of_everything_loses_nothing(line: str, tmp_path: Path) -> None:
    """``Task.cancel`` of the whole run, twice, as an impatient runner does."""
    stopped: list[tuple[Moment, Callable[[], None]]] = []
    reached = anyio.Event()

    async def run() -> None:
        async with anyio.create_task_group() as group:
            home = Keeping(tmp_path, group)
            keeper, endpoint, held = await due(home)
            moment = stop_at(line, home, endpoint)
            stopped.append((moment, lambda: is_whole(home, keeper, endpoint, held)))
            keeper.refresh_if_due()
            await moment.reached.wait()
            reached.set()
            await anyio.sleep_forever()

    whole = asyncio.get_running_loop().create_task(run())
    with anyio.fail_after(PATIENCE):
        await reached.wait()
    [(moment, check)] = stopped
    whole.cancel()
    await turns()
    whole.cancel()
    await turns()
    assert not whole.done()
    moment.go_on()
    with pytest.raises(asyncio.CancelledError):
        await whole
    check()


@pytest.mark.parametrize("line", ["request under way", "rotated, not answered", "before_commit"])
async def test_a_waiter_cancelled_at_any_line_changes_nothing(line: str, tmp_path: Path) -> None:
    """The one caller that waits hangs up: the flight ends as if it were there."""
    async with anyio.create_task_group() as group:
        home = Keeping(tmp_path, group)
        keeper, endpoint, held = await due(home)
        moment = stop_at(line, home, endpoint)
        with anyio.CancelScope() as waiter:
            group.start_soon(cancel_when_reached, moment, waiter)
            await keeper.obtain(3000, newer_than=None, patience=PATIENCE)
        assert waiter.cancelled_caught
        moment.go_on()
        with anyio.fail_after(PATIENCE):
            await keeper.settle()
        is_whole(home, keeper, endpoint, held)


async def cancel_when_reached(moment: Moment, scope: anyio.CancelScope) -> None:
    """Cancel a scope at a line of the flight."""
    await moment.reached.wait()
    scope.cancel()


@pytest.mark.parametrize("line", ["before_lock", "before_prepare", "before_commit"])
async def test_a_stop_during_a_late_write_loses_nothing(line: str, tmp_path: Path) -> None:
    """What is unsaved is being saved when the daemon is stopped: it is in its place afterwards."""
    async with anyio.create_task_group() as group:
        home = Keeping(tmp_path, group)
        keeper, endpoint, held = await due(home)
        home.place.fail_commits(1, OSError(28, "No space left on device"))
        await home.pass_time(0, keeper)
        moment = stop_at(line, home, endpoint)
        home.alarm.advance(10)
        with anyio.fail_after(PATIENCE):
            await moment.reached.wait()
        group.cancel_scope.cancel()
        moment.go_on()
    assert len(endpoint.sent) == 1
    assert home.stored() == keeper.credential
    assert home.stored().access == Secret("access-granted-1")
    assert records(home.directory, held)[-1] == "stored"


async def test_a_stop_before_anything_was_sent_sends_nothing(tmp_path: Path) -> None:
    """In the queue before the gate: the flight is given up, and its place at the gate with it."""
    async with anyio.create_task_group() as group:
        home = Keeping(tmp_path, group)
        keeper, endpoint, held = await due(home)
        async with AsyncExitStack() as taken:
            await fill(home, taken)
            keeper.refresh_if_due()
            await turns()
            group.cancel_scope.cancel()
    assert endpoint.sent == []
    assert home.stored() == held
    assert records(home.directory, held) == []
    with anyio.fail_after(PATIENCE):
        async with AsyncExitStack() as again:
            await fill(home, again)


async def fill(home: Keeping, taken: AsyncExitStack) -> None:
    """Take every place at the gate."""
    for _ in range(IN_FLIGHT):
        await taken.enter_async_context(home.gate.slot(0))


async def test_waiters_are_let_go_when_a_flight_is_given_up(tmp_path: Path) -> None:
    """A caller outside the daemon's task group does not wait for ever."""
    caught: list[BaseException] = []

    async def call(keeper: Keeper) -> None:
        try:
            await keeper.obtain(3000, newer_than=None, patience=PATIENCE)
        except Exception as error:  # noqa: BLE001 - which one is not the point here
            caught.append(error)

    async with anyio.create_task_group() as callers, AsyncExitStack() as taken:
        async with anyio.create_task_group() as group:
            home = Keeping(tmp_path, group)
            keeper, endpoint, _ = await due(home)
            home.clock.advance(81)
            await fill(home, taken)
            callers.start_soon(call, keeper)
            await turns()
            group.cancel_scope.cancel()
        assert endpoint.sent == []
    assert [type(error) for error in caught] == [CallTimeout]
