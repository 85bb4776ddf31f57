"""Whose turn it is: rotation, explicit orders and sessions, through the service and over restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.routing import A, B, C, Callers
from tokenward.core.credential import profile_key
from tokenward.daemon.routing_models import (
    FallbackParams,
    FallbackResult,
    OrderParams,
    OrderSetParams,
    SessionParams,
    SessionPinParams,
    SessionResult,
)
from tokenward.daemon.routing_state import MAX_ENTRIES, RoutingState, Section
from tokenward.daemon.rpc_types import ModelName
from tokenward.daemon.token_models import TokenParams
from tokenward.errors import (
    AllUnavailable,
    InvalidParams,
    PinnedProfileUnavailable,
    ProfileUnavailable,
    StoreUnavailable,
    UnknownModel,
)

OPUS = "claude-opus-4-6"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Callers]:
    """Three keys."""
    async with anyio.create_task_group() as group:
        callers = Callers(tmp_path, group)
        await callers.with_keys(A, B, C)
        yield callers
        group.cancel_scope.cancel()


def lane(home: Callers, **params: Any) -> str | None:
    """The profile that the lane serves; None if it steps aside."""
    answer = home.lane.ask(TokenParams(**params))
    return None if answer is None else str(answer["profile"])


async def order(home: Callers, *profiles: str, agent: str = "main") -> None:
    """A person sets an order."""
    await home.ward.decisions.set_order(
        OrderSetParams(provider="Claude-Code", profiles=list(profiles), agent=agent)
    )


async def pin(home: Callers, reference: ModelName, session: str = "s") -> SessionResult:
    """A person pins a session."""
    return await home.ward.decisions.pin(SessionPinParams(session=session, model=reference))


def shown(home: Callers, session: str = "s") -> SessionResult:
    """What a session uses."""
    return home.ward.decisions.session(SessionParams(session=session))


def following(home: Callers, *failed: str, **params: Any) -> FallbackResult:
    """What is tried after these models failed."""
    attempts = [{"model": model, "error": "HTTP 429", "reason": "rate_limit"} for model in failed]
    return home.ward.decisions.fallback(FallbackParams.model_validate({**params, "failed": attempts}))


@pytest.mark.covers("L26")
async def test_whoever_was_used_longest_ago_goes_first(home: Callers) -> None:
    """One after the other, on the lane and through the dispatcher, over a restart; who is new goes first."""
    assert [await home.get() for _ in range(2)] == [A, B]
    assert [lane(home) for _ in range(4)] == [C, A, B, C]
    await home.restart()
    assert [await home.get() for _ in range(2)] == [A, B]
    await home.with_keys("anthropic:d")
    assert [lane(home) for _ in range(5)] == ["anthropic:d", C, A, B, "anthropic:d"]


async def test_a_use_is_shown(home: Callers) -> None:
    """When it was last served; a look at who would serve is no use."""
    home.ward.provider_shown("anthropic")
    assert [home.ward.profile(each).last_used_at_ms for each in (A, B)] == [None, None]
    lane(home)
    assert home.ward.profile(A).last_used_at_ms == int(home.clock.now.timestamp() * 1000)
    assert home.ward.provider_shown("anthropic").serves == B


@pytest.mark.covers("L27", "L28")
async def test_whoever_rests_is_passed_over_on_the_lane_too(home: Callers) -> None:
    """One cools, one has no money, each until its own time."""
    await home.report(A)
    await home.report(B, 402)
    assert [lane(home) for _ in range(2)] == [C, C]
    home.clock.advance(60)
    assert [lane(home) for _ in range(3)] == [A, C, A]
    home.clock.advance(5 * 3600)
    assert [lane(home) for _ in range(3)] == [B, C, A]


async def test_an_order_is_the_whole_list(home: Callers) -> None:
    """Its first that is usable, without rotation; nobody else; over a restart; until it is cleared."""
    await order(home, C, A)
    assert [lane(home) for _ in range(2)] + [await home.get()] == [C, C, C]
    await home.report(C)
    assert lane(home) == A
    await home.report(A)
    with pytest.raises(AllUnavailable):
        await home.get()
    assert await home.get(profile=B) == B
    await home.restart()
    home.clock.advance(60)
    assert await home.get() == C
    shown = home.ward.decisions.order(OrderParams(provider="anthropic"))
    assert (shown.provider, shown.profiles, shown.missing) == ("anthropic", [C, A], [])
    await home.ward.forget(A)
    assert home.ward.decisions.order(OrderParams(provider="anthropic")).missing == [A]
    assert (await home.ward.decisions.clear_order(OrderParams(provider="anthropic"))).profiles == []
    assert await home.get() == B


async def test_an_order_that_was_misspelt_is_refused(home: Callers) -> None:
    """A profile that does not exist, one of another provider, one that is named twice: nothing changes."""
    await order(home, B)
    with pytest.raises(ProfileUnavailable, match="anthropic:nobody"):
        await order(home, A, "anthropic:nobody")
    with pytest.raises(InvalidParams, match=r'Auth profile "acme:a" is for acme, not anthropic\.'):
        await order(home, "acme:a")
    with pytest.raises(InvalidParams, match="once"):
        await order(home, A, A)
    with pytest.raises(ProfileUnavailable):
        await order(home, A, agent="work")
    assert home.ward.decisions.order(OrderParams(provider="anthropic")).profiles == [B]


async def test_a_decision_that_cannot_be_written_changes_nothing(
    home: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: an order, a pin, a reset and a clearing are refused, and all is as before."""
    await order(home, B)
    await pin(home, f"anthropic/{OPUS}@{A}")
    await home.report(C)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RoutingState, "decide", full)
    for decide in (
        lambda: order(home, A),
        lambda: home.ward.decisions.clear_order(OrderParams(provider="anthropic")),
        lambda: pin(home, "haiku"),
        lambda: home.ward.decisions.reset(SessionParams(session="s")),
        lambda: home.ward.decisions.clear(C),
    ):
        with pytest.raises(StoreUnavailable, match="No space left"):
            await decide()
    assert home.ward.decisions.order(OrderParams(provider="anthropic")).profiles == [B]
    assert shown(home).profile == A
    assert home.rest(C) == 60


