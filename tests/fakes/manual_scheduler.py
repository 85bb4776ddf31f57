"""Alarms that ring when a test moves the clock."""

from collections.abc import Callable
from datetime import datetime, timedelta

from fakes.machine import FakeClock


class ManualScheduler:
    """An `Alarm` on a `FakeClock`.

    Args:
        clock: the clock that `advance` moves.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._requests: dict[str, tuple[datetime, Callable[[], None]]] = {}

    def at(self, key: str, when: datetime, callback: Callable[[], None]) -> None:
        """Keep a request; it rings at the next `advance` or `ring_due`, even if it is past."""
        if when.tzinfo is None:
            raise ValueError("an alarm needs an aware moment")
        self._requests[key] = (when, callback)

    def cancel(self, key: str) -> None:
        """Forget a request."""
        self._requests.pop(key, None)

    def when(self, key: str) -> datetime | None:
        """The moment asked for under a key; None if nothing is."""
        request = self._requests.get(key)
        return request[0] if request else None

    def ring_due(self) -> int:
        """Ring what is due now, each request once, and say how many rang."""
        due = sorted((when, key) for key, (when, _) in self._requests.items() if when <= self._clock.now)
        for _, key in due:
            _, callback = self._requests.pop(key)
            callback()
        return len(due)

    def advance(self, seconds: float) -> None:
        """Let time pass, ringing each alarm at its moment."""
        end = self._clock.now + timedelta(seconds=seconds)
        while True:
            self.ring_due()
            next_up = min((when for when, _ in self._requests.values()), default=end)
            if next_up >= end:
                break
            self._clock.advance((next_up - self._clock.now).total_seconds())
        self._clock.advance((end - self._clock.now).total_seconds())
        self.ring_due()
