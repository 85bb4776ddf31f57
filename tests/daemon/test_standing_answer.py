"""An answer that stands is the one that would be decided anew, and is over as soon as anything of it changes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.on_lane import PEER
from daemon.warding import Warding, written_down
from tokenward.core import selection
from tokenward.core.classify import FailureClass
from tokenward.core.credential import Kind, Profile
from tokenward.core.freshness import RefreshTiming
from tokenward.core.lifecycle import Phase
from tokenward.core.roster import Roster
from tokenward.core.selection import Resolution, Selector
from tokenward.core.serving import Serve, Wish
from tokenward.daemon import answers
from tokenward.daemon.answers import EncodedAnswer
from tokenward.daemon.household import Kept
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.lane import Lane
from tokenward.daemon.orders import order_of
from tokenward.daemon.peer import Peer
from tokenward.daemon.plain_request import TokenRequest
from tokenward.daemon.restricted import RestrictedTokens
from tokenward.daemon.routing_models import OrderSetParams
from tokenward.daemon.routing_state import RoutingState, Section
from tokenward.daemon.rpc_types import Result
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.token_models import TokenParams
from tokenward.provider_files import choose, provider_named
from tokenward.stores.memory import MemoryPlace

LOGINS = ("acme:a", "acme:b", "acme:c")
ACME = {"provider": "acme"}
ASKED: tuple[dict[str, Any], ...] = (
    {},
    ACME,
    {"profile": "acme:a", **ACME},
    {"provider": "acme", "min_valid": 2000.0},
    {"profile": "acme:b", "provider": "acme", "min_valid": 0.0},
    {"provider": "acme", "agent": "bot"},
    {"provider": "acme", "kinds": ["oauth"]},
    {"provider": "anthropic", "auth_method": "api_key"},
)


class Household(Warding):
    """Three logins of ours that we refresh, an empty place for a login, and a key in the environment behind it.

    Args:
        directory: for the state and the families.
        group: where flights run.
    """

    def __init__(self, directory: Path, group: TaskGroup) -> None:
        super().__init__(directory, group)
        self.refresh_stored = True
        self.empty = MemoryPlace(name="claude-code", description="/home/me/.claude/.credentials.json")
        login = Profile("anthropic:claude-cli", "anthropic", "claude-code")
        self.written = [Kept(login, self.empty, None), written_down("environment")]

    async def begin(self) -> None:
        """Everything is kept, and was looked at."""
        for number, key in enumerate(LOGINS):
            self.store.place(key).overwrite(self.credential(number, left=3000.0))
        await self.fill()

    def decided(self, params: TokenParams) -> dict[str, Any] | None:
        """What is served without waiting, worked out from the rules alone; None if more than a look is needed."""
        household, line = self.ward.household, self.ward.line
        now, provider = line.now(), choose(params.provider or household.default_provider)
        inherits = household.inherit_agents and params.agent != "main"
        selector = Selector(
            provider.provider,
            params.agent,
            params.profile,
            _kinds(params, provider.kinds),
            inherits=household.inherit_agents,
            order=order_of(household, params.agent, provider.provider),
            inherited_order=order_of(household, "main", provider.provider) if inherits else (),
        )
        everybody = [line.candidate(keeper) for keeper in self.ward.keepers.values()]
        for key in selection.shortlist(everybody, selector, household.resolution, now).usable:
            keeper = self.ward.keepers[key]
            if keeper.needs_attention():
                return None
            if keeper.credential is not None:
                decision = keeper.decide(Wish(params.min_valid))
                if not isinstance(decision, Serve):
                    return None
                named = household.provider(keeper.profile.provider)
                return answers.token_members(keeper, named, decision.degraded)
        return None

    def check(self, *asked: dict[str, Any]) -> None:
        """Whatever is asked, the lane says what is decided anew, the seconds left included."""
        for wish in asked or ASKED:
            params = TokenParams(**wish)
            expected = self.decided(params)
            assert self.lane.ask(params) == expected, wish


def _kinds(params: TokenParams, kinds: frozenset[Kind] | None) -> frozenset[Kind] | None:
    for more in (
        frozenset(map(Kind, params.kinds)) if params.kinds is not None else None,
        {"api_key": selection.KEY_KINDS, "oauth": selection.OAUTH_KINDS}.get(params.auth_method or ""),
    ):
        if more is not None:
            kinds = more if kinds is None else kinds & more
    return kinds


@asynccontextmanager
async def _household(directory: Path) -> AsyncIterator[Household]:
    async with anyio.create_task_group() as group:
        home = Household(directory, group)
        await home.begin()
        yield home
        group.cancel_scope.cancel()
        home.endpoint.release()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Household]:
    """Everybody is kept."""
    async with _household(tmp_path) as household:
        yield household


# What happens to a household


async def _nothing(home: Household) -> None:
    pass


async def _rotated_by_its_owner(home: Household) -> None:
    home.store.place("acme:a").overwrite(home.credential(7, left=3000.0))


async def _rotated_and_seen(home: Household) -> None:
    await _rotated_by_its_owner(home)
    await home.ward.look_everywhere()


async def _torn(home: Household) -> None:
    home.store.place("acme:a").tear()
    await home.ward.look_everywhere()


async def _ends_rewritten(home: Household) -> None:
    """The same value, another end."""
    held = home.ward.keepers["acme:a"].credential
    assert held is not None
    home.store.place("acme:a").overwrite(replace(held, expires_at=home.clock.now + timedelta(seconds=1000)))
    await home.ward.look_everywhere()


async def _logged_in(home: Household) -> None:
    home.empty.overwrite(home.credential(9, left=3000.0))


async def _logged_in_and_seen(home: Household) -> None:
    await _logged_in(home)
    await home.ward.place_changed(home.empty.description)


async def _logged_out(home: Household) -> None:
    home.empty.blank(login_ended=True)
    await home.ward.look_everywhere()


async def _gone(home: Household) -> None:
    home.store.place("acme:a").vanish()
    await home.ward.look_everywhere()
    home.clock.advance(61)
    await home.ward.look_everywhere()


async def _cools(home: Household) -> None:
    home.ward.line.health.failed("acme:a", FailureClass.RATE_LIMIT)


async def _has_no_credit(home: Household) -> None:
    home.ward.line.health.failed("acme:b", FailureClass.BILLING)


async def _is_forgiven(home: Household) -> None:
    for key in home.ward.keepers:
        home.ward.line.health.forgive(key)


async def _disabled(home: Household) -> None:
    await home.ward.disable("acme:a")


async def _enabled(home: Household) -> None:
    await home.ward.enable("acme:a")


async def _forgotten(home: Household) -> None:
    if "acme:a" in home.ward.keepers:
        await home.ward.forget("acme:a")


async def _added(home: Household) -> None:
    await home.add_key("acme:0", key="sk-1")


async def _ordered(home: Household) -> None:
    await home.ward.decisions.set_order(OrderSetParams(provider="acme", profiles=["acme:c", "acme:b"]))


async def _order_cleared(home: Household) -> None:
    home.ward.household.routing.decide(Section.ORDERS, "main/acme", None)


async def _another_resolution(home: Household) -> None:
    home.ward.household.resolution = Resolution.CONFIG_FIRST


async def _another_default(home: Household) -> None:
    home.ward.household.default_provider = "acme"


async def _inherited(home: Household) -> None:
    home.ward.household.inherit_agents = True


async def _longer_margin(home: Household) -> None:
    home.around.timing = RefreshTiming(2950.0, 0.0)


async def _sooner_for_readers(home: Household) -> None:
    home.around.least_margins = {"acme:a": 2950.0}


async def _another_provider_file(home: Household) -> None:
    named = provider_named("acme")
    registration = replace(named.registration, base_url="https://new.acme.dev")
    home.ward.household.providers = {"acme": named.but(registration=registration)}
    await home.fill()


async def _kept_anew(home: Household) -> None:
    home.written = [written_down("environment")]
    await home.fill()


async def _due(home: Household) -> None:
    home.clock.advance(2915.0)


async def _ended(home: Household) -> None:
    home.clock.advance(3001.0)


async def _slept(home: Household) -> None:
    home.clock.suspend(2990.0)


async def _stepped_ahead(home: Household) -> None:
    home.clock.step(2995.0)


async def _stepped_back(home: Household) -> None:
    home.clock.step(-3600.0)


async def _an_hour_ago_and_back(home: Household) -> None:
    home.clock.step(-3600.0)
    home.clock.suspend(3100.0)


async def _refused(home: Household) -> None:
    key = home.ward.keepers["anthropic:env"]
    if key.credential is not None:
        key.refused(key.credential.generation)


async def _unsaved(home: Household) -> None:
    """A phase of which a caller is told, without any other change."""
    keeper = home.ward.keepers.get("acme:a")
    if keeper is not None and keeper.phase is Phase.READY:
        keeper.phase = Phase.UNSAVED


async def _backing_off(home: Household) -> None:
    keeper = home.ward.keepers.get("acme:b")
    if keeper is not None and keeper.phase is Phase.READY:
        keeper.failed("network", "no answer", retry_after=None, closed_for=0.0)
        keeper.phase = Phase.BACKOFF


async def _a_minute(home: Household) -> None:
    home.clock.advance(60.0)


async def _half_an_hour(home: Household) -> None:
    home.clock.advance(1500.0)


async def _kept_as_they_were(home: Household) -> None:
    """A reload that changes nothing makes the order anew all the same."""
    await home.fill()


async def _another_resolution_for_a_login(home: Household) -> None:
    await _logged_in_and_seen(home)
    home.check()
    home.check()
    await _another_resolution(home)


async def _cooled_and_set_back(home: Household) -> None:
    """Usable again, asked for, and then the clock says that the window is not over."""
    await _cools(home)
    (window,) = home.ward.line.health.windows("acme:a")
    home.clock.step((window.until - home.clock.now).total_seconds() + 1)
    home.check()
    home.check()
    home.clock.step(-2)


EVENTS: tuple[Callable[[Household], Awaitable[None]], ...] = (
    _nothing,
    _rotated_by_its_owner,
    _rotated_and_seen,
    _torn,
    _ends_rewritten,
    _logged_in,
    _logged_in_and_seen,
    _logged_out,
    _gone,
    _cools,
    _has_no_credit,
    _is_forgiven,
    _disabled,
    _enabled,
    _forgotten,
    _added,
    _ordered,
    _order_cleared,
    _another_resolution,
    _another_default,
    _inherited,
    _longer_margin,
    _sooner_for_readers,
    _another_provider_file,
    _kept_anew,
    _due,
    _ended,
    _slept,
    _stepped_ahead,
    _stepped_back,
    _an_hour_ago_and_back,
    _refused,
    _unsaved,
    _backing_off,
    _a_minute,
    _half_an_hour,
    _kept_as_they_were,
    _another_resolution_for_a_login,
    _cooled_and_set_back,
)


def _named(event: Callable[..., Any]) -> str:
    return event.__name__.strip("_")


@pytest.mark.parametrize("event", EVENTS, ids=_named)
async def test_after_each_kind_of_change_it_is_decided_anew(
    event: Callable[[Household], Awaitable[None]], home: Household
) -> None:
    """Whatever stood before the change, what is said after it is what is decided after it, at once and later."""
    home.check()
    home.check()
    await event(home)
    home.check()
    home.check()
    for seconds in (30.0, 30.0, 240.0, 1500.0):
        home.clock.advance(seconds)
        home.check()


@given(happened=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=8))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_whatever_happened_it_says_what_is_decided_anew(
    happened: list[Callable[[Household], Awaitable[None]]],
) -> None:
    """Any changes in any order, asked between them all."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with _household(Path(directory)) as home:
                home.check()
                for event in happened:
                    await event(home)
                    home.check()

    anyio.run(run)


