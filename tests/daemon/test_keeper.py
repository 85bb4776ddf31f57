"""The keeper: what callers get of one credential while everything else happens to it."""

from __future__ import annotations

import errno
import math
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import anyio
import pytest

from daemon.keeping import PROFILE, Keeping, keeping, settled, turns, until
from daemon.refreshing import LIFE, nothing
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.freshness import FORCED_BURST, FORCED_REFILL_SECONDS, RefreshTiming
from tokenward.core.grants import Ambiguous, Condemned, Granted, NotSent, Unavailable
from tokenward.core.lifecycle import Phase
from tokenward.core.reading import GONE_AFTER_SECONDS
from tokenward.daemon.event_hub import Feed
from tokenward.daemon.flight_results import FlightResult
from tokenward.daemon.flights import predecessor_left_work
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.persons_word import accept
from tokenward.disk.family_file import KEEP_FINISHED, FamilyFile, Outcome, prune
from tokenward.errors import (
    CallTimeout,
    LoginRequired,
    ProfileUnavailable,
    RefreshFailed,
    TokenwardError,
)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Keeping]:
    """A household."""
    async with keeping(tmp_path) as household:
        yield household


async def access(keeper: Keeper, min_valid: float = 60.0, *, newer_than: str | None = None) -> str:
    """The access token a caller gets."""
    held, _ = await keeper.obtain(min_valid, newer_than=newer_than, patience=20.0)
    return held.credential.access.reveal()


async def degraded(keeper: Keeper, min_valid: float = 60.0) -> str | None:
    """What a caller is told of its token."""
    _, why = await keeper.obtain(min_valid, newer_than=None, patience=20.0)
    return why


async def events(feed: Feed) -> list[str]:
    """The types of the events so far; ends the feed."""
    feed.end()
    return [event.type async for event in feed]


# When it is refreshed (P21)


@pytest.mark.covers("P21")
async def test_a_refresh_is_made_90_seconds_before_the_end_and_not_before(home: Keeping) -> None:
    """90.001 s before the end: no request. At 90.000 s: exactly one, and the new value is scheduled anew."""
    keeper = await home.directly(home.credential(left=LIFE))
    await home.pass_time(LIFE - 90.001, keeper)
    assert keeper.left() == pytest.approx(90.001)
    assert home.endpoint.sent == []
    await home.pass_time(0.001, keeper)
    assert len(home.endpoint.sent) == 1
    assert keeper.left() == pytest.approx(LIFE)
    await home.pass_time(LIFE - 90.001, keeper)
    assert len(home.endpoint.sent) == 1
    await home.pass_time(0.001, keeper)
    assert len(home.endpoint.sent) == 2


@pytest.mark.covers("P21")
async def test_a_caller_does_not_refresh_before_the_margin_either(home: Keeping) -> None:
    """What is due is the same for a caller as for the timer."""
    keeper = await home.directly(home.credential(left=90.001))
    assert await access(keeper) == "sk-ant-oat01-access-0"
    assert home.endpoint.sent == []
    home.clock.advance(0.001)
    await access(keeper)
    await settled(keeper)
    assert len(home.endpoint.sent) == 1


@pytest.mark.covers("P21")
@pytest.mark.parametrize("held_back", [False, True], ids=["at once", "slowly"])
async def test_many_callers_of_a_due_value_make_one_request(home: Keeping, *, held_back: bool) -> None:
    """Fifty at once, expired: one request, and all of them get the new value."""
    keeper = await home.directly(home.credential(left=-1))
    if held_back:
        home.endpoint.hold()
    got: list[str] = []

    async def call() -> None:
        got.append(await access(keeper))

    async with anyio.create_task_group() as callers:
        for _ in range(50):
            callers.start_soon(call)
        await home.endpoint.arrived.wait()
        home.endpoint.release()
    assert got == ["access-granted-1"] * 50
    assert len(home.endpoint.sent) == 1
    assert home.phase(keeper) is Phase.READY
    assert keeper.attempts.failure is None


@pytest.mark.covers("N40")
async def test_the_margin_can_be_set(home: Keeping) -> None:
    """Five minutes, as others have it."""
    home.around.timing = RefreshTiming(300.0, 0.0)
    keeper = await home.directly(home.credential(left=300.001))
    await home.pass_time(0, keeper)
    assert home.endpoint.sent == []
    await home.pass_time(0.001, keeper)
    assert len(home.endpoint.sent) == 1


async def test_the_margin_of_a_short_life_is_a_fifth_of_it(home: Keeping) -> None:
    """Twenty seconds granted: refreshed when four are left, and not 90 s before."""
    home.endpoint.expires_in = 20.0
    keeper = await home.directly(home.credential(left=10))
    await home.pass_time(0, keeper)
    assert len(home.endpoint.sent) == 1
    await home.pass_time(15.999, keeper)
    assert len(home.endpoint.sent) == 1
    await home.pass_time(0.001, keeper)
    assert len(home.endpoint.sent) == 2


@pytest.mark.covers("N40")
async def test_an_unknown_end_is_never_due_and_a_refusal_refreshes_it(home: Keeping) -> None:
    """No expiry: served until a caller was refused with it."""
    value = Credential(Kind.OAUTH, Secret("a"), Secret("r"))
    keeper = await home.directly(value)
    await home.pass_time(10 * 24 * 3600, keeper)
    assert await access(keeper, min_valid=1e6) == "a"
    assert home.alarm.when(PROFILE.id) is None
    assert await access(keeper, newer_than=value.generation) == "access-granted-1"
    assert len(home.endpoint.sent) == 1


async def test_a_static_value_is_never_refreshed(home: Keeping) -> None:
    """``refreshToken: null``: served to its end and not beyond, and no request is made."""
    keeper = await home.directly(home.static(home.credential(left=100)))
    assert await access(keeper) == "sk-ant-oat01-access-0"
    await home.pass_time(101, keeper)
    with pytest.raises(LoginRequired, match="no refresh token available"):
        await access(keeper)
    assert home.endpoint.sent == []


# What a caller gets (I6)


@pytest.mark.covers("L21", "N39")
async def test_an_expired_token_is_never_served(home: Keeping) -> None:
    """Expired and the server down: an error with the time of the next attempt, not the token."""
    home.endpoint.next(Unavailable("HTTP 503"), times=100)
    keeper = await home.directly(home.credential(left=-0.001))
    with pytest.raises(RefreshFailed) as refused:
        await access(keeper, min_valid=0)
    assert refused.value.details["retry_after"] >= 1
    assert "sk-ant" not in str(refused.value) + refused.value.hint


