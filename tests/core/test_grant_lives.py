"""The times in a token endpoint's answer, and the credential that follows from it."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.freshness import lengthens_life
from tokenward.core.grants import (
    LONGEST_LIFE_SECONDS,
    Granted,
    parse_expires_in,
    parse_retry_after,
    renewed,
)

LAW = settings(derandomize=True, deadline=None)
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        (3600.5, 3600.5),
        ("3600", 3600.0),
        (" 3600 ", 3600.0),
        ("-1", -1.0),
        (0, 0.0),
        ("0", 0.0),
        (-5, -5.0),
        (31622400, 31622400.0),
        (31622401, LONGEST_LIFE_SECONDS),
        (10**4000, LONGEST_LIFE_SECONDS),
        ("9" * 18, LONGEST_LIFE_SECONDS),
        (-(10**4000), -LONGEST_LIFE_SECONDS),
        ("9" * 19, None),
        ("3600.0", None),
        ("3.6e3", None),
        ("+3600", None),
        ("0x10", None),
        ("١٢", None),
        ("soon", None),
        ("", None),
        (True, None),
        (False, None),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ([3600], None),
        ({}, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_expires_in(value: object, seconds: float | None) -> None:
    """Numbers and digit strings are read, beyond 366 days clamped; all else is unknown (design section 4.8)."""
    assert parse_expires_in(value) == seconds
    assert isinstance(parse_expires_in(value), float | None)


@LAW
@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_any_expires_in_gives_a_date_that_exists(value: object) -> None:
    """Whatever it says, the arithmetic that follows is possible."""
    seconds = parse_expires_in(value)
    if seconds is not None:
        assert abs((NOW + timedelta(seconds=seconds) - NOW).total_seconds()) <= LONGEST_LIFE_SECONDS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("9" * 12, 999999999999.0),
        ("9" * 13, None),
        ("-5", None),
        ("1.5", None),
        ("1e5", None),
        ("٣", None),
        ("", None),
        ("soon", None),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Mar 2026 13:02:00 +0100", 120.0),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:02:00", None),
        ("Sun, 01 Mar 2026 12:02:00 -0000", None),
        ("Sun, 32 Mar 2026 12:02:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 -99999999999999999999999", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds or an HTTP date (RFC 9110 10.2.3); never negative, and nothing else is guessed at."""
    assert parse_retry_after(value, now=NOW) == seconds


@LAW
@given(
    st.text()
    | st.builds("{} {} {} {}:00:00 {}{}".format, *[st.sampled_from(["Mon,", "01", "Jan", "9999", "9" * 30])] * 6)
)
def test_no_retry_after_raises(value: str) -> None:
    """Foreign text, dates with absurd numbers included."""
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or 0 <= seconds < math.inf


# The credential after a grant

OLD = Credential(
    Kind.OAUTH,
    Secret("old-access"),
    Secret("old-refresh"),
    expires_at=NOW + timedelta(seconds=60),
    granted_life=28800.0,
    scopes=("a", "b"),
    token_type="Bearer",
    login_ends_at=NOW + timedelta(days=30),
    subscription="max",
    tier="max_5",
)


def test_a_whole_grant_replaces_all_that_it_names() -> None:
    """And keeps what only the place knows: kind, plan and tier."""
    new = renewed(OLD, Granted(Secret("a"), Secret("r"), 3600.0, ("c",), "bearer", 86400.0), requested_at=NOW)
    assert new == Credential(
        Kind.OAUTH,
        Secret("a"),
        Secret("r"),
        expires_at=NOW + timedelta(hours=1),
        granted_life=3600.0,
        scopes=("c",),
        token_type="bearer",
        login_ends_at=NOW + timedelta(days=1),
        subscription="max",
        tier="max_5",
    )
    assert new.generation != OLD.generation


def test_what_a_grant_leaves_out_stays_but_not_the_end() -> None:
    """An absent refresh token or scope stays; the old token's end says nothing of the new one."""
    new = renewed(OLD, Granted(Secret("a"), None, None, None, "Bearer"), requested_at=NOW)
    assert new == replace(OLD, access=Secret("a"), expires_at=None, granted_life=None)


@pytest.mark.parametrize("life", [0.0, -1.0, -LONGEST_LIFE_SECONDS])
def test_a_grant_without_life_keeps_the_rotation_and_counts_as_a_failure(life: float) -> None:
    """The new refresh token is the only one that works; the access token is known to be over (section 4.8)."""
    grant = Granted(Secret("a"), Secret("r"), life, None, "Bearer")
    for old in (OLD, replace(OLD, expires_at=None), replace(OLD, expires_at=NOW - timedelta(days=9999))):
        new = renewed(old, grant, requested_at=NOW)
        assert (new.access, new.refresh) == (Secret("a"), Secret("r"))
        assert new.expires_at == NOW + timedelta(seconds=life)
        assert new.granted_life is None
        assert not lengthens_life(old, new)


@pytest.mark.parametrize(
    ("old_end", "life", "worth_it"),
    [
        (NOW + timedelta(seconds=60), 60.001, True),
        (NOW + timedelta(seconds=60), 60.0, False),
        (NOW + timedelta(seconds=60), 59.0, False),
        (NOW + timedelta(seconds=60), None, True),
        (None, 60.0, True),
        (None, None, True),
        (NOW - timedelta(days=1), 1.0, True),
    ],
)
def test_a_refresh_must_lengthen_life(old_end: datetime | None, life: float | None, *, worth_it: bool) -> None:
    """Else it counts as a failure and backs off (design section 4.11); an unknown end is no shorter one."""
    old = replace(OLD, expires_at=old_end)
    new = renewed(old, Granted(Secret("a"), None, life, None, "Bearer"), requested_at=NOW)
    assert lengthens_life(old, new) is worth_it


@LAW
@given(
    refresh=st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).map(Secret),
    life=st.none() | st.floats(min_value=-LONGEST_LIFE_SECONDS, max_value=LONGEST_LIFE_SECONDS),
)
def test_no_grant_takes_the_refresh_token_away(refresh: Secret | None, life: float | None) -> None:
    """After any grant there is one, and the granted life is positive or unknown."""
    new = renewed(OLD, Granted(Secret("a"), refresh, life, None, "Bearer"), requested_at=NOW)
    assert new.refresh == (refresh or OLD.refresh)
    assert new.refreshable
    assert new.granted_life is None or new.granted_life > 0
