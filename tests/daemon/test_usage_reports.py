"""Usage as callers report and see it: kept per profile, over a restart, and warned of once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.warding import Warding, warding
from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon.event_hub import Feed, Happening
from tokenward.daemon.routing_state import STATE_NAME
from tokenward.daemon.token_models import ReportParams, ReportResult
from tokenward.daemon.usage_models import UsageParams, UsageReportParams, UsageResult
from tokenward.errors import ProfileUnavailable

KEY = "anthropic:work"
FEW = {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "5"}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Warding]:
    """A ward with one key."""
    async with warding(tmp_path) as household:
        await household.add_key(KEY)
        yield household


def report(home: Warding, headers: dict[str, str], **more: Any) -> UsageResult:
    """A caller reports an answer's headers."""
    return home.ward.report_usage(UsageReportParams(profile=KEY, headers=headers, **more))


def seen(home: Warding, **params: Any) -> list[UsageResult]:
    """What a caller sees."""
    return home.ward.usage(UsageParams(**params)).profiles


async def told(home: Warding, **members: Any) -> ReportResult:
    """A caller reports what became of a token."""
    generation = home.ward.profile(KEY).generation
    assert generation is not None
    return await home.ward.report(ReportParams(profile=KEY, generation=generation, **members))


async def heard(feed: Feed) -> list[Happening]:
    """The warnings that came until now."""
    feed.end()
    return [event async for event in feed if event.type == "usage_warning"]


@pytest.mark.covers("N56", "N57")
async def test_what_was_reported_is_shown(home: Warding) -> None:
    """The four members, the limits, and when."""
    in_a_minute = home.clock.now + timedelta(seconds=60)
    five_hours = home.clock.now + timedelta(hours=5)
    headers = {
        **FEW,
        "anthropic-ratelimit-requests-reset": in_a_minute.isoformat(),
        "Anthropic-Ratelimit-Tokens-Limit": "1000",
        "Anthropic-Ratelimit-Tokens-Remaining": "250",
        "anthropic-ratelimit-unified-5h-utilization": "0.25",
        "anthropic-ratelimit-unified-5h-reset": str(int(five_hours.timestamp())),
        "anthropic-ratelimit-unified-5h-status": "allowed",
    }
    report(home, headers)
    now = to_unix_milliseconds(home.clock.now)
    expected = {
        "profile": KEY,
        "agent": "main",
        "request_count": 2,
        "counted_since_ms": now,
        "reported_at_ms": now,
        "message_quota_percent": 90.0,
        "token_quota_percent": 75.0,
        "is_rate_limited": False,
        "soonest_reset_ms": now + 60_000,
        "rate_limit": {
            "requests": {"limit": 50, "remaining": 5, "resets_at_ms": now + 60_000},
            "tokens": {"limit": 1000, "remaining": 250, "resets_at_ms": None},
            "five_hours": {"utilization": 0.25, "status": "allowed", "resets_at_ms": now + 18_000_000},
            "seven_days": {"utilization": None, "status": None, "resets_at_ms": None},
            "fallback_percentage": None,
            "overage_status": None,
            "limited_until_ms": None,
        },
    }
    assert report(home, headers).model_dump() == expected
    assert [each.model_dump() for each in seen(home, profile=KEY)] == [expected]
    home.clock.advance(3600)
    later = seen(home)[0]
    assert (later.message_quota_percent, later.token_quota_percent) == (None, None)
    assert later.rate_limit.five_hours.utilization == 0.25


@pytest.mark.covers("N56")
async def test_a_429_limits_until_its_retry_after(home: Warding) -> None:
    """Reported with the token; a 503 with the same header does not, and without headers nothing is counted."""
    await told(home, status=503, headers={"retry-after": "30"})
    assert not seen(home)[0].is_rate_limited
    await told(home, status=429, headers={"Retry-After": "30"})
    await told(home, status=429)
    usage = seen(home)[0]
    assert usage.is_rate_limited
    assert usage.rate_limit.limited_until_ms == to_unix_milliseconds(home.clock.now + timedelta(seconds=30))
    assert usage.soonest_reset_ms == usage.rate_limit.limited_until_ms
    assert usage.request_count == 2
    home.clock.advance(30)
    assert not seen(home)[0].is_rate_limited


async def test_a_report_of_a_token_is_answered_as_without_headers(home: Warding) -> None:
    """What it tells of limits changes nothing of what it does."""
    assert await told(home, status=200, headers=FEW) == await told(home, status=200)


@pytest.mark.covers("N58", "N71")
async def test_what_runs_out_is_an_event_once(home: Warding) -> None:
    """Whichever way it is reported; the second report of the same minute says nothing, the next minute's does."""
    async with home.hub.subscribe(frozenset({KEY})) as feed:
        report(home, {**FEW, "anthropic-ratelimit-requests-remaining": "6"})
        await told(home, status=200, headers=FEW)
        report(home, FEW)
        home.clock.advance(60)
        report(home, {"anthropic-ratelimit-tokens-limit": "10000", "anthropic-ratelimit-tokens-remaining": "999"})
        soon = (home.clock.now + timedelta(seconds=5)).isoformat()
        report(home, {"anthropic-ratelimit-requests-remaining": "1", "anthropic-ratelimit-requests-reset": soon})
        events = await heard(feed)
    assert [(event.profile, event.detail) for event in events] == [
        (KEY, "5 requests of 50 left"),
        (KEY, "999 tokens of 10000 left"),
        (KEY, "1 request of 50 left, until 12:01:05 UTC"),
    ]


async def test_it_outlasts_a_restart_and_not_a_logout(home: Warding, tmp_path: Path) -> None:
    """Nor is a warning repeated by a restart."""
    report(home, FEW)
    home.ward.household.routing.write()
    home.ward = home.another()
    await home.fill()
    async with home.hub.subscribe(None) as feed:
        assert report(home, FEW).request_count == 2
        assert await heard(feed) == []
    await home.ward.forget(KEY)
    await home.add_key(KEY, key="sk-ant-api03-2")
    assert seen(home)[0].request_count == 0
    home.ward.household.routing.write()
    assert "usage" not in json.loads((tmp_path / STATE_NAME).read_bytes())


async def test_a_state_that_somebody_edited_is_no_trouble(home: Warding, tmp_path: Path) -> None:
    """What makes no sense is unknown."""
    documents: list[object] = [7, [], {"requests": "x", "request_count": -1}]
    for document in documents:
        (tmp_path / STATE_NAME).write_text(json.dumps({"usage": {KEY: document}}))
        home.ward = home.another()
        await home.fill()
        assert seen(home)[0].request_count == 0
        assert report(home, FEW).request_count == 1


async def test_whose_usage_is_shown(home: Warding) -> None:
    """All profiles, those of an agent, or one; of one that is not kept an error."""
    await home.add_key("acme:a")
    await home.add_key(KEY, agent="bot")
    report(home, FEW, agent="bot")
    everybody = [(each.agent, each.profile, each.request_count) for each in seen(home)]
    assert everybody == [("main", "acme:a", 0), ("main", KEY, 0), ("bot", KEY, 1)]
    assert [each.agent for each in seen(home, agent="bot")] == ["bot"]
    assert [each.request_count for each in seen(home, profile=KEY)] == [0]
    assert [each.request_count for each in seen(home, profile=KEY, agent="bot")] == [1]
    with pytest.raises(ProfileUnavailable):
        seen(home, profile="acme:none")
    with pytest.raises(ProfileUnavailable):
        home.ward.report_usage(UsageReportParams(profile="acme:none", headers=FEW))
