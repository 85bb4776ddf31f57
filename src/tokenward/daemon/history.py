"""The last day in memory: what happened to profiles, what callers reported, and who asked.

The problem: whoever wonders why a login is ill wants to see when it was well, who used it, and what was tried; a
subscriber knows only what came after it subscribed. So a day is kept, in memory only.

Rules:
- A moment never holds a token, and nothing that a caller wrote.
- Two rings, each bounded: those who ask a thousand times push out no rotation. What repeats within a minute is one
  moment with a count.
- ``asked`` comes from the audit: who asked for the first time at once, repeats as counted, once a minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenward.core.credential import to_unix_milliseconds
from tokenward.ports import Clock

if TYPE_CHECKING:
    from tokenward.daemon.audit import Seen
    from tokenward.daemon.event_hub import Happening
    from tokenward.daemon.history_models import HistoryResult, MomentResult
    from tokenward.daemon.token_models import ReportResult

LARGEST_RING = 2000
"""Moments of each of the two kinds."""
LONGEST_DETAIL = 200
KEPT_MS = 24 * 3600 * 1000
TOGETHER_MS = 60_000
"""Repeats within so long are one moment."""
_SEARCHED = 32
"""How far back a repeat is looked for: many profiles may be used at once, and the loop must not be held up."""


@dataclass(slots=True)
class _Moment:
    type: str
    profile: str | None
    generation: str | None
    detail: str
    pid: int | None
    at_ms: int
    until_ms: int
    count: int = 1

    def is_repeated_by(self, other: _Moment) -> bool:
        mine = (self.type, self.profile, self.generation, self.detail, self.pid)
        return (
            mine == (other.type, other.profile, other.generation, other.detail, other.pid)
            and 0 <= other.at_ms - self.at_ms < TOGETHER_MS
        )


class History:
    """Keeps it.

    Args:
        clock: dates what has no date.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._happened: deque[_Moment] = deque(maxlen=LARGEST_RING)
        self._used: deque[_Moment] = deque(maxlen=LARGEST_RING)

    def happened(self, event: Happening, _trouble: object = None) -> None:
        """Keep an event; what lies behind it is in its words."""
        self._happened.append(
            _Moment(event.type, event.profile, event.generation, event.detail, None, event.at_ms, event.at_ms)
        )

    def reported(self, profile: str, generation: str, result: ReportResult) -> None:
        """Keep what a caller reported.

        Args:
            profile: whose token it was, as events name it.
            generation: of the token.
            result: what we made of it.
        """
        detail = "ok" if result.failure is None else f"{result.failure}, told to {result.action}"
        self._use(self._now("reported", profile, generation, detail))

    def asked(self, seen: Seen, times: int) -> None:
        """Keep who asked; the audit tells.

        Args:
            seen: who, and for what.
            times: how often.
        """
        detail = seen.method if seen.code == 0 else f"{seen.method} refused ({seen.code})"
        moment = self._now("asked", seen.profile or None, seen.generation or None, detail)
        moment.pid, moment.count = seen.peer.pid, times
        self._use(moment)

    def _now(self, type_: str, profile: str | None, generation: str | None, detail: str) -> _Moment:
        now = to_unix_milliseconds(self._clock.wall())
        return _Moment(type_, profile, generation, detail, None, now, now)

    def _use(self, new: _Moment) -> None:
        for index in range(1, min(_SEARCHED, len(self._used)) + 1):
            if self._used[-index].is_repeated_by(new):
                self._used[-index].count += new.count
                self._used[-index].until_ms = new.at_ms
                return
        self._used.append(new)

    def between(self, at_ms: int | None, before_ms: int | None, profiles: Collection[str] | None) -> HistoryResult:
        """The newest of what is known, the oldest of them first.

        Args:
            at_ms: only what ended at or after it, in Unix milliseconds; None = all that is kept.
            before_ms: only what began at it or earlier, in Unix milliseconds; None = until now.
            profiles: only theirs and the daemon's; None = everybody's.
        """
        from tokenward.daemon.history_models import MOST_AT_ONCE, HistoryResult  # only who looks back needs them

        begin = to_unix_milliseconds(self._clock.wall()) - KEPT_MS
        earliest = begin if at_ms is None else max(at_ms, begin)
        found = [
            moment
            for ring in (self._happened, self._used)
            for moment in ring
            if moment.until_ms >= earliest
            and (before_ms is None or moment.at_ms <= before_ms)
            and (profiles is None or moment.profile is None or moment.profile in profiles)
        ]
        found.sort(key=lambda moment: moment.at_ms)
        newest = found[-MOST_AT_ONCE:]
        return HistoryResult(moments=[_shown(moment) for moment in newest], earlier=len(found) > len(newest))


def _shown(moment: _Moment) -> MomentResult:
    from tokenward.daemon.history_models import MomentResult  # only who looks back needs them

    return MomentResult.model_validate(
        {
            "type": moment.type,
            "profile": moment.profile,
            "generation": moment.generation,
            "at_ms": moment.at_ms,
            "until_ms": moment.until_ms,
            "count": moment.count,
            "pid": moment.pid,
            "detail": moment.detail[:LONGEST_DETAIL],
        }
    )
