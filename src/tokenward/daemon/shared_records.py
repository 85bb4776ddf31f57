"""What this host knows of credentials that many hosts share: the newest word of the engine, and a copy on disk.

The problem: each request of a caller looks at its place, and a place that lies in a database would be asked a
thousand times a second; and the database may be away for hours, while tokens are valid still. So the engine is
asked when it says that something changed, what it said is kept, and each new value is kept sealed on our own disk.

Rules:
- No decision is safe because it rests on this memory: a claim and a commit are compared by the engine.
- Of two words on a record that cross each other, that of the higher revision is the newer.
- An age is counted on from when the word came, so that a lease never ends here before it ends there.
- A copy serves a daemon that starts while the engine is away; nothing is refreshed by it. It goes when the engine
  tells of a removal, or has missed the record for a while: one that was emptied by mistake takes no login with it
  at once.
- What the engine holds was written by other hosts: a record that is no profile's is passed over.
- Whoever is told of news is told in whichever thread brought them, and must not block.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum, auto
from logging import getLogger

from tokenward.core.credential import Credential
from tokenward.core.names import PROFILE_KEY
from tokenward.core.reading import GONE_AFTER_SECONDS, Absent, Found, Reading, Unreadable
from tokenward.core.sharing import (
    Claimed,
    Committed,
    Condemnation,
    Outdated,
    Removal,
    SealedValue,
    SharedRecord,
)
from tokenward.errors import StoreUnavailable
from tokenward.ports import Clock, CredentialStore
from tokenward.ports.sharing import SharedSealer, SharedStore, SharedStoreAway

log = getLogger(__name__)


class SharedNews(StrEnum):
    """What is told of the engine and its records."""

    CHANGED = auto()
    """A record came, went, or has another value or verdict."""
    AWAY = auto()
    """The engine does not answer any more."""
    BACK = auto()
    """It answers again."""
    ORPHANED = auto()
    """A value of ours came too late, and is kept beside the records."""


@dataclass(frozen=True, slots=True)
class Away:
    """Since when the engine does not answer.

    Args:
        since: aware UTC.
        reason: one line for people.
        hint: what to do, if anything is known.
    """

    since: datetime
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Seen:
    record: SharedRecord
    at: float


_KEY = re.compile(PROFILE_KEY)
Told = Callable[[SharedNews, str | None, str], None]
Pause = Callable[[threading.Condition, Callable[[], bool], float], bool]


def _untold(_news: SharedNews, _profile: str | None, _detail: str) -> None:
    pass


class SharedRecords:
    """The records of one engine, as this host knows them; safe from many threads.

    Args:
        engine: where hosts agree.
        sealer: seals what they share.
        copies: our own copies, under our own key.
        holder: the name of this host at the engine.
        clock: the machine's clocks.
        pause: waits on a condition until something is so, for so many seconds at most.
    """

    def __init__(
        self,
        engine: SharedStore,
        sealer: SharedSealer,
        copies: CredentialStore,
        *,
        holder: str,
        clock: Clock,
        pause: Pause = threading.Condition.wait_for,
    ) -> None:
        self.engine = engine
        self.holder = holder
        self.told: Told = _untold
        self.tally: Counter[str] = Counter()
        """What was asked and what came of it, by name, since the start."""
        self.away: Away | None = None
        self.moving: set[str] = set()
        """The profiles that a person is moving: who keeps them is decided by whoever moves them."""
        self._sealer = sealer
        self._copies = copies
        self._clock = clock
        self._pause = pause
        self._changed = threading.Condition()
        self._copying = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._counts: Counter[str] = Counter()
        self._copied: set[str] = set(copies.profiles())
        self._missing: dict[str, float] = {}
        self._lapsed: dict[str, tuple[int, float]] = {}

    # What is known

    def profiles(self) -> Sequence[str]:
        """The keys of all records known, sorted; also those that the engine misses since a moment."""
        with self._changed:
            return sorted({*self._seen, *self._copied})

    def record(self, profile: str) -> SharedRecord | None:
        """The newest word on a record, its lease as old as it is now."""
        with self._changed:
            seen = self._seen.get(profile)
        if seen is None or seen.record.lease is None:
            return None if seen is None else seen.record
        passed, lease = self._clock.boottime() - seen.at, seen.record.lease
        return replace(seen.record, lease=replace(lease, age=lease.age + passed, left=lease.left - passed))

    def watched(self, record: SharedRecord) -> float:
        """Seconds since we first saw this lease lapsed, while the engine answered whenever it was asked."""
        if record.lease is None or record.lease.left > 0:
            return 0.0
        now = self._clock.boottime()
        with self._changed:
            revision, since = self._lapsed.get(record.profile, (None, now))
            if revision != record.revision:
                self._lapsed[record.profile] = (record.revision, now)
                return 0.0
            return now - since

    def signature(self, profile: str) -> Hashable | None:
        """Changes with the record; None where none is known."""
        with self._changed:
            if profile in self._missing or (profile not in self._seen and profile not in self._copied):
                return None
            return self._counts[profile]

    def reading(self, profile: str) -> Reading:
        """The newest value known; until the engine has spoken of it, the copy. Never raises."""
        with self._changed:
            seen, gone = self._seen.get(profile), profile in self._missing
        if seen is not None:
            return self.open(profile, seen.record.value)
        return Absent() if gone else self._copies.place(profile).read()

    def open(self, profile: str, value: SealedValue) -> Found | Unreadable:
        """Unseal a value. Never raises."""
        try:
            return Found(self._sealer.unseal(profile, value))
        except StoreUnavailable as error:
            return Unreadable(error.cause)

    def seal(self, profile: str, credential: Credential) -> SealedValue:
        """Seal a value under the key of the one it follows, or the one that the engine names.

        Raises:
            StoreUnavailable: if the key is not here.
            SharedStoreAway: if the engine had to be asked, and does not answer.
        """
        record = self.record(profile)
        return self._sealer.seal(profile, credential, record.value if record is not None else None)

    def announce(self, profile: str, credential: Credential) -> None:
        """Have the copy of a record that is about to be made: from here on this host knows the profile as shared.

        Raises:
            OSError: if it could not be written.
        """
        self._copies.add(profile, credential)
        with self._changed:
            self._copied.add(profile)
            self._missing.pop(profile, None)
            self._counts[profile] += 1

    # What asks the engine

    def look(self, profile: str | None = None, *, was_told: bool = False) -> None:
        """Ask for one record, or for all.

        Args:
            profile: whose; None = all.
            was_told: whether the engine told of a change of this one: if it is gone, somebody removed it.

        Raises:
            SharedStoreAway: if the engine does not answer.
        """
        with self._asking("reads"):
            found = {
                record.profile: record for record in self.engine.read(profile) if _KEY.fullmatch(record.profile)
            }
        with self._changed:
            names = {profile} if profile is not None else {*found, *self._seen, *self._copied}
        for name in sorted(names):
            if name in found:
                self._learn(found[name])
            else:
                self._miss(name, is_final=was_told and profile is not None)

    def claim(self, seen: SharedRecord, *, holder: str, seconds: float) -> Claimed | Outdated:
        """Take a lease, or give it back; see ``SharedStore.claim``."""
        with self._asking("claims" if seconds else "releases"):
            answer = self.engine.claim(seen, holder=holder, seconds=seconds)
        if isinstance(answer, Outdated):
            self.tally["conflicts"] += 1
        self._hear(seen.profile, answer.record)
        return answer

    def commit(
        self, profile: str, expected: str | None, change: SealedValue | Condemnation | Removal
    ) -> Committed | Outdated:
        """Change a record; see ``SharedStore.commit``."""
        with self._asking("commits"):
            answer = self.engine.commit(profile, expected, change, holder=self.holder)
        if isinstance(answer, Outdated) and answer.orphan is not None:
            self.tally["orphans"] += 1
            self.told(SharedNews.ORPHANED, profile, answer.orphan)
        if isinstance(change, Removal) and isinstance(answer, Committed):
            self._drop(profile)
        else:
            self._hear(profile, answer.record)
        return answer

    def await_change(self, profile: str, revision: int, seconds: float) -> bool:
        """Wait for news of a record; asks nobody.

        Args:
            profile: whose record.
            revision: what we know.
            seconds: for how long at most.

        Returns:
            Whether there is another word now.
        """

        def is_other() -> bool:
            seen = self._seen.get(profile)
            return seen is None or seen.record.revision != revision

        with self._changed:
            return self._pause(self._changed, is_other, seconds)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        self.tally[what] += 1
        try:
            yield
        except SharedStoreAway as fault:
            self.tally["unanswered"] += 1
            with self._changed:
                self._lapsed.clear()
            if self.away is None:
                self.away = Away(self._clock.wall(), fault.cause, fault.hint)
                self.told(SharedNews.AWAY, None, fault.cause)
            raise
        if self.away is not None:
            self.away = None
            self.told(SharedNews.BACK, None, "")

    # What is learnt

    def _hear(self, profile: str, record: SharedRecord | None) -> None:
        if record is None:
            self._miss(profile)
        else:
            self._learn(record)

    def _learn(self, record: SharedRecord) -> None:
        name = record.profile
        with self._changed:
            known = self._seen.get(name)
            if known is not None and known.record.revision > record.revision:
                return
            self._seen[name] = _Seen(record, self._clock.boottime())
            self._missing.pop(name, None)
            is_news = known is None or _says(known.record) != _says(record)
            self._counts[name] += is_news
            self._changed.notify_all()
        if is_news:
            self._copy(name)
            self.told(SharedNews.CHANGED, name, "")

    def _copy(self, name: str) -> None:
        """Keep the newest value on our own disk; where that cannot be, only a start without the engine suffers."""
        with self._copying:
            record = self.record(name)
            opened = self.open(name, record.value) if record is not None else None
            if not isinstance(opened, Found):
                return
            try:
                there = self._copies.place(name).read()
                if isinstance(there, Unreadable):
                    self._copies.remove(name)
                if there != opened:
                    self._copies.add(name, opened.credential)
            except (OSError, StoreUnavailable) as error:
                log.warning("the copy of %s could not be written: %s", name, type(error).__name__)
                return
        with self._changed:
            self._copied.add(name)

    def _miss(self, name: str, *, is_final: bool = False) -> None:
        """The engine has no such record."""
        with self._changed:
            known = self._seen.pop(name, None) is not None
            since = self._missing.setdefault(name, self._clock.boottime())
            is_over = is_final or self._clock.boottime() - since >= GONE_AFTER_SECONDS
            self._changed.notify_all()
        if is_over:
            self._drop(name)
        elif known:
            self.told(SharedNews.CHANGED, name, "")

    def _drop(self, name: str) -> None:
        """It is gone for good: for everybody, or long enough."""
        with self._changed:
            self._seen.pop(name, None)
            self._missing.pop(name, None)
            self._changed.notify_all()
        try:
            self._copies.remove(name)
        except OSError as error:
            log.warning("the copy of %s could not be removed: %s", name, error.strerror)
        with self._changed:
            self._copied.discard(name)
        self.told(SharedNews.CHANGED, name, "")


def _says(record: SharedRecord) -> tuple[str, str | None]:
    return record.value.generation, record.condemned
