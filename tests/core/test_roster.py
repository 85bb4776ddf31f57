"""The roster says at every moment what the slow order says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tokenward.core.credential import Kind, Profile, agent_and_id
from tokenward.core.roster import Roster
from tokenward.core.selection import Candidate, Resolution, Selector, Window

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANY = Selector("anthropic")

SOURCES = ("store", "environment", "dotenv", "config")
IDS = [f"{provider}:{name}" for provider in ("anthropic", "acme") for name in "abcd"]

ids = st.sampled_from(IDS)
agents = st.sampled_from(["main", "bot"])
moments = st.integers(min_value=-20, max_value=20).map(lambda seconds: NOW + seconds * SECOND)
orders = st.just(()) | st.lists(ids, max_size=4).map(tuple)
windows = st.builds(
    Window, moments, st.sampled_from(["rate_limit", "billing"]), st.sampled_from([None, None, "opus"])
)
candidates = st.builds(
    lambda profile_id, agent, source, enabled, kind, tier, used, inside: Candidate(
        Profile(profile_id, profile_id.partition(":")[0], source, agent=agent, enabled=enabled),
        kind,
        tier,
        used,
        tuple(inside),
    ),
    ids,
    agents,
    st.sampled_from(SOURCES),
    st.sampled_from([True, True, True, False]),
    st.none() | st.sampled_from(Kind),
    st.sampled_from([None, "max"]),
    st.none() | moments,
    st.lists(windows, max_size=2),
)
selectors = st.builds(
    Selector,
    st.sampled_from(["anthropic", "acme", "nobody"]),
    agents,
    st.none() | ids,
    st.none() | st.frozensets(st.sampled_from(Kind), max_size=3),
    st.sampled_from([None, None, "max"]),
    st.booleans(),
    st.sampled_from([None, "opus"]),
    orders,
    orders,
    st.none() | ids,
)

STEPS = {
    Resolution.PROFILES_FIRST: "store environment dotenv config",
    Resolution.CONFIG_FIRST: "config environment dotenv store",
    Resolution.OAUTH_FIRST: "config store environment dotenv",
}
KINDS = [Kind.OAUTH, Kind.FEDERATED, Kind.SETUP_TOKEN, Kind.AUTH_TOKEN, Kind.API_KEY, None]
KEYS = {Kind.AUTH_TOKEN, Kind.API_KEY}


def may_answer(one: Candidate, asked: Selector) -> bool:
    """The filters, in words of their own."""
    theirs = asked.inherits and one.profile.agent == "main"
    if not one.profile.enabled or not (one.profile.agent == asked.agent or theirs):
        return False
    if asked.kinds is not None and one.kind not in {None, *asked.kinds}:
        return False
    if asked.tier not in {None, one.tier}:
        return False
    if asked.profile:
        return one.profile.id == asked.profile
    named = asked.order or (one.profile.agent != asked.agent and asked.inherited_order) or [one.profile.id]
    return one.profile.provider == asked.provider and one.profile.id in named


def by_hand(everybody: list[Candidate], asked: Selector, resolution: Resolution) -> list[Candidate]:
    """The order, built by sorting once for each rule, the weakest first."""
    line = sorted((one for one in everybody if may_answer(one, asked)), key=lambda one: one.profile.id)
    line.sort(key=lambda one: one.last_used.timestamp() if one.last_used else 0.0)
    line.sort(key=lambda one: KINDS.index(one.kind))
    line.sort(key=lambda one: STEPS[resolution].split().index(one.profile.source))
    if resolution is Resolution.OAUTH_FIRST:
        line.sort(key=lambda one: one.kind in KEYS)
    if not asked.profile and not asked.order and asked.inherited_order:
        mains = list(asked.inherited_order)
        line.sort(key=lambda one: mains.index(one.profile.id) if one.profile.agent != asked.agent else 0)
    line.sort(key=lambda one: one.profile.agent != asked.agent)
    if not asked.profile and asked.order:
        line.sort(key=lambda one: list(asked.order).index(one.profile.id))
    line.sort(key=lambda one: one.profile.id != asked.preferred)
    return line


class RosterAndSlowOrder(RuleBasedStateMachine):
    """A roster, and beside it the plain list of who is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.everybody: dict[str, Candidate] = {}
        self.asked = [ANY, Selector("anthropic", "bot", inherits=True)]
        self.resolution = Resolution.PROFILES_FIRST
        self.roster = Roster()
        self.stamps: list[datetime] = []

    @initialize(resolution=st.sampled_from(Resolution), some=st.lists(candidates, max_size=6))
    def begin(self, resolution: Resolution, some: list[Candidate]) -> None:
        """A daemon starts, with what it remembers."""
        self.resolution = resolution
        self.everybody = {one.profile.key: one for one in some}
        self.roster = Roster(resolution, self.everybody.values())

    @rule(one=candidates)
    def put(self, one: Candidate) -> None:
        """A profile comes, cools down, is disabled, recovers."""
        self.roster.put(one)
        known = self.everybody.get(one.profile.key)
        uses = [each.last_used for each in (known, one) if each is not None and each.last_used is not None]
        self.everybody[one.profile.key] = replace(one, last_used=max(uses, default=None))

    @rule(profile_id=ids, agent=agents)
    def drop(self, profile_id: str, agent: str) -> None:
        """A profile goes, or was not there."""
        key = Profile(profile_id, "", "", agent=agent).key
        self.roster.drop(key)
        self.everybody.pop(key, None)

    @rule(asked=selectors)
    def serve(self, asked: Selector) -> None:
        """The first choice is served, and is the last of its kind from then on."""
        first = self.roster.first(asked, self.now)
        if first is not None:
            stamp = self.roster.touch(first, self.now)
            assert stamp is not None
            assert stamp >= self.now
            assert all(stamp > (one.last_used or stamp - SECOND) for one in self.everybody.values())
            assert all(stamp > before for before in self.stamps)
            self.stamps.append(stamp)
            self.everybody[first] = replace(self.everybody[first], last_used=stamp)

    @rule(to=moments)
    def time_passes_or_steps_back(self, to: datetime) -> None:
        """The clock is another."""
        self.now = to

    @rule(asked=selectors)
    def ask(self, asked: Selector) -> None:
        """Another request, which is asked again after every step from now on."""
        self.asked.append(asked)
        del self.asked[:-4]

    @invariant()
    def says_what_the_slow_order_says(self) -> None:
        """Who is in it, who is first, who follows, who recovers when."""
        assert {key: self.roster[key] for key in self.roster} == self.everybody
        used = {key: one.last_used for key, one in self.everybody.items()}
        assert {key: self.roster.last_used(key) for key in self.roster} == used
        for since in (NOW, self.now):
            after = {key: moment for key, moment in used.items() if moment is not None and moment > since}
            assert dict(self.roster.used_since(since)) == after
        for asked in self.asked:
            line = by_hand(list(self.everybody.values()), asked, self.resolution)
            ends = {
                one.profile.key: max(
                    (w.until for w in one.windows if w.model in {None, asked.model} and w.until > self.now),
                    default=None,
                )
                for one in line
            }
            usable = [key for key, end in ends.items() if end is None]
            recovering = sorted((end, key) for key, end in ends.items() if end is not None)
            assert self.roster.first(asked, self.now) == next(iter(usable), None)
            found = self.roster.shortlist(asked, self.now)
            assert list(found.usable) == usable
            assert [(why.until, why.key) for why in found.unusable] == recovering
            for why in found.unusable:
                assert why == self.everybody[why.key].unusable(self.now, asked.model)


