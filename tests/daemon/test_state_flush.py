"""When the routing state reaches the disk, and what a full one costs."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from fakes.machine import FakeClock
from fakes.manual_scheduler import ManualScheduler
from tokenward.daemon.routing_state import STATE_NAME, RoutingState, Section
from tokenward.daemon.state_flush import ALARM, FLUSH_SECONDS, RETRY_SECONDS, StateFlush
from tokenward.disk.atomic_file import replace_file

KEY = "acme:me"
WRITE = "tokenward.daemon.routing_state.replace_file"


@dataclass
class Flushing:
    """A state with its flush, and tasks that run when told."""

    path: Path
    group: TaskGroup

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.alarm = ManualScheduler(self.clock)
        self.spawned: list[Callable[[], Any]] = []
        self.state = RoutingState(self.path)
        self.flush = StateFlush(
            self.state,
            clock=self.clock,
            alarm=self.alarm,
            spawn=self.spawned.append,
            writing=anyio.CapacityLimiter(1),
        )

    async def pass_time(self, seconds: float) -> int:
        """Let time pass and the flushes it starts end; how many there were."""
        self.alarm.advance(seconds)
        spawned, self.spawned[:] = list(self.spawned), []
        for each in spawned:
            await each()
        return len(spawned)

    def on_disk(self) -> Any:
        """The section of the file that these tests write."""
        return json.loads(self.path.read_bytes())["usage"]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Flushing]:
    """A state that nobody has written yet."""
    async with anyio.create_task_group() as group:
        yield Flushing(tmp_path / STATE_NAME, group)


async def test_many_changes_are_one_write(home: Flushing) -> None:
    """Five seconds after the first of them, and the alarm is not put off by the others."""
    for number in range(4):
        home.state.put(Section.USAGE, KEY, {"n": number})
        assert await home.pass_time(1) == 0
    assert not home.path.exists()
    assert await home.pass_time(FLUSH_SECONDS - 4) == 1
    assert home.on_disk() == {KEY: {"n": 3}}
    assert home.alarm.when(ALARM) is None


async def test_under_constant_change_there_is_a_write_every_five_seconds(home: Flushing) -> None:
    """And no more than that."""
    writes = 0
    for second in range(60):
        home.state.put(Section.USAGE, KEY, {"n": second})
        writes += await home.pass_time(1)
    assert writes == 60 / FLUSH_SECONDS


async def test_a_decision_before_the_alarm_leaves_nothing_to_write(home: Flushing) -> None:
    """It took the rest with it."""
    home.state.put(Section.USAGE, KEY, {"n": 1})
    home.state.set_disabled("acme:b", disabled=True)
    assert await home.pass_time(FLUSH_SECONDS) == 0
    assert home.on_disk() == {KEY: {"n": 1}}


async def test_a_clock_set_back_holds_nothing_up(home: Flushing) -> None:
    """The alarm would ring an hour late; whoever hears of the step says so, and it is written."""
    home.state.put(Section.USAGE, KEY, {"n": 1})
    home.clock.step(-3600)
    home.flush.on_alarm()
    assert await home.pass_time(0) == 1
    assert home.on_disk() == {KEY: {"n": 1}}
    home.state.put(Section.USAGE, KEY, {"n": 2})
    assert await home.pass_time(FLUSH_SECONDS) == 1


async def test_a_full_disk_is_said_once_and_costs_nothing(
    home: Flushing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tried again every half minute, said again when it is over, and everything is written then."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.INFO), monkeypatch.context() as patched:
        patched.setattr(WRITE, full)
        home.state.put(Section.USAGE, KEY, {"n": 1})
        assert await home.pass_time(FLUSH_SECONDS) == 1
        for _ in range(3):
            assert await home.pass_time(RETRY_SECONDS) == 1
        home.state.put(Section.USAGE, "acme:b", {"n": 2})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left on device" in caplog.text
    with caplog.at_level(logging.INFO):
        assert await home.pass_time(RETRY_SECONDS) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert home.on_disk() == {KEY: {"n": 1}, "acme:b": {"n": 2}}
    with caplog.at_level(logging.INFO):
        home.state.put(Section.USAGE, KEY, {"n": 3})
        assert await home.pass_time(FLUSH_SECONDS) == 1
    assert len(caplog.records) == 2


async def test_a_value_that_json_does_not_have_ends_no_daemon(
    home: Flushing, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault of one part is said by its type, and the file stays as it was."""
    home.state.put(Section.USAGE, KEY, object())
    assert await home.pass_time(FLUSH_SECONDS) == 1
    assert "TypeError" in caplog.text
    home.state.drop(Section.USAGE, KEY)
    home.state.put(Section.USAGE, "acme:b", 1)
    assert await home.pass_time(RETRY_SECONDS) == 1
    assert home.on_disk() == {"acme:b": 1}


async def test_the_write_does_not_hold_the_loop_up(home: Flushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk hangs, other tasks run, and more can be put."""
    began, release = anyio.Event(), anyio.Event()
    really = replace_file

    def hanging(path: Path, data: bytes) -> None:
        anyio.from_thread.run_sync(began.set)
        anyio.from_thread.run(release.wait)
        really(path, data)

    monkeypatch.setattr(WRITE, hanging)
    home.state.put(Section.USAGE, KEY, {"n": 1})
    home.group.start_soon(home.flush.flush)
    with anyio.fail_after(20):
        await began.wait()
        home.state.put(Section.USAGE, KEY, {"n": 2})
        release.set()
        await home.flush.flush()
    assert home.on_disk() == {KEY: {"n": 2}}
