"""Whether a refresh token that many hosts hold may be spent: every case, and what must hold in all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.core.claiming import AtWork, Dead, InDoubt, Take, may_claim, name_of
from tokenward.core.sharing import Lease, SealedValue, SharedRecord

OURS, THEIRS = "host-a-00000001", "host-b-00000002"
VALUE = SealedValue("0" * 12, "key", b"sealed")


def record(lease: Lease | None = None, *, condemned: str | None = None) -> SharedRecord:
    """A record with or without a lease."""
    return SharedRecord("acme:me", 7, VALUE, lease, condemned)


LONG = 1e9
"""Seconds for which any lease was watched long enough."""
FRESH = Take(OURS)
AGAIN_ALIVE = Take(f"{OURS} again", may_return=False)
AGAIN_OVER = Take(f"{OURS} again", may_return=True)

CASES = {
    "nobody has it": (None, 60.0, 0.0, FRESH),
    "nobody has it, and the access token has ended": (None, -1.0, 0.0, FRESH),
    "we had it before a restart": (Lease(OURS, 3, 47), 60.0, 0.0, AGAIN_ALIVE),
    "we had it, and it lapsed": (Lease(f"{OURS} again", 60, -10), 60.0, 0.0, AGAIN_ALIVE),
    "we had it, and nothing is left to lose": (Lease(OURS, 60, -10), 0.0, 0.0, AGAIN_OVER),
    "another has it": (Lease(THEIRS, 3, 47), 60.0, 0.0, AtWork(THEIRS, 47)),
    "another has it, and the access token has ended": (Lease(THEIRS, 3, 47), -9.0, 0.0, AtWork(THEIRS, 47)),
    "another took it over": (Lease(f"{THEIRS} again", 3, 47), 60.0, 0.0, AtWork(THEIRS, 47)),
    "another's lapsed, and there is something to lose": (
        Lease(THEIRS, 60, -10),
        30.0,
        0.0,
        InDoubt(THEIRS, 60, 30),
    ),
    "another's lapsed at this very moment": (Lease(THEIRS, 50, 0), 30.0, 0.0, InDoubt(THEIRS, 50, 30)),
    "another's lapsed, and the access token has ended": (Lease(THEIRS, 60, -10), 0.0, 0.0, AGAIN_OVER),
    "another's lapsed, and the end is not known": (Lease(THEIRS, 60, -10), None, 0.0, AGAIN_OVER),
    "another's lapsed within the grace": (Lease(THEIRS, 60, -10), 30.0, 60.0, AGAIN_ALIVE),
    "another's lapsed after the grace": (Lease(THEIRS, 61, -11), 30.0, 60.0, InDoubt(THEIRS, 61, 30)),
    "it was sent again within the grace once": (
        Lease(f"{THEIRS} again", 55, -5),
        30.0,
        600.0,
        InDoubt(THEIRS, 55, 30),
    ),
}


@pytest.mark.parametrize(("lease", "left", "grace", "expected"), CASES.values(), ids=CASES)
def test_every_case(
    lease: Lease | None, left: float | None, grace: float, expected: Take | AtWork | InDoubt | Dead
) -> None:
    """The lease, the life that is left and the grace decide, once the lease was watched for long enough."""
    assert may_claim(record(lease), holder=OURS, left=left, reuse_grace=grace, watched=LONG) == expected


@pytest.mark.parametrize(
    ("left", "watched", "expected"),
    [
        (30.0, 0.0, InDoubt(THEIRS, 60, 50)),
        (30.0, 40.0, InDoubt(THEIRS, 60, 30)),
        (0.0, 0.0, InDoubt(THEIRS, 60, 50)),
        (None, 20.0, InDoubt(THEIRS, 60, 30)),
        (0.0, 49.5, InDoubt(THEIRS, 60, 0.5)),
        (0.0, 50.0, Take(f"{OURS} again", may_return=True)),
    ],
)
def test_a_lapsed_lease_is_watched_for_as_long_as_it_ran(
    left: float | None, watched: float, expected: InDoubt | Take
) -> None:
    """Its holder may have the answer and be cut off: it gets the time to tell, also when nothing else is left."""
    lapsed = Lease(THEIRS, 60, -10)
    assert may_claim(record(lapsed), holder=OURS, left=left, reuse_grace=0, watched=watched) == expected


def test_within_the_grace_nobody_is_waited_for() -> None:
    """What the authorization server forgives needs no watching."""
    lapsed = Lease(THEIRS, 60, -10)
    assert may_claim(record(lapsed), holder=OURS, left=30, reuse_grace=60, watched=0) == AGAIN_ALIVE


LEASES = st.builds(
    Lease,
    holder=st.sampled_from([OURS, f"{OURS} again", THEIRS, f"{THEIRS} again"]),
    age=st.floats(0, 1e6),
    left=st.floats(-1e6, 1e3),
)
LIFE = st.none() | st.floats(-1e6, 1e6)
GRACE = st.floats(0, 1e4)


@given(st.none() | LEASES, LIFE, GRACE)
def test_a_condemned_token_is_sent_by_nobody(lease: Lease | None, left: float | None, grace: float) -> None:
    """Whatever else is true, the verdict of the authorization server is final for the value."""
    told = may_claim(
        record(lease, condemned="invalid_grant"), holder=OURS, left=left, reuse_grace=grace, watched=LONG
    )
    assert told == Dead("invalid_grant")


@given(LEASES, st.floats(0.001, 1e6), GRACE)
def test_what_another_may_have_spent_is_sent_at_most_once_while_it_lives(
    lease: Lease, left: float, grace: float
) -> None:
    """While there is something to lose, another's lease is taken over only within the grace, and by one host."""
    word = may_claim(record(lease), holder=OURS, left=left, reuse_grace=grace, watched=LONG)
    if name_of(lease) == THEIRS and isinstance(word, Take):
        assert lease.left <= 0
        assert lease.age <= grace
        assert not word.may_return
        lapsed = Lease(word.holder, 0.0, 0.0)
        next_word = may_claim(record(lapsed), holder="host-c-00000003", left=left, reuse_grace=grace, watched=LONG)
        assert next_word == InDoubt(OURS, 0.0, left)


@given(LEASES, st.floats(-1e6, 0), GRACE)
def test_nobody_waits_for_ever(lease: Lease, left: float, grace: float) -> None:
    """When the access token has ended, whoever finds the lease lapsed may go on."""
    word = may_claim(record(lease), holder=OURS, left=left, reuse_grace=grace, watched=LONG)
    assert isinstance(word, AtWork) is (lease.left > 0 and name_of(lease) == THEIRS)
    assert isinstance(word, AtWork | Take)
