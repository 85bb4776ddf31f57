"""A person is told what waits for them: once, again after a while, and never in a storm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tokenward.core.lifecycle import Phase
from tokenward.core.notices import (
    DAYS,
    FAILURES,
    MOST_AT_ONCE,
    QUIET,
    TABLE,
    Key,
    Kind,
    Known,
    Matter,
    Standing,
    matters,
    review,
)
from tokenward.core.notices_document import from_documents, to_documents

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DEAD = Standing("acme:me", Phase.LOGIN_REQUIRED, generation="a" * 12, reason="it was revoked", command="log in")


class Person:
    """What is told, look after look; between two looks the memory goes through its written form."""

    def __init__(self) -> None:
        self.now = START
        self.known: dict[Key, Known] = {}

    def told(
        self, *standings: Standing, locked: str | None = None, after: timedelta = timedelta(0)
    ) -> list[Matter]:
        """One look, some time after the last."""
        self.now += after
        result = review(matters(standings, locked=locked, now=self.now), self.known, now=self.now)
        self.known = from_documents(to_documents(result.known))
        assert self.known == dict(result.known)
        return list(result.due)

    def kinds(
        self, *standings: Standing, locked: str | None = None, after: timedelta = timedelta(0)
    ) -> list[Kind]:
        """The kinds of it."""
        return [matter.kind for matter in self.told(*standings, locked=locked, after=after)]

    def through(
        self, standing: Callable[[datetime], Sequence[Standing]], *, lasting: timedelta, every: timedelta = MINUTE
    ) -> list[tuple[timedelta, Kind]]:
        """When what is told, looked at again and again."""
        told, end = [], self.now + lasting
        while self.now <= end:
            told += [(self.now - START, kind) for kind in self.kinds(*standing(self.now))]
            self.now += every
        return told


@pytest.fixture
def person() -> Person:
    """Somebody who was told nothing yet."""
    return Person()


def ending(left: timedelta) -> Standing:
    """A login that works, and ends so long after the start."""
    return Standing("acme:me", Phase.READY, login_ends_at=START + left, command="log in")


class TestWhatWaits:
    @pytest.mark.parametrize(
        ("standing", "kind"),
        [
            (Standing("acme:me", Phase.READY), None),
            (Standing("acme:me", Phase.EMPTY), None),
            (Standing("acme:me", Phase.REFRESHING), None),
            (Standing("acme:me", Phase.BACKOFF, failures=FAILURES - 1), None),
            (Standing("acme:me", Phase.BACKOFF, failures=FAILURES), Kind.REFRESH_FAILING),
            (Standing("acme:me", Phase.REFRESHING, failures=FAILURES), Kind.REFRESH_FAILING),
            (Standing("acme:me", Phase.UNSAVED), Kind.UNSAVED),
            (DEAD, Kind.LOGIN_REQUIRED),
            (ending(7 * DAY), Kind.LOGIN_ENDING),
            (ending(7 * DAY + MINUTE), None),
            (ending(-MINUTE), None),
        ],
    )
    def test_by_how_a_profile_stands(self, standing: Standing, kind: Kind | None) -> None:
        """Only what a person must act on: one failure is none, and a flight under way does not end a row."""
        found = matters([standing], locked=None, now=START)
        assert [matter.kind for matter in found] == ([] if kind is None else [kind])

    def test_a_locked_store(self) -> None:
        """It is the daemon's, and says why."""
        [matter] = matters([], locked="the keyring is locked", now=START)
        assert (matter.kind, matter.profile, matter.detail) == (Kind.STORE_LOCKED, "", "the keyring is locked")

    def test_a_dead_login_has_no_end_to_come(self) -> None:
        """One thing to do is one matter."""
        dead = Standing("acme:me", Phase.LOGIN_REQUIRED, login_ends_at=START + DAY)
        assert [matter.kind for matter in matters([dead], locked=None, now=START)] == [Kind.LOGIN_REQUIRED]

    def test_it_says_whose_why_and_what_helps(self) -> None:
        """Two lines for people, and the command."""
        [matter] = matters([DEAD], locked=None, now=START)
        assert (matter.summary, matter.detail, matter.hint) == (
            "acme:me needs a login",
            "it was revoked",
            "log in",
        )


