"""A decision that stands says what would be decided anew, for as long as it stands and not longer."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core import freshness
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.freshness import Held, RefreshTiming
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Serve, Standing, Wish, decide
from tokenward.core.terms import Terms, terms

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOOT = 1000.0
LIFE = 3600.0

lives = st.none() | st.sampled_from([-5.0, 0.0, 59.0, 60.0, 61.0, 90.0, 3000.0]) | st.floats(-100, 5000)
wishes = st.builds(
    Wish, st.sampled_from([0.0, 60.0, 390.0, math.inf, -5.0]) | st.floats(0, 5000), st.booleans(), st.booleans()
)


def held_with(left: float | None) -> Held:
    """A value with so many seconds left; None = nobody knows its end."""
    ends = None if left is None else NOW + timedelta(seconds=left)
    credential = Credential(Kind.OAUTH, Secret("a"), refresh=Secret("r"), expires_at=ends, granted_life=LIFE)
    return freshness.hold(credential, now=NOW, boot_now=BOOT)


@given(
    wish=wishes,
    phase=st.sampled_from(Phase),
    left=lives,
    refreshable=st.booleans(),
    known_lead=st.booleans(),
    passed=st.floats(0, 6000),
    stepped=st.sampled_from([0.0, 0.0, -86400.0, -30.0, 30.0, 86400.0]),
)
@settings(derandomize=True, deadline=None, max_examples=600)
def test_it_says_what_would_be_decided_anew(
    *,
    wish: Wish,
    phase: Phase,
    left: float | None,
    refreshable: bool,
    known_lead: bool,
    passed: float,
    stepped: float,
) -> None:
    """While it gives a life, that life is the one left, it is served without reservation, and nothing is due."""
    held = held_with(left)
    timing = RefreshTiming(90.0, 15.0)
    lead = timing.lead(held.credential, seed="s") if known_lead else None
    first = freshness.remaining(held, now=NOW, boot_now=BOOT)
    made = terms(wish, Standing(phase, first, LIFE, refreshable), held, lead=lead)
    if made is None:
        assert decide(wish, Standing(phase, first, LIFE, refreshable)) != Serve(None)
        return
    now, boot_now = NOW + timedelta(seconds=passed + stepped), BOOT + passed
    given_left = made.left(held, phase, now=now, boot_now=boot_now)
    truly = freshness.remaining(held, now=now, boot_now=boot_now)
    if given_left is not None:
        assert given_left == truly > 0
        assert decide(wish, Standing(phase, truly, LIFE, refreshable)) == Serve(None)
        if phase is Phase.READY and known_lead:
            assert not freshness.is_due(held, timing, seed="s", now=now, boot_now=boot_now)
    else:  # not for nothing: little is left, or a refresh is due
        assert truly <= max(0.0, wish.min_valid, lead if lead is not None and phase is Phase.READY else 0.0)


def test_another_value_or_phase_ends_it() -> None:
    """Also an equal value: whatever was read anew is decided anew."""
    held = held_with(3000.0)
    made = terms(Wish(60.0), Standing(Phase.READY, 3000.0, LIFE, refreshable=True), held, lead=90.0)
    assert made == Terms(held, Phase.READY, 90.0)
    assert made.left(held, Phase.READY, now=NOW, boot_now=BOOT) == 3000.0
    assert made.left(held_with(3000.0), Phase.READY, now=NOW, boot_now=BOOT) is None
    assert made.left(None, Phase.READY, now=NOW, boot_now=BOOT) is None
    for phase in set(Phase) - {Phase.READY}:
        assert made.left(held, phase, now=NOW, boot_now=BOOT) is None


def test_the_boot_clock_ends_it_where_the_wall_clock_was_set_back() -> None:
    """An hour of life, an hour slept, and the wall clock set back by an hour: nothing is left (design I8)."""
    held = held_with(LIFE)
    made = terms(Wish(0.0), Standing(Phase.READY, LIFE, LIFE, refreshable=False), held, lead=None)
    assert made is not None
    assert made.left(held, Phase.READY, now=NOW, boot_now=BOOT + LIFE) is None
    assert made.left(held, Phase.READY, now=NOW + timedelta(seconds=LIFE), boot_now=BOOT) is None
    assert made.left(held, Phase.READY, now=NOW, boot_now=BOOT + LIFE - 1) == 1.0