@pytest.mark.covers("L22")
async def test_an_expired_login_is_refreshed_silently(home: Keeping, capfd: pytest.CaptureFixture[str]) -> None:
    """Expired with a refresh token: one request, the caller gets the new token, and nobody hears of it."""
    keeper = await home.directly(home.credential(left=-5))
    assert await access(keeper) == "access-granted-1"
    assert len(home.endpoint.sent) == 1
    assert capfd.readouterr() == ("", "")


async def test_a_wish_up_to_half_the_life_starts_a_refresh(home: Keeping) -> None:
    """1,800 of 3,600 s wanted and 1,799 left: refreshed. At most two refreshes a life follow from that."""
    keeper = await home.directly(home.credential(left=90))
    await home.pass_time(0, keeper)
    home.clock.advance(LIFE / 2 + 1)
    assert await access(keeper, min_valid=LIFE / 2) == "access-granted-2"
    assert len(home.endpoint.sent) == 2


async def test_a_wish_beyond_half_the_life_gets_the_best_there_is(home: Keeping) -> None:
    """More than half the life wanted: no refresh while half of it is left; what is there goes out as short."""
    keeper = await home.directly(home.credential(left=90))
    await home.pass_time(0, keeper)
    home.clock.advance(LIFE / 2)
    assert await degraded(keeper, min_valid=LIFE) == "short"
    assert len(home.endpoint.sent) == 1
    home.clock.advance(1)
    assert await degraded(keeper, min_valid=LIFE) is None
    assert len(home.endpoint.sent) == 2


async def test_a_greedy_caller_makes_at_most_two_refreshes_a_life(home: Keeping) -> None:
    """Asking every ten seconds for a year of life, through ten lives."""
    keeper = await home.directly(home.credential(left=LIFE))
    for _ in range(int(10 * LIFE / 10)):
        await access(keeper, min_valid=31_000_000)
        await home.pass_time(10, keeper)
    assert len(home.endpoint.sent) <= 20 + 1


async def test_a_refresh_that_gives_less_than_wished_is_short_and_not_failing(home: Keeping) -> None:
    """The refresh succeeded: what it gave is the best there is."""
    keeper = await home.directly(home.credential(left=1000))
    assert await degraded(keeper, min_valid=2 * LIFE) == "short"
    assert len(home.endpoint.sent) == 1


async def test_a_refresh_that_fails_early_serves_the_living_token(home: Keeping) -> None:
    """The server is down inside the margin: the old token goes out, marked, and the failure is known."""
    home.endpoint.next(Unavailable("HTTP 503"), times=100)
    keeper = await home.directly(home.credential(left=80))
    assert await degraded(keeper, min_valid=85) == "refresh_failing"
    assert await access(keeper) == "sk-ant-oat01-access-0"
    assert home.phase(keeper) is Phase.BACKOFF
    assert keeper.attempts.failure is not None
    assert keeper.attempts.failure.reason == "HTTP 503"


async def test_a_living_token_is_served_at_once_during_its_refresh(home: Keeping) -> None:
    """Inside the margin nobody waits for the flight whose wish the old token fulfils."""
    home.endpoint.hold()
    keeper = await home.directly(home.credential(left=80))
    assert await access(keeper, min_valid=60) == "sk-ant-oat01-access-0"
    await home.endpoint.arrived.wait()
    assert await degraded(keeper, min_valid=60) is None
    home.endpoint.release()
    await settled(keeper)
    assert await access(keeper) == "access-granted-1"


async def test_nothing_in_the_place_says_where_was_looked(home: Keeping) -> None:
    """An empty place: an error that names the profile, the place and the way in."""
    keeper = home.keeper(home.direct())
    with pytest.raises(ProfileUnavailable, match="acme:me") as refused:
        await access(keeper)
    assert "/home/me/login.json" in refused.value.hint
    assert "tokenward login acme --profile acme:me" in refused.value.hint


# Waiters


async def test_a_waiter_gives_up_by_itself_and_the_flight_goes_on(home: Keeping) -> None:
    """The caller's timeout ends its waiting; the flight ends with a value in the place."""
    home.endpoint.hold()
    keeper = await home.directly(home.credential(left=-1))
    with pytest.raises(CallTimeout):
        await keeper.obtain(60, newer_than=None, patience=0.01)
    assert home.phase(keeper) is Phase.REFRESHING
    home.endpoint.release()
    await settled(keeper)
    assert await access(keeper) == "access-granted-1"
    assert len(home.endpoint.sent) == 1


async def test_a_waiter_that_is_cancelled_takes_nobody_with_it(home: Keeping) -> None:
    """A caller that hangs up leaves the flight and the other callers alone."""
    home.endpoint.hold()
    keeper = await home.directly(home.credential(left=-1))
    got: list[str] = []

    async def call() -> None:
        got.append(await access(keeper))

    async with anyio.create_task_group() as stayer, anyio.create_task_group() as quitter:
        quitter.start_soon(call)
        stayer.start_soon(call)
        await home.endpoint.arrived.wait()
        quitter.cancel_scope.cancel()
        home.endpoint.release()
    assert got == ["access-granted-1"]
    assert len(home.endpoint.sent) == 1


async def test_a_waiter_with_a_living_token_gets_it_when_its_patience_ends(home: Keeping) -> None:
    """It wanted more, waited in vain, and is given what there is."""
    home.endpoint.hold()
    keeper = await home.directly(home.credential(left=80))
    held, why = await keeper.obtain(85, newer_than=None, patience=0.01)
    assert held.credential.access == Secret("sk-ant-oat01-access-0")
    assert why == "refresh_failing"
    home.endpoint.release()


# Refusals by callers (I7, I11)


async def test_many_refusals_of_one_generation_make_one_request(home: Keeping) -> None:
    """Twenty callers were refused with the same value: one request, all get its successor."""
    first = home.credential(left=LIFE)
    keeper = await home.directly(first)
    home.endpoint.hold()
    got: list[str] = []

    async def call() -> None:
        got.append(await access(keeper, newer_than=first.generation))

    async with anyio.create_task_group() as callers:
        for _ in range(20):
            callers.start_soon(call)
        await home.endpoint.arrived.wait()
        home.endpoint.release()
    assert got == ["access-granted-1"] * 20
    assert len(home.endpoint.sent) == 1
    assert await access(keeper, newer_than=first.generation) == "access-granted-1"
    assert len(home.endpoint.sent) == 1


