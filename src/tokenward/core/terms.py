"""How long a decision to serve stands, so that it need not be made anew for each of ten thousand requests.

The problem: between two refreshes every request of a consumer gets the same answer, and deciding it costs ten
times what the answer does. But a decision that is kept is one more thing that must never be stale.

Rules:
- Only what is served without any reservation stands; whoever gets less, or nothing, is decided for each time.
- It stands while the very value and the phase that it was made for are there, and more life is left than it needs.
  That is compared at each answer, on both clocks (design I8), never taken from a timer.
- What is compared lies in the terms: where ten thousand profiles take turns, the way through a value to its end is
  dearer than the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tokenward.core import freshness
from tokenward.core.freshness import Held
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Serve, Standing, Wish, decide


@dataclass(frozen=True, slots=True)
class Terms:
    """On what a decision to serve stands.

    Args:
        held: the value that is served.
        phase: the keeper's phase.
        least: seconds of life; with as many or fewer left it is decided anew.
    """

    held: Held
    phase: Phase
    least: float
    ends_at: datetime | None = field(init=False, repr=False, compare=False)
    boot_end: float | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends_at", self.held.credential.expires_at)
        object.__setattr__(self, "boot_end", self.held.boot_end)

    def left(self, held: Held | None, phase: Phase, *, now: datetime, boot_now: float) -> float | None:
        """Seconds of life left of what is served; None if the decision stands no longer.

        Args:
            held: what is held now.
            phase: the phase now.
            now: the wall clock, aware UTC.
            boot_now: the boot clock in seconds.
        """
        if held is not self.held or phase is not self.phase:
            return None
        left = freshness.until(self.ends_at, self.boot_end, now=now, boot_now=boot_now)
        return left if left > self.least else None


def terms(wish: Wish, standing: Standing, held: Held, *, lead: float | None) -> Terms | None:
    """The terms on which this caller's request is served; None if there are none.

    Args:
        wish: what the caller wants.
        standing: how things stand now.
        held: the value held now.
        lead: seconds before its end at which a refresh of it is due; None = it never is.
    """
    decision = decide(wish, standing)
    if not isinstance(decision, Serve) or decision.degraded is not None:
        return None
    due = lead if lead is not None and standing.phase is Phase.READY else 0.0
    return Terms(held, standing.phase, max(0.0, wish.min_valid, due))
