"""What is written out and cleared away beside the service, and what a disk that refuses costs."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from fakes.machine import FakeClock
from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon.audit import AuditLog
from tokenward.daemon.peer import Peer
from tokenward.daemon.tidying import PRUNE_EVERY_BEATS, Tidying
from tokenward.disk import family_file
from tokenward.disk.family_file import Mark, families_in, try_family

FAMILY = "a" * 64
SENT, NEWER = "0123456789ab", "ba9876543210"
ME = Peer(41, 1000, 1000)


class Upkeep:
    """The tidying of one daemon, whose tasks run when the test says so."""

    def __init__(self, directory: Path) -> None:
        self.families = directory / "families"
        self.file = directory / "state" / "audit.jsonl"
        self.clock = FakeClock()
        self.audit = AuditLog(self.file, self.clock)
        self.spawned: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.tidying = Tidying(
            self.families,
            self.audit,
            clock=self.clock,
            spawn=self.spawned.append,
            writing=anyio.CapacityLimiter(1),
            generation_at=lambda *_: NEWER,
        )

    async def beat(self, times: int = 1) -> int:
        """So many beats, and what they start; how many tasks that were."""
        for _ in range(times):
            self.tidying.on_beat()
        tasks, self.spawned[:] = list(self.spawned), []
        for task in tasks:
            await task()
        return len(tasks)

    def called(self) -> None:
        """Somebody calls."""
        self.audit(ME, "token.get", -32001, None)

    def leave_a_mark(self) -> None:
        """A process of ours dies in the middle of a refresh."""
        with try_family(self.families, FAMILY) as file:
            assert file is not None
            file.begin(Mark("acme:me", "/here", SENT, to_unix_milliseconds(self.clock.wall()), ()))


@pytest.fixture
def upkeep(tmp_path: Path) -> Upkeep:
    """Of a daemon that was just started."""
    (tmp_path / "state").mkdir()
    return Upkeep(tmp_path)


async def test_each_beat_writes_what_the_audit_noted(upkeep: Upkeep) -> None:
    """Once, and repeats with everything else at the end."""
    upkeep.called()
    upkeep.called()
    await upkeep.beat(2)
    lines = upkeep.file.read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["token.get"]
    await upkeep.tidying.write_audit(everything=True)
    assert len(upkeep.file.read_text().splitlines()) == 2


async def test_a_beat_without_a_call_wakes_no_thread(upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that nobody asks is left asleep."""
    woken: list[object] = []
    real = anyio.to_thread.run_sync

    async def noted(*arguments: Any, **options: Any) -> Any:
        woken.append(arguments)
        return await real(*arguments, **options)

    await upkeep.beat()  # which prunes as well
    monkeypatch.setattr(anyio.to_thread, "run_sync", noted)
    await upkeep.beat(3)
    assert woken == []
    upkeep.called()
    await upkeep.beat()
    assert len(woken) == 1


async def test_a_disk_that_refuses_the_audit_costs_a_line(
    upkeep: Upkeep, caplog: pytest.LogCaptureFixture
) -> None:
    """The service goes on, and the next beat writes again."""
    upkeep.file.parent.rmdir()
    upkeep.called()
    await upkeep.beat()
    assert "the audit could not be written: No such file or directory" in caplog.text
    upkeep.file.parent.mkdir()
    upkeep.clock.advance(3600)
    upkeep.called()
    await upkeep.tidying.write_audit(everything=True)
    assert upkeep.file.read_text() != ""


async def test_families_are_pruned_at_the_first_beat_and_from_time_to_time(upkeep: Upkeep) -> None:
    """One that has been finished for a day goes, and one that is not stays however old it is."""
    upkeep.leave_a_mark()
    upkeep.clock.advance(timedelta(days=2).total_seconds())
    assert await upkeep.beat() == 2
    assert families_in(upkeep.families) == [FAMILY]
    await upkeep.tidying.clear_left_marks()
    assert await upkeep.beat(PRUNE_EVERY_BEATS - 1) == PRUNE_EVERY_BEATS - 1
    assert families_in(upkeep.families) == [FAMILY]
    assert await upkeep.beat() == 2
    assert families_in(upkeep.families) == []


async def test_what_a_dead_process_left_is_ended_where_its_place_moved_on(upkeep: Upkeep) -> None:
    """The profile holds another value than the one that was sent."""
    upkeep.leave_a_mark()
    await upkeep.tidying.clear_left_marks()
    with try_family(upkeep.families, FAMILY) as file:
        assert file is not None
        assert file.state.finished


@pytest.mark.parametrize("work", ["clear_left_marks", "prune"])
async def test_a_directory_that_cannot_be_tidied_costs_a_line(
    upkeep: Upkeep, work: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is raised at the start nor at a beat."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(family_file, work, refuse)
    await upkeep.tidying.clear_left_marks()
    assert await upkeep.beat() == 2
    assert caplog.text.count("the families' directory could not be tidied: Read-only file system") == 1
