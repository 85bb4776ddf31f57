"""Servers that misbehave, through the whole daemon but its socket: nobody is logged out, and callers are served.

Each fault is met by a login whose refresh is due and whose access token still lives. What a caller gets meanwhile,
how the failure is classed, how long it is waited, and what the server saw of it are the four questions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from faults.ward_at_server import DUE, PROFILE, ward_at_sandbox
from tokenward.daemon.token_models import TokenResult
from tokenward.sandbox import (
    CAPTIVE_PORTAL,
    CLOSE_BEFORE,
    CUT_OFF,
    EMPTY_400,
    LOST_ANSWER,
    NO_EXPIRES_IN,
    NO_REFRESH_TOKEN,
    RESET_ANSWER,
    TRUNCATED,
    WRONG_CONTENT_TYPE,
    Fault,
    Sandbox,
)

GRACE = 600.0
LONGEST_RETRY = 300.0
HOUR = 3600.0
YEAR = 366 * 24 * HOUR
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
"""When the clock of these tests begins."""
Recorder = Callable[[str, object], None]


def refused(fault: str, what: str, answer: Fault, cause: str, *, at_least: float = 0.0, times: int = 1) -> Any:
    """A case of an answer that is no grant and condemns nothing."""
    waits = f"next attempt after {at_least:.0f} s or more" if at_least else "backed off"
    mark = pytest.mark.fault(
        f"server-{fault}", what, f"`{cause}`, {waits}; the old token is served as `refresh_failing`, then renewed"
    )
    return pytest.param(answer, cause, at_least, times, id=fault, marks=mark)


def status(code: int, **more: Any) -> Fault:
    """An answer with a status and a page."""
    return Fault(status=code, body="<html>no</html>", content_type="text/html", **more)


@pytest.mark.parametrize(
    ("fault", "cause", "at_least", "times"),
    [
        refused("captive-portal", "HTML with 200 from a captive portal", CAPTIVE_PORTAL, "unavailable"),
        refused("empty-400", "400 with an empty body", EMPTY_400, "unavailable"),
        refused("html-400", "400 with a page", status(400), "unavailable"),
        refused(
            "grant-403",
            "403 with `invalid_grant`",
            Fault(status=403, body={"error": "invalid_grant"}),
            "unavailable",
        ),
        refused("html-403", "403 with a page, of a firewall", status(403), "unavailable"),
        refused("missing-404", "404", status(404), "unavailable"),
        refused("timeout-408", "408", status(408), "unavailable"),
        refused(
            "client",
            "401 with `invalid_client`",
            Fault(status=401, body={"error": "invalid_client"}),
            "misconfigured",
        ),
        refused(
            "limit-seconds",
            "429 with Retry-After in seconds",
            status(429, retry_after=700),
            "rate_limited",
            at_least=700,
        ),
        refused(
            "limit-date",
            "429 with Retry-After as a date",
            status(429, retry_after=format_datetime(NOON.replace(minute=20), usegmt=True)),
            "rate_limited",
            at_least=1200,
        ),
        refused(
            "limit-absurd",
            "429 with Retry-After of a century",
            status(429, retry_after=3_155_760_000),
            "rate_limited",
            at_least=HOUR,
        ),
        refused(
            "limit-garbage",
            "429 with a Retry-After that is none",
            status(429, retry_after="soon, -1"),
            "rate_limited",
        ),
        refused("storm-500", "500 five times over", status(500), "unavailable", times=5),
        refused("storm-502", "502 five times over", status(502), "unavailable", times=5),
        refused(
            "storm-503",
            "503 with Retry-After five times over",
            status(503, retry_after=30),
            "unavailable",
            at_least=30,
            times=5,
        ),
        refused(
            "redirect", "307 to another address", status(307, headers={"Location": "/elsewhere"}), "unavailable"
        ),
        refused("no-token", "200 with JSON without tokens", Fault(status=200, body={"ok": True}), "unavailable"),
    ],
)
async def test_no_answer_but_one_logs_anybody_out(
    tmp_path: Path, sandbox: Sandbox, *, fault: Fault, cause: str, at_least: float, times: int
) -> None:
    """The old token goes on, marked; the next attempt is not early, and within the hour; then all is well."""
    sandbox.faults.next("token", fault, times=times)
    async with ward_at_sandbox(tmp_path, sandbox) as ward:
        before = ward.kept
        for asked in range(1, times + 1):
            answer = await ward.ask()
            if asked == 1:
                assert isinstance(answer, TokenResult)
                assert (answer.token, answer.degraded) == (before.access.reveal(), "refresh_failing")
            assert ward.failure == cause
            assert ward.kept == before
            assert at_least <= ward.retry_in() <= max(LONGEST_RETRY, at_least)
            assert sandbox.statistics().token_requests == asked, "asking does not try again"
            await ward.ask()
            assert sandbox.statistics().token_requests == asked
            await ward.wait(ward.retry_in())
        answer = await ward.ask()
        assert isinstance(answer, TokenResult)
        assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
        assert ward.kept.access.reveal() == answer.token
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (times + 1, 0)
    assert not [each for each in sandbox.requests if each.path == "/elsewhere"]


@pytest.mark.fault(
    "server-condemned",
    "400 with `invalid_grant`, the one answer that condemns",
    "the old token is served to its end; then `LoginRequired`; nothing is deleted, and nothing more is sent",
)
async def test_the_one_answer_that_condemns_deletes_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    """Dead is said, and that is all: no request follows, and a new login would end it."""
    sandbox.faults.next("token", Fault(status=400, body={"error": "invalid_grant"}), times=None)
    async with ward_at_sandbox(tmp_path, sandbox) as ward:
        before = ward.kept
        answer = await ward.ask()
        assert isinstance(answer, TokenResult)
        assert (answer.token, answer.degraded) == (before.access.reveal(), "refresh_failing")
        await ward.wait(DUE)
        assert await ward.ask() == "LoginRequired"
        await ward.wait(24 * HOUR)
        assert ward.kept == before
    assert sandbox.statistics().token_requests == 1


def lost(fault: str, what: str, answer: Fault) -> Any:
    """A case of an answer that does not arrive whole after the server rotated."""
    return pytest.param(answer, id=fault)


LOST = [
    lost("lost", "the connection ends after the server rotated", LOST_ANSWER),
    lost("reset", "RST after the server rotated", RESET_ANSWER),
    lost("truncated", "JSON that ends in the middle", TRUNCATED),
    lost("cut", "fewer bytes than Content-Length promised", CUT_OFF),
]


@pytest.mark.fault(
    "server-answer-lost-grace",
    "The server rotated; the answer is lost, reset, truncated JSON, or cut off. The server has a grace window",
    "the spent token is presented once more, at once, and the caller gets the new one",
)
@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_answer_is_asked_for_again_inside_the_grace(tmp_path: Path, fault: Fault) -> None:
    """One replay, which the server takes for what it is."""
    with Sandbox(ttl_seconds=HOUR, reuse_grace=GRACE) as sandbox:
        sandbox.faults.next("token", fault)
        async with ward_at_sandbox(tmp_path, sandbox, reuse_grace=GRACE) as ward:
            answer = await ward.ask()
            assert isinstance(answer, TokenResult)
            assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
            assert ward.kept.access.reveal() == answer.token
        statistics = sandbox.statistics()
        assert (statistics.token_requests, statistics.grace_replays, statistics.reuse_detected) == (2, 1, 0)


@pytest.mark.fault(
    "server-answer-lost",
    "The same without a grace window",
    "`ambiguous`; the old token is served to its last second; only then the token is sent once more, and what the "
    "server says of it is said: `LoginRequired`, with the login kept as it was",
)
@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_answer_without_grace_costs_nothing_before_the_end(
    tmp_path: Path, sandbox: Sandbox, fault: Fault
) -> None:
    """What no client can prevent is put off as long as possible, and made no worse."""
    sandbox.faults.next("token", fault)
    async with ward_at_sandbox(tmp_path, sandbox) as ward:
        before = ward.kept
        for _ in range(int(DUE) - 1):
            answer = await ward.ask()
            assert isinstance(answer, TokenResult)
            assert (answer.token, answer.degraded) == (before.access.reveal(), "refresh_failing")
            assert ward.failure == "ambiguous"
            await ward.wait(1.0)
        assert sandbox.statistics().token_requests == 1
        await ward.wait(LONGEST_RETRY)
        assert await ward.ask() == "LoginRequired"
        await ward.wait(24 * HOUR)
        assert ward.kept == before
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (2, 1)


@pytest.mark.fault(
    "server-reset-unread",
    "RST after the request arrived, before the server rotated",
    "`ambiguous`; the old token is served to its end; then the token is sent again and the login goes on",
)
async def test_a_reset_before_the_rotation_loses_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    """It was not spent, but nobody here can know; patience finds out."""
    sandbox.faults.next("token", CLOSE_BEFORE)
    async with ward_at_sandbox(tmp_path, sandbox) as ward:
        await ward.ask()
        assert ward.failure == "ambiguous"
        await ward.wait(DUE - 1.0)
        assert sandbox.statistics().token_requests == 1
        await ward.wait(LONGEST_RETRY)
        answer = await ward.ask()
        assert isinstance(answer, TokenResult)
        assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (2, 0)


@pytest.mark.fault(
    "server-slow-drip",
    "The answer drips in byte by byte, beyond the deadline for the whole of it",
    "`ambiguous` at the deadline, which bytes do not move; callers are served the old token",
)
async def test_a_drip_does_not_move_the_deadline(tmp_path: Path, sandbox: Sandbox) -> None:
    """At a byte in five seconds this would take half an hour; the deadline here is half a second."""
    sandbox.faults.next("token", Fault(status=503, body="x" * 400, pause_per_byte=5.0))
    async with ward_at_sandbox(tmp_path, sandbox, patience=0.5) as ward:
        answer = await ward.ask()
        assert isinstance(answer, TokenResult)
        assert (answer.token, answer.degraded) == (ward.kept.access.reveal(), "refresh_failing")
        assert ward.failure == "ambiguous"


def granted(fault: str, what: str, answer: Fault, expected: str, life: float | None) -> Any:
    """A case of a grant that reads oddly."""
    return pytest.param(answer, life, id=fault, marks=pytest.mark.fault(f"server-{fault}", what, expected))


def lives(value: Any) -> Fault:
    """A grant with this `expires_in`."""
    return Fault(replace={"expires_in": value})


@pytest.mark.parametrize(
    ("fault", "life"),
    [
        granted("content-type", "A grant as text/plain", WRONG_CONTENT_TYPE, "taken: it was spent for", HOUR),
        granted(
            "no-refresh-token",
            "A grant without a refresh token",
            NO_REFRESH_TOKEN,
            "the old one stays, and is used again",
            HOUR,
        ),
        granted(
            "life-missing",
            "A grant without `expires_in`",
            NO_EXPIRES_IN,
            "unknown end: served; a 401 refreshes",
            None,
        ),
        granted("life-string", 'A grant with `expires_in` "3600"', lives("3600"), "it parses", HOUR),
        granted("life-word", 'A grant with `expires_in` "soon"', lives("soon"), "unknown end", None),
        granted("life-boolean", "A grant with `expires_in` true", lives(True), "unknown end", None),
        granted("life-nan", "A grant with `expires_in` NaN", lives(float("nan")), "unknown end", None),
        granted("life-huge", "A grant with `expires_in` of 30 million years", lives(10**15), "366 days", YEAR),
    ],
)
async def test_a_grant_that_reads_oddly_is_kept(
    tmp_path: Path, sandbox: Sandbox, fault: Fault, life: float | None
) -> None:
    """The refresh token is spent: whatever came for it is stored, served, and can be refreshed again."""
    sandbox.faults.next("token", fault, times=2)
    async with ward_at_sandbox(tmp_path, sandbox) as ward:
        answer = await ward.ask()
        assert isinstance(answer, TokenResult)
        assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
        assert ward.kept.access.reveal() == answer.token
        assert ward.kept.granted_life == life
        assert (answer.valid_for is None) == (life is None)
        await ward.wait(60.0)
        again = await ward.ward.refresh(PROFILE)
        assert (again.phase, ward.failure) == ("ready", None)
        assert sandbox.liveness(ward.kept.access.reveal()) == "live"
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (2, 0)


@pytest.mark.parametrize(
    "life",
    [
        pytest.param(
            life,
            id=name,
            marks=pytest.mark.fault(
                f"server-life-{name}",
                f"A grant with `expires_in` {life}",
                "the rotation is kept, no token of it is served; a failure: backed off, then renewed",
            ),
        )
        for name, life in {"zero": 0, "negative": -5}.items()
    ],
)
async def test_a_grant_without_life_keeps_the_rotation(tmp_path: Path, sandbox: Sandbox, life: int) -> None:
    """Taken for a success it would be due at once, for ever; taken for nothing it would lose the login."""
    sandbox.faults.next("token", lives(life), times=4)
    async with ward_at_sandbox(tmp_path, sandbox) as ward:
        for asked in range(1, 5):
            assert await ward.ask() == "RefreshFailed", "nothing that has ended is served"
            assert ward.failure == "no_longer_life"
            assert sandbox.statistics().token_requests == asked
            assert 0 < ward.retry_in() <= LONGEST_RETRY
            await ward.wait(ward.retry_in())
        answer = await ward.ask()
        assert isinstance(answer, TokenResult)
        assert (answer.degraded, sandbox.liveness(answer.token)) == (None, "live")
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (5, 0)
