"""A keeper's attempts: counted and spaced."""

from __future__ import annotations

import pytest

from fakes.machine import CountingEntropy, FakeClock
from tokenward.daemon.attempts import Attempts, Failure


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def attempts(clock: FakeClock) -> Attempts:
    """Attempts under test."""
    return Attempts(clock, CountingEntropy())


def test_at_first_nothing_is_waited_for(attempts: Attempts) -> None:
    """No failure, no wait."""
    assert attempts.failure is None
    assert attempts.wait() == 0


def test_failures_are_counted_until_a_success(attempts: Attempts, clock: FakeClock) -> None:
    """The last one is kept for ``status``; a success forgets it and its wait."""
    attempts.failed("unavailable", "HTTP 503", retry_after=None, closed_for=0)
    clock.advance(10)
    attempts.failed("not_sent", "no route", retry_after=None, closed_for=0)
    assert attempts.failure == Failure("not_sent", "no route", clock.now, 2)
    attempts.succeeded()
    assert attempts.wait() == 0
    attempts.failed("not_sent", "no route", retry_after=None, closed_for=0)
    assert attempts.failure == Failure("not_sent", "no route", clock.now, 1)


@pytest.mark.parametrize(
    ("retry_after", "closed_for", "wait"),
    [(None, 0, 2.5), (30, 0, 30), (None, 45, 45), (30, 45, 45), (1e6, 0, 3600)],
)
def test_the_longest_wait_counts(
    retry_after: float | None, closed_for: float, wait: float, attempts: Attempts
) -> None:
    """Our own back-off, the server's word up to an hour, and the closed gate."""
    attempts.failed("unavailable", "HTTP 503", retry_after=retry_after, closed_for=closed_for)
    assert attempts.wait() == wait


def test_a_suspend_counts_as_waiting(attempts: Attempts, clock: FakeClock) -> None:
    """And a step of the wall clock does not."""
    attempts.failed("unavailable", "HTTP 503", retry_after=100, closed_for=0)
    clock.step(3600)
    assert attempts.wait() == 100
    clock.suspend(100)
    assert attempts.wait() == 0
