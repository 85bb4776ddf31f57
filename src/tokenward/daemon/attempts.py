"""How often a keeper has failed, and when it may try again.

The problem: back-off that lives in a sleeping task is lost with the task and cannot be shown. Here it is a few
numbers on the boot clock, so that a suspend counts as waiting, and ``status`` can say when the next attempt is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tokenward.core.freshness import retry_delay
from tokenward.ports import Clock, Entropy


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt, as ``status`` shows it.

    Args:
        cause: its class.
        reason: one line for people.
        at: when, aware UTC.
        count: how many in a row.
    """

    cause: str
    reason: str
    at: datetime
    count: int


class Attempts:
    """One keeper's attempts.

    Args:
        clock: the machine's clocks.
        entropy: for jitter.
    """

    __slots__ = ("_clock", "_entropy", "_retry_at", "failure")

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._retry_at = 0.0
        self.failure: Failure | None = None

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failure = None
        self._retry_at = 0.0

    def failed(self, cause: str, reason: str, *, retry_after: float | None, closed_for: float) -> None:
        """Count a failure and compute when to try again.

        Args:
            cause: its class.
            reason: one line for people.
            retry_after: seconds that the server, or the ambiguous rule, asks for.
            closed_for: seconds for which the endpoint's gate is closed.
        """
        count = self.failure.count + 1 if self.failure is not None else 1
        self.failure = Failure(cause, reason, self._clock.wall(), count)
        delay = retry_delay(count, draw=self._entropy.fraction(), retry_after=retry_after)
        self._retry_at = self._clock.boottime() + max(delay, closed_for)

    def wait(self) -> float:
        """Seconds until the next attempt may be made."""
        return max(0.0, self._retry_at - self._clock.boottime())