@given(
    happened=st.lists(
        st.sampled_from(EVENTS)
        | st.sampled_from(ASKED)
        | st.sampled_from(LOGINS).map(lambda key: {"profile": key, **ACME}),
        max_size=30,
    )
)
@settings(derandomize=True, deadline=None, max_examples=150)
def test_any_history_of_uses_and_changes_leads_to_the_same_choice(
    happened: list[Callable[[Household], Awaitable[None]] | dict[str, Any]],
) -> None:
    """In turn and by name, between windows, removals, orders and clocks that step: as if decided each time."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with _household(Path(directory)) as home:
                for each in happened:
                    if isinstance(each, dict):
                        home.check(each)
                    else:
                        await each(home)
                for _ in LOGINS:
                    home.check(ACME)

    anyio.run(run)


# That it stands, and for what


class Counted:
    """A lane that counts what had to be decided.

    Args:
        home: who answers.
    """

    def __init__(self, home: Household) -> None:
        self._home = home
        self.decided = 0
        self.audited: list[tuple[str, str]] = []
        self._lane = Lane(self._token_nowait, self._audit)

    def _token_nowait(self, params: TokenRequest) -> HandedOut | None:
        self.decided += 1
        return self._home.ward.token_nowait(params)

    def _audit(self, peer: Peer, method: str, code: int, result: Result | HandedOut | None) -> None:
        assert isinstance(result, HandedOut)
        self.audited.append((result.profile, result.generation))

    def ask(self, **params: Any) -> str:
        """The profile that is served."""
        request = {"jsonrpc": "2.0", "id": 1, "method": "token.get", "params": params}
        answer = self._lane.answer(json.dumps(request).encode(), PEER)
        assert answer is not None
        return str(json.loads(answer)["result"]["profile"])


async def test_a_request_that_comes_again_is_decided_once(home: Household) -> None:
    """By name, by provider, behind an empty place and while the seconds run; each answer is audited."""
    for wish in ({}, ACME, {"profile": "acme:a", **ACME}, {"provider": "acme", "min_valid": 10.0}):
        counted = Counted(home)
        for _ in range(6):
            counted.ask(**wish)
            home.clock.advance(0.4)
        assert counted.decided == 1
        assert len(counted.audited) == 6


async def test_the_turn_still_goes_round(home: Household) -> None:
    """Three logins, decided about once: each serves every third time, the one used longest ago first."""
    counted = Counted(home)
    counted.ask(profile="acme:b", provider="acme")
    assert [counted.ask(provider="acme") for _ in range(7)] == [
        "acme:a", "acme:c", "acme:b", "acme:a", "acme:c", "acme:b", "acme:a",
    ]  # fmt: skip
    assert counted.decided == 2
    assert len({generation for _, generation in counted.audited}) == 3


async def test_a_turn_asks_nobody_else_and_makes_nothing_anew(
    home: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four rounds over fifty: one stat an answer, and each profile is decided about and encoded once."""
    many = [f"acme:m{number:02}" for number in range(50)]
    for key in LOGINS:
        await home.ward.forget(key)
    for number, key in enumerate(many):
        home.store.place(key).overwrite(home.credential(number, left=3000.0))
    await home.fill()
    calls: Counter[str] = Counter()

    def counted(owner: type, name: str) -> None:
        true = getattr(owner, name)

        def counting(*args: Any, **named: Any) -> Any:
            calls[name] += 1
            return true(*args, **named)

        monkeypatch.setattr(owner, name, counting)

    counted_lane = Counted(home)
    assert counted_lane.ask(**ACME) == many[0]
    counted(MemoryPlace, "signature")
    counted(EncodedAnswer, "__init__")
    counted(Keeper, "standing")
    counted(Roster, "put")
    counted(RoutingState, "put_all")
    assert [counted_lane.ask(**ACME) for _ in range(4 * len(many))] == 4 * [*many[1:], many[0]]
    assert counted_lane.decided == 1
    assert calls == {"signature": 4 * len(many), "__init__": len(many) - 1, "standing": len(many)}


