"""What failures cost a profile, and what gives it back."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from core.resting import Rest, resting
from tokenward.core.classify import FailureClass
from tokenward.core.health import (
    MOST_MODELS,
    Health,
    after_failure,
    after_refresh,
    after_success,
    cleared,
    rebased,
)
from tokenward.core.ladders import PRESETS, Ladders

F = FailureClass
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
OURS = Ladders()
OPUS, HAIKU = "claude-opus", "claude-haiku"


def fail(
    health: Health,
    failure: FailureClass,
    now: datetime,
    *,
    model: str | None = None,
    reset_at: datetime | None = None,
    ladders: Ladders = OURS,
) -> Health:
    """The health after a failure, with our ladders unless others are named."""
    return after_failure(health, failure, now=now, ladders=ladders, model=model, reset_at=reset_at)


def rest(health: Health, now: datetime, *, model: str | None = None) -> Rest:
    """What keeps the profile from serving; something must."""
    found = resting(health, now, model=model)
    assert found is not None
    return found


def seconds(health: Health, now: datetime, *, model: str | None = None) -> float:
    """For how long the profile does not serve; 0 = it does."""
    found = resting(health, now, model=model)
    if found is None:
        return 0.0
    assert found.until is not None
    return (found.until - now).total_seconds()


def windows(
    failure: FailureClass, count: int, *, ladders: Ladders = OURS, pause: timedelta = SECOND
) -> list[float]:
    """The windows in seconds when each failure comes ``pause`` after the end of the last window."""
    health, now, found = cleared(), NOW, []
    for _ in range(count):
        health = fail(health, failure, now, ladders=ladders)
        found.append(seconds(health, now))
        now += timedelta(seconds=found[-1]) + pause
    return found


def hours(*count: float) -> list[float]:
    """Hours as seconds."""
    return [each * 3600 for each in count]


OPENCLAW_BILLING = [600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 86400, 86400]
OPENCLAW_RATE = [30 * 2.0**n for n in range(12)] + [86400, 86400]


@pytest.mark.parametrize(
    ("preset", "failure", "expected"),
    [
        ("tokenward", F.RATE_LIMIT, [60, 300, 1500, 3600, 3600, 3600]),
        ("tokenward", F.AUTH, [60, 300, 1500, 3600, 3600]),
        ("tokenward", F.BILLING, hours(5, 10, 20, 24, 24, 24)),
        ("tokenward", F.OVERLOADED, [30, 30, 30, 30]),
        ("equabot", F.RATE_LIMIT, [60, 300, 1500, 3600, 3600]),
        ("equabot", F.FORMAT, [60, 300, 1500, 3600, 3600]),
        ("equabot", F.TIMEOUT, [60, 300, 1500, 3600, 3600]),
        ("equabot", F.OVERLOADED, [60, 300, 1500, 3600, 3600]),
        ("equabot", F.AUTH_PERMANENT, [60, 300, 1500, 3600, 3600]),
        ("equabot", F.BILLING, hours(5, 10, 20, 24, 24)),
        ("openclaw", F.AUTH, [30, 60, 300, 300]),
        ("openclaw", F.RATE_LIMIT, OPENCLAW_RATE),
        ("openclaw", F.BILLING, OPENCLAW_BILLING),
        ("openclaw", F.AUTH_PERMANENT, [600, 1200, 2400, 3600, 3600]),
    ],
)
def test_every_row_of_the_ladders(preset: str, failure: FailureClass, expected: list[float]) -> None:
    """Failing again as soon as a window is over climbs exactly these steps."""
    assert windows(failure, len(expected), ladders=PRESETS[preset]) == expected


@pytest.mark.covers("L29")
@pytest.mark.parametrize("pause", [timedelta(), SECOND, HOUR, timedelta(hours=4)])
def test_billing_stays_at_a_day(pause: timedelta) -> None:
    """Five billing failures cost 5, 10, 20, 24 and 24 hours, at whatever moment after a window each comes."""
    assert windows(F.BILLING, 7, pause=pause) == hours(5, 10, 20, 24, 24, 24, 24)


def test_billing_is_not_measured_from_its_first_failure() -> None:
    """Polpo's fault is absent: there the count starts anew a day after the first failure (5, 10, 20, 5)."""
    assert windows(F.BILLING, 7) != hours(5, 10, 20, 5, 10, 20, 5)
    assert windows(F.BILLING, 4)[-1] == 24 * 3600