async def test_a_refusal_of_another_generation_has_no_effect(home: Keeping) -> None:
    """A late report, or one of a value that we never held."""
    keeper = await home.directly(home.credential())
    assert await keeper.reject("0" * 12)
    assert await access(keeper, newer_than="0" * 12) == "sk-ant-oat01-access-0"
    assert home.endpoint.sent == []


async def test_forced_refreshes_draw_from_a_bucket(home: Keeping) -> None:
    """Three at once, then an error that says when; one more each minute."""
    keeper = await home.directly(home.credential())
    for number in range(1, FORCED_BURST + 1):
        home.clock.advance(1)
        assert keeper.credential is not None
        assert await access(keeper, newer_than=keeper.credential.generation) == f"access-granted-{number}"
    assert keeper.credential is not None
    with pytest.raises(RefreshFailed, match="too many forced refreshes") as refused:
        await access(keeper, newer_than=keeper.credential.generation)
    assert refused.value.details["retry_after"] == pytest.approx(FORCED_REFILL_SECONDS - 2, abs=1)
    assert await access(keeper) == "access-granted-3"
    home.clock.advance(FORCED_REFILL_SECONDS)
    assert await access(keeper, newer_than=keeper.credential.generation) == "access-granted-4"
    with pytest.raises(RefreshFailed):
        await keeper.refresh_by_hand()
    assert len(home.endpoint.sent) == 4


async def test_the_bucket_is_not_drawn_from_where_nothing_is_sent(home: Keeping) -> None:
    """Asking by hand for a dead login's refresh stays an answer about the login."""
    home.endpoint.next(Condemned("invalid_grant", ""))
    keeper = await home.directly(home.credential(left=50))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.LOGIN_REQUIRED
    for _ in range(FORCED_BURST + 2):
        with pytest.raises(LoginRequired):
            await keeper.refresh_by_hand()
    assert len(home.endpoint.sent) == 1


async def test_a_verdict_on_a_replaced_value_has_no_effect(home: Keeping) -> None:
    """The owner wrote while we were refused: the new value is served, and the login is not given up."""
    keeper = await home.directly(home.credential(left=-1))
    home.endpoint.hold()
    home.endpoint.next(Condemned("invalid_grant", ""))
    newer = home.credential(5)
    async with anyio.create_task_group() as callers:
        callers.start_soon(access, keeper)
        await home.endpoint.arrived.wait()
        home.place.overwrite(newer)
        home.endpoint.release()
    assert home.phase(keeper) is Phase.READY
    assert keeper.credential == newer


async def test_a_static_value_that_was_refused_waits_for_new_material(home: Keeping) -> None:
    """Nothing can renew it: it is excluded for the caller who was refused, and a person is told."""
    value = Credential(Kind.API_KEY, Secret("sk-ant-api03-x"))
    home.place.overwrite(value)
    keeper = home.keeper(None)
    await keeper.reconcile()
    async with home.hub.subscribe(None) as feed:
        keeper.refused("0" * 12)
        assert home.phase(keeper) is Phase.READY
        keeper.refused(value.generation)
        keeper.refused(value.generation)
        assert home.phase(keeper) is Phase.LOGIN_REQUIRED
        assert await events(feed) == ["login_required"]
    with pytest.raises(LoginRequired) as refused:
        await access(keeper, newer_than=value.generation)
    assert "sk-ant" not in str(refused.value) + refused.value.hint
    home.place.overwrite(Credential(Kind.API_KEY, Secret("sk-ant-api03-y")))
    assert await access(keeper) == "sk-ant-api03-y"
    assert home.phase(keeper) is Phase.READY
    assert keeper.attempts.failure is None


# Failures, back-off and dead servers


async def test_a_dead_login_asks_for_a_person_until_there_is_new_material(home: Keeping) -> None:
    """invalid_grant: one request, the token is served to its end, then a login is asked for, and never a retry."""
    home.endpoint.next(Condemned("invalid_grant", "Refresh token expired"))
    keeper = await home.directly(home.credential(left=80))
    async with home.hub.subscribe(None) as feed:
        await home.pass_time(0, keeper)
        assert home.phase(keeper) is Phase.LOGIN_REQUIRED
        assert await degraded(keeper) == "refresh_failing"
        await home.pass_time(24 * 3600, keeper)
        for _ in range(5):
            with pytest.raises(LoginRequired, match="invalid_grant: Refresh token expired") as refused:
                await access(keeper)
        assert refused.value.details["command"] in refused.value.hint
        assert len(home.endpoint.sent) == 1
        assert await events(feed) == ["login_required"]
    home.place.overwrite(home.credential(7))
    assert await access(keeper) == "sk-ant-oat01-access-7"
    assert home.phase(keeper) is Phase.READY


async def test_new_material_clears_the_failures(home: Keeping) -> None:
    """A fresh login begins with nothing against it: no last failure, and the back-off starts anew."""
    home.endpoint.next(Unavailable("HTTP 503"), times=6)
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(70, keeper)
    assert home.phase(keeper) is Phase.BACKOFF
    home.place.overwrite(home.credential(7, left=100))
    assert await access(keeper) == "sk-ant-oat01-access-7"
    assert keeper.retry_in() is None
    home.endpoint.next(Unavailable("HTTP 503"))
    await home.pass_time(10, keeper)
    assert keeper.attempts.failure is not None
    assert keeper.attempts.failure.count == 1


async def test_failures_back_off_and_a_success_ends_it(home: Keeping) -> None:
    """5 s doubling to 5 min, half of it by this entropy; the gate and the keeper agree; then all is forgotten."""
    home.endpoint.next(Unavailable("HTTP 503"), times=9)
    keeper = await home.directly(home.credential(left=-1))
    waits = []
    await home.pass_time(0, keeper)
    while home.phase(keeper) is Phase.BACKOFF:
        waits.append(keeper.retry_in())
        await home.pass_time(keeper.retry_in() or 0.0, keeper)
    assert waits == [2.5, 5, 10, 20, 40, 80, 150, 150, 150]
    assert home.phase(keeper) is Phase.READY
    assert keeper.attempts.failure is None
    assert home.gate.closed_for() == 0