async def test_a_session_stays_with_its_profile_while_that_is_usable(home: Callers) -> None:
    """On the lane too, over a restart; with a limit it takes another and stays with that; compaction lets go."""
    assert await home.get(session="s") == A
    assert await home.get() == B
    assert [lane(home, session="s") for _ in range(3)] == [A, A, A]
    await home.restart()
    assert lane(home, session="s") == A
    await home.report(A)
    assert [lane(home, session="s"), await home.get(session="s")] == [C, C]
    home.clock.advance(60)
    assert lane(home, session="s") == C
    assert lane(home, session="s", compactions=1) == B
    assert (shown(home).profile, shown(home).hard, shown(home).model) == (B, False, None)
    await home.ward.forget(B)
    await home.fill()
    assert shown(home).profile is None


@pytest.mark.covers("L32", "L33", "L34", "E24")
async def test_a_profile_that_a_person_pinned_is_served_or_nothing(home: Callers) -> None:
    """The reference with an e-mail; a restart; -32006 and the next model, never another profile; the reset."""
    mine = "anthropic:user@work.com"
    await home.add_key(mine, key="sk-ant-api03-mine")
    pinned = await pin(home, f"anthropic/{OPUS}@{mine}")
    assert pinned == SessionResult(session="s", provider="anthropic", model=OPUS, profile=mine, hard=True)
    await home.restart()
    assert shown(home) == pinned
    served = [await home.served(session="s") for _ in range(3)]
    assert {(each.profile, each.model) for each in served} == {(mine, OPUS)}
    await home.report(mine, 402)
    for asked in ({}, {"model": OPUS}, {"provider": "anthropic"}):
        with pytest.raises(PinnedProfileUnavailable, match=r"pinned to anthropic:user@work\.com") as refused:
            await home.get(session="s", **asked)
        assert refused.value.code == -32006
    with pytest.raises(PinnedProfileUnavailable):
        await home.get(session="s", profile=A)
    home.ward.household.fallbacks = ["anthropic/claude-haiku-4-5", "acme/m"]
    after = following(home, f"anthropic/{OPUS}", session="s")
    assert (after.model, after.chain[:2]) == (
        "anthropic/claude-haiku-4-5",
        [f"anthropic/{OPUS}", "anthropic/claude-haiku-4-5"],
    )
    cleared = await home.ward.decisions.reset(SessionParams(session="s"))
    assert (cleared.model, cleared.profile, cleared.hard) == (None, None, False)
    assert await home.get(session="s") in {A, B, C}
    await home.restart()
    assert shown(home).hard is False


async def test_one_that_was_pinned_is_served_though_it_cools(home: Callers) -> None:
    """A rate limit of a minute does not take a person's choice away."""
    await pin(home, f"opus@{A}")
    await home.report(A)
    served = await home.served(session="s")
    assert (served.profile, served.degraded) == (A, "cooling")


async def test_a_pin_that_was_misspelt_is_refused(home: Callers) -> None:
    """A profile that does not exist, one of another provider, a model that is nobody's."""
    with pytest.raises(ProfileUnavailable):
        await pin(home, "opus@anthropic:nobody")
    with pytest.raises(InvalidParams):
        await pin(home, f"openai/gpt-5@{A}")
    with pytest.raises(UnknownModel):
        await pin(home, "gibberish")
    assert shown(home).provider is None


