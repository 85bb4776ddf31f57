"""What goes on and on is said at first, when it changes, and ever more seldom."""

from __future__ import annotations

from itertools import pairwise

from tokenward.core.repeats import FIRST_GAP_SECONDS, LONGEST_GAP_SECONDS, Said, heard


def moments(what: str, *, every: float, for_seconds: float) -> list[float]:
    """When something that happens again and again is said."""
    said, before, now = [], None, 0.0
    while now <= for_seconds:
        say, before = heard(before, what, now=now)
        if say:
            said.append(now)
        now += every
    return said


def test_the_first_time_is_said() -> None:
    """At once, and the same a moment later is not; how often is remembered."""
    say, said = heard(None, "unavailable", now=10.0)
    assert say
    for times in (1, 2):
        say, said = heard(said, "unavailable", now=20.0)
        assert (say, said.kept_back, said.at) == (False, times, 10.0)


def test_a_change_is_said_at_once() -> None:
    """Another cause is news, and so is the one before when it comes back."""
    _, said = heard(None, "unavailable", now=0.0)
    say, said = heard(said, "rate_limited", now=1.0)
    assert say
    assert heard(said, "unavailable", now=2.0) == (True, Said("unavailable", 2.0, FIRST_GAP_SECONDS))


def test_the_gaps_double_up_to_the_longest() -> None:
    """A week of failures, one each minute, is some thirty lines, and none is more than six hours from the next."""
    said = moments("unavailable", every=60.0, for_seconds=7 * 24 * 3600.0)
    gaps = [later - earlier for earlier, later in pairwise(said)]
    assert gaps[:3] == [FIRST_GAP_SECONDS, 2 * FIRST_GAP_SECONDS, 4 * FIRST_GAP_SECONDS]
    assert gaps[-1] == LONGEST_GAP_SECONDS
    assert max(gaps) == LONGEST_GAP_SECONDS
    assert len(said) < 40
