"""What a bucket lets through, whatever the pattern."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.bucket import full_bucket

LAW = settings(derandomize=True, deadline=None)
MOST = 8
SECONDS_EACH = 0.5


def test_several_are_taken_together_or_not_at_all() -> None:
    """Who is refused is told when there are enough, and has taken nothing."""
    bucket, wait = full_bucket(MOST, SECONDS_EACH, at=10.0).draw(10.0, 6)
    assert wait == 0
    bucket, wait = bucket.draw(10.0, 5)
    assert wait == pytest.approx(3 * SECONDS_EACH)
    bucket, wait = bucket.draw(10.0, 2)
    assert (wait, bucket.holds) == (0, 0)


def test_it_is_full_again_and_holds_no_more() -> None:
    """After the time of what was taken, and not before; a long rest saves nothing up."""
    bucket, _ = full_bucket(MOST, SECONDS_EACH, at=0.0).draw(0.0, 3)
    assert not bucket.is_full(3 * SECONDS_EACH - 0.01)
    assert bucket.is_full(3 * SECONDS_EACH)
    bucket, wait = bucket.draw(1e9, MOST)
    assert (wait, bucket.holds) == (0, 0)


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    """What was taken stays taken."""
    bucket, _ = full_bucket(MOST, SECONDS_EACH, at=100.0).draw(100.0, MOST)
    assert bucket.draw(50.0)[1] == SECONDS_EACH


@LAW
@given(st.lists(st.tuples(st.floats(min_value=0, max_value=3), st.integers(1, MOST)), max_size=40))
def test_no_pattern_gets_more_than_the_bucket_gives(calls: list[tuple[float, int]]) -> None:
    """In any time at most what it holds and what it gained; waiting as told is enough."""
    bucket, now, drawn = full_bucket(MOST, SECONDS_EACH, at=0.0), 0.0, 0
    for pause, count in calls:
        now += pause
        bucket, wait = bucket.draw(now, count)
        drawn += count if wait == 0 else 0
        assert drawn <= MOST + now / SECONDS_EACH + 1e-6
        assert wait == 0 or bucket.draw(now + wait + 1e-6, count)[1] == 0
