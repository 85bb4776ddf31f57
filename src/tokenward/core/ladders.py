"""How long a profile rests after its first, second, third failure: the numbers, as data.

The problem: the founding documents agree on the idea of a ladder and not on its steps, and users have their own.
So the steps are values that ``core.health`` is given, and each document's set has a name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tokenward.core.classify import FailureClass

MINUTE = 60.0
HOUR = 3600.0
LONGEST_STEP_SECONDS = 7 * 24 * HOUR
"""No guess of ours keeps a profile out longer than the longest window that a provider is known to have."""

Steps = tuple[float, ...]


def doubling(first: float, *, cap: float) -> Steps:
    """The steps ``first``, twice that, and so on up to ``cap``, all in seconds."""
    steps = [first]
    while steps[-1] < cap:
        steps.append(min(cap, 2 * steps[-1]))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Ladders:
    """The steps, in seconds; failures past the last step stay on it.

    Args:
        cooldown: after ``auth``, ``rate_limit`` and ``model`` failures, and the classes of ``also_cooling``.
        billing: after ``billing`` failures.
        rate_limit: after ``rate_limit`` failures, where they have a ladder of their own; None = ``cooldown``.
        refused: after ``auth_permanent`` and ``auth_policy``; None = until there is new credential material.
        overloaded: the one short rest after ``overloaded``, which climbs no ladder.
        also_cooling: classes that by themselves are only noted or rest briefly, and here climb ``cooldown``.

    Raises:
        ValueError: a ladder is empty or goes down, or a step is not above 0 and at most seven days.
    """

    cooldown: Steps = (60.0, 300.0, 1500.0, 3600.0)
    billing: Steps = (5 * HOUR, 10 * HOUR, 20 * HOUR, 24 * HOUR)
    rate_limit: Steps | None = None
    refused: Steps | None = None
    overloaded: float = 30.0
    also_cooling: frozenset[FailureClass] = frozenset()

    def __post_init__(self) -> None:
        for name in ("cooldown", "billing", "rate_limit", "refused"):
            steps = getattr(self, name)
            if steps is not None:
                _check(name, steps)
        _check("overloaded", (self.overloaded,))


def _check(name: str, steps: Steps) -> None:
    if not steps:
        raise ValueError(f"{name}: at least one step is needed")
    for seconds in steps:
        if not math.isfinite(seconds) or not 0 < seconds <= LONGEST_STEP_SECONDS:
            raise ValueError(f"{name}: a step must be above 0 and at most {LONGEST_STEP_SECONDS:.0f} seconds")
    if list(steps) != sorted(steps):
        raise ValueError(f"{name}: a later step must not be shorter than an earlier one")


DEFAULT_PRESET = "tokenward"
PRESETS: Mapping[str, Ladders] = MappingProxyType(
    {
        DEFAULT_PRESET: Ladders(),
        # The same steps, and every failure counts: requests that timed out or were malformed, too.
        "equabot": Ladders(
            refused=(60.0, 300.0, 1500.0, 3600.0),
            also_cooling=frozenset({FailureClass.FORMAT, FailureClass.TIMEOUT, FailureClass.OVERLOADED}),
        ),
        # OpenClaw of 2026: short rests, a rate limit that may last a day, money looked for every ten minutes.
        "openclaw": Ladders(
            cooldown=(30.0, 60.0, 300.0),
            billing=doubling(10 * MINUTE, cap=24 * HOUR),
            rate_limit=doubling(30.0, cap=24 * HOUR),
            refused=doubling(10 * MINUTE, cap=HOUR),
        ),
    }
)
"""The sets that a configuration may name."""
