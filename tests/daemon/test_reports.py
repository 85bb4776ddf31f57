"""Reports through ``token.report``: what they cost a profile, for how long, and what the caller is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.routing import A, B, C, Callers, heard
from tokenward.core.classify import FailureClass
from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.grants import Condemned
from tokenward.core.ladders import PRESETS
from tokenward.daemon.routing_state import Section
from tokenward.daemon.token_models import ReportResult, TokenParams
from tokenward.errors import AllUnavailable, ProfileUnavailable

HOUR, DAY, YEAR = 3600.0, 86400.0, 31_536_000.0
BILLING = {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to …"}}
SCOPE = {"error": {"type": "permission_error", "message": "OAuth token does not meet scope requirement"}}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Callers]:
    """Two keys."""
    async with anyio.create_task_group() as group:
        callers = Callers(tmp_path, group)
        await callers.with_keys(A, B)
        yield callers
        group.cancel_scope.cancel()


async def climb(home: Callers, count: int, status: int = 429, **members: Any) -> list[float | None]:
    """How long each of so many failures in a row costs, each reported the moment the rest before it ends."""
    rests = []
    for _ in range(count):
        await home.report(A, status, **members)
        rests.append(home.rest(A))
        home.clock.advance(home.rest(A) or 0)
    return rests


@pytest.mark.covers("L37")
async def test_failures_in_a_row_rest_longer_and_longer(home: Callers) -> None:
    """One minute, five, twenty-five, an hour, an hour; a success begins anew, and so does a day without."""
    assert await climb(home, 5) == [60, 300, 1500, 3600, 3600]
    await home.report(A, 200)
    assert await climb(home, 2) == [60, 300]
    home.clock.advance(DAY + 1)
    assert await climb(home, 1) == [60]


@pytest.mark.covers("L29", "L30")
async def test_a_wallet_that_stays_empty_rests_up_to_a_day(home: Callers) -> None:
    """Five hours, ten, twenty, a day, a day; the first again after a day without."""
    hours = [5 * HOUR, 10 * HOUR, 20 * HOUR, 24 * HOUR, 24 * HOUR]
    assert await climb(home, 5, 400, error=BILLING) == hours
    home.clock.advance(DAY + 1)
    assert await climb(home, 1, 400, error=BILLING) == [5 * HOUR]


async def test_the_ladders_are_those_in_force(home: Callers) -> None:
    """A preset, and steps of one's own, as a reload sets them."""
    home.ward.household.ladders = PRESETS["openclaw"]
    assert await climb(home, 2, 403, error={"type": "permission_error"}) == [600, 1200]
    home.ward.household.ladders = replace(PRESETS["tokenward"], cooldown=(7.0,))
    assert await climb(home, 2) == [7, 7]


@pytest.mark.covers("L31")
async def test_another_profile_is_not_affected(home: Callers) -> None:
    """One key is limited: the other serves, and shows nothing."""
    before = home.ward.profile(B)
    assert await home.report(A) == ReportResult(failure="rate_limit", action="rotate")
    assert home.ward.profile(B) == before
    assert {await home.get() for _ in range(4)} == {B}


async def test_many_reports_of_one_failure_count_once(home: Callers) -> None:
    """Thirty workers met the same 429, some a minute short of the end of the rest."""
    for _ in range(30):
        await home.report(A)
        home.clock.advance(1)
    assert home.rest(A) == 30
    assert [each.errors for each in home.ward.profile(A).cooling] == [1]
    home.clock.advance(30)
    await home.report(A)
    assert home.rest(A) == 300


