"""Clocks and entropy that do what a test says."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class FakeClock:
    """A `ports.Clock` that moves when told."""

    now: datetime = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    seconds: float = 1000.0
    suspended: float = field(default=0.0, init=False)

    def wall(self) -> datetime:
        """Aware UTC."""
        return self.now

    def monotonic(self) -> float:
        """Seconds without those suspended."""
        return self.seconds

    def boottime(self) -> float:
        """Seconds with those suspended."""
        return self.seconds + self.suspended

    def advance(self, seconds: float) -> None:
        """Let time pass, awake."""
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def suspend(self, seconds: float) -> None:
        """Let time pass, suspended."""
        self.now += timedelta(seconds=seconds)
        self.suspended += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number."""
        self.now += timedelta(seconds=seconds)


@dataclass
class CountingEntropy:
    """A `ports.Entropy` that never repeats itself and is always the same."""

    drawn: int = 0

    def fraction(self) -> float:
        """Always one half."""
        return 0.5

    def token(self, size: int) -> bytes:
        """The number of the draw, padded to the size."""
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")
