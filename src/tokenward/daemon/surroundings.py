"""What all keepers share: clocks, alarms, the event hub, and who runs their tasks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anyio import CapacityLimiter

from tokenward.core.freshness import RefreshTiming
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.forced_refreshes import ForcedRefreshBuckets
from tokenward.daemon.scheduler import Alarm
from tokenward.ports import Clock, Entropy


@dataclass(slots=True, eq=False, repr=False)
class Surroundings:
    """What all keepers share.

    Args:
        clock: the machine's clocks.
        entropy: for jitter.
        alarm: wakes a keeper at a moment.
        hub: tells subscribers.
        timing: margin and jitter; a reload replaces it.
        host: seeds the jitter, so that hosts do not come at once.
        reading: the worker threads that look at places.
        spawn: starts a task in the daemon's task group.
        least_margins: seconds of margin that a profile's readers need at least, by its key.
    """

    clock: Clock
    entropy: Entropy
    alarm: Alarm
    hub: EventHub
    timing: RefreshTiming
    host: str
    reading: CapacityLimiter
    spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
    least_margins: Mapping[str, float] = field(default_factory=dict)
    forced: ForcedRefreshBuckets = field(init=False)
    """One bucket a family."""

    def __post_init__(self) -> None:
        self.forced = ForcedRefreshBuckets(self.clock)

    def timing_of(self, profile: str) -> RefreshTiming:
        """Margin and jitter of one profile, by its key."""
        least = self.least_margins.get(profile, 0.0)
        return self.timing if least <= self.timing.margin else replace(self.timing, margin=least)
