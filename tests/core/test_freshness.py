"""How long a token is good and when it is due, whatever the clocks do."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.freshness import (
    FORCED_BURST,
    FORCED_REFILL_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    LONGEST_RETRY_SECONDS,
    SHORTEST_RETRY_SECONDS,
    Held,
    RefreshTiming,
    forced_refreshes,
    hold,
    is_due,
    later,
    refresh_due_in,
    remaining,
    retry_delay,
    wanted_life,
)
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Refresh, Serve, Standing, Wish, decide

LAW = settings(derandomize=True, deadline=None)
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BOOT = 5000.0
MILLISECOND = timedelta(milliseconds=1)
SEED = "host\0anthropic:claude-cli"
NO_JITTER = RefreshTiming(jitter=0.0)

moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)
boots = st.floats(min_value=0, max_value=1e9)
steps = st.floats(min_value=-1e8, max_value=1e8)
spans = st.floats(min_value=0, max_value=1e8)
tokens = st.text(min_size=1, max_size=20)


def oauth(expires_at: datetime | None, *, granted: float | None = None, access: str = "a") -> Credential:
    """A credential that can be refreshed."""
    return Credential(Kind.OAUTH, Secret(access), Secret("r"), expires_at=expires_at, granted_life=granted)


def due(held: Held, now: datetime, boot_now: float, timing: RefreshTiming = NO_JITTER) -> bool:
    """Whether it is due, with the seed of these tests."""
    return is_due(held, timing, seed=SEED, now=now, boot_now=boot_now)


@pytest.mark.covers("P21")
@pytest.mark.parametrize(
    ("before_end", "expected"),
    [
        (timedelta(seconds=90, milliseconds=1), False),
        (timedelta(seconds=90, microseconds=1), False),
        (timedelta(seconds=90), True),
        (timedelta(seconds=89, milliseconds=999), True),
        (timedelta(0), True),
        (timedelta(seconds=-3600), True),
    ],
)
@pytest.mark.parametrize("granted", [None, 450.0, 28800.0])
def test_a_refresh_is_due_at_exactly_ninety_seconds(
    before_end: timedelta, granted: float | None, *, expected: bool
) -> None:
    """At expiresAt minus 90 000 ms it is due, at minus 90 001 ms it is not (design section 4.1)."""
    end = NOW + timedelta(hours=8)
    held = hold(oauth(end, granted=granted), now=NOW, boot_now=BOOT)
    waited = timedelta(hours=8) - before_end
    assert due(held, NOW + waited, BOOT + waited.total_seconds()) is expected


@LAW
@given(noted=moments, boot=boots, milliseconds=st.integers(min_value=90_002, max_value=10**12))
def test_no_rounding_moves_the_boundary(noted: datetime, boot: float, milliseconds: int) -> None:
    """However large the clocks' numbers, rounding does not shift the 90.000 s by a millisecond."""
    end = noted + milliseconds * MILLISECOND
    held = hold(oauth(end), now=noted, boot_now=boot)
    for left, expected in ((90_001, False), (90_000, True)):
        waited = (milliseconds - left) * MILLISECOND
        assert due(held, noted + waited, boot + waited.total_seconds()) is expected


def test_the_default_margin_is_ninety_seconds_and_the_default_jitter_fifteen() -> None:
    """The defaults of design section 4.1."""
    assert (RefreshTiming().margin, RefreshTiming().jitter) == (90.0, 15.0)


@pytest.mark.covers("N40")
def test_the_margin_is_a_setting_and_an_unknown_end_is_valid_until_a_401() -> None:
    """300 s works as 90 s does; without an end nothing is due, it is served, and only a refusal refreshes it."""
    held = hold(oauth(NOW + timedelta(hours=1)), now=NOW, boot_now=BOOT)
    five_minutes = RefreshTiming(margin=300.0, jitter=0.0)
    assert not due(held, NOW + timedelta(seconds=3299.999), BOOT + 3299.999, five_minutes)
    assert due(held, NOW + timedelta(seconds=3300), BOOT + 3300, five_minutes)

    unknown = hold(oauth(None), now=NOW, boot_now=BOOT)
    left = remaining(unknown, now=NOW + timedelta(days=9000), boot_now=BOOT + 9000 * 86400.0)
    assert left == math.inf
    assert not due(unknown, NOW + timedelta(days=9000), BOOT + 9000 * 86400.0)
    standing = Standing(Phase.READY, left, None, refreshable=True)
    assert decide(Wish(60.0), standing) == Serve(None)
    assert decide(Wish(60.0, excludes_held=True), standing) == Refresh(forced=True)


@pytest.mark.parametrize(
    ("granted", "margin"),
    [(None, 90.0), (28800.0, 90.0), (450.0, 90.0), (300.0, 60.0), (20.0, 4.0), (1.0, 0.2)],
)
def test_the_margin_takes_at_most_a_fifth_of_the_life(granted: float | None, margin: float) -> None:
    """A 20 s token is refreshed 4 s before its end; an unknown grant gets the flat 90 s."""
    assert RefreshTiming().margin_for(oauth(NOW, granted=granted)) == pytest.approx(margin)