@pytest.mark.parametrize(("said", "obeyed"), [(120.0, 120.0), (1.0, 2.5), (86_400.0, 3600.0)])
async def test_retry_after_is_obeyed_up_to_an_hour(said: float, obeyed: float, home: Keeping) -> None:
    """The server's word is a floor: for this keeper and for everybody else at this endpoint."""
    home.endpoint.next(Unavailable("HTTP 429", said))
    keeper = await home.directly(home.credential(left=-1))
    await home.pass_time(0, keeper)
    assert keeper.retry_in() == obeyed
    assert home.gate.closed_for() == obeyed
    await home.pass_time(obeyed - 0.001, keeper)
    assert len(home.endpoint.sent) == 1
    await home.pass_time(0.002, keeper)
    assert len(home.endpoint.sent) == 2
    assert home.phase(keeper) is Phase.READY


@pytest.mark.parametrize(
    "trouble", [NotSent("no route"), Unavailable("HTTP 503"), Unavailable("HTML"), Unavailable("no", None, True)]
)
async def test_a_dead_server_gets_few_requests_in_a_day(
    trouble: NotSent | Unavailable, home: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 hours down, with a caller every minute: 581 requests.

    Between attempts lies half (by this entropy) of 5, 10, 20, 40, 80, 160 and then 300 s: seven attempts in the
    first 157.5 s, and one each 150 s after that, (86,400 - 157.5) / 150 = 574 more. The callers add none; a design
    that tries again for every caller would make their 1,440. Real jitter has the same mean.
    """
    asked = 0
    refresh = ScriptedTokenEndpoint.refresh

    async def count(endpoint: ScriptedTokenEndpoint, token: Secret) -> object:
        nonlocal asked
        asked += 1
        return await refresh(endpoint, token)

    monkeypatch.setattr(ScriptedTokenEndpoint, "refresh", count)
    home.endpoint.next(trouble, times=5000)
    keeper = await home.directly(home.credential(left=60))
    for _ in range(24 * 60):
        await home.pass_time(60, keeper)
        with pytest.raises(RefreshFailed):
            await access(keeper)
    assert asked == 7 + 574


async def test_a_refresh_that_does_not_lengthen_life_is_a_failure(home: Keeping) -> None:
    """``expires_in: 0`` for an hour: the rotation is kept each time, and the requests back off."""
    home.endpoint.expires_in = 0
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.BACKOFF
    assert keeper.credential is not None
    assert keeper.credential.refresh == Secret("refresh-granted-1")
    assert home.stored() == keeper.credential
    for _ in range(60):
        await home.pass_time(60, keeper)
    assert len(home.endpoint.sent) < 35
    assert home.endpoint.reuse_detected == 0
    home.endpoint.expires_in = LIFE
    await home.pass_time(300, keeper)
    assert home.phase(keeper) is Phase.READY
    assert await degraded(keeper) is None


@pytest.mark.parametrize("by_report", [False, True])
async def test_what_was_refused_has_no_life_to_lengthen(home: Keeping, *, by_report: bool) -> None:
    """A token that was refused long before its end, and a shorter one for it: that is no failure, but zero is."""
    value = home.credential(left=50 * LIFE)
    keeper = await home.directly(value)
    if by_report:
        assert await keeper.reject(value.generation)
    else:
        assert await access(keeper, newer_than=value.generation) == "access-granted-1"
    assert (home.phase(keeper), keeper.attempts.failure) == (Phase.READY, None)
    home.endpoint.expires_in = 0
    assert keeper.credential is not None
    await keeper.reject(keeper.credential.generation)
    assert home.phase(keeper) is Phase.BACKOFF


async def test_the_same_token_again_is_a_failure_too(home: Keeping) -> None:
    """A server that answers with the value we have, with the end it had, is not asked in a circle."""
    value = home.credential(left=80)
    assert value.refresh is not None
    same = Granted(value.access, None, 80.0, None, "Bearer")
    home.endpoint.next(same, times=1000)
    keeper = await home.directly(value)
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.BACKOFF
    for _ in range(60):
        await home.pass_time(1, keeper)
    assert len(home.endpoint.sent) < 10


async def test_a_silence_is_kept_until_the_token_ends(home: Keeping) -> None:
    """Sent and not answered: one request; the old token is served to its end, and then one more is sent."""
    home.endpoint.lose_the_next_answer()
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.BACKOFF
    for _ in range(79):
        await home.pass_time(1, keeper)
        assert await access(keeper, min_valid=0) == "sk-ant-oat01-access-0"
    assert len(home.endpoint.sent) == 1
    await home.pass_time(5, keeper)
    await home.pass_time(300, keeper)
    assert len(home.endpoint.sent) == 2
    assert home.phase(keeper) is Phase.LOGIN_REQUIRED


async def test_a_token_kept_for_a_silence_does_not_close_the_gate(home: Keeping) -> None:
    """Nothing was sent: the endpoint is not in trouble, and other profiles are not held back."""
    home.endpoint.next(Ambiguous("cut off"))
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(0, keeper)
    await home.pass_time(2.5, keeper)
    assert keeper.attempts.failure is not None
    assert keeper.attempts.failure.count == 2
    assert home.gate.closed_for() == 0


async def test_a_configuration_fault_is_no_verdict_on_the_login(home: Keeping) -> None:
    """invalid_client: the token is kept, served to its end, and tried again."""
    home.endpoint.next(Unavailable("HTTP 401 invalid_client", None, configuration=True))
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.BACKOFF
    assert await access(keeper) == "sk-ant-oat01-access-0"
    await home.pass_time(300, keeper)
    assert home.phase(keeper) is Phase.READY


class Broken:
    """A refresher with a defect."""

    mode: Literal["direct"] = "direct"

    def may_start(self, left: float) -> bool:
        """Always."""
        return True

    def closed_for(self) -> float:
        """Never."""
        return 0.0

    def waits_for(self) -> str | None:
        """Nothing."""
        return None

    def family(self, credential: Credential) -> FamilyFile | None:
        """None."""
        return None

    async def refresh(self, held: Credential, left: float) -> FlightResult:
        """The defect."""
        raise RuntimeError("refresh-0 in the text of an error")

    async def save(self, pending: object) -> FlightResult:
        """The same."""
        raise RuntimeError("refresh-0 in the text of an error")


async def test_a_defect_in_a_refresher_costs_one_flight(home: Keeping, caplog: pytest.LogCaptureFixture) -> None:
    """It is a failure like others: logged by its type, backed off, and nothing else ends."""
    home.place.overwrite(home.credential(left=80))
    keeper = home.keeper(Broken())
    await keeper.reconcile()
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.BACKOFF
    assert await access(keeper) == "sk-ant-oat01-access-0"
    assert not home.group.cancel_scope.cancel_called
    assert "RuntimeError" in caplog.text
    assert "refresh-0" not in caplog.text


# Its place (I5)


async def test_what_the_owner_rotated_is_served_at_the_next_call(home: Keeping) -> None:
    """No event, no timer: one stat at the call is enough."""
    keeper = await home.directly(home.credential(1))
    assert await access(keeper) == "sk-ant-oat01-access-1"
    home.place.overwrite(home.credential(2))
    assert keeper.needs_attention()
    assert await access(keeper) == "sk-ant-oat01-access-2"
    assert not keeper.needs_attention()
    assert home.endpoint.sent == []


async def test_another_end_of_the_same_value_is_taken_over(home: Keeping) -> None:
    """The owner corrects the expiry beside the same tokens: the schedule follows."""
    keeper = await home.directly(home.credential(1, left=1000))
    home.place.overwrite(home.credential(1, left=5000))
    await keeper.reconcile()
    assert keeper.left() == pytest.approx(5000)
    await home.pass_time(4900, keeper)
    assert home.endpoint.sent == []


@pytest.mark.parametrize("happens", ["blank", "tear"])
async def test_stubs_and_torn_files_are_no_news(happens: str, home: Keeping) -> None:
    """For an hour: the value goes on being served; and it is not spent when it is due."""
    keeper = await home.directly(home.credential(left=LIFE))
    getattr(home.place, happens)()
    await home.pass_time(LIFE - 100, keeper)
    assert await access(keeper) == "sk-ant-oat01-access-0"
    await home.pass_time(20, keeper)
    assert home.endpoint.sent == []
    assert home.phase(keeper) is Phase.BACKOFF
    assert await access(keeper) == "sk-ant-oat01-access-0"


async def test_a_login_that_its_owner_ended_is_forgotten(home: Keeping) -> None:
    """Blanked with the owner's word that the login is over: not served, not refreshed, gone from memory."""
    keeper = await home.directly(home.credential())
    async with home.hub.subscribe(None) as feed:
        home.place.blank(login_ended=True)
        with pytest.raises(ProfileUnavailable):
            await access(keeper)
        assert await events(feed) == ["logged_out"]
    assert home.phase(keeper) is Phase.EMPTY
    assert keeper.held is None
    assert home.alarm.when(PROFILE.id) is None
    home.place.overwrite(home.credential(2))
    assert await access(keeper) == "sk-ant-oat01-access-2"


async def test_a_minute_of_absence_is_a_logout(home: Keeping) -> None:
    """Served through the first 60 s, by nobody's call forgotten after them."""
    keeper = await home.directly(home.credential())
    home.place.vanish()
    assert await access(keeper) == "sk-ant-oat01-access-0"
    home.alarm.advance(GONE_AFTER_SECONDS - 0.001)
    await turns()
    assert await access(keeper) == "sk-ant-oat01-access-0"
    home.alarm.advance(0.001)
    await until(lambda: home.phase(keeper) is Phase.EMPTY)
    assert keeper.held is None
    with pytest.raises(ProfileUnavailable):
        await access(keeper)


async def test_a_moment_of_absence_is_nothing(home: Keeping) -> None:
    """Removed and made anew, as an owner that rewrites its file does; the minute starts anew each time."""
    value = home.credential(left=LIFE)
    keeper = await home.directly(value)
    for _ in range(3):
        home.place.vanish()
        await keeper.reconcile()
        home.alarm.advance(GONE_AFTER_SECONDS - 1)
        await turns()
        home.place.overwrite(value)
        await keeper.reconcile()
        home.alarm.advance(30)
        await turns()
    assert await access(keeper) == "sk-ant-oat01-access-0"
    assert home.phase(keeper) is Phase.READY


async def test_absence_is_noticed_though_a_flight_was_under_way(home: Keeping) -> None:
    """The minute ends during a flight: the next call, at the latest, knows."""
    keeper = await home.directly(home.credential(left=100))
    home.place.vanish()
    await keeper.reconcile()
    await home.pass_time(59, keeper)
    await home.pass_time(300, keeper)
    with pytest.raises(TokenwardError):
        await access(keeper)
    assert keeper.held is None
    assert home.endpoint.sent == []


async def test_a_value_that_was_replaced_is_not_adopted_again(home: Keeping) -> None:
    """Somebody restored a backup: its refresh token was spent, so what we hold goes on being served."""
    old = home.credential(1, left=80)
    keeper = await home.directly(old)
    await home.pass_time(0, keeper)
    assert await access(keeper) == "access-granted-1"
    home.place.overwrite(old)
    assert await access(keeper) == "access-granted-1"
    assert keeper.lookout.trouble == "it holds a value that was replaced already"
    await home.pass_time(LIFE, keeper)
    assert home.endpoint.reuse_detected == 0
    assert len(home.endpoint.sent) == 1


async def test_a_person_may_bring_a_replaced_value_back(home: Keeping) -> None:
    """Added by hand: it is news even though we saw it replaced."""
    old = home.credential(1)
    keeper = await home.directly(old)
    home.place.overwrite(home.credential(2))
    await keeper.reconcile()
    home.place.overwrite(old)
    await accept(keeper, old)
    assert await access(keeper) == "sk-ant-oat01-access-1"


async def test_logins_of_two_accounts_may_be_swapped_there_and_back(home: Keeping) -> None:
    """A person's tool puts one file in the place of the other: each time it is news, and nothing is spent."""
    mine, work = replace(home.credential(1), account="a"), replace(home.credential(2), account="b")
    keeper = await home.directly(mine)
    for there in (work, mine, work, mine):
        home.place.overwrite(there)
        assert await access(keeper) == there.access.reveal()
        assert keeper.lookout.trouble is None
        await home.pass_time(0, keeper)
        assert await access(keeper) == there.access.reveal()
    assert home.endpoint.sent == []


async def test_a_login_that_was_set_aside_comes_back_after_a_logout(home: Keeping) -> None:
    """Also where nothing is held any more to compare it with."""
    mine = replace(home.credential(1, left=LIFE), account="a")
    work = replace(home.credential(2, left=LIFE), account="b")
    keeper = await home.directly(mine)
    home.place.overwrite(work)
    await keeper.reconcile()
    home.place.vanish()
    await keeper.reconcile()
    home.alarm.advance(GONE_AFTER_SECONDS)
    await until(lambda: keeper.credential is None)
    home.place.overwrite(mine)
    assert await access(keeper) == mine.access.reveal()


async def test_a_swap_brings_back_even_a_value_that_was_spent(home: Keeping) -> None:
    """The person's copy is older than our refresh: its account is served, and not the one that was swapped out."""
    old, work = replace(home.credential(1, left=80), account="a"), replace(home.credential(2), account="b")
    keeper = await home.directly(old)
    await home.pass_time(0, keeper)
    assert await access(keeper) == "access-granted-1"
    home.place.overwrite(work)
    assert await access(keeper) == "sk-ant-oat01-access-2"
    home.place.overwrite(old)
    await keeper.reconcile()
    assert keeper.credential is not None
    assert keeper.credential.account == "a"
    await settled(keeper)
    assert home.endpoint.reuse_detected == 0


async def test_a_flight_that_finds_a_swap_takes_it(home: Keeping) -> None:
    """The file was swapped back a moment before a refresh: nothing is spent, and nothing has failed."""
    mine = replace(home.credential(1, left=LIFE), account="a")
    newer, work = (replace(home.credential(number, left=60), account=who) for number, who in ((2, "a"), (3, "b")))
    keeper = await home.directly(mine)
    for there in (replace(newer, expires_at=mine.expires_at), work):
        home.place.overwrite(there)
        await keeper.reconcile()
    home.place.overwrite(mine)
    keeper.refresh_if_due()
    await settled(keeper)
    assert keeper.credential is not None
    assert keeper.credential.generation == mine.generation
    assert keeper.attempts.failure is None
    assert home.endpoint.sent == []


async def test_what_a_swap_brought_back_is_no_trouble(home: Keeping) -> None:
    """It was replaced within its account before: once it is held, the place holds what it should."""
    old, new = (replace(home.credential(number, left=LIFE), account="a") for number in (1, 2))
    work = replace(home.credential(3, left=LIFE), account="b")
    keeper = await home.directly(old)
    for there in (new, work, old, old):
        home.place.overwrite(there)
        assert await access(keeper) == there.access.reveal()
        assert keeper.lookout.trouble is None


@pytest.mark.parametrize("accounts", [("a", "a"), ("a", None), (None, "b"), (None, None)])
async def test_without_two_known_accounts_a_replaced_value_stays_over(
    home: Keeping, accounts: tuple[str | None, str | None]
) -> None:
    """It may be a backup whose refresh token was spent."""
    first = replace(home.credential(1), account=accounts[0])
    second = replace(home.credential(2), account=accounts[1])
    keeper = await home.directly(first)
    home.place.overwrite(second)
    await keeper.reconcile()
    home.place.overwrite(first)
    assert await access(keeper) == second.access.reveal()
    assert keeper.lookout.trouble == "it holds a value that was replaced already"


async def test_a_person_may_replace_a_login_by_a_key(home: Keeping) -> None:
    """Given by hand, even what cannot be refreshed takes the place of what could."""
    keeper = await home.directly(home.credential())
    key = Credential(Kind.API_KEY, Secret("sk-key"))
    home.place.overwrite(key)
    await accept(keeper, key)
    assert await access(keeper) == "sk-key"
    await home.pass_time(2 * LIFE, keeper)
    assert home.phase(keeper) is Phase.READY
    assert home.endpoint.sent == []


@pytest.mark.parametrize("landed", [False, True])
async def test_what_a_person_added_is_not_gone_back_to(home: Keeping, *, landed: bool) -> None:
    """The new material was itself due and refreshed before we were told of it: its successor stays."""
    keeper = await home.directly(home.credential(1))
    given = home.credential(2, left=10)
    home.place.overwrite(given)
    await keeper.reconcile()
    keeper.refresh_if_due()
    if landed:
        await settled(keeper)
    await accept(keeper, given)
    assert await access(keeper) == "access-granted-1"
    assert keeper.credential == home.stored()
    assert len(home.endpoint.sent) == 1


async def test_a_null_refresh_token_does_not_replace_a_living_login(home: Keeping) -> None:
    """A token published without its refresh token is no news while ours lives, and ours is not spent."""
    keeper = await home.directly(home.credential(1, left=200))
    home.place.overwrite(home.static(home.credential(2, left=5000)))
    assert await access(keeper) == "sk-ant-oat01-access-1"
    await home.pass_time(150, keeper)
    assert home.endpoint.sent == []
    await home.pass_time(51, keeper)
    assert await access(keeper) == "sk-ant-oat01-access-2"
    await home.pass_time(1000, keeper)
    assert home.phase(keeper) is Phase.READY
    assert home.endpoint.sent == []


async def test_a_value_is_not_read_while_our_own_transaction_writes_it(home: Keeping) -> None:
    """Callers that look just as the new value is renamed into place do not meet it, and nothing failed."""
    keeper = await home.directly(home.credential(left=-1))
    looked: list[str | None] = []

    def look() -> None:
        looked.append(keeper.credential.access.reveal() if keeper.credential else None)

    async def poke() -> None:
        for _ in range(30):
            await keeper.reconcile()

    home.place.after_commit = look
    async with anyio.create_task_group() as pokers:
        for _ in range(10):
            pokers.start_soon(poke)
        pokers.start_soon(access, keeper)
    assert looked == ["sk-ant-oat01-access-0"]
    assert home.phase(keeper) is Phase.READY
    assert keeper.attempts.failure is None


# Clocks (I8)


@pytest.mark.parametrize("step", [-7200.0, -60.0, 60.0, 7200.0, 365 * 86_400.0])
async def test_a_step_of_the_wall_clock_costs_at_most_one_early_refresh(step: float, home: Keeping) -> None:
    """Set in either direction, then an hour passes: never late, and at most one refresh more than without."""
    keeper = await home.directly(home.credential(left=90))
    await home.pass_time(0, keeper)
    assert len(home.endpoint.sent) == 1
    home.clock.advance(100)
    home.clock.step(step)
    keeper.on_alarm()
    await settled(keeper)
    assert len(home.endpoint.sent) <= 2
    early = len(home.endpoint.sent) - 1
    elapsed = 0.0
    while elapsed < LIFE:
        await home.pass_time(10, keeper)
        elapsed += 10
        keeper.on_alarm()
        await settled(keeper)
        left = keeper.left()
        assert left is not None
        assert left >= 80
        assert await degraded(keeper) is None
    assert len(home.endpoint.sent) <= 2 + early


async def test_a_step_there_and_back_costs_at_most_two_refreshes(home: Keeping) -> None:
    """A clock that was wrong for a while and is corrected."""
    keeper = await home.directly(home.credential(left=90))
    await home.pass_time(0, keeper)
    for step in (7200.0, -7200.0):
        home.clock.step(step)
        keeper.on_alarm()
        await settled(keeper)
        keeper.on_alarm()
        await settled(keeper)
    assert len(home.endpoint.sent) <= 3
    assert await degraded(keeper) is None


async def test_after_a_suspend_an_expired_token_is_not_served(home: Keeping) -> None:
    """Asleep for two hours: the first call waits for one refresh."""
    keeper = await home.directly(home.credential(left=LIFE))
    home.clock.suspend(7200)
    assert keeper.needs_attention()
    assert await access(keeper) == "access-granted-1"
    assert len(home.endpoint.sent) == 1


async def test_a_suspend_with_a_stopped_wall_clock_is_noticed(home: Keeping) -> None:
    """The wall clock comes back wrong after a sleep: the boot clock says that the token ended."""
    keeper = await home.directly(home.credential(left=LIFE))
    home.clock.suspend(7200)
    home.clock.step(-7200)
    left = keeper.left()
    assert left is not None
    assert left < 0
    assert await access(keeper) == "access-granted-1"


async def test_a_short_suspend_costs_nothing(home: Keeping) -> None:
    """Asleep for ten minutes of an hour."""
    keeper = await home.directly(home.credential(left=LIFE))
    home.clock.suspend(600)
    keeper.on_alarm()
    await settled(keeper)
    assert home.endpoint.sent == []
    assert keeper.left() == pytest.approx(LIFE - 600)


# Unsaved (I3)


async def test_an_unsaved_value_is_served_and_saved_later(home: Keeping) -> None:
    """Full disk after the answer: the new value is served, marked; it is written as soon as that works."""
    keeper = await home.directly(home.credential(left=80))
    home.place.fail_commits(3, OSError(errno.ENOSPC, "No space left on device"))
    async with home.hub.subscribe(None) as feed:
        await home.pass_time(0, keeper)
        assert home.phase(keeper) is Phase.UNSAVED
        assert await access(keeper) == "access-granted-1"
        assert await degraded(keeper) == "unsaved"
        for _ in range(20):
            await home.pass_time(10, keeper)
        assert home.phase(keeper) is Phase.READY
        assert await events(feed) == ["rotated", "unsaved", "saved"]
    assert home.stored() == keeper.credential
    assert await degraded(keeper) is None
    assert len(home.endpoint.sent) == 1
    await home.pass_time(LIFE, keeper)
    assert len(home.endpoint.sent) == 2


async def test_saving_backs_off(home: Keeping) -> None:
    """A disk that stays full for a day is tried a few hundred times, and the token is not sent again."""
    keeper = await home.directly(home.credential(left=80))
    home.place.fail_commits(100_000, OSError(errno.ENOSPC, "full"))
    tries = 0

    def count() -> None:
        nonlocal tries
        tries += 1

    home.place.before_commit = count
    for _ in range(24 * 60):
        await home.pass_time(60, keeper)
    assert home.phase(keeper) is Phase.UNSAVED
    assert 100 < tries < 600
    assert len(home.endpoint.sent) == 1
    with pytest.raises(RefreshFailed):
        await access(keeper)


async def test_by_hand_an_unsaved_value_is_saved(home: Keeping) -> None:
    """``tokenward refresh`` after the disk was cleared succeeds, and sends nothing."""
    keeper = await home.directly(home.credential(left=80))
    home.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.UNSAVED
    await keeper.refresh_by_hand()
    assert home.phase(keeper) is Phase.READY
    assert len(home.endpoint.sent) == 1


async def test_an_unsaved_value_gives_way_to_a_newer_one(home: Keeping) -> None:
    """A person logged in again: that is served, and what was unsaved is not written over it."""
    keeper = await home.directly(home.credential(left=80))
    home.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    await home.pass_time(0, keeper)
    newer = home.credential(9)
    home.place.overwrite(newer)
    assert await access(keeper) == "sk-ant-oat01-access-9"
    assert home.phase(keeper) is Phase.READY
    await home.pass_time(400, keeper)
    assert home.stored() == newer


async def test_a_backup_restored_while_unsaved_ends_nothing(home: Keeping) -> None:
    """The place went back to a value that was replaced: what is unsaved goes on being served and being tried."""
    oldest = home.credential(1)
    keeper = await home.directly(oldest)
    home.place.overwrite(home.credential(2, left=80))
    await keeper.reconcile()
    home.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.UNSAVED
    home.place.overwrite(oldest)
    for _ in range(10):
        await home.pass_time(60, keeper)
    assert home.phase(keeper) is Phase.UNSAVED
    assert await access(keeper) == "access-granted-1"
    assert not home.group.cancel_scope.cancel_called


async def test_an_unsaved_login_that_is_ended_is_forgotten(home: Keeping) -> None:
    """The owner logged out while our write was pending: nothing is written or served any more."""
    keeper = await home.directly(home.credential(left=80))
    home.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    await home.pass_time(0, keeper)
    home.place.blank(login_ended=True)
    await keeper.reconcile()
    assert home.phase(keeper) is Phase.EMPTY
    assert keeper.held is None
    await home.pass_time(1000, keeper)
    assert home.place.commits == []


def outcome_of(home: Keeping, credential: Credential) -> Outcome | None:
    """What the journal of a value's refresh token says."""
    journal = home.direct().family(credential)
    assert journal is not None
    assert journal.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0)
    journal.release()
    return journal.state.outcome


