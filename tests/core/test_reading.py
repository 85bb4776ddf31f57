"""Of all that a foreign file can look like, only two things are news."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import (
    GONE_AFTER_SECONDS,
    Absent,
    Blanked,
    Found,
    News,
    Reading,
    Unreadable,
    is_another_account,
    news,
)

LAW = settings(derandomize=True, deadline=None)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALIVE = NOW + timedelta(hours=1)
OVER = NOW - timedelta(seconds=1)

HELD = Credential(Kind.OAUTH, Secret("a1"), Secret("r1"), expires_at=ALIVE, scopes=("s",), granted_life=3600.0)
STATIC = Credential(Kind.SETUP_TOKEN, Secret("static"))
ROTATED = Credential(Kind.OAUTH, Secret("a2"), Secret("r2"), expires_at=ALIVE)
WITHOUT_REFRESH = Credential(Kind.OAUTH, Secret("a3"), expires_at=ALIVE)


def judge(reading: Reading, held: Credential | None, absent_since: datetime | None = None) -> News:
    """The judgement at NOW."""
    return news(reading, held, absent_since=absent_since, now=NOW)


@pytest.mark.parametrize(
    ("found", "held", "expected"),
    [
        (ROTATED, None, News.NEW_CREDENTIAL),
        (WITHOUT_REFRESH, None, News.NEW_CREDENTIAL),
        (replace(ROTATED, expires_at=OVER), None, News.NEW_CREDENTIAL),
        (ROTATED, HELD, News.NEW_CREDENTIAL),
        (replace(ROTATED, expires_at=OVER), HELD, News.NEW_CREDENTIAL),
        (ROTATED, WITHOUT_REFRESH, News.NEW_CREDENTIAL),
        (ROTATED, STATIC, News.NEW_CREDENTIAL),
        (STATIC, WITHOUT_REFRESH, News.NEW_CREDENTIAL),
        (WITHOUT_REFRESH, HELD, News.NOTHING),
        (replace(WITHOUT_REFRESH, refresh=Secret("")), HELD, News.NOTHING),
        (WITHOUT_REFRESH, replace(HELD, expires_at=None), News.NOTHING),
        (WITHOUT_REFRESH, replace(HELD, expires_at=OVER), News.NEW_CREDENTIAL),
        (WITHOUT_REFRESH, replace(HELD, expires_at=NOW), News.NEW_CREDENTIAL),
    ],
)
def test_another_value_is_news_unless_it_loses_the_refresh_token(
    found: Credential, held: Credential | None, expected: News
) -> None:
    """A token without a refresh token never replaces one that has it and still lives (design section 4.8)."""
    assert judge(Found(found), held) is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (HELD, News.NOTHING),
        (replace(HELD, granted_life=None), News.NOTHING),
        (replace(HELD, account="a"), News.NEW_DETAILS),
        (replace(HELD, token_type="bearer"), News.NOTHING),
        (replace(HELD, expires_at=ALIVE + timedelta(milliseconds=999)), News.NOTHING),
        (replace(HELD, expires_at=ALIVE + timedelta(seconds=1)), News.NEW_DETAILS),
        (replace(HELD, expires_at=ALIVE - timedelta(seconds=1)), News.NEW_DETAILS),
        (replace(HELD, expires_at=None), News.NEW_DETAILS),
        (replace(HELD, login_ends_at=ALIVE), News.NEW_DETAILS),
        (replace(HELD, scopes=("s", "t")), News.NEW_DETAILS),
        (replace(HELD, subscription="max"), News.NEW_DETAILS),
        (replace(HELD, tier="max_5"), News.NEW_DETAILS),
    ],
)
def test_the_same_value_is_news_only_where_the_place_says_other_things_of_it(
    found: Credential, expected: News
) -> None:
    """A file's rounding and what only we know, the grant, are none."""
    assert judge(Found(found), HELD) is expected


@pytest.mark.parametrize(
    ("reading", "held", "expected"),
    [
        (Blanked(login_ended=False), HELD, News.NOTHING),
        (Blanked(login_ended=False), None, News.NOTHING),
        (Blanked(login_ended=True), HELD, News.LOGGED_OUT),
        (Blanked(login_ended=True), None, News.NOTHING),
        (Unreadable("torn"), HELD, News.NOTHING),
        (Unreadable("locked"), None, News.NOTHING),
    ],
)
def test_stubs_and_unreadable_files(reading: Reading, held: Credential | None, expected: News) -> None:
    """A blanked file is a logout only if its owner says so; what cannot be read says nothing (design I5)."""
    assert judge(reading, held) is expected


@pytest.mark.parametrize(
    ("held", "absent_for", "expected"),
    [
        (HELD, None, News.NOTHING),
        (HELD, 0.0, News.NOTHING),
        (HELD, 59.999, News.NOTHING),
        (HELD, 60.0, News.LOGGED_OUT),
        (HELD, 1e6, News.LOGGED_OUT),
        (HELD, -1e6, News.NOTHING),
        (None, 1e6, News.NOTHING),
        (None, None, News.NOTHING),
    ],
)
def test_a_missing_file_is_a_logout_after_a_minute(
    held: Credential | None, absent_for: float | None, expected: News
) -> None:
    """An owner that rewrites its file removes it for a moment; a wall clock set back only waits longer."""
    since = None if absent_for is None else NOW - timedelta(seconds=absent_for)
    assert judge(Absent(), held, since) is expected
    assert GONE_AFTER_SECONDS == 60.0


held_values = st.sampled_from([None, HELD, STATIC, ROTATED, WITHOUT_REFRESH])
readings = st.one_of(
    held_values.filter(bool).map(lambda credential: Found(credential or HELD)),
    st.booleans().map(lambda over: Blanked(login_ended=over)),
    st.just(Absent()),
    st.text().map(Unreadable),
)


@LAW
@given(
    readings,
    held_values,
    st.none() | st.floats(min_value=-1e6, max_value=1e6).map(lambda ago: NOW - timedelta(seconds=ago)),
)
def test_only_what_is_there_and_whole_can_end_or_replace_a_login(
    reading: Reading, held: Credential | None, absent_since: datetime | None
) -> None:
    """Found never ends a login, anything else never replaces one, and who holds nothing loses nothing."""
    verdict = judge(reading, held, absent_since)
    if isinstance(reading, Found):
        assert verdict is not News.LOGGED_OUT
    else:
        assert verdict in {News.NOTHING, News.LOGGED_OUT}
    if held is None:
        assert verdict in {News.NOTHING, News.NEW_CREDENTIAL}
    if isinstance(reading, Unreadable):
        assert verdict is News.NOTHING


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a", "b", True), ("a", "a", False), (None, "b", False), ("a", None, False), (None, None, False)],
)
def test_only_known_accounts_can_be_told_apart(one: str | None, other: str | None, *, expected: bool) -> None:
    """Where one is not known, nobody can tell; nor where nothing is held."""
    found = replace(ROTATED, account=other)
    assert is_another_account(replace(HELD, account=one), found) is expected
    assert not is_another_account(None, found)


def test_a_place_that_stops_naming_the_account_says_nothing_new() -> None:
    """What we know of the same value stays."""
    assert judge(Found(HELD), replace(HELD, account="a")) is News.NOTHING