TestRosterAndSlowOrder = RosterAndSlowOrder.TestCase
TestRosterAndSlowOrder.settings = settings(
    derandomize=True, deadline=None, max_examples=150, stateful_step_count=20
)


def named(name: str, kind: Kind = Kind.OAUTH, agent: str = "main") -> Candidate:
    """A profile of Anthropic's in the store."""
    return Candidate(Profile(f"anthropic:{name}", "anthropic", "store", agent=agent), kind)


def served(roster: Roster, times: int, now: datetime = NOW) -> str:
    """The names of the first choices, each of them touched."""
    names = []
    for _ in range(times):
        first = roster.first(ANY, now)
        assert first is not None
        roster.touch(first, now)
        names.append(agent_and_id(first)[1].partition(":")[2])
    return "".join(names)


@pytest.mark.covers("L26")
def test_healthy_profiles_take_turns() -> None:
    """a, b, c, a, b, c, though the clock stands still or runs backwards; a newcomer is next."""
    roster = Roster(candidates=[named("c"), named("a"), named("b"), named("z", Kind.API_KEY)])
    assert served(roster, 6) == "abcabc"
    assert served(roster, 4, NOW - 3600 * SECOND) == "abca"
    roster.put(named("d"))
    assert served(roster, 5, NOW + SECOND) == "dbcad"