async def test_a_report_of_an_older_generation_has_no_effect(home: Callers) -> None:
    """It speaks of a value that is gone: nothing closes, nothing is forgotten, and the new one is to be tried."""
    old = home.ward.profile(A).generation
    await home.add_key(A, key="sk-ant-api03-another")
    for status, failure in ((429, "rate_limit"), (402, "billing"), (401, "auth"), (529, "overloaded")):
        told = await home.report(A, status, generation=old)
        assert (told.failure, told.action) == (failure, "retry")
    assert home.ward.profile(A).cooling == []
    await home.report(A, 402)
    await home.report(A, 200, generation=old)
    home.clock.advance(601)
    await home.report(A, 200, generation=old)
    assert home.rest(A) == 5 * HOUR - 601


@pytest.mark.covers("E34")
async def test_whoever_cooled_is_served_again_with_no_act(home: Callers) -> None:
    """Both keys cool: nobody serves until the end of the first window, and a key that is added serves at once."""
    await home.report(A)
    home.clock.advance(20)
    assert await home.report(B) == ReportResult(failure="rate_limit", action="wait", retry_after=40)
    for _ in range(2):
        with pytest.raises(AllUnavailable):
            await home.get()
        assert home.ward.token_nowait(TokenParams()) is None
    home.clock.advance(39.9)
    with pytest.raises(AllUnavailable):
        await home.get()
    home.clock.advance(0.1)
    assert await home.get() == A
    await home.report(A)
    await home.with_keys(C)
    assert await home.get() == C


@pytest.mark.covers("E32")
async def test_where_all_rest_the_error_says_until_when(home: Callers) -> None:
    """The words of the founding documents, the earliest recovery, and why each does not serve."""
    await home.report(A, 402)
    await home.report(B, headers={"Retry-After": "90"})
    with pytest.raises(AllUnavailable) as refused:
        await home.get()
    error = refused.value
    assert error.cause == "No available auth profile for anthropic (all in cooldown or unavailable)."
    now = to_unix_milliseconds(home.clock.now)
    assert (error.code, error.details["until_ms"], error.details["retry_after"]) == (-32002, now + 90_000, 90)
    assert [(each["profile"], each["kind"], each["until_ms"]) for each in error.details["profiles"]] == [
        (B, "cooldown", now + 90_000),
        (A, "disabled", now + 18_000_000),
    ]
    assert f"; {B} is cooling (rate_limit), until " in error.hint
    assert f"{B}: {B}" not in error.hint
    assert "tokenward add" in error.hint


@pytest.mark.covers("A29")
async def test_where_there_is_no_money_the_page_that_adds_some_is_named(home: Callers) -> None:
    """To the reporter, to whoever gets nothing, and beside the profile; and to nobody whose money is not short."""
    page = "https://gateway.example/console/#/topup"
    provider = home.ward.household.provider("anthropic")
    with_page = provider.but(api=provider.api.but(billing_url=page))
    home.ward.household.providers = {**home.ward.household.providers, "anthropic": with_page}
    assert (await home.report(B)).billing_url is None
    assert (await home.report(A, 402)).billing_url == page
    assert (home.ward.profile(A).unusable or "").endswith(f"; add funds at {page}")
    assert home.ward.profile(B).unusable is None
    with pytest.raises(AllUnavailable) as nobody:
        await home.get()
    assert f"add funds at {page}" in nobody.value.hint
    assert [each.get("billing_url") for each in nobody.value.details["profiles"]] == [None, page]
    with pytest.raises(ProfileUnavailable) as named:
        await home.get(profile=A)
    assert f"add funds at {page}, then say so: tokenward profiles clear {A}" in named.value.hint
    assert named.value.details["billing_url"] == page


async def test_without_a_page_nobody_is_sent_to_one(home: Callers) -> None:
    """Most providers have none in the configuration."""
    assert (await home.report(A, 402)).billing_url is None
    await home.report(B, 402)
    with pytest.raises(AllUnavailable) as nobody:
        await home.get()
    assert "funds" not in nobody.value.hint
    assert "billing_url" not in nobody.value.details["profiles"][0]
    assert "funds" not in (home.ward.profile(A).unusable or "")