@pytest.mark.parametrize("left", ["unsaved", "ambiguous"])
@pytest.mark.parametrize("by", ["its owner", "us"])
async def test_a_logout_ends_what_its_journal_left_open(left: str, by: str, home: Keeping) -> None:
    """An answer that was never written, and a silence, wait for somebody; after a logout there is nobody."""
    before = home.credential(left=80)
    keeper = await home.directly(before)
    if left == "unsaved":
        home.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    else:
        home.endpoint.next(Ambiguous("silence"))
    await home.pass_time(0, keeper)
    assert outcome_of(home, before) == left
    if by == "us":
        await keeper.forget()
    else:
        home.place.blank(login_ended=True)
        await keeper.reconcile()
    assert keeper.held is None
    assert outcome_of(home, before) is Outcome.LOGGED_OUT
    assert prune(home.directory / "families", now=home.clock.now + KEEP_FINISHED + timedelta(seconds=1)) == 1


async def test_a_logout_in_the_middle_of_a_flight_leaves_the_journal_to_it(home: Keeping) -> None:
    """Whoever is at work on it ends it."""
    home.endpoint.hold()
    before = home.credential(left=80)
    keeper = await home.directly(before)
    keeper.refresh_if_due()
    await home.endpoint.arrived.wait()
    home.place.blank(login_ended=True)
    await keeper.reconcile()
    assert keeper.phase is Phase.REFRESHING
    home.endpoint.release()
    await settled(keeper)
    assert outcome_of(home, before) is Outcome.UNSAVED
    await keeper.reconcile()
    assert keeper.held is None
    assert outcome_of(home, before) is Outcome.LOGGED_OUT