async def test_a_model_alone_can_be_pinned(home: Callers) -> None:
    """It goes out with each token; the profile is whoever's turn it was first."""
    await pin(home, "opus-4.5")
    served = [await home.served(session="s") for _ in range(2)]
    assert {(each.profile, each.model) for each in served} == {(A, "claude-opus-4-5")}
    assert lane(home, session="s") is None
    await home.restart()
    assert (shown(home).model, shown(home).profile, shown(home).hard) == ("claude-opus-4-5", A, False)
    assert (await home.served(session="s", model="claude-haiku-4-5")).model == "claude-haiku-4-5"


async def test_a_request_may_name_the_profile_behind_its_model(home: Callers) -> None:
    """As in a pin; another profile beside it is a contradiction."""
    served = await home.served(model=f"anthropic/{OPUS}@{C}")
    assert (served.profile, served.model) == (C, OPUS)
    with pytest.raises(InvalidParams, match="the model names"):
        await home.get(model=f"anthropic/{OPUS}@{C}", profile=A)


async def test_no_number_of_sessions_pushes_a_persons_word_out(home: Callers) -> None:
    """More sessions than are remembered, and the one that was pinned is still pinned after a restart."""
    await pin(home, f"opus@{A}", session="mine")
    for number in range(MAX_ENTRIES + 10):
        lane(home, session=f"s{number}")
    await home.restart()
    assert shown(home, "mine").hard
    assert len(home.ward.household.routing.section(Section.PINS)) <= MAX_ENTRIES
    assert shown(home, "s0").profile is None


async def test_a_pin_is_not_written_at_each_use(home: Callers) -> None:
    """A session that stays with its profile changes nothing but the last use."""
    lane(home, session="s")
    held = dict(home.ward.household.routing.section(Section.PINS))
    before = held["s"]
    lane(home, session="s")
    assert home.ward.household.routing.section(Section.PINS)["s"] is before


async def test_fallbacks_go_from_the_model_asked_for_to_the_default(home: Callers) -> None:
    """Each once, by any of its names; at the end the cause tells of all; a caller who stopped gets none."""
    home.ward.household.fallbacks = ["anthropic/claude-haiku-4-5", "acme/m"]
    first = following(home, model="opus-4.5")
    assert first.model == first.chain[0] == "anthropic/claude-opus-4-5"
    assert following(home, "opus-4.5", model="opus-4.5").model == "anthropic/claude-haiku-4-5"
    done = following(home, *first.chain, model="opus-4.5")
    assert (done.model, done.stopped) == (None, False)
    assert (done.cause or "").startswith(f"All models failed ({len(first.chain)}): anthropic/claude-opus-4-5:")
    stopped = home.ward.decisions.fallback(
        FallbackParams.model_validate(
            {"model": "opus-4.5", "failed": [{"model": "opus-4.5", "reason": "aborted"}]}
        )
    )
    assert (stopped.model, stopped.stopped) == (None, True)


# Why


async def test_how_each_was_chosen_is_noted_with_the_answer(home: Callers) -> None:
    """On the lane and through the dispatcher alike; the audit reads it in the same step."""
    choice = home.ward.broker.choice

    async def why(**params: Any) -> str:
        answer = await home.ward.token(TokenParams(**params))
        assert (choice.profile, choice.generation) == (answer.profile, answer.generation)
        through_the_dispatcher = choice.why
        on_lane = home.ward.token_nowait(TokenParams(**params))
        if on_lane is not None:
            again = on_lane.standing.take() if on_lane.standing is not None else None
            for each in (on_lane, again or on_lane):
                assert each.why == through_the_dispatcher, params
                assert each.key == profile_key(each.profile, "main")
        return through_the_dispatcher

    assert await why() == "turn"
    assert await why(profile=A) == "named"
    await home.get(session="s")
    assert choice.why == "turn"
    assert await why(session="s") == "session"
    await order(home, C, B)
    assert await why() == "order"
    await pin(home, f"anthropic/{OPUS}@{A}", "pinned")
    assert await why(session="pinned") == "pinned"
    assert await why(credential={"access_token": "sk-1", "kind": "api_key"}) == "brought by the caller"
    refused = (await home.ward.token(TokenParams(profile=B))).generation
    assert await why(provider="anthropic", newer_than=refused) == f"order, for {refused} was refused"


async def test_who_serves_in_place_of_others_is_noted(home: Callers) -> None:
    """The first in an order has nothing that is valid, so the next one is no longer the person's first choice."""
    expired = home.credential(left=-5.0)
    home.store.place("anthropic:old").overwrite(expired)
    await home.fill()
    await order(home, "anthropic:old", A)
    assert await home.get() == A
    assert home.ward.broker.choice.why == "in place of others"
    assert home.ward.broker.choice.key == A


async def test_the_choice_names_the_agents_own_profile(home: Callers) -> None:
    """Two agents may each have a profile of one name: the key tells them apart, as in events."""
    await home.add_key(A, agent="work", key="sk-ant-api03-work")
    assert await home.get(agent="work") == A
    assert home.ward.broker.choice.key == f"work/{A}"