async def test_one_that_was_named_is_served_though_it_cools(home: Callers) -> None:
    """Marked; but not if a person must act first, with the reason and the way out."""
    await home.report(A)
    served = await home.served(profile=A)
    assert (served.profile, served.degraded) == (A, "cooling")
    await home.report(B, 402)
    with pytest.raises(ProfileUnavailable, match="billing") as refused:
        await home.get(profile=B)
    assert "tokenward profiles clear anthropic:b" in refused.value.hint
    assert refused.value.details["until_ms"] == to_unix_milliseconds(home.clock.now) + 18_000_000


async def test_what_the_server_names_goes_before_the_ladder(home: Callers) -> None:
    """A Retry-After, and the end of a window of a subscription that is used up."""
    await home.report(A, headers={"Retry-After": "7"})
    assert home.rest(A) == 7
    reset = str(int(home.clock.now.timestamp()) + 7200)
    headers = {"anthropic-ratelimit-unified-5h-status": "rejected", "anthropic-ratelimit-unified-5h-reset": reset}
    await home.report(B, headers=headers, model="claude-opus-4-5")
    assert home.rest(B) == 7200


async def test_a_limit_of_one_model_closes_that_model(home: Callers) -> None:
    """By any name of the model; other models are served, and a success of another forgives nothing."""
    await home.report(A, model="anthropic/opus-4.5")
    assert (home.rest(A), home.rest(A, model="claude-opus-4-5")) == (None, 60)
    assert {await home.get(model="claude-opus-4-5") for _ in range(3)} == {B}
    assert {await home.get(model="claude-haiku-4-5") for _ in range(4)} == {A, B}
    await home.report(A, 200, model="claude-haiku-4-5")
    assert home.rest(A, model="claude-opus-4-5") == 60
    assert home.ward.profile(A).unusable is None


@pytest.mark.covers("A4", "A5")
async def test_a_gateway_says_the_model_or_the_money_in_its_own_words(home: Callers) -> None:
    """A model that the key's group lacks closes the model alone; an empty wallet is billing with any status."""
    missing = {"error": {"type": "new_api_error", "message": "no access to model claude-opus-4-5 in this group"}}
    told = await home.report(A, 403, error=missing, model="claude-opus-4-5")
    assert (told.failure, told.action) == ("model", "rotate")
    assert (home.rest(A), home.rest(A, model="claude-opus-4-5")) == (None, 60)
    told = await home.report(A, 500, error={"error": {"message": "Insufficient balance"}})
    assert (told.failure, home.rest(A)) == ("billing", 5 * HOUR)


@pytest.mark.parametrize(
    ("status", "members", "told"),
    [
        (200, {}, (None, "none", None)),
        (None, {}, (None, "none", None)),
        (400, {}, ("format", "none", None)),
        (404, {"error": {"type": "model_not_found"}}, ("model", "none", None)),
        (500, {}, ("server", "retry", None)),
        (500, {"headers": {"retry-after": "9"}}, ("server", "retry", 9)),
        (None, {"outcome": "failed"}, ("timeout", "retry", None)),
        (529, {}, ("overloaded", "rotate", None)),
        (429, {}, ("rate_limit", "rotate", None)),
        (402, {}, ("billing", "rotate", None)),
        (403, {}, ("auth", "rotate", None)),
        (403, {"error": SCOPE}, ("auth_permanent", "rotate", None)),
        (401, {}, ("auth", "rotate", None)),
    ],
)
async def test_each_class_has_its_advice(
    status: int | None, members: dict[str, Any], told: tuple[Any, ...], home: Callers
) -> None:
    """Whoever is to blame is left; where the request or the way is to blame, the profile goes on serving."""
    answer = await home.report(A, status, **members)
    assert (answer.failure, answer.action, answer.retry_after) == told
    assert (home.ward.profile(A).cooling != []) is (told[1] == "rotate")


