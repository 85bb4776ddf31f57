"""What happened is found in the log afterwards: whose it was, why, and once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, get_args

import pytest

from daemon.keeping import keeping, settled
from fakes.machine import FakeClock
from tokenward.core.grants import Unavailable
from tokenward.core.repeats import FIRST_GAP_SECONDS
from tokenward.daemon.event_hub import EventHub, EventType, Happening, Trouble
from tokenward.daemon.event_log import LINES, EventLog

TROUBLE = Trouble("unavailable", 1, 30.0)


@pytest.fixture
def clock() -> FakeClock:
    """Moves when told."""
    return FakeClock()


@pytest.fixture
def hub(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> EventHub:
    """A hub that the log listens to."""
    caplog.set_level(logging.DEBUG)
    made = EventHub(clock)
    made.listen(EventLog(clock))
    return made


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """Level, words and fields of each line."""
    return [(each.levelname, each.getMessage(), vars(each)["fields"]) for each in caplog.records]


def test_every_type_of_event_has_its_words() -> None:
    """None is forgotten but ``lost``, which is a subscriber's alone; a new type must be given its level."""
    assert LINES.keys() == set(get_args(EventType)) - {"lost"}


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("appeared", "DEBUG"),
        ("rotated", "DEBUG"),
        ("saved", "INFO"),
        ("forgotten", "INFO"),
        ("reloaded", "INFO"),
        ("stopping", "DEBUG"),
        ("refresh_failed", "WARNING"),
        ("sink_failed", "WARNING"),
        ("cooling", "WARNING"),
        ("recovered", "DEBUG"),
        ("logged_out", "WARNING"),
        ("usage_warning", "WARNING"),
        ("login_required", "ERROR"),
        ("unsaved", "ERROR"),
        ("clock_stepped", "DEBUG"),
    ],
)
def test_the_level_says_who_should_care(
    hub: EventHub, caplog: pytest.LogCaptureFixture, kind: EventType, level: str
) -> None:
    """An error is for a person to act on, a warning may heal, the rest went well."""
    hub.announce(kind, profile="acme:me", generation="0123456789ab")
    [(found, words, more)] = said(caplog)
    assert found == level
    assert words == LINES[kind][1]
    assert more == {"event": kind, "profile": "acme:me", "generation": "0123456789ab"}


def test_a_failure_says_cause_count_and_when_it_is_tried_again(
    hub: EventHub, caplog: pytest.LogCaptureFixture
) -> None:
    """What the server said is in the words, masked and on one line."""
    token = "sk-ant-ort01-" + "Zz9" * 12
    hub.announce(
        "refresh_failed", profile="acme:me", generation="0123456789ab", detail=f"no\n{token}", trouble=TROUBLE
    )
    [(_, words, more)] = said(caplog)
    assert words == "the refresh failed: no [masked]"
    assert more == {
        "event": "refresh_failed",
        "profile": "acme:me",
        "generation": "0123456789ab",
        "cause": "unavailable",
        "failures": 1,
        "retry_in": 30,
    }


def test_a_failure_that_goes_on_is_said_seldom(
    hub: EventHub, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The first, none until the gap is over, then one that says how many were kept back; per profile."""
    for _ in range(10):
        hub.announce("refresh_failed", profile="acme:me", trouble=TROUBLE)
    hub.announce("refresh_failed", profile="acme:you", trouble=TROUBLE)
    assert [more["profile"] for _, _, more in said(caplog)] == ["acme:me", "acme:you"]
    clock.suspend(FIRST_GAP_SECONDS)
    hub.announce("refresh_failed", profile="acme:me", trouble=TROUBLE)
    assert said(caplog)[-1][2]["kept_back"] == 9


def test_another_cause_is_said_at_once(hub: EventHub, caplog: pytest.LogCaptureFixture) -> None:
    """And the same cause in other words is not: servers number their refusals."""
    hub.announce("refresh_failed", profile="acme:me", detail="request 1", trouble=TROUBLE)
    hub.announce("refresh_failed", profile="acme:me", detail="request 2", trouble=TROUBLE)
    hub.announce("refresh_failed", profile="acme:me", trouble=Trouble("rate_limited", 3, None))
    assert [more["cause"] for _, _, more in said(caplog)] == ["unavailable", "rate_limited"]


def test_a_failure_after_a_success_is_news(hub: EventHub, caplog: pytest.LogCaptureFixture) -> None:
    """What ended it begins the count anew; a token that lives no longer than the last ends nothing."""
    hub.announce("refresh_failed", profile="acme:me", trouble=TROUBLE)
    hub.announce("rotated", profile="acme:me", trouble=TROUBLE)
    hub.announce("refresh_failed", profile="acme:me", trouble=TROUBLE)
    assert [more["event"] for _, _, more in said(caplog)] == ["refresh_failed", "rotated"]
    hub.announce("rotated", profile="acme:me")
    hub.announce("refresh_failed", profile="acme:me", trouble=TROUBLE)
    assert [(level, more["event"]) for level, _, more in said(caplog)][2:] == [
        ("INFO", "rotated"),
        ("WARNING", "refresh_failed"),
    ]


def test_windows_that_open_again_and_again_are_said_seldom(
    hub: EventHub, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each names its own end, and the recovery between two makes the second no news."""
    caplog.set_level(logging.INFO)
    for minute in range(6):
        hub.announce("cooling", profile="acme:me", detail=f"rate_limit until 12:0{minute}")
        clock.advance(59.0)
        hub.announce("recovered", profile="acme:me")
        clock.advance(1.0)
    assert [more["event"] for _, _, more in said(caplog)] == ["cooling", "cooling"]
    assert said(caplog)[-1][2]["kept_back"] == 4


async def test_a_keeper_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A refresh that a server could not do is a line with its cause, and when it is tried again."""
    caplog.set_level(logging.INFO)
    async with keeping(tmp_path) as household:
        household.hub.listen(EventLog(household.clock))
        household.endpoint.next(Unavailable("it answered 503"))
        keeper = await household.directly(household.credential(left=60.0))
        keeper.refresh_if_due()
        await settled(keeper)
    failed = [more for _, _, more in said(caplog) if more["event"] == "refresh_failed"]
    assert [(more["profile"], more["cause"], more["failures"]) for more in failed] == [
        ("acme:me", "unavailable", 1)
    ]
    assert failed[0]["retry_in"] > 0


async def test_a_listener_that_fails_is_nobodys_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """The other listeners and the subscribers hear all the same, and its text is not shown."""

    def broken(event: Happening, trouble: Trouble | None) -> None:
        raise ValueError("sk-secret")

    heard: list[str] = []
    hub = EventHub(FakeClock())
    hub.listen(broken)
    hub.listen(lambda event, _: heard.append(event.type))
    async with hub.subscribe(None) as feed:
        hub.announce("rotated")
        feed.end()
        assert [event.type async for event in feed] == ["rotated"]
    assert heard == ["rotated"]
    assert "ValueError" in caplog.text
    assert "sk-secret" not in caplog.text
