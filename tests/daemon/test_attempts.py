"""A keeper's attempts: counted and spaced."""

from __future__ import annotations

import pytest

from fakes.machine import CountingEntropy, FakeClock
from tokenward.daemon.attempts import NO_ATTEMPTS, Attempts, Failure


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


def failed(
    attempts: Attempts,
    clock: FakeClock,
    cause: str = "unavailable",
    reason: str = "HTTP 503",
    *,
    retry_after: float | None = None,
    closed_for: float = 0.0,
) -> Attempts:
    """One more failure."""
    return attempts.failed(
        cause, reason, retry_after=retry_after, closed_for=closed_for, clock=clock, entropy=CountingEntropy()
    )


def test_at_first_nothing_is_waited_for(clock: FakeClock) -> None:
    """No failure, no wait."""
    assert NO_ATTEMPTS.failure is None
    assert NO_ATTEMPTS.wait(clock.boottime()) == 0


def test_failures_are_counted(clock: FakeClock) -> None:
    """The last one is kept for ``status``; what was before is as it was."""
    first = failed(NO_ATTEMPTS, clock)
    noon = clock.now
    clock.advance(10)
    second = failed(first, clock, "not_sent", "no route")
    assert second.failure == Failure("not_sent", "no route", clock.now, 2)
    assert first.failure == Failure("unavailable", "HTTP 503", noon, 1)
    assert NO_ATTEMPTS.failure is None


@pytest.mark.parametrize(
    ("retry_after", "closed_for", "wait"),
    [(None, 0, 2.5), (30, 0, 30), (None, 45, 45), (30, 45, 45), (1e6, 0, 3600)],
)
def test_the_longest_wait_counts(
    retry_after: float | None, closed_for: float, wait: float, clock: FakeClock
) -> None:
    """Our own back-off, the server's word up to an hour, and the closed gate."""
    attempts = failed(NO_ATTEMPTS, clock, retry_after=retry_after, closed_for=closed_for)
    assert attempts.wait(clock.boottime()) == wait


def test_a_suspend_counts_as_waiting(clock: FakeClock) -> None:
    """And a step of the wall clock does not."""
    attempts = failed(NO_ATTEMPTS, clock, retry_after=100)
    clock.step(3600)
    assert attempts.wait(clock.boottime()) == 100
    clock.suspend(100)
    assert attempts.wait(clock.boottime()) == 0