@pytest.mark.parametrize(
    ("status", "members", "told"),
    [
        (529, {}, ("overloaded", "wait", 30)),
        (429, {}, ("rate_limit", "wait", 60)),
        (402, {}, ("billing", "wait", 18000)),
        (403, {}, ("auth", "wait", 60)),
        (403, {"error": SCOPE}, ("auth_permanent", "login", None)),
        (401, {}, ("auth", "login", None)),
    ],
)
async def test_where_nobody_else_serves_the_advice_is_to_wait_or_log_in(
    status: int | None, members: dict[str, Any], told: tuple[Any, ...], home: Callers
) -> None:
    """The other one is disabled; what no waiting cures needs a person."""
    await home.ward.disable(B)
    answer = await home.report(A, status, **members)
    assert (answer.failure, answer.action, answer.retry_after) == told


async def test_what_was_refused_for_good_waits_for_a_person(home: Callers) -> None:
    """No time opens it, nor a restart; ``profile.clear`` does, and new material does."""
    await home.report(A, 403, error=SCOPE)
    home.clock.advance(YEAR)
    await home.restart()
    shown = home.ward.profile(A)
    assert [(each.kind, each.reason, each.until_ms) for each in shown.cooling] == [
        ("disabled", "auth_permanent", None)
    ]
    assert shown.unusable == "auth_permanent, until there is a new credential"
    cleared = await home.ward.decisions.clear(A)
    assert (cleared.cooling, cleared.last_report) == ([], None)
    await home.report(A, 403, error=SCOPE)
    await home.add_key(A, key="sk-ant-api03-another")
    assert home.ward.profile(A).cooling == []


async def test_material_that_lies_in_its_place_ends_the_rest_at_the_next_request(tmp_path: Path) -> None:
    """Nobody told us of the change: whoever would be refused has the place looked at first."""
    async with anyio.create_task_group() as group:
        home = Callers(tmp_path, group)
        place = home.log_in(A)
        await home.fill()
        for asked in ({}, {"profile": A}):
            await home.report(A, 402)
            with pytest.raises((AllUnavailable, ProfileUnavailable)):
                await home.get(**asked)
            place.overwrite(home.credential(len(asked) + 7))
            assert await home.get(**asked) == A
        group.cancel_scope.cancel()


async def test_a_key_that_was_refused_serves_again_when_a_person_says_so(home: Callers) -> None:
    """A 401 condemns it; ``profile.clear`` and the same key given again reopen it."""
    for again in (
        lambda: home.ward.decisions.clear(A),
        lambda: home.add_key(A, key="sk-ant-api03-a"),
    ):
        assert (await home.report(A, 401)).action == "rotate"
        assert home.ward.profile(A).phase == "login_required"
        assert {await home.get() for _ in range(3)} == {B}
        await again()
        assert home.ward.profile(A).phase == "ready"
        assert {await home.get() for _ in range(2)} == {A, B}


async def test_our_own_refresh_ends_what_was_said_of_the_old_token_and_nothing_else(tmp_path: Path) -> None:
    """The limit of the account stays with its login; that the token was refused does not."""
    async with anyio.create_task_group() as group:
        home = Callers(tmp_path, group)
        home.refresh_stored = True
        home.log_in(A)
        await home.fill()
        home.clock.advance(60)
        await home.report(A, 429, headers={"Retry-After": "3000"})
        await home.ward.refresh(A)
        assert home.rest(A) == 3000
        await home.restart()
        assert home.rest(A) == 3000
        home.store.place(A).overwrite(home.credential(9))
        await home.ward.look_everywhere()
        assert home.rest(A) is None
        home.ward.line.health.failed(A, FailureClass.AUTH)
        assert home.ward.profile(A).unusable is not None
        await home.ward.refresh(A)
        assert home.ward.profile(A).cooling == []
        group.cancel_scope.cancel()