# Its end


async def test_forgetting_waits_for_the_flight(home: Keeping) -> None:
    """A flight under way ends with a value in the place; only then is the profile forgotten."""
    home.endpoint.hold()
    keeper = await home.directly(home.credential(left=80))
    keeper.refresh_if_due()
    await home.endpoint.arrived.wait()
    async with home.hub.subscribe(None) as feed, anyio.create_task_group() as group:
        group.start_soon(keeper.forget)
        await turns()
        assert home.phase(keeper) is Phase.REFRESHING
        home.endpoint.release()
        await until(lambda: home.phase(keeper) is Phase.GONE)
        assert await events(feed) == ["rotated", "forgotten"]
    assert len(home.place.commits) == 1
    assert keeper.held is None
    await home.pass_time(2 * LIFE, keeper)
    assert len(home.endpoint.sent) == 1


async def test_a_dismissed_keeper_rings_no_more(home: Keeping) -> None:
    """Another keeper takes over: the old one's alarms are gone, its value and place untouched."""
    keeper = await home.directly(home.credential(left=100))
    keeper.dismiss()
    await home.pass_time(100, keeper)
    assert home.endpoint.sent == []
    assert home.phase(keeper) is Phase.READY
    assert home.place.commits == []


# A predecessor


async def test_work_that_a_predecessor_left_is_taken_up(home: Keeping) -> None:
    """An answer that lies sealed is written at the start, long before the old value would be due."""
    keeper = await home.directly(home.credential(left=LIFE))
    home.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    await keeper.refresh_by_hand()
    assert home.phase(keeper) is Phase.UNSAVED
    successor = home.keeper(home.direct())
    await successor.reconcile()
    assert predecessor_left_work(successor)
    successor.resume()
    await settled(successor)
    assert await access(successor) == "access-granted-1"
    assert home.stored() == successor.credential
    assert len(home.endpoint.sent) == 1