def test_billing_does_not_start_anew_because_a_day_long_window_is_over() -> None:
    """Clawdbot's fault is absent: there a window of 24 h itself makes the profile idle (5, 10, 20, 24, 5, ...)."""
    assert windows(F.BILLING, 5)[-2:] == hours(24, 24)


def test_a_cooldown_that_is_over_is_not_forgotten() -> None:
    """Polpo's other fault is absent: there the entry goes with its end, and no cooldown passes a minute."""
    health = fail(cleared(), F.RATE_LIMIT, NOW)
    later = NOW + timedelta(seconds=61)
    assert resting(health, later) is None
    assert seconds(fail(health, F.RATE_LIMIT, later), later) == 300


@pytest.mark.covers("L30")
def test_billing_starts_anew_after_a_day_without_failure() -> None:
    """A failure, 24 h and a second without one, a failure: five hours again; at 24 h exactly it is the second."""
    health = fail(cleared(), F.BILLING, NOW)
    assert seconds(fail(health, F.BILLING, NOW + DAY + SECOND), NOW + DAY + SECOND) == 5 * 3600
    assert seconds(fail(health, F.BILLING, NOW + DAY), NOW + DAY) == 10 * 3600


@pytest.mark.parametrize(("pause", "expected"), [(DAY, 24), (DAY + SECOND, 5)])
def test_after_a_day_long_window_idleness_begins_at_its_end(pause: timedelta, expected: float) -> None:
    """While it lasted nothing could happen, so it is not idleness."""
    health, now = cleared(), NOW
    for _ in range(4):
        health = fail(health, F.BILLING, now)
        now += timedelta(seconds=seconds(health, now))
    now += pause
    assert seconds(fail(health, F.BILLING, now), now) == expected * 3600


def test_a_cooldown_starts_anew_after_a_day() -> None:
    """Idle for more than 24 h, the next failure is the first again."""
    health = fail(fail(cleared(), F.RATE_LIMIT, NOW), F.RATE_LIMIT, NOW + HOUR)
    assert seconds(health, NOW + HOUR) == 300
    late = NOW + HOUR + DAY + SECOND
    assert seconds(fail(health, F.RATE_LIMIT, late), late) == 60


@pytest.mark.parametrize("failure", [F.RATE_LIMIT, F.AUTH, F.BILLING, F.OVERLOADED, F.AUTH_PERMANENT])
def test_an_open_window_is_immutable(failure: FailureClass) -> None:
    """A thousand failures inside a window neither prolong nor escalate it nor count (openclaw#3604)."""
    opened = fail(cleared(), failure, NOW)
    health = opened
    for tick in range(1000):
        health = fail(health, failure, NOW + timedelta(milliseconds=tick))
    assert health == opened


def test_the_failure_after_a_storm_is_the_second() -> None:
    """What came inside the window has not climbed the ladder either."""
    health = cleared()
    for tick in range(60):
        health = fail(health, F.RATE_LIMIT, NOW + tick * SECOND)
    assert seconds(fail(health, F.RATE_LIMIT, NOW + 60 * SECOND), NOW + 60 * SECOND) == 300


@pytest.mark.parametrize("failure", [F.RATE_LIMIT, F.AUTH, F.BILLING, F.OVERLOADED])
def test_a_window_ends_by_itself(failure: FailureClass) -> None:
    """At the moment it names the profile serves, and not a microsecond before."""
    health = fail(cleared(), failure, NOW)
    moment = rest(health, NOW).until
    assert moment is not None
    assert resting(health, moment - timedelta(microseconds=1)) is not None
    assert resting(health, moment) is None


@pytest.mark.parametrize(
    "failure", [F.RATE_LIMIT, F.AUTH, F.OVERLOADED, F.BILLING, F.AUTH_PERMANENT, F.AUTH_POLICY]
)
def test_who_asks_is_told_the_class(failure: FailureClass) -> None:
    """Whether a person must act is for selection to say (``selection.PERSON_MUST_ACT``)."""
    assert rest(fail(cleared(), failure, NOW), NOW).reason == failure


