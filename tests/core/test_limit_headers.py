"""Headers of limits as text: what is read of them, and that nothing is raised."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.core.limit_headers import LONGEST_VALUE, parse_rfc3339, parse_unix_seconds, readable


@pytest.mark.parametrize("text", ["9" * 12, "9999999999.9", "1_000", "٣", "-1", "", "0x10"])
def test_unix_seconds_that_are_none(text: str) -> None:
    """What is no number of seconds, or lies past the calendar, is not read; what is read is a moment."""
    moment = parse_unix_seconds(text)
    assert moment is None or moment.year > 2200


def test_both_forms_of_a_moment_are_read() -> None:
    """Seconds with or without a fraction, and RFC 3339 in either case and any zone."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_unix_seconds(f"{moment.timestamp():.0f}") == moment
    assert parse_unix_seconds(f"{moment.timestamp():.1f}") == moment
    for text in ("2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02T05:04:05+02:00"):
        assert parse_rfc3339(text) == moment
    assert parse_rfc3339("2026-01-02T03:04:05") is None


@given(st.text(max_size=40))
def test_rfc3339_never_raises(text: str) -> None:
    """Anything but a moment with a zone is nothing."""
    moment = parse_rfc3339(text)
    assert moment is None or moment.tzinfo is UTC


def test_what_can_be_read_is_in_lower_case() -> None:
    """Names and values; what is no text, or too long for anything we know, is left out."""
    headers = {"Retry-After": " 7 ", "X": "REJECTED", "y": "1" * (LONGEST_VALUE + 1), "z": 7, 8: "a"}
    assert readable(headers) == {"retry-after": "7", "x": "rejected"}
    assert readable(["retry-after", "7"]) == {}
