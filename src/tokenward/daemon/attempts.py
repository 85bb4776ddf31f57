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


@dataclass(frozen=True, slots=True)
class Attempts:
    """One keeper's attempts since its last success.

    Args:
        failure: the last one; None = there was none.
        retry_at: the boot clock's seconds from which on another may be made.
    """

    failure: Failure | None = None
    retry_at: float = 0.0

    def failed(
        self,
        cause: str,
        reason: str,
        *,
        retry_after: float | None,
        closed_for: float,
        clock: Clock,
        entropy: Entropy,
    ) -> Attempts:
        """Count a failure and compute when to try again.

        Args:
            cause: its class.
            reason: one line for people.
            retry_after: seconds that the server, or the ambiguous rule, asks for.
            closed_for: seconds for which the endpoint's gate is closed.
            clock: the machine's clocks.
            entropy: for jitter.
        """
        count = self.failure.count + 1 if self.failure is not None else 1
        delay = retry_delay(count, draw=entropy.fraction(), retry_after=retry_after)
        failure = Failure(cause, reason, clock.wall(), count)
        return Attempts(failure, clock.boottime() + max(delay, closed_for))

    def wait(self, boot_now: float) -> float:
        """Seconds until the next attempt may be made, at this reading of the boot clock."""
        return max(0.0, self.retry_at - boot_now)


NO_ATTEMPTS = Attempts()
"""Of whoever never failed: none of ten thousand has any of its own."""