@given(asked=st.lists(st.tuples(st.sampled_from([None, *LOGINS]), st.sampled_from([0.0, 0.3, 2.0])), max_size=20))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_the_order_is_that_of_every_use(asked: list[tuple[str | None, float]]) -> None:
    """A use that is not noted, since it moves nobody, changes no turn: by name and in turn, however fast."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with _household(Path(directory)) as home:
                counted, in_order = Counted(home), list(LOGINS)
                for profile, seconds in asked:
                    expected = profile or in_order[0]
                    assert counted.ask(provider="acme", **({"profile": profile} if profile else {})) == expected
                    in_order.remove(expected)
                    in_order.append(expected)
                    home.clock.advance(seconds)
                assert counted.decided <= 1 + len(LOGINS)

    anyio.run(run)


async def test_a_use_after_anothers_is_noted_however_soon(home: Household) -> None:
    """By name again and again, then another in turn, then by name again: the one named goes last."""
    counted = Counted(home)
    for _ in range(3):
        counted.ask(profile="acme:a", provider="acme")
    assert counted.ask(provider="acme") == "acme:b"
    counted.ask(profile="acme:a", provider="acme")
    assert [counted.ask(provider="acme") for _ in range(3)] == ["acme:c", "acme:b", "acme:a"]


async def test_a_use_is_known_to_the_second(home: Household) -> None:
    """Of a profile that nobody else's use follows, the last use is at most a second older than its last answer."""
    counted = Counted(home)
    for _ in range(30):
        counted.ask(profile="acme:a", provider="acme")
        used = home.ward.line.last_used("acme:a")
        assert used is not None
        assert home.clock.now - used < timedelta(seconds=1)
        home.clock.advance(0.3)
    home.ward.household.routing.gather()
    noted = home.ward.household.routing.section(Section.LAST_USED)["acme:a"]
    assert noted > home.clock.now.timestamp() - 1.4


