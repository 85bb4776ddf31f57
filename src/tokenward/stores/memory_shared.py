"""An engine in memory that several daemons of one process share, for tests and demonstrations.

The problem: what hosts do when they race, lapse or are cut off must be tried hundreds of times and in an exact
order, and a database has a clock of its own. This one keeps every promise of ``ports.SharedStore`` on a clock that
is given.

Rules:
- Safe from many threads. Whoever subscribes is told on the loop that it subscribed on.
- While it is away, every act raises, and nothing is told; the return is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tokenward.core.sharing import (
    Claimed,
    Committed,
    Condemnation,
    Lease,
    Orphan,
    Outdated,
    Removal,
    SealedValue,
    SharedRecord,
)
from tokenward.ports.sharing import SharedStoreAway


@dataclass(slots=True)
class _Row:
    revision: int
    value: SealedValue
    replaced: str | None = None
    holder: str | None = None
    taken: float = 0.0
    until: float = 0.0
    condemned: str | None = None


@dataclass(eq=False, slots=True)
class _Subscriber:
    changed: Callable[[str | None], None]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def tell(self, profile: str | None) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.changed, profile)


class MemorySharedStore:
    """A ``ports.SharedStore`` without an engine.

    Args:
        monotonic: the engine's clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.description = "memory"
        self._monotonic = monotonic
        self._guard = threading.RLock()
        self._rows: dict[str, _Row] = {}
        self._orphans: list[tuple[str, SealedValue, str, float]] = []
        self._revision = 0
        self._away = False
        self._subscribers: list[_Subscriber] = []

    # What ports.SharedStore promises.

    def read(self, profile: str | None = None) -> Sequence[SharedRecord]:
        """See the port."""
        with self._guard:
            self._answer()
            names = sorted(self._rows) if profile is None else [profile]
            return [record for name in names if (record := self._record(name)) is not None]

    def claim(self, seen: SharedRecord, *, holder: str, seconds: float) -> Claimed | Outdated:
        """See the port."""
        with self._guard:
            self._answer()
            row = self._rows.get(seen.profile)
            if row is None or row.revision != seen.revision:
                return Outdated(self._record(seen.profile))
            now = self._monotonic()
            row.holder, row.taken, row.until = (holder, now, now + seconds) if seconds else (None, now, now)
            row.revision = self._next_revision()
            if not seconds:
                self._tell(seen.profile)
            return Claimed(self._there(seen.profile, row))

    def commit(
        self, profile: str, expected: str | None, change: SealedValue | Condemnation | Removal, *, holder: str
    ) -> Committed | Outdated:
        """See the port."""
        with self._guard:
            self._answer()
            row = self._rows.get(profile)
            match change:
                case Removal():
                    return self._remove(profile, expected, row)
                case Condemnation(reason):
                    if row is None or row.value.generation != expected:
                        return Outdated(self._record(profile))
                    return self._become(profile, _Row(0, row.value, row.replaced, condemned=reason))
            if row is not None and row.value.generation == change.generation:
                return Committed(self._there(profile, row))
            if expected == (None if row is None else row.value.generation):
                return self._become(profile, _Row(0, change, expected))
            if row is not None and row.replaced == change.generation:
                return Outdated(self._there(profile, row))
            return Outdated(self._record(profile), self._keep(profile, change, holder))

    async def subscribe(self, changed: Callable[[str | None], None]) -> None:
        """See the port."""
        subscriber = _Subscriber(changed)
        with self._guard:
            self._subscribers.append(subscriber)
            if not self._away:
                subscriber.tell(None)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            with self._guard:
                self._subscribers.remove(subscriber)

    # What tests do to it, and look at.

    def go_away(self) -> None:
        """Answer nobody until ``come_back``."""
        with self._guard:
            self._away = True

    def come_back(self) -> None:
        """Answer again, and tell everybody that anything may have changed."""
        with self._guard:
            self._away = False
            self._tell(None)

    @property
    def orphans(self) -> Sequence[Orphan]:
        """The values that came too late, oldest first."""
        with self._guard:
            now = self._monotonic()
            return [
                Orphan(str(number), profile, value, holder, now - since)
                for number, (profile, value, holder, since) in enumerate(self._orphans, 1)
            ]

    def _answer(self) -> None:
        if self._away:
            raise SharedStoreAway("the shared store in memory was told to be away")

    def _next_revision(self) -> int:
        self._revision += 1
        return self._revision

    def _there(self, profile: str, row: _Row) -> SharedRecord:
        now = self._monotonic()
        lease = None if row.holder is None else Lease(row.holder, now - row.taken, row.until - now)
        return SharedRecord(profile, row.revision, row.value, lease, row.condemned)

    def _record(self, profile: str) -> SharedRecord | None:
        row = self._rows.get(profile)
        return None if row is None else self._there(profile, row)

    def _become(self, profile: str, row: _Row) -> Committed:
        row.revision = self._next_revision()
        self._rows[profile] = row
        self._tell(profile)
        return Committed(self._there(profile, row))

    def _remove(self, profile: str, expected: str | None, row: _Row | None) -> Committed | Outdated:
        if row is not None and row.value.generation != expected:
            return Outdated(self._there(profile, row))
        if self._rows.pop(profile, None) is not None:
            self._tell(profile)
        return Committed(None)

    def _keep(self, profile: str, value: SealedValue, holder: str) -> str:
        for number, (whose, kept, _, _) in enumerate(self._orphans, 1):
            if (whose, kept.generation) == (profile, value.generation):
                return str(number)
        self._orphans.append((profile, value, holder, self._monotonic()))
        return str(len(self._orphans))

    def _tell(self, profile: str | None) -> None:
        for subscriber in self._subscribers:
            if not self._away:
                subscriber.tell(profile)