class TestPace:
    @pytest.mark.parametrize(
        ("standing", "locked", "kind"),
        [
            (DEAD, None, Kind.LOGIN_REQUIRED),
            (Standing("acme:me", Phase.UNSAVED), None, Kind.UNSAVED),
            (Standing("acme:me", Phase.BACKOFF, failures=9), None, Kind.REFRESH_FAILING),
            (Standing("acme:me", Phase.READY), "locked", Kind.STORE_LOCKED),
        ],
    )
    def test_it_must_last_and_is_told_again_after_its_interval(
        self, person: Person, standing: Standing, locked: str | None, kind: Kind
    ) -> None:
        """Not a moment before, once at that moment, and once more when the interval is over."""
        pace = TABLE[kind]
        assert pace.again is not None
        if pace.lasting:
            assert person.kinds(standing, locked=locked) == []
            assert person.kinds(standing, locked=locked, after=pace.lasting - timedelta(seconds=1)) == []
            person.now += timedelta(seconds=1)
        assert person.kinds(standing, locked=locked) == [kind]
        assert person.kinds(standing, locked=locked, after=pace.again - timedelta(seconds=1)) == []
        assert person.kinds(standing, locked=locked, after=timedelta(seconds=1)) == [kind]

    def test_a_week_of_one_dead_login_is_eight_notices(self, person: Person) -> None:
        """Looked at every minute."""
        assert len(person.through(lambda _: [DEAD], lasting=7 * DAY)) == 8

    def test_what_passes_before_its_time_is_not_told(self, person: Person) -> None:
        """A laptop that is offline for 20 minutes again and again tells nobody."""

        def train(now: datetime) -> list[Standing]:
            offline = (now - START) % (30 * MINUTE) < 20 * MINUTE
            return [Standing("acme:me", Phase.BACKOFF if offline else Phase.READY, failures=9 if offline else 0)]

        assert person.through(train, lasting=DAY) == []

    def test_what_comes_and_goes_is_told_once(self, person: Person) -> None:
        """A refresh that fails for 40 minutes and works for 20, the whole day, is one matter."""

        def flapping(now: datetime) -> list[Standing]:
            failing = (now - START) % HOUR < 40 * MINUTE
            return [Standing("acme:me", Phase.BACKOFF if failing else Phase.READY, failures=9 if failing else 0)]

        told = person.through(flapping, lasting=23 * HOUR)
        assert told == [(30 * MINUTE, Kind.REFRESH_FAILING)]

    def test_a_restart_tells_nothing_again(self, person: Person) -> None:
        """The token is known to be dead only after the next try, an hour later; it is the same one."""
        assert person.kinds(DEAD) == [Kind.LOGIN_REQUIRED]
        assert person.kinds(Standing("acme:me", Phase.READY, generation=DEAD.generation), after=HOUR) == []
        assert person.kinds(DEAD, after=HOUR) == []
        assert person.kinds(DEAD, after=22 * HOUR) == [Kind.LOGIN_REQUIRED]

    def test_another_login_that_died_is_told(self, person: Person) -> None:
        """Another generation is another matter, but not sooner than ``QUIET`` after the last."""
        assert person.kinds(DEAD) == [Kind.LOGIN_REQUIRED]
        other = Standing("acme:me", Phase.LOGIN_REQUIRED, generation="b" * 12)
        assert person.kinds(other, after=MINUTE) == []
        assert person.kinds(other, after=QUIET - 2 * MINUTE) == []
        assert person.kinds(other, after=MINUTE) == [Kind.LOGIN_REQUIRED]

    def test_what_was_healed_for_long_is_new(self, person: Person) -> None:
        """A store that is locked again the next morning is told again, though the interval is not over."""
        person.told(locked="locked")
        assert person.kinds(locked="locked", after=2 * MINUTE) == [Kind.STORE_LOCKED]
        assert person.kinds(after=MINUTE) == []
        assert person.kinds(locked="locked", after=8 * HOUR) == []
        assert person.kinds(locked="locked", after=2 * MINUTE) == [Kind.STORE_LOCKED]

    def test_what_was_healed_for_long_is_new_however_often_one_looks(self, person: Person) -> None:
        """Failing for an hour at noon, and again for one in the evening: two notices."""

        def twice(now: datetime) -> list[Standing]:
            failing = (now - START) % (6 * HOUR) < HOUR
            return [Standing("acme:me", Phase.BACKOFF if failing else Phase.READY, failures=9 if failing else 0)]

        told = person.through(twice, lasting=11 * HOUR)
        assert [moment for moment, _ in told] == [30 * MINUTE, 6 * HOUR + 30 * MINUTE]

    def test_a_clock_that_was_set_back_silences_nobody(self, person: Person) -> None:
        """What was told in the future counts as untold."""
        person.now += 400 * DAY
        assert person.kinds(DEAD) == [Kind.LOGIN_REQUIRED]
        assert person.kinds(DEAD, after=-400 * DAY) == [Kind.LOGIN_REQUIRED]
        assert person.kinds(DEAD, after=MINUTE) == []


