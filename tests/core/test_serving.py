"""What a caller gets: the token, a refresh first, or a refusal; over everything that can be."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.freshness import wanted_life
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Decision, Refresh, Refusal, Serve, Standing, Wish, decide

LAW = settings(derandomize=True, deadline=None)
LIFE = 3600.0

SERVE = Serve(None)
SHORT = Serve("short")
FAILING = Serve("refresh_failing")
UNSAVED = Serve("unsaved")
REFRESH = Refresh(forced=False)
FORCED = Refresh(forced=True)

NORMAL = Wish(60.0)
GREEDY = Wish(7200.0)
NOTHING_WANTED = Wish(0.0)


def after(wish: Wish) -> Wish:
    """The same wish once a refresh was made or joined."""
    return Wish(wish.min_valid, wish.excludes_held, tried=True)


REFUSED = Wish(60.0, excludes_held=True)


@pytest.mark.covers("L21")
@pytest.mark.parametrize(
    ("phase", "left", "granted", "refreshable", "wish", "expected"),
    [
        # Nothing is held
        (Phase.EMPTY, None, None, False, NORMAL, Refusal.NOTHING_HELD),
        (Phase.EMPTY, None, None, True, REFUSED, Refusal.NOTHING_HELD),
        (Phase.GONE, None, None, False, NORMAL, Refusal.NOTHING_HELD),
        (Phase.LOGIN_REQUIRED, None, None, False, NORMAL, Refusal.LOGIN_REQUIRED),
        # Enough is left
        (Phase.READY, 3000.0, LIFE, True, NORMAL, SERVE),
        (Phase.READY, 60.0, LIFE, True, NORMAL, SERVE),
        (Phase.READY, math.inf, None, True, NORMAL, SERVE),
        (Phase.READY, math.inf, None, False, Wish(math.inf), SERVE),
        (Phase.READY, 0.1, LIFE, True, NOTHING_WANTED, SERVE),
        (Phase.READY, 1.0, LIFE, True, Wish(-5.0), SERVE),
        (Phase.READY, 3000.0, None, False, NORMAL, SERVE),
        (Phase.REFRESHING, 3000.0, LIFE, True, NORMAL, SERVE),
        (Phase.BACKOFF, 3000.0, LIFE, True, NORMAL, SERVE),
        (Phase.UNSAVED, 3000.0, LIFE, True, NORMAL, UNSAVED),
        (Phase.LOGIN_REQUIRED, 3000.0, LIFE, True, NORMAL, FAILING),
        # Less than was asked for, and a refresh helps
        (Phase.READY, 59.9, LIFE, True, NORMAL, REFRESH),
        (Phase.READY, 1799.9, LIFE, True, GREEDY, REFRESH),
        (Phase.READY, 1799.9, LIFE, True, Wish(math.inf), REFRESH),
        (Phase.READY, 3000.0, None, True, GREEDY, REFRESH),
        (Phase.REFRESHING, 59.9, LIFE, True, NORMAL, REFRESH),
        # … or would help only for half the life granted: no storm for a greedy caller
        (Phase.READY, 1800.0, LIFE, True, GREEDY, SHORT),
        (Phase.READY, 3600.0, LIFE, True, GREEDY, SHORT),
        (Phase.REFRESHING, 1800.0, LIFE, True, GREEDY, SHORT),
        # … or cannot be made
        (Phase.READY, 59.9, LIFE, False, NORMAL, SHORT),
        (Phase.BACKOFF, 59.9, LIFE, True, NORMAL, FAILING),
        (Phase.LOGIN_REQUIRED, 59.9, LIFE, True, NORMAL, FAILING),
        (Phase.UNSAVED, 59.9, LIFE, True, NORMAL, UNSAVED),
        # … or was made
        (Phase.READY, 3600.0, LIFE, True, after(GREEDY), SHORT),
        (Phase.READY, 59.9, LIFE, True, after(NORMAL), SHORT),
        (Phase.BACKOFF, 59.9, LIFE, True, after(NORMAL), FAILING),
        (Phase.REFRESHING, 59.9, LIFE, True, after(NORMAL), FAILING),
        (Phase.LOGIN_REQUIRED, 59.9, LIFE, True, after(NORMAL), FAILING),
        (Phase.UNSAVED, 3600.0, LIFE, True, after(GREEDY), UNSAVED),
        (Phase.READY, 3600.0, LIFE, True, after(NORMAL), SERVE),
        # Expired: at exactly nothing left, too
        (Phase.READY, 0.0, LIFE, True, NORMAL, REFRESH),
        (Phase.READY, 0.0, LIFE, True, NOTHING_WANTED, REFRESH),
        (Phase.READY, -1e9, None, True, Wish(-1e10), REFRESH),
        (Phase.REFRESHING, -1.0, LIFE, True, NORMAL, REFRESH),
        (Phase.READY, 0.0, LIFE, False, NOTHING_WANTED, Refusal.EXPIRED),
        (Phase.READY, -1.0, LIFE, True, after(NORMAL), Refusal.EXPIRED),
        (Phase.REFRESHING, -1.0, LIFE, True, after(NORMAL), Refusal.REFRESH_FAILING),
        (Phase.BACKOFF, -1.0, LIFE, True, NORMAL, Refusal.REFRESH_FAILING),
        (Phase.BACKOFF, -1.0, LIFE, True, after(NORMAL), Refusal.REFRESH_FAILING),
        (Phase.UNSAVED, -1.0, LIFE, True, NORMAL, Refusal.REFRESH_FAILING),
        (Phase.LOGIN_REQUIRED, -1.0, LIFE, True, NORMAL, Refusal.LOGIN_REQUIRED),
        # The caller was refused with what is held
        (Phase.READY, 3000.0, LIFE, True, REFUSED, FORCED),
        (Phase.READY, math.inf, None, True, REFUSED, FORCED),
        (Phase.READY, -1.0, LIFE, True, REFUSED, FORCED),
        (Phase.REFRESHING, 3000.0, LIFE, True, REFUSED, FORCED),
        (Phase.READY, math.inf, None, False, REFUSED, Refusal.EXCLUDED),
        (Phase.READY, 3000.0, LIFE, True, after(REFUSED), Refusal.EXCLUDED),
        (Phase.BACKOFF, 3000.0, LIFE, True, REFUSED, Refusal.REFRESH_FAILING),
        (Phase.BACKOFF, 3000.0, LIFE, True, after(REFUSED), Refusal.REFRESH_FAILING),
        (Phase.REFRESHING, 3000.0, LIFE, True, after(REFUSED), Refusal.REFRESH_FAILING),
        (Phase.UNSAVED, 3000.0, LIFE, True, REFUSED, Refusal.EXCLUDED),
        (Phase.LOGIN_REQUIRED, 3000.0, LIFE, True, REFUSED, Refusal.LOGIN_REQUIRED),
        (Phase.LOGIN_REQUIRED, 3000.0, LIFE, True, after(REFUSED), Refusal.LOGIN_REQUIRED),
    ],
)
def test_decisions(
    phase: Phase, left: float | None, granted: float | None, wish: Wish, expected: Decision, *, refreshable: bool
) -> None:
    """The rows that matter to a caller, each said in full."""
    assert decide(wish, Standing(phase, left, granted, refreshable)) == expected


def check_the_laws(wish: Wish, standing: Standing) -> None:
    """What holds of every decision (design I6, I7)."""
    decision = decide(wish, standing)
    alive = standing.left is not None and standing.left > 0
    match decision:
        case Serve(degraded):
            assert alive, "an expired token, or none, is never served"
            assert not wish.excludes_held, "a caller never gets back what it was refused with"
            assert standing.left is not None
            if degraded is None:
                assert standing.left >= wish.min_valid
            if degraded == "short":
                assert standing.left < wish.min_valid
        case Refresh(forced):
            assert standing.refreshable, "what cannot be refreshed is not"
            assert not wish.tried, "a second decision is final"
            assert standing.phase in {Phase.READY, Phase.REFRESHING}, "back-off and verdicts are obeyed"
            assert forced is wish.excludes_held, "only a refusal draws from the bucket"
            assert standing.left is not None
            if not forced and alive:
                assert standing.left < wanted_life(wish.min_valid, standing.granted_life)
        case Refusal():
            assert not alive or wish.excludes_held, "while the token lives no failure is the caller's problem"
            assert (decision is Refusal.LOGIN_REQUIRED) is (standing.phase is Phase.LOGIN_REQUIRED)
            if standing.left is not None:
                assert decision is not Refusal.NOTHING_HELD
            if decision is Refusal.EXCLUDED:
                assert wish.excludes_held


LEFTS = [None, -math.inf, -1.0, 0.0, 1e-9, 30.0, 60.0, 1799.0, 1800.0, 3600.0, 1e9, math.inf]
MIN_VALIDS = [-1.0, 0.0, 60.0, 390.0, 7200.0, math.inf]


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("left", LEFTS)
def test_the_laws_hold_everywhere_in_the_table(phase: Phase, left: float | None) -> None:
    """Every phase and remainder with every wish, grant and means."""
    flags = [False, True]
    for min_valid, excludes_held, tried, granted, refreshable in product(
        MIN_VALIDS, flags, flags, [None, 1.0, LIFE, 1e7], flags
    ):
        check_the_laws(
            Wish(min_valid, excludes_held=excludes_held, tried=tried), Standing(phase, left, granted, refreshable)
        )


@settings(LAW, max_examples=1000)
@given(
    st.builds(
        Wish,
        min_valid=st.floats(allow_nan=False),
        excludes_held=st.booleans(),
        tried=st.booleans(),
    ),
    st.builds(
        Standing,
        phase=st.sampled_from(Phase),
        left=st.none() | st.floats(allow_nan=False),
        granted_life=st.none() | st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        refreshable=st.booleans(),
    ),
)
def test_the_laws_hold_between_the_rows(wish: Wish, standing: Standing) -> None:
    """The same for any numbers."""
    check_the_laws(wish, standing)


@LAW
@given(
    left=st.floats(min_value=LIFE / 2, max_value=LIFE),
    min_valid=st.floats(allow_nan=False),
    phase=st.sampled_from(Phase),
)
def test_in_the_first_half_of_a_life_no_wish_starts_a_refresh(left: float, min_valid: float, phase: Phase) -> None:
    """At most two refreshes a life, however greedy the callers (design I6)."""
    assert isinstance(decide(Wish(min_valid), Standing(phase, left, LIFE, refreshable=True)), Serve)