async def test_a_kept_refresh_token_is_no_work_left(home: Keeping) -> None:
    """Without rotation the family of a value is that of its predecessor, and finished: no refresh at a start."""
    home.endpoint.rotate = False
    keeper = await home.directly(home.credential(left=80))
    await home.pass_time(0, keeper)
    assert home.phase(keeper) is Phase.READY
    successor = home.keeper(home.direct())
    await successor.reconcile()
    assert not predecessor_left_work(successor)


async def test_without_a_predecessor_there_is_nothing_to_take_up(home: Keeping) -> None:
    """A value that nobody refreshed yet, one that is only watched, and none at all."""
    keeper = await home.directly(home.credential())
    assert not predecessor_left_work(keeper)
    watched = home.keeper(None)
    await watched.reconcile()
    assert not predecessor_left_work(watched)
    assert not predecessor_left_work(home.keeper(home.direct()))


async def test_a_server_that_keeps_the_refresh_token_is_refreshed_for_ever(home: Keeping) -> None:
    """Ten lives without a rotation: ten refreshes, and never a failure."""
    home.endpoint.rotate = False
    keeper = await home.directly(home.credential(left=90))
    for _ in range(10):
        await home.pass_time(LIFE - 90, keeper)
        assert home.phase(keeper) is Phase.READY
    assert 9 <= len(home.endpoint.sent) <= 11
    assert keeper.attempts.failure is None


