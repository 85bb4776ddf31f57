"""Health outlives a restart, and a torn or foreign file locks nobody out."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.resting import resting
from tokenward.core.classify import FailureClass
from tokenward.core.health import Health, after_failure
from tokenward.core.health_document import from_document, to_document
from tokenward.core.ladders import Ladders

LAW = settings(derandomize=True, deadline=None)
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SOON = NOW + timedelta(seconds=60)


def full() -> Health:
    """Health with every member set."""
    health = Health()
    for failure, model, reset_at in [
        (FailureClass.RATE_LIMIT, "opus", None),
        (FailureClass.OVERLOADED, "haiku", None),
        (FailureClass.AUTH, None, NOW + timedelta(hours=3)),
        (FailureClass.BILLING, None, None),
        (FailureClass.AUTH_PERMANENT, None, None),
    ]:
        health = after_failure(health, failure, now=NOW, ladders=Ladders(), model=model, reset_at=reset_at)
    return health


def test_what_is_written_is_read_back() -> None:
    """Through JSON nothing is lost, to the microsecond."""
    assert from_document(json.loads(json.dumps(to_document(full())))) == full()


def test_a_healthy_profile_takes_no_room() -> None:
    """Most profiles are healthy, and the file is written often."""
    assert to_document(Health()) == {}
    assert from_document({}) == Health()


def window(**changes: object) -> dict[str, Any]:
    """A document with one cooldown window, changed."""
    written = {"reason": "auth", "began": NOW.isoformat(), "ends": SOON.isoformat(), "named": False}
    return {"cooldown": {"failures": 1, "anchor": NOW.isoformat(), "window": {**written, **changes}}}


def test_the_window_of_these_tests_is_read() -> None:
    """Unchanged it closes the profile; else the next test would show nothing."""
    assert resting(from_document(window()), NOW) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "unheard_of"},
        {"reason": 7},
        {"reason": ["auth"]},
        {"reason": "billing"},
        {"reason": "auth_policy", "ends": None},
        {"began": None},
        {"began": 1772366400},
        {"began": "2026-03-01T12:00:00"},
        {"began": SOON.isoformat()},
        {"ends": None},
        {"ends": "9999-12-31T23:59:59+00:00"},
        {"ends": (NOW + timedelta(days=8)).isoformat()},
        {"ends": "9" * 100_000},
        {"ends": {}},
    ],
)
def test_a_window_that_cannot_be_read_is_none(changes: dict[str, object]) -> None:
    """The profile serves."""
    assert resting(from_document(window(**changes)), NOW) is None


@pytest.mark.parametrize("failures", [None, True, -1, 0, 1.5, "3", 10**9, [1]])
def test_a_count_that_cannot_be_read_is_none(failures: object) -> None:
    """The window stays, and the next failure is the first."""
    document = window()
    document["cooldown"]["failures"] = failures
    read = from_document(document)
    assert resting(read, NOW) is not None
    later = after_failure(read, FailureClass.AUTH, now=SOON, ladders=Ladders())
    assert later.cooldown.failures == 1


def test_a_bad_part_spares_the_others() -> None:
    """What can be read counts."""
    document = to_document(full())
    document["billing"] = "torn"
    document["models"]["opus"] = []
    read = from_document(document)
    assert read.billing == Health().billing
    assert [name for name, _ in read.models] == ["haiku"]
    assert (read.cooldown, read.refused) == (full().cooldown, full().refused)


def test_a_refusal_without_end_is_read() -> None:
    """The only window that may have no end keeps having none."""
    read = from_document(to_document(full()))
    assert read.refused.window is not None
    assert read.refused.window.ends is None


def test_a_refusal_whose_end_is_torn_is_none() -> None:
    """An end that cannot be read is not the same as no end."""
    document = to_document(full())
    document["refused"]["window"]["ends"] = "torn"
    assert from_document(document).refused.window is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(NOW.isoformat()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "cooldown",
                    "billing",
                    "refused",
                    "models",
                    "window",
                    "failures",
                    "anchor",
                    "began",
                    "ends",
                    "reason",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@LAW
@given(json_values)
def test_anything_is_read_without_raising(document: object) -> None:
    """And what comes of it can be used and written again."""
    health = from_document(document)
    resting(health, NOW, model="opus")
    assert from_document(to_document(health)) == health


@LAW
@given(st.integers(min_value=0, max_value=2000))
def test_a_torn_file(cut: int) -> None:
    """A document with any one member cut out is read."""
    document = to_document(full())
    members = [(part, key) for part in ("cooldown", "billing", "refused") for key in document[part]]
    part, key = members[cut % len(members)]
    del document[part][key]
    assert from_document(document).models == full().models