@LAW
@given(
    margin=st.floats(min_value=0, max_value=3600),
    jitter=st.floats(min_value=0, max_value=3600),
    granted=st.none() | st.floats(min_value=0.001, max_value=1e7),
    seed=st.text(max_size=20),
    access=tokens,
)
def test_jitter_is_only_earlier_and_bounded(
    margin: float, jitter: float, granted: float | None, seed: str, access: str
) -> None:
    """It adds between nothing and min(jitter, margin / 6) to the margin, never takes away from it."""
    timing = RefreshTiming(margin, jitter)
    credential = oauth(NOW, granted=granted, access=access)
    effective = timing.margin_for(credential)
    lead = timing.lead(credential, seed=seed)
    assert effective <= lead <= effective + min(jitter, effective / 6)
    assert effective <= margin


def test_jitter_is_the_same_for_the_same_seed_and_differs_between_hosts_and_values() -> None:
    """A schedule is recomputed at any time; a thousand hosts and generations do not come together."""
    timing = RefreshTiming()
    credential = oauth(NOW)
    assert timing.lead(credential, seed="one") == timing.lead(credential, seed="one")
    by_host = {round(timing.lead(credential, seed=str(host)) - 90) for host in range(1000)}
    assert by_host == set(range(16))
    by_value = {round(timing.lead(oauth(NOW, access=str(value)), seed="one") - 90) for value in range(1000)}
    assert by_value == set(range(16))


@LAW
@given(end=moments, noted=moments, boot=boots, passed=spans, step=steps)
def test_a_clock_step_never_adds_life(
    end: datetime, noted: datetime, boot: float, passed: float, step: float
) -> None:
    """Whatever the wall clock is set to, no more is left than was left, less the time that passed."""
    held = hold(oauth(end), now=noted, boot_now=boot)
    at_first = remaining(held, now=noted, boot_now=boot)
    left = remaining(held, now=noted + timedelta(seconds=passed + step), boot_now=boot + passed)
    assert left <= at_first - passed + 1e-3


@LAW
@given(end=moments, noted=moments, boot=boots, passed=spans, stopped=spans)
def test_a_boot_clock_that_stood_still_never_adds_life(
    end: datetime, noted: datetime, boot: float, passed: float, stopped: float
) -> None:
    """Where the boot clock misses time (a container that was frozen), the wall clock still counts it."""
    held = hold(oauth(end), now=noted, boot_now=boot)
    left = remaining(held, now=noted + timedelta(seconds=passed + stopped), boot_now=boot + passed)
    assert left <= (end - noted).total_seconds() - passed - stopped + 1e-3


@pytest.mark.parametrize(
    ("wall", "boot", "left"),
    [
        (0, 0, 3600.0),
        (600, 600, 3000.0),
        (-86400, 600, 3000.0),
        (86400, 600, -82800.0),
        (3600, 0, 0.0),
        (0, 7200, -3600.0),
    ],
    ids=["at once", "time passes", "set back a day", "set on a day", "only the wall", "suspended"],
)
def test_remaining_life_is_the_smaller_of_both_clocks(wall: float, boot: float, left: float) -> None:
    """Each clock can only shorten what the other says (design I8)."""
    held = hold(oauth(NOW + timedelta(hours=1)), now=NOW, boot_now=BOOT)
    assert remaining(held, now=NOW + timedelta(seconds=wall), boot_now=BOOT + boot) == left


def test_without_the_boot_clocks_word_the_wall_clock_decides() -> None:
    """The smaller of both, where both are known."""
    held = Held(oauth(NOW + timedelta(hours=1)), boot_end=None)
    assert remaining(held, now=NOW, boot_now=1e12) == 3600.0


@LAW
@given(
    end=moments,
    other_end=moments,
    boot=boots,
    passed=spans,
    more=spans,
    step=steps,
    access=tokens,
)
def test_due_time_is_monotone(
    *, end: datetime, other_end: datetime, boot: float, passed: float, more: float, step: float, access: str
) -> None:
    """It comes nearer as time passes, whatever the wall clock does; and a later end is never due earlier."""
    assume(end <= other_end)
    timing = RefreshTiming()
    credential, longer = oauth(end, access=access), oauth(other_end, access=access)
    held = hold(credential, now=NOW, boot_now=boot)

    def due_in(held: Held, wall: float, boot_passed: float) -> float:
        return refresh_due_in(
            held, timing, seed=SEED, now=NOW + timedelta(seconds=wall), boot_now=boot + boot_passed
        )

    begin = due_in(held, 0, 0)
    assert due_in(held, passed + step, passed) <= begin - passed + 1e-3
    assert due_in(held, passed + more, passed + more) <= due_in(held, passed, passed) + 1e-3
    assert begin <= due_in(hold(longer, now=NOW, boot_now=boot), 0, 0)


@pytest.mark.parametrize("refresh", [None, Secret("")], ids=["none", "blank"])
def test_what_has_no_refresh_token_is_never_due(refresh: Secret | None) -> None:
    """An expired static token makes no refresh."""
    credential = Credential(Kind.SETUP_TOKEN, Secret("a"), refresh, expires_at=NOW - timedelta(days=1))
    held = hold(credential, now=NOW, boot_now=BOOT)
    assert refresh_due_in(held, RefreshTiming(), seed=SEED, now=NOW, boot_now=BOOT) == math.inf
    assert not due(held, NOW, BOOT)


