"""The last day in memory: bounded, counted, and without anything that a caller wrote."""

from __future__ import annotations

import pytest

from fakes.machine import FakeClock
from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.protocol import MAX_LINE_BYTES
from tokenward.daemon.audit import Seen
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.history import LARGEST_RING, History
from tokenward.daemon.history_models import MOST_AT_ONCE, MomentResult
from tokenward.daemon.peer import Peer
from tokenward.daemon.token_models import ReportResult

ME = Peer(4711, 1000, 1000)
GENERATION = "0123456789ab"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def history(clock: FakeClock) -> History:
    """One of nothing yet."""
    return History(clock)


def ask(history: History, profile: str = "acme:me", *, pid: int = 4711, times: int = 1) -> None:
    """Somebody asks."""
    history.asked(Seen(ME._replace(pid=pid), "token.get", 0, profile, GENERATION), times)


def moments(history: History) -> list[MomentResult]:
    """All of it, page by page as a client reads it."""
    page = history.between(None, None, None)
    found = page.moments
    while page.earlier:
        page = history.between(None, found[0].at_ms, None)
        found = [moment for moment in page.moments if moment not in found] + found
    return found


def test_an_event_is_history(clock: FakeClock) -> None:
    """What is announced is kept as it was told, whether or not anybody subscribed."""
    hub = EventHub(clock)
    hub.announce("rotated", profile="acme:me", generation=GENERATION, detail="by hand")
    now = to_unix_milliseconds(clock.wall())
    assert [moment.model_dump() for moment in moments(hub.history)] == [
        {
            "type": "rotated",
            "profile": "acme:me",
            "generation": GENERATION,
            "at_ms": now,
            "until_ms": now,
            "count": 1,
            "pid": None,
            "detail": "by hand",
        }
    ]


def test_repeats_within_a_minute_are_one_moment(history: History, clock: FakeClock) -> None:
    """They are counted; another process, another profile and another minute are moments of their own."""
    ask(history)
    ask(history, "acme:bot")
    clock.advance(30)
    ask(history, times=5)
    ask(history, pid=1)
    clock.advance(31)
    ask(history)
    shown = [(moment.profile, moment.pid, moment.count) for moment in moments(history)]
    assert shown == [("acme:me", 4711, 6), ("acme:bot", 4711, 1), ("acme:me", 1, 1), ("acme:me", 4711, 1)]
    first = moments(history)[0]
    assert first.until_ms - first.at_ms == 30_000


def test_a_repeat_is_found_behind_many_others(history: History, clock: FakeClock) -> None:
    """A program goes round a thousand profiles: the second round adds nothing; what left the ring is new again."""

    def ask_next(profile: str) -> None:
        clock.advance(0.01)
        ask(history, profile)

    for _ in range(2):
        for number in range(1000):
            ask_next(f"acme:p{number}")
    assert [moment.count for moment in moments(history)] == [2] * 1000
    for number in range(LARGEST_RING):
        ask_next(f"acme:q{number}")
    ask_next("acme:p0")
    kept = moments(history)
    assert len(kept) == LARGEST_RING
    assert {moment.profile: moment.count for moment in kept}["acme:p0"] == 1


def test_who_asks_often_pushes_out_no_rotation(clock: FakeClock) -> None:
    """Each kind has its own ring, and each ring an end."""
    hub = EventHub(clock)
    hub.announce("rotated", profile="acme:me")
    for pid in range(LARGEST_RING + 10):
        clock.advance(0.01)
        ask(hub.history, pid=pid)
    kept = moments(hub.history)
    assert len(kept) == LARGEST_RING + 1
    assert kept[0].type == "rotated"
    assert [moment.pid for moment in kept[1:3]] == [10, 11]


def test_a_day_is_kept_and_a_part_can_be_asked_for(clock: FakeClock) -> None:
    """What ended before a day ago, or before the moment that was named, is not told."""
    hub = EventHub(clock)
    hub.announce("rotated", profile="acme:old")
    clock.advance(24 * 3600 - 10)
    hub.announce("rotated", profile="acme:new")
    assert [moment.profile for moment in moments(hub.history)] == ["acme:old", "acme:new"]
    now = to_unix_milliseconds(clock.wall())
    assert [moment.profile for moment in hub.history.between(now, None, None).moments] == ["acme:new"]
    clock.advance(11)
    assert [moment.profile for moment in moments(hub.history)] == ["acme:new"]
    assert [moment.profile for moment in hub.history.between(0, None, None).moments] == ["acme:new"]


def test_an_answer_fits_into_a_line(clock: FakeClock) -> None:
    """The newest of what is kept, however long its words, with the word that there is more."""
    hub = EventHub(clock)
    for number in range(MOST_AT_ONCE + 1):
        hub.announce("refresh_failed", profile=f"acme:{number:0100}", detail="\N{GRINNING FACE}" * 5000)
        clock.advance(1)
    answer = hub.history.between(None, None, None)
    assert answer.earlier
    assert len(answer.moments) == MOST_AT_ONCE
    assert (answer.moments[-1].profile or "").endswith(f"{MOST_AT_ONCE}")
    assert len(answer.model_dump_json().encode()) < MAX_LINE_BYTES


def test_profiles_can_be_chosen(clock: FakeClock) -> None:
    """Theirs and the daemon's own."""
    hub = EventHub(clock)
    for profile in ("acme:me", "acme:bot", None):
        hub.announce("reloaded", profile=profile)
    chosen = hub.history.between(None, None, ["acme:bot"]).moments
    assert [moment.profile for moment in chosen] == ["acme:bot", None]


def test_a_report_is_kept_as_it_was_judged(history: History) -> None:
    """The class and the advice, and nothing of what the caller wrote; a refusal names nobody's profile."""
    history.reported("acme:me", GENERATION, ReportResult(failure="rate_limit", action="rotate"))
    history.reported("acme:me", GENERATION, ReportResult(failure=None, action="none"))
    history.asked(Seen(ME, "token.get", -32001, "", ""), 1)
    assert [(moment.type, moment.profile, moment.detail) for moment in moments(history)] == [
        ("reported", "acme:me", "rate_limit, told to rotate"),
        ("reported", "acme:me", "ok"),
        ("asked", None, "token.get refused (-32001)"),
    ]