class TestEndOfALogin:
    def test_it_is_told_in_seven_three_and_one_days(self, person: Person) -> None:
        """Once each, and not again between."""
        told = person.through(lambda _: [ending(30 * DAY)], lasting=31 * DAY, every=HOUR)
        assert [moment for moment, _ in told] == [
            30 * DAY - 7 * DAY + TABLE[Kind.LOGIN_ENDING].lasting,
            30 * DAY - 3 * DAY,
            30 * DAY - DAY,
        ]

    def test_a_laptop_that_slept_through_is_told_the_last_stage_only(self, person: Person) -> None:
        """Asleep from before the first notice until a day before the end."""
        assert person.kinds(ending(7 * DAY)) == []
        [matter] = person.told(ending(7 * DAY), after=6 * DAY)
        assert matter.stage == min(DAYS)
        assert "within a day" in matter.summary

    def test_an_end_that_each_refresh_moves_is_no_matter(self, person: Person) -> None:
        """A server that gives refresh tokens of a day, renewed every hour."""

        def rolling(now: datetime) -> list[Standing]:
            return [ending((now - START) // HOUR * HOUR + DAY)]

        assert person.through(rolling, lasting=14 * DAY, every=10 * MINUTE) == []

    def test_a_new_login_is_told_of_anew(self, person: Person) -> None:
        """Its own end, from its own first stage."""
        person.through(lambda _: [ending(30 * DAY)], lasting=28 * DAY, every=HOUR)
        told = person.through(lambda _: [ending(58 * DAY)], lasting=30 * DAY, every=HOUR)
        assert len(told) == len(DAYS)


class TestManyAtOnce:
    def test_a_few_are_told_one_by_one(self, person: Person) -> None:
        """Each with its profile."""
        dead = [Standing(f"acme:{number}", Phase.LOGIN_REQUIRED) for number in range(MOST_AT_ONCE)]
        assert [matter.profile for matter in person.told(*dead)] == ["acme:0", "acme:1", "acme:2"]

    def test_more_are_one_notice(self, person: Person) -> None:
        """It names the first, and how many; none of them is told again for it."""
        dead = [Standing(f"acme:{number}", Phase.LOGIN_REQUIRED) for number in range(40)]
        [matter] = person.told(*dead)
        assert (matter.profile, matter.summary) == ("", "40 profiles: login required")
        assert matter.detail == "acme:0, acme:1, acme:2 and 37 more"
        assert person.told(*dead, after=MINUTE) == []


class TestWrittenDown:
    @pytest.mark.parametrize(
        "document",
        [
            None,
            [],
            "x",
            {"login_required": None},
            {"login_required": {}},
            {"login_required": {"since": "soon"}},
            {"login_required": {"since": True}},
            {"login_required": {"since": -1}},
            {"login_required": {"since": 1e400}},
            {"login_required": {"since": 10**30}},
            {"login_required": {"since": 1, "mark": 5}},
            {"login_required": {"since": 1, "mark": "x" * 65}},
            {"unheard_of": {"since": 1}},
        ],
    )
    def test_nonsense_counts_as_never_told(self, document: object) -> None:
        """Whatever a person or another version wrote."""
        assert from_documents({"acme:me": document}) == {}

    def test_a_wrong_part_is_left_out(self) -> None:
        """The rest counts."""
        document = {"login_ending": {"since": 1000, "told_at": "x", "stage": 4, "away_since": []}}
        moment = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
        assert from_documents({"acme:me": document}) == {("acme:me", Kind.LOGIN_ENDING): Known("", moment)}
