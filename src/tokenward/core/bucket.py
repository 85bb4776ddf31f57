"""A bucket that fills at a steady pace, and of which something is taken for each thing that is done.

The problem: some things may come in a burst but not for ever, and who comes too soon must be told when to come
again. A counter for each minute would let twice as much through at its edge; this lets through what it holds, and
what it gained since, whatever the pattern.

Rules:
- It is a value: what is drawn makes another one, and nothing runs while nobody draws.
- A bucket that is full is as if nobody had ever drawn; whoever keeps buckets may forget it.
- A clock that goes back gives nothing away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may still come.

    Args:
        holds: how much is in it, at ``at``.
        at: the moment at which that was true, in seconds on the clock of whoever draws.
        most: how much it holds when full.
        seconds_each: in how many seconds it gains one.
    """

    holds: float
    at: float
    most: float
    seconds_each: float

    def _at(self, now: float) -> float:
        gained = max(0.0, now - self.at) / self.seconds_each
        return min(self.most, self.holds + gained)

    def is_full(self, now: float) -> bool:
        """Whether it is as if nobody had ever drawn."""
        return self._at(now) >= self.most

    def draw(self, now: float, count: int = 1) -> tuple[Bucket, float]:
        """Take so many, or none.

        Args:
            now: the clock, in seconds.
            count: how many; at most what the bucket holds when full.

        Returns:
            The bucket after it, and 0.0; or the bucket with nothing taken, and the seconds until there are enough.
        """
        available = self._at(now)
        if available >= count:
            return replace(self, holds=available - count, at=now), 0.0
        return replace(self, holds=available, at=now), (count - available) * self.seconds_each


def full_bucket(most: float, seconds_each: float, *, at: float) -> Bucket:
    """A bucket of which nobody has drawn.

    Args:
        most: how much it holds.
        seconds_each: in how many seconds it gains one.
        at: the clock, in seconds.
    """
    return Bucket(most, at, most, seconds_each)