async def test_a_refused_token_is_refreshed_before_anybody_is_blamed(tmp_path: Path) -> None:
    """A refresh that helps leaves no trace; one that is condemned closes the profile, and the other serves."""
    async with anyio.create_task_group() as group:
        home = Callers(tmp_path, group)
        home.refresh_stored = True
        home.log_in(A)
        await home.fill()
        await home.with_keys(B)
        home.clock.advance(60)
        assert (await home.report(A, 401)).action == "retry"
        assert home.ward.profile(A).cooling == []
        home.endpoint.next(Condemned("invalid_grant", ""))
        assert (await home.report(A, 401)).action == "rotate"
        assert {await home.get() for _ in range(3)} == {B}
        group.cancel_scope.cancel()


async def test_a_restart_forgives_nothing(home: Callers) -> None:
    """Windows, counts and last uses are as before; no report of before counts again."""
    await climb(home, 2)
    await home.report(A, model="claude-opus-4-5")
    await home.report(B, 402)
    before = {each: home.ward.profile(each) for each in (A, B)}
    await home.restart()
    assert {each: home.ward.profile(each) for each in (A, B)} == before
    home.clock.advance(60)
    assert await climb(home, 1) == [1500]


@pytest.mark.parametrize("step", [HOUR, DAY, YEAR, -HOUR, -DAY, -YEAR])
async def test_a_clock_that_steps_keeps_nobody_out_for_longer(step: float, home: Callers) -> None:
    """Forward ends windows early; back leaves each at most its own length, whether noticed at once or later."""
    await home.report(A, headers={"Retry-After": "5400"})
    await home.report(B, 402)
    home.clock.step(step)
    served = {A, B} if abs(step) > 5 * HOUR else {A} if step > 5400 else set()
    for _ in range(2):
        if served:
            assert await home.get() in served
        else:
            with pytest.raises(AllUnavailable) as refused:
                await home.get()
            assert refused.value.details["retry_after"] <= 5400
    assert (home.rest(A) or 0) <= 5400
    assert (home.rest(B) or 0) <= 5 * HOUR
    await home.restart()
    home.clock.advance(5400)
    assert await home.get() in {A, B}
    home.clock.advance(5 * HOUR)
    assert {await home.get() for _ in range(2)} == {A, B}


async def test_a_success_of_an_earlier_request_ends_no_window(home: Callers) -> None:
    """A stream that began before the limit ends well after it; ten minutes later a success is news."""
    await home.report(A, headers={"Retry-After": "3000"})
    home.clock.advance(30)
    await home.report(A, 200)
    assert home.rest(A) == 2970
    home.clock.advance(600)
    await home.report(A, 200)
    assert home.ward.profile(A).cooling == []


async def test_subscribers_hear_that_a_profile_cools_and_recovers(home: Callers) -> None:
    """Once each: at the report, and when the window is over, which nobody reports; also after a restart."""
    async with home.hub.subscribe(frozenset({A})) as feed:
        await home.report(A)
        await home.report(A)
        home.alarm.advance(60)
        home.clock.advance(1)
        await home.report(A)
        await home.restart()
        home.alarm.advance(300)
        events = await heard(feed, "cooling", "recovered")
    assert [event.type for event in events] == ["cooling", "recovered", "cooling", "recovered"]
    assert events[0].detail == "rate_limit, until 2026-11-21 12:01:00 UTC"
    assert events[0].generation == home.ward.profile(A).generation


async def test_a_broken_state_is_a_healthy_profile(home: Callers) -> None:
    """A person edited the file: what cannot be read counts as nothing."""
    for section, value in ((Section.HEALTH, [1]), (Section.LAST_USED, "x"), (Section.ORDERS, 7)):
        home.ward.household.routing.put(section, A, value)
        home.ward.household.routing.put(section, "main/anthropic", value)
    home.ward.household.routing.put(Section.LAST_USED, B, 1e300)
    await home.restart()
    assert {await home.get() for _ in range(2)} == {A, B}