@pytest.mark.parametrize("failure", [F.AUTH_PERMANENT, F.AUTH_POLICY])
def test_a_refusal_has_no_end(failure: FailureClass) -> None:
    """Neither time nor a moment that the server names ends it; new material does."""
    health = fail(cleared(), failure, NOW, reset_at=NOW + HOUR)
    assert rest(fail(health, failure, NOW + HOUR, reset_at=NOW + DAY), NOW + 9 * YEAR) == (failure, None)
    assert resting(cleared(), NOW) is None


@pytest.mark.parametrize("failure", [F.TIMEOUT, F.SERVER, F.FORMAT, F.MODEL])
def test_what_says_nothing_of_the_credential_is_only_noted(failure: FailureClass) -> None:
    """Nothing closes and nothing climbs, whatever the server says of time; the failure is seen in the health."""
    health = fail(cleared(), failure, NOW, reset_at=NOW + HOUR)
    assert resting(health, NOW) is None
    assert (health.last_failure, health.last_failure_at) == (failure, NOW)
    assert seconds(fail(health, F.RATE_LIMIT, NOW), NOW) == 60


def test_overload_climbs_nothing() -> None:
    """It is no step of the cooldown ladder, and does not take a step back either."""
    health = fail(cleared(), F.RATE_LIMIT, NOW)
    later = NOW + 60 * SECOND
    health = fail(health, F.OVERLOADED, later)
    assert seconds(health, later) == 30
    later += 30 * SECOND
    assert seconds(fail(health, F.RATE_LIMIT, later), later) == 300


def test_billing_and_cooldown_are_apart() -> None:
    """Each has a field of its own; a cooldown under way does not hide an empty wallet, nor count towards it."""
    health = fail(cleared(), F.RATE_LIMIT, NOW)
    both = fail(health, F.BILLING, NOW + SECOND)
    assert both.cooldown == health.cooldown
    assert rest(both, NOW + SECOND) == (F.BILLING, NOW + SECOND + 5 * HOUR)
    assert fail(both, F.RATE_LIMIT, NOW + HOUR) == both
    after = NOW + 6 * HOUR
    assert seconds(fail(both, F.RATE_LIMIT, after), after) == 300


@pytest.mark.parametrize("failure", [F.RATE_LIMIT, F.OVERLOADED, F.BILLING, F.AUTH])
def test_the_servers_moment_goes_before_the_ladder(failure: FailureClass) -> None:
    """A first failure with a moment closes until then."""
    health = fail(cleared(), failure, NOW, reset_at=NOW + 3 * HOUR)
    assert rest(health, NOW) == (failure, NOW + 3 * HOUR)


@pytest.mark.parametrize("ahead", [timedelta(seconds=20), timedelta(minutes=30)])
def test_the_servers_moment_replaces_an_open_guess(ahead: timedelta) -> None:
    """To either side, and without counting; the next failure after it is the second."""
    health = fail(cleared(), F.RATE_LIMIT, NOW)
    now = NOW + 10 * SECOND
    moved = fail(health, F.RATE_LIMIT, now, reset_at=NOW + ahead)
    assert rest(moved, now).until == NOW + ahead
    assert seconds(fail(moved, F.RATE_LIMIT, NOW + ahead), NOW + ahead) == 300


def test_one_servers_moment_gives_way_only_to_a_later_one() -> None:
    """Of answers that cross on the way the longest wait stands, and a guess never moves it."""
    health = fail(cleared(), F.RATE_LIMIT, NOW, reset_at=NOW + HOUR)
    assert fail(health, F.RATE_LIMIT, NOW + SECOND) == health
    assert fail(health, F.RATE_LIMIT, NOW + SECOND, reset_at=NOW + 5 * SECOND) == health
    later = fail(health, F.RATE_LIMIT, NOW + SECOND, reset_at=NOW + 2 * HOUR)
    assert rest(later, NOW + SECOND).until == NOW + 2 * HOUR


def test_a_moment_that_is_past_or_too_far() -> None:
    """The one counts as none, the other is cut to a week."""
    assert seconds(fail(cleared(), F.RATE_LIMIT, NOW, reset_at=NOW), NOW) == 60
    assert seconds(fail(cleared(), F.RATE_LIMIT, NOW, reset_at=NOW + YEAR), NOW) == 7 * 86400