def test_the_end_of_the_calendar_can_be_scheduled() -> None:
    """An absurd expires_at makes a far schedule, not an overflow."""
    held = hold(oauth(datetime(9999, 1, 1, tzinfo=UTC)), now=NOW, boot_now=BOOT)
    seconds = refresh_due_in(held, RefreshTiming(), seed=SEED, now=NOW, boot_now=BOOT)
    assert NOW < later(NOW, seconds) < datetime(9999, 1, 1, tzinfo=UTC)


def test_later_counts_seconds() -> None:
    """A schedule is a moment."""
    assert later(NOW, 90.5) == NOW + timedelta(seconds=90.5)


@pytest.mark.parametrize(
    ("min_valid", "granted", "wanted"),
    [
        (60.0, None, 60.0),
        (7200.0, None, 7200.0),
        (60.0, 3600.0, 60.0),
        (1800.0, 3600.0, 1800.0),
        (1801.0, 3600.0, 1800.0),
        (7200.0, 3600.0, 1800.0),
        (0.0, 3600.0, 0.0),
    ],
)
def test_a_caller_can_want_at_most_half_a_life(min_valid: float, granted: float | None, wanted: float) -> None:
    """Beyond half the life granted, min_valid starts no refresh: at most two a life (design I6)."""
    assert wanted_life(min_valid, granted) == wanted


def test_three_forced_refreshes_come_at_once_and_then_one_a_minute() -> None:
    """The bucket of design I11; who is refused is told when to come again."""
    bucket, waits = forced_refreshes(at=0.0), []
    for at in (0.0, 0.0, 0.0, 0.0, 30.0, 60.0, 60.0, 1e6, 1e6, 1e6, 1e6):
        bucket, wait = bucket.draw(at)
        waits.append(wait)
    assert waits == [0.0, 0.0, 0.0, 60.0, 30.0, 0.0, 60.0, 0.0, 0.0, 0.0, 60.0]


@LAW
@given(st.lists(st.floats(min_value=0, max_value=300), max_size=40))
def test_no_pattern_of_calls_gets_more_than_the_bucket_gives(pauses: list[float]) -> None:
    """In any time there are at most three and one for each minute of it; and waiting as told is enough."""
    bucket, now, drawn = forced_refreshes(at=100.0), 100.0, 0
    for pause in pauses:
        now += pause
        bucket, wait = bucket.draw(now)
        drawn += wait == 0.0
        assert drawn <= FORCED_BURST + (now - 100.0) / FORCED_REFILL_SECONDS + 1e-6
        assert 0 <= wait <= FORCED_REFILL_SECONDS
        assert wait == 0 or bucket.draw(now + wait + 1e-3)[1] == 0


def test_a_boot_clock_that_goes_back_gives_no_refresh_away() -> None:
    """It never does; if it did, the bucket would only stay as it is."""
    empty = replace(forced_refreshes(at=1000.0), holds=0.0)
    assert empty.draw(10.0)[1] == FORCED_REFILL_SECONDS


@pytest.mark.parametrize(
    ("failures", "draw", "retry_after", "delay"),
    [
        (1, 0.0, None, 1.0),
        (1, 0.5, None, 2.5),
        (2, 0.5, None, 5.0),
        (3, 0.5, None, 10.0),
        (6, 0.5, None, 80.0),
        (7, 0.5, None, 150.0),
        (10**6, 0.5, None, 150.0),
        (1, 0.5, 0.0, 2.5),
        (1, 0.5, 120.0, 120.0),
        (10, 0.5, 120.0, 150.0),
        (1, 0.5, 3600.0, 3600.0),
        (1, 0.5, 3601.0, 3600.0),
        (1, 0.5, 1e12, 3600.0),
        (1, 0.5, math.inf, 3600.0),
        (1, 0.5, -1e12, 2.5),
    ],
)
def test_the_backoff_ladder(failures: int, draw: float, retry_after: float | None, delay: float) -> None:
    """5 s doubling to 5 min with full jitter; Retry-After is a floor, obeyed up to an hour."""
    assert retry_delay(failures, draw=draw, retry_after=retry_after) == delay


@LAW
@given(
    failures=st.integers(min_value=1, max_value=10**9),
    draw=st.floats(min_value=0, max_value=1, exclude_max=True),
    retry_after=st.none() | st.floats(allow_nan=False),
)
def test_no_server_and_no_number_of_failures_stops_retries_for_ever(
    failures: int, draw: float, retry_after: float | None
) -> None:
    """A delay is at least a second and at most five minutes, or an hour where the server asked for it."""
    delay = retry_delay(failures, draw=draw, retry_after=retry_after)
    longest = LONGEST_RETRY_SECONDS if retry_after is None else LONGEST_RETRY_AFTER_SECONDS
    assert SHORTEST_RETRY_SECONDS <= delay <= longest
