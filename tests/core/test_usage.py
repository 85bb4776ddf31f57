"""Rate-limit headers: what is read, what is kept, and when somebody is warned."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenward.core.usage import (
    FIVE_HOURS,
    LARGEST_COUNT,
    LONGEST_WINDOW,
    SEVEN_DAYS,
    Allowance,
    Low,
    Quota,
    Usage,
    is_rate_limited,
    merge,
    parse,
    soonest_reset,
    warnings,
)
from tokenward.core.usage_document import from_document, to_document

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=40)
HEADERS = {
    "Anthropic-RateLimit-Requests-Limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:40Z",
    "ANTHROPIC-RATELIMIT-TOKENS-LIMIT": "40000",
    "anthropic-ratelimit-tokens-remaining": "30000",
    "anthropic-ratelimit-tokens-reset": "2026-11-21T13:00:40+01:00",
    "anthropic-ratelimit-unified-5h-utilization": "0.42",
    "anthropic-ratelimit-unified-5h-status": "allowed",
    "anthropic-ratelimit-unified-5h-reset": str(int((NOW + timedelta(hours=2)).timestamp())),
    "anthropic-ratelimit-unified-7d-utilization": "9e-05",
    "anthropic-ratelimit-unified-7d-status": "Allowed_Warning",
    "anthropic-ratelimit-unified-7d-reset": str(int((NOW + timedelta(days=6)).timestamp())),
    "anthropic-ratelimit-unified-fallback-percentage": "0.5",
    "anthropic-ratelimit-unified-overage-status": "rejected",
    "content-type": "application/json",
}


def told(*, now: Any = NOW, status: Any = None, **headers: Any) -> Usage:
    """One answer; underscores stand for hyphens and the prefix is left out."""
    prefix = "" if "retry_after" in headers else "anthropic-ratelimit-"
    named = {prefix + name.replace("_", "-"): value for name, value in headers.items()}
    return parse(named, now=now, status=status)


@pytest.mark.covers("N56")
def test_every_header_is_read_whatever_its_case() -> None:
    """The six, the two windows of a subscription, the fallback and the overage."""
    assert parse(HEADERS, now=NOW) == Usage(
        requests=Allowance(50, 49, SOON, NOW),
        tokens=Allowance(40000, 30000, SOON, NOW),
        five_hours=Quota(FIVE_HOURS, 0.42, "allowed", NOW + timedelta(hours=2), NOW),
        seven_days=Quota(SEVEN_DAYS, 0.00009, "allowed_warning", NOW + timedelta(days=6), NOW),
        fallback_percentage=0.5,
        overage_status="rejected",
        request_count=1,
        counted_since=NOW,
        reported_at=NOW,
    )


@pytest.mark.covers("N56")
@pytest.mark.parametrize("text", ["90", " 90 ", "Sat, 21 Nov 2026 12:01:30 GMT"])
def test_retry_after_is_seconds_or_a_date(text: str) -> None:
    """Both mean the same moment, until which the profile is limited."""
    usage = told(status=429, retry_after=text)
    assert usage.limited_until == NOW + timedelta(seconds=90)
    assert is_rate_limited(usage, now=NOW + timedelta(seconds=89))
    assert not is_rate_limited(usage, now=NOW + timedelta(seconds=90))


@pytest.mark.parametrize(
    ("status", "counts"), [(None, True), (429, True), (200, False), (503, False), (529, False)]
)
def test_retry_after_of_another_trouble_is_no_limit(status: int | None, *, counts: bool) -> None:
    """A server that is down says it too; who does not name the status is believed."""
    assert (told(status=status, retry_after="90").limited_until is not None) is counts


@pytest.mark.parametrize(
    "garbage",
    ["", "-1", "+5", "1.5.5", "1_0", "½", "٣", "nan", "inf", "1e999", "null", "0x10", "9" * 17, "9" * 100_000,
     "\0", "2026-13-01T00:00:00Z", "2026-11-21T12:00:40", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
     "Mon, 01 Jan 0001 00:00:00 +2300", "Mon, 99 Foo 2026", "é" * 40, "a b", "\n" * 5000],
)  # fmt: skip
def test_what_makes_no_sense_counts_as_absent(garbage: str) -> None:
    """In any of the headers, at any size."""
    numbers = [name for name in HEADERS if not name.endswith("status")]
    usage = parse(dict.fromkeys([*numbers, "retry-after"], garbage), now=NOW)
    assert usage == Usage(request_count=1, counted_since=NOW, reported_at=NOW)


@pytest.mark.parametrize("garbage", ["", "1", "a b", "-", "x" * 33, "é", "allowed\x1b[31m", "9" * 100_000])
def test_a_status_is_a_word(garbage: str) -> None:
    """It is shown to people, and kept."""
    usage = told(unified_5h_status=garbage, unified_overage_status=garbage)
    assert (usage.five_hours, usage.overage_status) == (Quota(FIVE_HOURS), None)


def test_wrong_types_count_as_absent() -> None:
    """Names and values that are no texts."""
    hostile: Any = {1: "1", None: "x", "anthropic-ratelimit-requests-limit": 50, "retry-after": ["90"], b"x": b"y"}
    assert parse(hostile, now=NOW) == Usage(request_count=1, counted_since=NOW, reported_at=NOW)


def test_nothing_random_raises() -> None:
    """Mangled values of every header, read, put together and written down."""
    draw = random.Random(7)
    usage = Usage()
    alphabet = "0123456789.-+:TZeE ,GMTSatNov/\u0663\ud800"
    for _ in range(2000):
        headers = {
            name: "".join(draw.choices(alphabet, k=draw.randrange(0, 30))) for name in [*HEADERS, "retry-after"]
        }
        usage = merge(usage, parse(headers, now=NOW))
        assert from_document(json.loads(json.dumps(to_document(usage)))).request_count == usage.request_count


@pytest.mark.parametrize(
    "text", ["0", "1700000000", "2026-11-21T12:00:00Z", "2026-12-21T12:00:00Z", "999999999999"]
)
def test_a_reset_that_is_past_or_far_ahead_is_unknown(text: str) -> None:
    """The rest of what was said is kept, for a minute."""
    requests = told(requests_limit="50", requests_remaining="0", requests_reset=text).requests
    assert requests == Allowance(50, 0, None, NOW)
    assert requests.at(NOW + timedelta(seconds=59)) == requests
    assert requests.at(NOW + timedelta(seconds=60)) == Allowance(limit=50)


def test_a_long_wait_is_cut() -> None:
    """No limit lasts for years."""
    assert told(retry_after="9" * 12).limited_until == NOW + LONGEST_WINDOW


def test_a_window_that_has_ended_says_nothing() -> None:
    """Neither how much is left nor that it was refused; the limit stays."""
    usage = parse({**HEADERS, "anthropic-ratelimit-unified-5h-status": "rejected"}, now=NOW)
    later = usage.at(NOW + timedelta(hours=2))
    assert later.requests == Allowance(limit=50)
    assert later.requests.percent_used is None
    assert later.five_hours == Quota(FIVE_HOURS)
    assert later.seven_days == usage.seven_days
    assert is_rate_limited(usage, now=NOW + timedelta(hours=1))
    assert not is_rate_limited(usage, now=NOW + timedelta(hours=2))


def test_an_answer_that_tells_a_part_leaves_the_rest() -> None:
    """Each part is the last that was told, and the answers are counted."""
    later = NOW + timedelta(seconds=10)
    usage = merge(merge(Usage(), parse(HEADERS, now=NOW)), told(now=later, requests_remaining="7"))
    assert usage.requests == Allowance(50, 7, SOON, later)
    assert usage.tokens == Allowance(40000, 30000, SOON, NOW)
    assert usage.five_hours.utilization == 0.42
    assert (usage.fallback_percentage, usage.overage_status) == (0.5, "rejected")
    assert (usage.request_count, usage.counted_since, usage.reported_at) == (2, NOW, later)
    partly = merge(usage, told(now=later, unified_5h_utilization="0.5")).five_hours
    assert partly == Quota(FIVE_HOURS, 0.5, "allowed", NOW + timedelta(hours=2), later)


def test_an_answer_of_the_next_window_takes_nothing_over() -> None:
    """How many were left in the last one is not how many are left."""
    usage = merge(merge(Usage(), parse(HEADERS, now=NOW)), told(now=SOON, requests_limit="60"))
    assert usage.requests == Allowance(60, None, None, SOON)


def test_the_longer_wait_holds() -> None:
    """A second 429 with a shorter wait, or an answer without, does not end the first."""
    usage = merge(merge(Usage(), told(retry_after="90")), told(retry_after="5"))
    usage = merge(usage, told(requests_remaining="9"))
    assert usage.limited_until == NOW + timedelta(seconds=90)


@pytest.mark.covers("N57")
@pytest.mark.parametrize(
    ("limit", "remaining", "percent"),
    [
        ("50", "49", 2.0),
        ("3", "2", 33.3),
        ("50", "0", 100.0),
        ("50", "60", 0.0),
        ("0", "0", None),
        ("x", "1", None),
    ],
)
def test_the_part_that_is_used_up(limit: str, remaining: str, percent: float | None) -> None:
    """0 to 100 with one decimal; unknown without a limit."""
    usage = told(
        requests_limit=limit, requests_remaining=remaining, tokens_limit=limit, tokens_remaining=remaining
    )
    assert usage.requests.percent_used == usage.tokens.percent_used == percent


@pytest.mark.parametrize(
    ("headers", "limited"),
    [
        ({"requests_remaining": "0"}, True),
        ({"requests_remaining": "1"}, False),
        ({"tokens_remaining": "0"}, True),
        ({"unified_5h_status": "rejected"}, True),
        ({"unified_7d_status": "rejected"}, True),
        ({"unified_7d_status": "allowed_warning"}, False),
        ({"unified_5h_status": "rejected", "unified_overage_status": "allowed"}, False),
        ({"unified_5h_status": "rejected", "unified_overage_status": "rejected"}, True),
        ({}, False),
    ],
)  # fmt: skip
def test_when_the_next_request_would_be_refused(headers: dict[str, str], *, limited: bool) -> None:
    """Nothing left, or the provider says so and sells nothing beyond."""
    assert is_rate_limited(told(**headers), now=NOW) is limited


def test_the_soonest_reset_is_the_first_that_is_ahead() -> None:
    """Those that are past do not count; unknown ends neither."""
    usage = replace(parse(HEADERS, now=NOW), limited_until=NOW + timedelta(seconds=20))
    assert soonest_reset(usage, now=NOW) == NOW + timedelta(seconds=20)
    assert soonest_reset(usage, now=NOW + timedelta(seconds=20)) == SOON
    assert soonest_reset(usage, now=SOON) == NOW + timedelta(hours=2)
    assert soonest_reset(told(requests_remaining="3"), now=NOW) is None


@pytest.mark.covers("N58", "N71")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"requests_limit": "50", "requests_remaining": "6"}, []),
        ({"requests_limit": "50", "requests_remaining": "5"}, [Low.REQUESTS]),
        ({"requests_remaining": "0"}, [Low.REQUESTS]),
        ({"tokens_limit": "10000", "tokens_remaining": "1000"}, []),
        ({"tokens_limit": "10000", "tokens_remaining": "999"}, [Low.TOKENS]),
        (
            {"tokens_limit": "10000", "tokens_remaining": "0", "requests_remaining": "1"},
            [Low.REQUESTS, Low.TOKENS],
        ),
        ({"tokens_remaining": "3"}, []),
        ({"tokens_limit": "0", "tokens_remaining": "0"}, []),
        ({"unified_5h_utilization": "1.0"}, []),
    ],
)
def test_the_lines_that_warn(headers: dict[str, str], expected: list[Low]) -> None:
    """5 requests and not 6; 9.99 % of the tokens and not 10 %."""
    after = merge(Usage(), told(**headers))
    assert [warning.what for warning in warnings(Usage(), after)] == expected


@pytest.mark.covers("N58")
def test_each_warning_comes_once_in_a_window() -> None:
    """Though the number goes up and down, the reset moves on, and answers without it come between."""
    usage, warned = Usage(), []
    for second in range(0, 120, 5):
        now = NOW + timedelta(seconds=second)
        remaining, reset = ("5", "4", "6")[second % 3], (now + timedelta(seconds=60)).isoformat()
        for answer in (
            told(now=now, requests_remaining=remaining, requests_reset=reset),
            told(now=now, tokens_limit="100", tokens_remaining="50"),
        ):
            after = merge(usage, answer)
            warned += [(second, warning.what) for warning in warnings(usage, after)]
            usage = after
    assert warned == [(0, Low.REQUESTS), (60, Low.REQUESTS)]


def test_a_window_that_ends_unnoticed_warns_of_nothing() -> None:
    """An answer that says nothing of the requests is no reason to warn of them again."""
    usage = merge(Usage(), told(requests_remaining="1"))
    after = merge(usage, told(now=NOW + timedelta(seconds=61), tokens_limit="100", tokens_remaining="50"))
    assert warnings(usage, after) == ()


def test_what_was_told_before_does_not_warn() -> None:
    """The line was crossed a minute ago, and what is said now is about the tokens."""
    usage = merge(Usage(), told(requests_remaining="1"))
    usage = merge(usage, told(now=NOW + timedelta(seconds=50), requests_remaining="1"))
    after = merge(usage, told(now=NOW + timedelta(seconds=61), tokens_limit="100", tokens_remaining="50"))
    assert after.requests.remaining == 1
    assert warnings(usage, after) == ()


def test_what_is_written_down_comes_back() -> None:
    """Every member, through JSON, to the millisecond."""
    usage = merge(Usage(), parse({**HEADERS, "retry-after": "9"}, now=NOW))
    usage = merge(usage, told(requests_remaining="1", tokens_limit="100", tokens_remaining="1"))
    usage = merge(usage, told(retry_after="30"))
    assert all(getattr(usage, name) not in {None, 0} for name in Usage.__slots__)
    assert from_document(json.loads(json.dumps(to_document(usage)))) == usage
    assert from_document(to_document(Usage())) == Usage()
    assert len(json.dumps(to_document(usage))) < 1000


@pytest.mark.parametrize(
    "document",
    [None, 7, "x", [], {}, {"requests": 7, "tokens": [], "five_hours": "x", "limited_until": {}},
     {"requests": {"limit": -1, "remaining": True, "resets_at": 10**30, "seen_at": float("nan")}},
     {"five_hours": {"utilization": float("inf"), "status": 7, "resets_at": "soon", "seen_at": LARGEST_COUNT + 1}},
     {"request_count": -3, "counted_since": 2**60, "overage_status": "x" * 99, "fallback_percentage": True}],
)  # fmt: skip
def test_a_document_that_makes_no_sense_is_unknown(document: object) -> None:
    """Edited by hand, or of another version."""
    usage = from_document(document)
    assert usage == Usage()
    assert is_rate_limited(usage, now=NOW) is False


def test_a_moment_at_the_end_of_time_can_be_reckoned_with() -> None:
    """The latest that is read back."""
    end = 253_402_214_400_000  # 9999-12-31
    usage = from_document({"seven_days": {"status": "rejected", "seen_at": end}, "limited_until": end})
    assert is_rate_limited(usage, now=NOW)
    assert soonest_reset(usage, now=NOW) == usage.limited_until