def test_the_turn_is_kept_over_a_restart() -> None:
    """The last uses that were noted make the same order in a new roster."""
    roster = Roster(candidates=[named(name) for name in "abc"])
    served(roster, 4)
    again = Roster(candidates=[named(name) for name in "abc"])
    for key in roster:
        again.put(replace(again[key], last_used=roster[key].last_used))
    assert served(again, 3) == "bca"


def test_a_profile_that_is_put_anew_does_not_jump_the_queue() -> None:
    """A refresh or a reload makes a new candidate, which knows nothing of uses."""
    roster = Roster(candidates=[named("a"), named("b")])
    assert served(roster, 1) == "a"
    roster.put(named("a"))
    assert served(roster, 2) == "ba"


def test_the_first_choice_is_found_without_looking_at_the_others() -> None:
    """Neither at those who cool, nor at those of other kinds, nor at those who come later."""
    count = 2000
    cooling = (Window(NOW + 60 * SECOND, "rate_limit"),)
    roster = Roster(candidates=[replace(named(f"cool-{n}"), windows=cooling) for n in range(count)])
    for number in range(count):
        roster.put(named(f"oauth-{number}"))
        roster.put(named(f"key-{number}", Kind.API_KEY))
    looked_at: list[str] = []

    class Watching(Selector):
        def fits(self, candidate: Candidate) -> bool:
            looked_at.append(candidate.profile.key)
            return super().fits(candidate)

    assert roster.first(Watching("anthropic"), NOW) == "anthropic:oauth-0"
    assert roster.first(Watching("anthropic", kinds=frozenset({Kind.API_KEY})), NOW) == "anthropic:key-0"
    assert roster.first(Watching("anthropic", profile="anthropic:key-7"), NOW) == "anthropic:key-7"
    assert len(looked_at) == 3


def test_a_turn_looks_at_no_other_and_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rounds over two thousand: all serve equally often, nobody is searched for, no candidate is made."""
    names = [f"{number:04}" for number in range(2000)]
    roster = Roster(candidates=map(named, names))
    first = roster.first(ANY, NOW)
    assert first is not None
    rotation = roster.rotation(first, ANY)
    assert rotation is not None
    made = Mock(wraps=Candidate)
    for searched in ("bisect_left", "insort", "replace", "_place"):
        monkeypatch.setattr(f"tokenward.core.roster.{searched}", Mock(side_effect=AssertionError(searched)))
    monkeypatch.setattr("tokenward.core.roster.Candidate", made)
    served = []
    for turn in range(10 * len(names)):
        key = rotation.first(NOW + turn * SECOND)
        assert key is not None
        roster.touch(key, NOW + turn * SECOND)
        served.append(key)
    assert served == 10 * [f"anthropic:{name}" for name in names]
    made.assert_not_called()


def test_one_that_is_called_by_name_is_found_by_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the middle: some fifteen comparisons among ten thousand, and none if it was the last anyway."""
    roster = Roster(candidates=[named(f"{number:05}") for number in range(10_000)])
    compared: list[object] = []

    def counted(member: Any) -> object:
        compared.append(member)
        return member.place

    monkeypatch.setattr("tokenward.core.roster._place", counted)
    roster.touch("anthropic:05000", NOW)
    assert 1 <= len(compared) <= 16
    compared.clear()
    roster.touch("anthropic:05000", NOW + SECOND)
    assert not compared
    assert roster.first(ANY, NOW) == "anthropic:00000"
    assert roster.shortlist(ANY, NOW).usable[-1] == "anthropic:05000"


