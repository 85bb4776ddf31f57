"""The answer to a request that comes again and again, for as long as everything that decided about it stays.

The problem: a consumer asks ten thousand times between two refreshes, and who serves it, whether that is still
right, and what is said is the same each time but for the seconds left and whose turn it is. Deciding all of it
anew costs ten times what the answer does; an answer that is kept too long is worse than a slow one.

Rules:
- What may change who serves is compared at each answer: what is in force (``LineUp.in_force``), the wall clock
  with its making and with the end of the first window, the value, the phase and the life left on both clocks
  (``core.terms``), and one stat of each place that was looked at. Nobody has to remember to tell it anything.
- It never says anything itself: where one of these differs it is over, and the request is decided anew.
- Where profiles take turns they go on taking turns: then it stands for the shelf, and not for one of them.
- Each answer is a use. Whoever was used last of all stands at the end of its shelf already, so that its next use
  moves nobody and is noted once a second only.
- It holds no value and nothing made of one: those lie with the keeper (``Prepared``) and go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tokenward.core.roster import Rotation
from tokenward.core.selection import NEVER

if TYPE_CHECKING:
    from tokenward.daemon.answers import EncodedAnswer
    from tokenward.daemon.keeper import Keeper
    from tokenward.daemon.line_up import LineUp

NOTED_EVERY = timedelta(seconds=1)
"""How exactly it is known when somebody was used whose use moves nobody; ``status`` shows no more."""


class HandedOut(NamedTuple):
    """A token that was handed out without waiting.

    Args:
        result: the encoded ``TokenResult``.
        profile: the id of the profile.
        generation: the token's.
        key: the profile's key.
        why: how the profile was chosen, in a word or two (``SECURITY.md``).
        standing: answers the same request again; None if each is decided for itself.
        degraded: why the token is less than what was asked for, if it is.
    """

    result: bytes
    profile: str
    generation: str
    key: str
    why: str
    standing: StandingAnswer | None = None
    degraded: str | None = None


class StandingAnswer:
    """Answers one request again.

    Args:
        line: the order in which profiles are asked.
        keepers: everybody, by key.
        encoded: an answer of a keeper, without reservation.
        min_valid: seconds of life that the request wants.
        empty: those who were passed over since nothing is in their places.
        first: who serves, or those who take turns.
        until: up to when nobody who was passed over for a window comes back, aware UTC.
        why: how whoever serves is chosen.
    """

    __slots__ = (
        "_empty", "_encoded", "_first", "_in_force", "_keepers", "_line", "_min_valid", "_noted", "_noted_key",
        "_noted_until", "_since", "_until", "_why",
    )  # fmt: skip

    def __init__(
        self,
        line: LineUp,
        keepers: Mapping[str, Keeper],
        encoded: Callable[[Keeper], EncodedAnswer],
        *,
        min_valid: float,
        empty: Sequence[Keeper],
        first: str | Rotation,
        until: datetime,
        why: str,
    ) -> None:
        self._line = line
        self._keepers = keepers
        self._encoded = encoded
        self._min_valid = min_valid
        self._empty = empty
        self._first = first
        self._since = line.now()
        self._until = until
        self._why = why
        self._in_force = line.in_force()
        self._noted: datetime | None = None
        self._noted_key = ""
        self._noted_until = NEVER

    def take(self) -> HandedOut | None:
        """The answer as it is now, counted as a use; None if it stands no longer."""
        line = self._line
        now = line.now()
        if line.in_force() is not self._in_force or not self._since <= now < self._until:
            return None
        for keeper in self._empty:
            if keeper.lookout.changed():
                return None
        first = self._first
        key = first if isinstance(first, str) else first.first(now)
        if key is None or (serving := self._keepers.get(key)) is None:
            return None
        ready = serving.prepared.ready
        handed_out = None if ready is None else ready.take(self._in_force, self._min_valid, now, self._why)
        if handed_out is None:
            ready = serving.prepared.make_ready(self._min_valid, self._in_force, self._encoded)
            handed_out = None if ready is None else ready.take(self._in_force, self._min_valid, now, self._why)
            if handed_out is None:
                return None
        if now >= self._noted_until or key != self._noted_key or line.latest_use != self._noted:
            self._note_use(key, now)
        return handed_out

    def _note_use(self, key: str, now: datetime) -> None:
        self._line.served(key, now)
        self._noted, self._noted_key = self._line.latest_use, key
        self._noted_until = now + NOTED_EVERY
