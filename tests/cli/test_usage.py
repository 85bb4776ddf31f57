"""``tokenward usage``: bars for people, columns for pipes, JSON for programs."""

import json
import time
from typing import Any

import pytest

from cli.test_status import on_a_terminal
from client.fake_daemon import FakeDaemon, Json
from tokenward.cli import usage as command
from tokenward.cli.main import main

NOW = 1_700_000_000
HOUR_MS = 3_600_000


def usage(name: str = "anthropic:work", **members: Any) -> Json:
    """A profile of which nobody reported anything, as `usage.get` answers, but for these members."""
    quota = {"utilization": None, "status": None, "resets_at_ms": None}
    allowance = {"limit": None, "remaining": None, "resets_at_ms": None}
    limits = {
        "requests": allowance | members.pop("requests", {}),
        "tokens": allowance | members.pop("tokens", {}),
        "five_hours": quota | members.pop("five_hours", {}),
        "seven_days": quota | members.pop("seven_days", {}),
        "fallback_percentage": None,
        "overage_status": None,
        "limited_until_ms": members.pop("limited_until_ms", None),
    }
    return {
        "profile": name,
        "agent": "main",
        "request_count": 0,
        "counted_since_ms": None,
        "reported_at_ms": None,
        "message_quota_percent": None,
        "token_quota_percent": None,
        "is_rate_limited": False,
        "soonest_reset_ms": None,
        "rate_limit": limits,
        **members,
    }


def subscription(now: float = NOW) -> Json:
    """Two quotas, of which one is nearly used up."""
    return usage(
        "anthropic:claude-cli",
        request_count=12,
        five_hours={"utilization": 0.29, "status": "allowed", "resets_at_ms": int(now * 1000) + 2 * HOUR_MS},
        seven_days={"utilization": 0.999, "status": "allowed_warning", "resets_at_ms": None},
    )


KEY = usage(
    agent="bot",
    request_count=3,
    is_rate_limited=True,
    requests={"limit": 50, "remaining": 0, "resets_at_ms": NOW * 1000 + 30_000},
    tokens={"limit": None, "remaining": 8000},
)


def serve(daemon: FakeDaemon, *usages: Json) -> None:
    """Have the daemon answer this."""
    daemon.answers["usage.get"] = lambda _: {"profiles": list(usages)}


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))


@pytest.mark.usefixtures("still")
def test_a_pipe_gets_aligned_columns(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a profile under a heading, the state last; what is not known is a hyphen."""
    serve(daemon, subscription(), KEY, usage("acme:a\x1b[2J"))
    assert main(["usage"]) == 0
    assert capsys.readouterr().out == (
        "PROFILE               5H   RESETS  7D   RESETS  REQUESTS  TOKENS  REPORTS  STATE\n"
        "anthropic:claude-cli  29%  2h      99%  -       -         -       12       7d nearly used up\n"
        "bot/anthropic:work    -    -       -    -       0/50      8000/?  3        limited for 30s\n"
        "acme:a [2J            -    -       -    -       -         -       0        nothing reported\n"
    )
    assert daemon.params("usage.get") == {}


def test_what_is_asked_for_is_passed_on(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One profile, of an agent; ``--json`` is the daemon's own answer."""
    serve(daemon, KEY)
    assert main(["usage", "anthropic:work", "--agent", "bot", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"profiles": [KEY]}
    assert daemon.params("usage.get") == {"profile": "anthropic:work", "agent": "bot"}


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"request_count": 1}, "ok"),
        ({"is_rate_limited": True}, "limited"),
        ({"is_rate_limited": True, "limited_until_ms": NOW * 1000 + 90_000}, "limited for 1m30s"),
        (
            {
                "is_rate_limited": True,
                "limited_until_ms": NOW * 1000 + 90_000,
                "seven_days": {"status": "rejected", "resets_at_ms": NOW * 1000 + 30 * HOUR_MS},
                "five_hours": {"status": "allowed", "resets_at_ms": NOW * 1000 + 99 * HOUR_MS},
            },
            "limited for 1d6h",
        ),
        (
            {
                "request_count": 1,
                "seven_days": {"status": "allowed_warning"},
                "five_hours": {"status": "allowed_warning"},
            },
            "5h and 7d nearly used up",
        ),
    ],
)
def test_the_state_says_for_how_long(members: dict[str, Any], words: str) -> None:
    """Until the last of what limits has ended."""
    assert command.state(usage(**members)) == words


def test_a_terminal_gets_bars_and_no_empty_columns(daemon: FakeDaemon) -> None:
    """A filled bar is a quota that is used up; 80 columns do."""
    serve(daemon, subscription(time.time() + 30), usage("acme:[k]", request_count=1), usage("acme:none"))
    shown = on_a_terminal(daemon, "usage")
    assert "anthropic:claude-cli: 7d nearly used up" in shown
    assert "acme:[k]:" not in shown
    assert "acme:none:" not in shown
    assert "━━╌╌╌╌ 29% 2h" in shown
    assert "━━━━━━ 99%" in shown
    assert "acme:[k]" in shown
    assert "tokens" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_terminal_shows_what_a_key_has_left(daemon: FakeDaemon) -> None:
    """Requests and tokens of the minute, and no bars that say nothing."""
    serve(daemon, KEY)
    shown = on_a_terminal(daemon, "usage")
    assert "0/50" in shown
    assert "8000/?" in shown
    assert "5 hours" not in shown
    assert "bot/anthropic:work: limited" in shown


def test_everything_fits_on_80_columns(daemon: FakeDaemon) -> None:
    """Nothing is cut off where a profile has all there is to show."""
    window = {"utilization": 0.5, "resets_at_ms": int(time.time() * 1000) + 30 * HOUR_MS}
    full = {
        "five_hours": window,
        "seven_days": window,
        "requests": {"limit": 4000, "remaining": 3999},
        "tokens": {"limit": 400_000, "remaining": 10_999},
    }
    serve(daemon, usage("anthropic:claude-cli", request_count=1, **full))
    shown = on_a_terminal(daemon, "usage")
    assert "3999/4000" in shown
    assert "10k/400k" in shown
    assert shown.count("━━━╌╌╌ 50% 1d5h") == 2


def test_where_nothing_was_reported_it_says_how(daemon: FakeDaemon) -> None:
    """A person need not guess why there are no bars; nor what to do without a profile."""
    serve(daemon, usage())
    assert command.REPORT_HINT in on_a_terminal(daemon, "usage")
    serve(daemon)
    assert "tokenward add" in on_a_terminal(daemon, "usage")