@pytest.mark.parametrize("failure", [F.RATE_LIMIT, F.OVERLOADED, F.MODEL])
def test_one_models_limit_leaves_the_others_alone(failure: FailureClass) -> None:
    """A failure with a model closes that model only (openclaw#10375)."""
    health = fail(cleared(), failure, NOW, model=OPUS)
    assert rest(health, NOW, model=OPUS).reason is failure
    assert resting(health, NOW, model=HAIKU) is None
    assert resting(health, NOW) is None


@pytest.mark.parametrize("failure", [F.AUTH, F.BILLING, F.AUTH_PERMANENT, F.AUTH_POLICY])
def test_what_is_the_profiles_closes_every_model(failure: FailureClass) -> None:
    """A login or a wallet is not a model's, whichever was asked for."""
    health = fail(cleared(), failure, NOW, model=OPUS)
    assert health.models == ()
    assert rest(health, NOW, model=HAIKU).reason is failure


def test_models_climb_by_themselves() -> None:
    """Each has its own count, and the profile's window covers them all."""
    health = fail(cleared(), F.RATE_LIMIT, NOW, model=OPUS)
    now = NOW + 60 * SECOND
    health = fail(health, F.RATE_LIMIT, now, model=OPUS)
    health = fail(health, F.RATE_LIMIT, now, model=HAIKU)
    assert (seconds(health, now, model=OPUS), seconds(health, now, model=HAIKU)) == (300, 60)
    health = fail(health, F.RATE_LIMIT, now, reset_at=now + HOUR)
    assert seconds(health, now, model=HAIKU) == 3600
    assert fail(health, F.RATE_LIMIT, now + 90 * SECOND, model=HAIKU) == health


def test_the_models_that_are_remembered_are_bounded() -> None:
    """A caller that invents names pushes out the oldest, and what is over for a day goes by itself."""
    health = cleared()
    for number in range(MOST_MODELS + 5):
        health = fail(health, F.RATE_LIMIT, NOW + number * SECOND, model=f"m{number:03}")
    assert [name for name, _ in health.models] == [f"m{number:03}" for number in range(5, MOST_MODELS + 5)]
    health = fail(health, F.RATE_LIMIT, NOW + 2 * DAY, model=OPUS)
    assert [name for name, _ in health.models] == [OPUS]


def bad() -> Health:
    """A profile of which everything bad is known."""
    health = fail(cleared(), F.RATE_LIMIT, NOW, model=OPUS)
    health = fail(health, F.RATE_LIMIT, NOW, model=HAIKU)
    health = fail(health, F.AUTH, NOW)
    health = fail(health, F.BILLING, NOW)
    return fail(health, F.AUTH_PERMANENT, NOW)


def test_success_and_clear_make_it_as_new() -> None:
    """Nothing outlives them: no window, no count, no last failure (openclaw PR#19211)."""
    assert after_success(bad()) == cleared() == Health()


def test_a_models_success_clears_what_is_the_profiles_and_its_own() -> None:
    """What is known of another model stays."""
    health = after_success(bad(), model=OPUS)
    assert resting(health, NOW, model=OPUS) is None
    assert seconds(health, NOW, model=HAIKU) == 60
    assert (health.cooldown, health.billing, health.refused) == (Health().cooldown,) * 3


def every_window() -> Iterable[tuple[FailureClass, float]]:
    """The classes that close for a while, and for how many seconds."""
    return [(F.RATE_LIMIT, 60.0), (F.BILLING, 5 * 3600.0), (F.OVERLOADED, 30.0)]


@pytest.mark.parametrize("step", [HOUR, DAY, YEAR])
@pytest.mark.parametrize(("failure", "length"), every_window())
def test_a_clock_that_was_set_back(failure: FailureClass, length: float, step: timedelta) -> None:
    """No wait is longer than the window was, whatever the clock says and whether or not it was rebased."""
    health = fail(cleared(), failure, NOW)
    for now in (NOW - step, NOW - step + SECOND, NOW - SECOND):
        assert seconds(health, now) <= length
        again = rebased(health, now=now)
        assert resting(again, now + timedelta(seconds=length)) is None