async def test_what_is_served_is_never_less_than_the_standing_says(home: Keeping) -> None:
    """A value without an end has infinite life, and is served for any wish."""
    keeper = await home.directly(Credential(Kind.OAUTH, Secret("a"), Secret("r")))
    assert keeper.left() == math.inf
    assert await degraded(keeper, min_valid=31_000_000) is None


async def test_a_look_that_meets_our_own_write_is_no_news(home: Keeping) -> None:
    """Begun before the flight, read after its rename: the look waits for the flight's word, and nothing failed."""
    keeper = await home.directly(home.credential(left=80))
    begun, committed, seen = threading.Event(), threading.Event(), threading.Event()

    def wait_for_the_commit() -> None:
        home.place.before_read = nothing
        begun.set()
        home.place.after_read = seen.set
        assert committed.wait(30)

    def hold_the_flight() -> None:
        committed.set()
        assert seen.wait(30)

    home.place.overwrite(home.credential(left=79))
    home.place.before_read = wait_for_the_commit
    home.place.after_commit = hold_the_flight
    async with home.hub.subscribe(None) as feed, anyio.create_task_group() as group:
        group.start_soon(keeper.reconcile)
        assert await anyio.to_thread.run_sync(begun.wait, 30)
        keeper.refresh_if_due()
        await settled(keeper)
        assert await events(feed) == ["rotated"]
    assert home.phase(keeper) is Phase.READY
    assert keeper.attempts.failure is None
    assert await access(keeper) == "access-granted-1"


# With how much life a value began


async def test_a_granted_life_is_what_the_server_said(home: Keeping) -> None:
    """As long as the value is held, however little is left; of what was refreshed, that of the answer."""
    keeper = await home.directly(home.credential(left=200, granted_life=8 * LIFE))
    assert keeper.granted_life() == 8 * LIFE
    home.clock.advance(30)
    assert keeper.granted_life() == 8 * LIFE
    await home.pass_time(100, keeper)
    assert keeper.granted_life() == LIFE


async def test_a_rotation_that_was_seen_began_with_what_was_left_then(home: Keeping) -> None:
    """Where its place does not say more; of the first value nobody saw the beginning."""
    home.place.overwrite(home.credential(left=500))
    keeper = home.keeper(None)
    await keeper.reconcile()
    assert keeper.granted_life() is None
    home.place.overwrite(home.credential(1, left=7200))
    await keeper.reconcile()
    assert keeper.granted_life() == 7200
    home.clock.advance(100)
    home.place.overwrite(replace(home.credential(1, left=7100), scopes=("other",)))
    await keeper.reconcile()
    assert keeper.granted_life() == 7200
    home.place.overwrite(replace(home.credential(2), expires_at=None))
    await keeper.reconcile()
    assert keeper.granted_life() is None
    await keeper.forget()
    assert keeper.granted_life() is None
