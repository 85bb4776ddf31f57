"""Whether a set of foreign locks is taken all or none, and kept fresh until it is given back."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from disk.lock_directories import NOW, lock_at, make_held
from tokenward.disk.foreign_lock import ForeignLock
from tokenward.disk.foreign_lock_set import Busy, HeldForeignLocks, RefusedBy, acquire_in_order
from tokenward.ports import HeldLocks


class SteppedEvent(threading.Event):
    """What a heartbeat waits on, driven beat by beat."""

    def __init__(self) -> None:
        super().__init__()
        self.intervals: list[float | None] = []
        self._waiting = threading.Semaphore(0)
        self._go = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the test instead of for the time."""
        self.intervals.append(timeout)
        self._waiting.release()
        self._go.acquire()
        return self.is_set()

    def set(self) -> None:
        """Stop the heartbeat."""
        super().set()
        self._go.release()

    def beat(self) -> None:
        """Let one interval pass, and return when its beat is done."""
        self._waiting.acquire()
        self._go.release()
        self._waiting.acquire()
        self._waiting.release()

    def last_beat(self) -> None:
        """Let one interval pass, after which the heartbeat is expected to end."""
        self._waiting.acquire()
        self._go.release()


class World:
    """Clocks that move only when they are waited on."""

    def __init__(self) -> None:
        self.wall = NOW
        self.monotonic = 1000.0
        self.waits: list[float] = []
        self.fraction = 0.5
        self.event = SteppedEvent()
        self.while_waiting: Callable[[], None] = lambda: None
        self.told: list[Busy] = []

    def wait(self, seconds: float) -> None:
        """Pass the time."""
        self.waits.append(seconds)
        self.wall += seconds
        self.monotonic += seconds
        self.while_waiting()

    def acquire(self, *locks: ForeignLock, patience: float = 12.0) -> HeldForeignLocks | Busy | RefusedBy:
        """Take locks in this world."""
        return acquire_in_order(
            locks,
            deadline_monotonic=self.monotonic + patience,
            wait=self.wait,
            monotonic=lambda: self.monotonic,
            wall=lambda: self.wall,
            random=lambda: self.fraction,
            new_event=lambda: self.event,
            waiting=self.told.append,
        )

    def acquired(self, *locks: ForeignLock) -> HeldForeignLocks:
        """Take locks that are free."""
        held = self.acquire(*locks)
        assert isinstance(held, HeldForeignLocks)
        return held


@pytest.fixture
def world() -> World:
    """A world at rest."""
    return World()


