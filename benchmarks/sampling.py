"""Series of times, taken in turns."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Series:
    """What was measured of one thing.

    Args:
        seconds: every sample.
    """

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """Seconds that one sample in a hundred exceeds."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * 0.99))]


def in_turns(actions: Mapping[str, Callable[[], list[float]]], *, rounds: int) -> dict[str, Series]:
    """Do everything once a round, each round in another order.

    Args:
        actions: by name, what is done; each returns its samples in seconds.
        rounds: how often.
    """
    series = {name: Series() for name in actions}
    order = list(actions)
    shuffle = random.Random(7).shuffle  # noqa: S311 - an order, no secret
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            series[name].seconds += actions[name]()
    return series
