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
_What = tuple[str, str | None, str | None, str, int | None]
"""Type, profile, generation, detail and process: equal for two that may be one moment."""


@dataclass(slots=True)
class _Moment:
    what: _What
    at_ms: int
    until_ms: int
    count: int = 1


class History:
    """Keeps it.

    Args:
        clock: dates what has no date.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._happened: deque[_Moment] = deque(maxlen=LARGEST_RING)
        self._used: deque[_Moment] = deque()
        self._latest: dict[_What, _Moment] = {}
        """Of the second ring, by what happened: a repeat is found however many others there were between."""

    def happened(self, event: Happening, _trouble: object = None) -> None:
        """Keep an event; what lies behind it is in its words."""
        what = (event.type, event.profile, event.generation, event.detail, None)
        self._happened.append(_Moment(what, event.at_ms, event.at_ms))

    def reported(self, profile: str, generation: str, result: ReportResult) -> None:
        """Keep what a caller reported.

        Args:
            profile: whose token it was, as events name it.
            generation: of the token.
            result: what we made of it.
        """
        detail = "ok" if result.failure is None else f"{result.failure}, told to {result.action}"
        self._use(("reported", profile, generation, detail, None), 1)

    def asked(self, seen: Seen, times: int) -> None:
        """Keep who asked; the audit tells.

        Args:
            seen: who, and for what.
            times: how often.
        """
        detail = seen.method if seen.code == 0 else f"{seen.method} refused ({seen.code})"
        self._use(("asked", seen.profile or None, seen.generation or None, detail, seen.peer.pid), times)

    def _use(self, what: _What, times: int) -> None:
        now = to_unix_milliseconds(self._clock.wall())
        latest = self._latest.get(what)
        if latest is not None and 0 <= now - latest.at_ms < TOGETHER_MS:
            latest.count += times
            latest.until_ms = now
            return
        if len(self._used) >= LARGEST_RING:
            oldest = self._used.popleft()
            if self._latest[oldest.what] is oldest:
                del self._latest[oldest.what]
        moment = self._latest[what] = _Moment(what, now, now, times)
        self._used.append(moment)

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
            and (profiles is None or moment.what[1] is None or moment.what[1] in profiles)
        ]
        found.sort(key=lambda moment: moment.at_ms)
        newest = found[-MOST_AT_ONCE:]
        return HistoryResult(moments=[_shown(moment) for moment in newest], earlier=len(found) > len(newest))


def _shown(moment: _Moment) -> MomentResult:
    from tokenward.daemon.history_models import MomentResult  # only who looks back needs them

    type_, profile, generation, detail, pid = moment.what
    return MomentResult.model_validate(
        {
            "type": type_,
            "profile": profile,
            "generation": generation,
            "at_ms": moment.at_ms,
            "until_ms": moment.until_ms,
            "count": moment.count,
            "pid": pid,
            "detail": detail[:LONGEST_DETAIL],
        }
    )