@pytest.mark.parametrize("step", [HOUR, DAY, YEAR])
@pytest.mark.parametrize(("failure", "length"), every_window())
def test_a_clock_that_jumped_forward_and_back(failure: FailureClass, length: float, step: timedelta) -> None:
    """A failure while the clock was ahead locks nobody out after it is right again, and no count is stuck."""
    health = fail(cleared(), failure, NOW + step)
    assert seconds(health, NOW) <= length
    later = NOW + timedelta(seconds=length) + SECOND
    assert resting(rebased(health, now=NOW), later) is None
    healed = fail(health, F.TIMEOUT, NOW)
    idle = NOW + 2 * DAY
    assert windows_from(healed, failure, idle) == length


def windows_from(health: Health, failure: FailureClass, now: datetime) -> float:
    """The window that one more failure opens."""
    return seconds(fail(health, failure, now), now)


@pytest.mark.parametrize(("failure", "length"), every_window())
def test_a_step_back_that_is_longer_than_the_window_ends_it(failure: FailureClass, length: float) -> None:
    """A clock that was an hour ahead costs one request and not a second minute of waiting."""
    health = fail(cleared(), failure, NOW)
    assert seconds(health, NOW - timedelta(seconds=length)) == length
    assert resting(health, NOW - timedelta(seconds=length + 1)) is None


def test_idleness_is_not_measured_from_the_future() -> None:
    """However often the clock was set back, a day from now is a day."""
    health = fail(cleared(), F.RATE_LIMIT, NOW + YEAR)
    assert health.last_failure_at == NOW + YEAR
    health = rebased(rebased(health, now=NOW + YEAR / 2), now=NOW)
    assert health.last_failure_at == NOW
    assert windows_from(health, F.RATE_LIMIT, NOW + DAY + SECOND) == 60


def test_idleness_after_a_day_long_guess_that_the_server_shortened() -> None:
    """It begins when the server spoke, since the profile could serve soon after."""
    health, now = cleared(), NOW
    for _ in range(4):
        health = fail(health, F.BILLING, now)
        now += timedelta(seconds=seconds(health, now))
    now -= 23 * HOUR
    health = fail(health, F.BILLING, now, reset_at=now + HOUR)
    assert seconds(health, now) == 3600
    assert windows_from(health, F.BILLING, now + DAY) == 24 * 3600
    assert windows_from(health, F.BILLING, now + DAY + SECOND) == 5 * 3600


def test_a_small_step_back_keeps_the_window() -> None:
    """A clock that is corrected by a second does not open a profile that is closed for five hours."""
    health = fail(cleared(), F.BILLING, NOW)
    assert seconds(health, NOW - SECOND) == 5 * 3600
    assert seconds(rebased(health, now=NOW - SECOND), NOW) == 5 * 3600 - 1


def test_a_day_long_window_keeps_its_anchor_when_it_is_rebased() -> None:
    """Idleness is still measured from its end."""
    health = fail(cleared(), F.BILLING, NOW, reset_at=NOW + DAY)
    back = rebased(health, now=NOW - HOUR)
    assert back.billing.anchor == NOW - HOUR + DAY
    late = NOW - HOUR + DAY + DAY
    assert windows_from(back, F.BILLING, late) == 10 * 3600


def test_a_refusal_survives_every_step_of_the_clock() -> None:
    """It has no end that a clock could move."""
    health = fail(cleared(), F.AUTH_POLICY, NOW)
    for step in (-YEAR, -DAY, -HOUR, HOUR, DAY, YEAR):
        assert rest(health, NOW + step) == (F.AUTH_POLICY, None)


def test_rebasing_a_right_clock_changes_nothing() -> None:
    """The same value comes back, so that a holder can tell whether to write."""
    health = bad()
    assert rebased(health, now=NOW) is health
    assert rebased(health, now=NOW + YEAR) is health


@pytest.mark.parametrize("failure", list(FailureClass))
def test_our_own_refresh_forgives_only_that_the_old_token_was_not_accepted(failure: FailureClass) -> None:
    """The account is the same, with its limits, its money and its scopes."""
    health = after_failure(Health(), failure, now=NOW, ladders=PRESETS["tokenward"], model="m")
    after = after_refresh(health)
    assert after.cooldown == (Health().cooldown if failure is FailureClass.AUTH else health.cooldown)
    assert (after.billing, after.refused, after.models) == (health.billing, health.refused, health.models)
