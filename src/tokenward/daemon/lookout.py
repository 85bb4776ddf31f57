"""What a keeper knows of its place: whether it changed, and whether what is there now is news.

The problem: a place changes under us, and by us; it is read while it is written; it goes back to a value that
was spent long ago, because somebody restored a file. The keeper must hear of a change once, and of nothing
that is not one.

Rules:
- Events and timers are hints; one stat, compared with the last, is the truth.
- A reading counts only if the place was the same before and after it.
- A generation that this daemon saw replaced is never news again, unless it comes in place of another account's:
  a person swapped the logins, and swapped them back.
- A reading that met our own transaction at work is forgotten: what it saw may not be durable yet (design I2).
- There is one for each of ten thousand profiles, and most never change: what only a change needs is made then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from enum import Enum, auto

import anyio
from anyio import CapacityLimiter, to_thread

from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Blanked, Found, News, Reading, Unreadable, is_another_account, news
from tokenward.ports import Clock, Place

READINGS = 5
"""Tries to read a place that changes under the reading; then the next stat finds it changed again."""
REMEMBERED_GENERATIONS = 64
"""Values seen replaced: two months of them at three refreshes a day would be more than any backup brings back."""


_UNSEEN = object()
"""Stands for what no place has ever looked like."""


class _Lack(Enum):
    EVERYTHING = auto()
    A_LOGIN = auto()


class Lookout:
    """One place, looked at.

    Args:
        place: what to look at.
        clock: dates an absence.
        limiter: the worker threads that read places.
    """

    __slots__ = (
        "_ahead",
        "_clock",
        "_lacks",
        "_limiter",
        "_lock",
        "_place",
        "_replaced",
        "_signature",
        "absent_since",
        "trouble",
    )

    def __init__(self, place: Place, clock: Clock, limiter: CapacityLimiter) -> None:
        self._place = place
        self._clock = clock
        self._limiter = limiter
        self._lock: anyio.Lock | None = None  # while somebody looks
        self._signature: Hashable | None = _UNSEEN
        self._ahead: tuple[Hashable | None, Reading] | None = None
        self._replaced: tuple[str, ...] = ()
        self.trouble: str | None = None
        self.absent_since: datetime | None = None
        self._lacks: _Lack | None = None

    @property
    def is_vacant(self) -> bool:
        """Whether nothing was there at the last look, be it that the file holds other things."""
        return self._lacks is _Lack.EVERYTHING

    @property
    def is_logged_out(self) -> bool:
        """Whether the last look met its owner's word that the login is over."""
        return self._lacks is _Lack.A_LOGIN

    def changed(self) -> bool:
        """One stat: whether the place may hold something that we have not seen."""
        return self._signature is _UNSEEN or self._place.signature() != self._signature

    def may_have_news(self) -> bool:
        """One stat: whether a look could find anything, or must find out that what was there is gone for good."""
        return self.absent_since is not None or self.changed()

    def replaced(self, generation: str) -> None:
        """Note that a value is over: it is never news again."""
        self._replaced = (*self._replaced, generation)[-REMEMBERED_GENERATIONS:]

    def look_again(self) -> None:
        """Take the place for changed: something was seen there while it could not be acted upon."""
        self._signature = _UNSEEN

    def reinstate(self, generation: str) -> None:
        """A person brought this value back, or set it aside and may do so: forget that it was replaced."""
        self._replaced = tuple(known for known in self._replaced if known != generation)

    def is_over(self, credential: Credential, held: Credential | None) -> bool:
        """Whether this value is known to have been replaced, and does not come in place of another account's."""
        return credential.generation in self._replaced and not is_another_account(held, credential)

    async def look(
        self, held: Callable[[], Credential | None], *, at_work: Callable[[], bool]
    ) -> tuple[News, Reading | None]:
        """Read the place if it changed, and judge what is there.

        Args:
            held: the value that we hold, asked for when the reading is done.
            at_work: whether a transaction of our own is writing there.
        """
        if self._ahead is not None and self._lock is None and not at_work() and self.may_have_news():
            before = self._read_before()
            if before is not None:
                return self._judge(before, held()), before
        lock = self._lock = self._lock or anyio.Lock(fast_acquire=True)
        try:
            async with lock:
                if at_work() or not self.may_have_news():
                    return News.NOTHING, None
                reading = await self._read()
                if at_work():
                    self._signature = _UNSEEN
                    return News.NOTHING, None
        finally:
            if not lock.locked():  # else it was handed to the next who waits
                self._lock = None
        return self._judge(reading, held()), reading

    def read_ahead(self) -> None:
        """Read the place for the look that follows, which then needs no thread and no lock; blocks on the disk."""
        signature = self._place.signature()
        self._ahead = signature, self._place.read()

    def _read_before(self) -> Reading | None:
        """What was read ahead; None if the place changed since."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or self._place.signature() != ahead[0]:
            return None
        self._signature = ahead[0]
        return ahead[1]

    async def _read(self) -> Reading:
        self._ahead = None
        for _ in range(READINGS):
            signature = self._place.signature()
            reading = await to_thread.run_sync(self._place.read, limiter=self._limiter)
            if self._place.signature() == signature:
                self._signature = signature
                return reading
        return Unreadable("it changes while it is read")

    def _judge(self, reading: Reading, held: Credential | None) -> News:
        now = self._clock.wall()
        self._lacks = _lack(reading)
        self.trouble = reading.reason if isinstance(reading, Unreadable) else None
        if isinstance(reading, Absent) and held is not None:
            self.absent_since = self.absent_since or now
        else:
            self.absent_since = None
        if isinstance(reading, Found) and self.is_over(reading.credential, held):
            self.trouble = "it holds a value that was replaced already"
            return News.NOTHING
        verdict = news(reading, held, absent_since=self.absent_since, now=now)
        if verdict is News.NOTHING and isinstance(reading, Found) and not _is_same(reading.credential, held):
            self._signature = _UNSEEN  # it is worse than what we hold, and may be news when that has ended
        return verdict


def _lack(reading: Reading) -> _Lack | None:
    if isinstance(reading, Absent):
        return _Lack.EVERYTHING
    return _Lack.A_LOGIN if isinstance(reading, Blanked) and reading.login_ended else None


def _is_same(found: Credential, held: Credential | None) -> bool:
    return held is not None and found.generation == held.generation
