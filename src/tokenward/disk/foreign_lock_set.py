"""Several foreign locks as one: taken in their owner's order, kept fresh by one thread, and given back together.

The problem: a program may guard one file with several lock directories. Two programs that take them one by one can
wait for each other for ever, and a lock that is held must be touched while its holder waits for a server.

Rules:
- Several locks are taken in the caller's order. If a later one is held, the earlier ones are given back before
  we wait, as their owner does, so that two programs never wait for each other.
- One thread touches all locks of a set, until none of them is ours or the set is released.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tokenward.disk.foreign_lock import Acquired, ForeignLock, Held, Refused
from tokenward.ports import LockIdentity

SHORTEST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 2.0
"""Between two tries; Claude Code waits as long, so that neither starves the other."""


class Busy(NamedTuple):
    """The deadline passed while somebody held one of the locks.

    Args:
        path: which one.
        age: seconds since it was touched; negative if that lies in the future.
        future: whether it lies further in the future than the stale time.
    """

    path: Path
    age: float
    future: bool


class RefusedBy(NamedTuple):
    """One of the locks cannot be made.

    Args:
        path: which one.
        errno: why.
    """

    path: Path
    errno: int


class HeldForeignLocks:
    """A set of locks in our hands, kept fresh by one thread until it is released.

    Args:
        locks: held ones, in the order they were taken.
        wall: Unix seconds.
        stop: what the thread waits on between two beats, and what ends it.
    """

    def __init__(self, locks: Sequence[ForeignLock], *, wall: Callable[[], float], stop: threading.Event) -> None:
        self._locks = tuple(locks)
        self._wall = wall
        self._stop = stop
        self._thread = threading.Thread(target=self._keep_fresh, name="foreign-lock-heartbeat", daemon=True)
        self._thread.start()

    @property
    def identities(self) -> Sequence[LockIdentity]:
        """What to write into the journal.

        Raises:
            RuntimeError: if they were released.
        """
        return tuple(lock.identity for lock in self._locks)

    @property
    def compromised(self) -> bool:
        """Whether a heartbeat found one of them to be no longer ours."""
        return any(lock.compromised for lock in self._locks)

    def still_owned(self) -> bool:
        """Whether every one of them is still ours, asked of the disk."""
        return all(lock.still_owned() for lock in self._locks)

    def release(self) -> None:
        """Give them back, last first; what is no longer ours is left alone. May be called at any time."""
        self._stop.set()
        self._thread.join()
        _release(self._locks)

    def _keep_fresh(self) -> None:
        interval = min(lock.heartbeat_seconds for lock in self._locks)
        while not self._stop.wait(interval):
            now = self._wall()
            alive = [lock for lock in self._locks if lock.beat(now)]
            if not alive:
                return


def _untold(_busy: Busy) -> None:
    pass


def acquire_in_order(
    locks: Sequence[ForeignLock],
    *,
    deadline_monotonic: float,
    wait: Callable[[float], None],
    monotonic: Callable[[], float],
    wall: Callable[[], float],
    random: Callable[[], float],
    new_event: Callable[[], threading.Event] = threading.Event,
    waiting: Callable[[Busy], None] = _untold,
) -> HeldForeignLocks | Busy | RefusedBy:
    """Take several locks, all or none, trying at least once and then until the deadline.

    Args:
        locks: in the order in which their owner takes them; at least one.
        deadline_monotonic: on the monotonic clock, in seconds.
        wait: sleeps for so many seconds.
        monotonic: the monotonic clock.
        wall: Unix seconds.
        random: a number in [0, 1), for the wait between two tries.
        new_event: makes what the heartbeat waits on.
        waiting: told before each wait which lock is held.
    """
    while True:
        outcome = _try_all(locks, wall)
        if outcome is None:
            try:
                return HeldForeignLocks(locks, wall=wall, stop=new_event())
            except BaseException:
                _release(locks)
                raise
        remaining = deadline_monotonic - monotonic()
        if isinstance(outcome, RefusedBy) or remaining <= 0:
            return outcome
        waiting(outcome)
        pause = SHORTEST_WAIT_SECONDS + (LONGEST_WAIT_SECONDS - SHORTEST_WAIT_SECONDS) * random()
        wait(min(pause, remaining))


def _try_all(locks: Sequence[ForeignLock], wall: Callable[[], float]) -> Busy | RefusedBy | None:
    for position, lock in enumerate(locks):
        match lock.try_acquire(wall()):
            case Acquired():
                continue
            case Held(age, future):
                _release(locks[:position])
                return Busy(lock.path, age, future)
            case Refused(reason):
                _release(locks[:position])
                return RefusedBy(lock.path, reason)
    return None


def _release(locks: Sequence[ForeignLock]) -> None:
    for lock in reversed(locks):
        lock.release()