def test_a_touch_of_one_that_went_is_no_error() -> None:
    """It was forgotten while it was served."""
    roster = Roster(candidates=[named("a")])
    roster.drop("anthropic:a")
    roster.drop("anthropic:a")
    assert roster.touch("anthropic:a", NOW) is None
    assert "anthropic:a" not in roster


def test_an_order_that_names_one_twice_asks_it_once() -> None:
    """The agent's own order and main's; and who is preferred but not in it is not asked."""
    roster = Roster(candidates=[named("a"), named("b"), named("c")])
    twice = ("anthropic:b", "anthropic:a", "anthropic:b")
    own = Selector("anthropic", order=twice, preferred="anthropic:c")
    assert roster.shortlist(own, NOW).usable == ("anthropic:b", "anthropic:a")
    mains = Selector("anthropic", "bot", inherits=True, inherited_order=twice)
    assert roster.shortlist(mains, NOW).usable == ("anthropic:b", "anthropic:a")


@given(
    everybody=st.lists(candidates, max_size=8),
    asked=selectors.map(lambda asked: replace(asked, tier=None, preferred=None, model=None)),
    resolution=st.sampled_from(Resolution),
    later=st.lists(
        st.tuples(st.integers(min_value=0, max_value=30), st.none() | st.tuples(ids, agents)), max_size=8
    ),
)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_uses_and_time_change_the_first_choice_as_was_foretold(
    everybody: list[Candidate],
    asked: Selector,
    resolution: Resolution,
    later: list[tuple[int, tuple[str, str] | None]],
) -> None:
    """Up to the end of the first window the first choice stays, or is whoever's turn it is on its shelf."""
    roster = Roster(resolution, everybody)
    first = roster.first(asked, NOW)
    if first is None:
        return
    until, rotation, changes = roster.calm_until(asked, NOW), roster.rotation(first, asked), roster.changes
    for seconds, used in later:
        now = NOW + seconds * SECOND
        if used is not None:
            roster.touch(Profile(used[0], "", "", agent=used[1]).key, now)
        if now < until:
            assert roster.first(asked, now) == (first if rotation is None else rotation.first(now))
    assert roster.changes == changes


def test_whoever_comes_back_by_itself_is_foretold() -> None:
    """The end of a window is the moment up to which an answer may stand, in the rotation and in an order."""
    inside = (Window(NOW + 5 * SECOND, "rate_limit"),)
    cooling = Candidate(Profile("anthropic:a", "anthropic", "store"), Kind.OAUTH, windows=inside)
    fine = Candidate(Profile("anthropic:b", "anthropic", "store"), Kind.OAUTH)
    roster = Roster(candidates=[cooling, fine])
    in_order = replace(ANY, order=("anthropic:a", "anthropic:b"))
    for asked in (ANY, in_order):
        assert roster.first(asked, NOW) == "anthropic:b"
        assert roster.calm_until(asked, NOW) == NOW + 5 * SECOND
    assert roster.calm_until(Selector("anthropic", profile="anthropic:b"), NOW) > NOW + 86400 * SECOND


def test_a_change_is_counted_and_a_use_is_not() -> None:
    """What stands on the roster as it was is over when somebody comes, changes or goes."""
    one = Candidate(Profile("anthropic:a", "anthropic", "store"), Kind.OAUTH)
    roster = Roster()
    counts = [roster.changes]
    roster.put(one)
    counts.append(roster.changes)
    roster.put(replace(one, kind=None))
    counts.append(roster.changes)
    roster.drop("anthropic:a")
    counts.append(roster.changes)
    assert sorted(set(counts)) == counts
    roster.put(one)
    before = roster.changes
    roster.touch("anthropic:a", NOW)
    roster.drop("anthropic:nobody")
    assert roster.changes == before