@pytest.mark.parametrize(
    "wish",
    [
        {"provider": "acme", "session": "s"},
        {"provider": "acme", "newer_than": "0123456789ab"},
        {"provider": "anthropic", "min_valid": 5000.0},
        {"provider": "anthropic", "tier": "max_20"},
    ],
)
async def test_what_more_decides_about_is_decided_each_time(wish: dict[str, Any], home: Household) -> None:
    """A session's choice, a refusal, an answer with a reservation and a tier: none of them stands."""
    login = replace(home.credential(5, left=3000.0), refresh=None, tier="default_claude_max_20x")
    home.empty.overwrite(login)
    await home.ward.look_everywhere()
    handed_out = home.ward.token_nowait(TokenParams(**wish))
    assert handed_out is not None
    assert handed_out.standing is None


async def test_nothing_stands_on_a_restricted_socket(home: Household) -> None:
    """What cools there, the ward does not know."""
    assert home.ward.token_nowait(TokenParams(profile="acme:a")).standing is not None  # type: ignore[union-attr]
    handed_out = RestrictedTokens(home.ward, ["acme:a"], home.clock).token_nowait(TokenParams(provider="acme"))
    assert handed_out is not None
    assert handed_out.standing is None


async def test_nothing_made_of_a_value_outlives_it(home: Household) -> None:
    """The person logged out: neither the answer nor the terms are kept, whoever still holds what stood."""
    await _logged_in_and_seen(home)
    keeper = home.ward.keepers["anthropic:claude-cli"]
    handed_out = home.ward.token_nowait(TokenParams())
    assert handed_out is not None
    assert handed_out.standing is not None
    assert handed_out.standing.take() is not None
    await _logged_out(home)
    assert handed_out.standing.take() is None
    assert keeper.held is None
    assert keeper.prepared.encoded == {}
    assert keeper.prepared.ready is None