class TestSet:
    def test_is_what_the_port_asks_for(self, world: World, lock: ForeignLock) -> None:
        """The set is the port's ``HeldLocks``."""
        held: HeldLocks = world.acquired(lock)
        assert held.still_owned()
        held.release()

    def test_takes_all_in_order_and_gives_back_in_reverse(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The order is the caller's; the release is the other way round."""
        calls: list[tuple[str, str]] = []
        mkdir, rmdir = Path.mkdir, Path.rmdir

        def noted_mkdir(self: Path, mode: int = 0o777) -> None:
            calls.append(("mkdir", self.name))
            mkdir(self, mode)

        def noted_rmdir(self: Path) -> None:
            calls.append(("rmdir", self.name))
            rmdir(self)

        monkeypatch.setattr(Path, "mkdir", noted_mkdir)
        monkeypatch.setattr(Path, "rmdir", noted_rmdir)
        held = world.acquired(lock_at(tmp_path / "first"), lock_at(tmp_path / "second"))
        assert held.still_owned()
        held.release()
        assert calls == [("mkdir", "first"), ("mkdir", "second"), ("rmdir", "second"), ("rmdir", "first")]
        assert not held.still_owned()

    def test_a_held_second_lock_frees_the_first_while_waiting(self, world: World, tmp_path: Path) -> None:
        """We never wait with a lock in hand; when the second comes free, both are taken."""
        first, second = tmp_path / "first", tmp_path / "second"
        make_held(second)
        seen: list[bool] = []

        def look() -> None:
            seen.append(first.exists())
            if len(seen) == 2:
                second.rmdir()

        world.while_waiting = look
        held = world.acquired(lock_at(first), lock_at(second))
        assert seen == [False, False]
        assert world.waits == [1.5, 1.5]
        held.release()

    def test_busy_at_the_deadline(self, world: World, tmp_path: Path) -> None:
        """A lock that stays held is reported with its age, after waits of 1-2 s that end at the deadline."""
        make_held(tmp_path / "second", age=1.0)
        world.fraction = 0.25
        outcome = world.acquire(lock_at(tmp_path / "first"), lock_at(tmp_path / "second"), patience=3.0)
        assert outcome == Busy(tmp_path / "second", age=4.0, future=False)
        assert world.waits == [1.25, 1.25, 0.5]
        assert not (tmp_path / "first").exists()

    def test_busy_in_the_future(self, world: World, path: Path) -> None:
        """A future date is reported as such."""
        make_held(path, age=-600.0)
        outcome = world.acquire(lock_at(path), patience=0.0)
        assert outcome == Busy(path, age=-600.0, future=True)
        assert world.waits == []

    def test_each_wait_is_told_with_the_lock_it_is_for(self, world: World, tmp_path: Path) -> None:
        """Before each wait, with its age by then; a lock that is free is not told of."""
        free, held = lock_at(tmp_path / "free"), lock_at(tmp_path / "held")
        make_held(held.path, age=3.0)
        found = world.acquire(free, held, patience=4.0)
        assert isinstance(found, Busy)
        assert len(world.told) == len(world.waits) > 1
        assert {busy.path for busy in world.told} == {held.path}
        assert [busy.age for busy in world.told] == pytest.approx([3.0, 4.5, 6.0], abs=0.01)

    def test_a_refusal_is_not_waited_for(self, world: World, tmp_path: Path) -> None:
        """A lock that cannot be made ends the attempt at once, with the earlier locks given back."""
        outcome = world.acquire(lock_at(tmp_path / "first"), lock_at(tmp_path / "none" / "second"))
        assert outcome == RefusedBy(tmp_path / "none" / "second", errno.ENOENT)
        assert world.waits == []
        assert list(tmp_path.iterdir()) == []

    def test_an_orphan_is_stolen_when_its_time_has_come(self, world: World, path: Path) -> None:
        """A lock that becomes stale while we wait is ours."""
        make_held(path, age=58.0)
        held = world.acquired(lock_at(path))
        assert world.waits == [1.5, 1.5]
        held.release()

    def test_the_heartbeat_touches_every_lock(self, world: World, tmp_path: Path) -> None:
        """One thread touches all, as often as the most impatient owner wants."""
        slow = lock_at(tmp_path / "slow")
        quick = ForeignLock(tmp_path / "quick", stale_seconds=15.0, heartbeat_seconds=3.0)
        held = world.acquired(slow, quick)
        for _ in range(3):
            world.wall += 3.0
            world.event.beat()
            assert [(tmp_path / name).stat().st_mtime for name in ("slow", "quick")] == [world.wall] * 2
        assert set(world.event.intervals) == {3.0}
        assert held.still_owned()
        assert not held.compromised
        held.release()

    def test_the_heartbeat_goes_on_for_the_locks_that_are_left(self, world: World, tmp_path: Path) -> None:
        """One stolen lock compromises the set; the other is kept fresh until the release."""
        first, second = tmp_path / "first", tmp_path / "second"
        held = world.acquired(lock_at(first), lock_at(second))
        first.rmdir()
        first.mkdir()
        world.wall += 5
        world.event.beat()
        assert held.compromised
        assert not held.still_owned()
        assert second.stat().st_mtime == world.wall
        held.release()
        assert first.is_dir()
        assert not second.exists()

    def test_the_heartbeat_ends_when_nothing_is_left(self, world: World, lock: ForeignLock, path: Path) -> None:
        """A thread with no lock to touch is over, and the release still works."""
        held = world.acquired(lock)
        path.rmdir()
        world.event.last_beat()
        held._thread.join(10)
        assert not held._thread.is_alive()
        assert held.compromised
        held.release()
        assert not path.exists()

    def test_release_ends_the_thread_and_may_be_repeated(self, world: World, lock: ForeignLock) -> None:
        """After a release nothing touches the directory any more."""
        held = world.acquired(lock)
        held.release()
        assert not held._thread.is_alive()
        held.release()

    def test_a_thread_that_cannot_start_leaves_no_lock(
        self, world: World, lock: ForeignLock, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Locks that nobody would keep fresh are given back."""

        def fail(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            world.acquire(lock)
        assert not path.exists()
