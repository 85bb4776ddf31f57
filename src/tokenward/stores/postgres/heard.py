"""The records that came with a notification, each good for one read.

The problem: who is told of a change reads it at once, and with him everybody else; a connection for each such
read is what a database can bear least.

Rules:
- A record is taken once, within ``FRESH_SECONDS``, and never one that is older than what this host did since: an
  act of ours on a profile forgets what was heard of it, and what is heard later is newer.
- When the connection is lost, so is what it brought. What is stale all the same is refused by the engine, which
  compares revisions and generations.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tokenward.core.sharing import SharedRecord

FRESH_SECONDS = 10.0
"""Whoever spreads the reads of many hosts does so over less."""


class Heard:
    """What was heard and not taken yet; safe from many threads.

    Args:
        monotonic: the monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._records: dict[str, tuple[float, SharedRecord]] = {}
        self._floors: dict[str, int] = {}
        self._all: tuple[float, Sequence[SharedRecord]] | None = None

    def put_all(self, records: Sequence[SharedRecord]) -> None:
        """This is all there was a moment ago."""
        with self._guard:
            self._all = (self._monotonic(), records)

    def take_all(self) -> Sequence[SharedRecord] | None:
        """All there is, if it is fresh and nothing was heard or done since."""
        with self._guard:
            heard, self._all = self._all, None
            return heard[1] if heard is not None and self._monotonic() - heard[0] < FRESH_SECONDS else None

    def put(self, record: SharedRecord) -> None:
        """This was read a moment ago."""
        with self._guard:
            self._all = None
            if record.revision >= self._floors.get(record.profile, 0):
                self._records[record.profile] = (self._monotonic(), record)

    def take(self, profile: str) -> SharedRecord | None:
        """What was heard of this profile, if it is fresh."""
        with self._guard:
            since, record = self._records.pop(profile, (0.0, None))
            return record if record is not None and self._monotonic() - since < FRESH_SECONDS else None

    def forget(self, profile: str, revision: int = 0) -> None:
        """We act on this profile, or know it at this revision."""
        with self._guard:
            self._all = None
            self._records.pop(profile, None)
            self._floors[profile] = max(revision, self._floors.get(profile, 0))

    def forget_all(self) -> None:
        """Nobody tells us what changes any more."""
        with self._guard:
            self._all = None
            self._records.clear()
