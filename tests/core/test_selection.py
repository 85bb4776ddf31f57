"""Who may answer a request, and who first."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tokenward.core.credential import Kind, Profile
from tokenward.core.selection import (
    KEY_KINDS,
    OAUTH_KINDS,
    RESOLUTIONS,
    Candidate,
    Origin,
    Resolution,
    Selector,
    Shortlist,
    Turn,
    Unusable,
    Window,
    in_order,
    set_aside,
    shortlist,
)

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def candidate(
    name: str,
    kind: Kind | None = Kind.OAUTH,
    *,
    provider: str = "anthropic",
    source: str = "store",
    agent: str = "main",
    enabled: bool = True,
    tier: str | None = None,
    used: int | None = None,
    windows: tuple[Window, ...] = (),
) -> Candidate:
    """A profile of ``provider:name``, last used so many seconds from now."""
    profile = Profile(f"{provider}:{name}", provider, source, agent=agent, enabled=enabled)
    return Candidate(profile, kind, tier, None if used is None else NOW + used * SECOND, windows)


def window(seconds: int, reason: str = "rate_limit", model: str | None = None) -> Window:
    """One that ends so many seconds from now."""
    return Window(NOW + seconds * SECOND, reason, model)


def listed(candidates: list[Candidate], selector: Selector, at: int = 0) -> Shortlist:
    """Who may answer so many seconds from now."""
    return shortlist(candidates, selector, Resolution.PROFILES_FIRST, NOW + at * SECOND)


ANY = Selector("anthropic")


@pytest.mark.parametrize(
    ("selector", "offered", "admitted"),
    [
        (ANY, candidate("a"), True),
        (ANY, candidate("a", provider="acme"), False),
        (ANY, candidate("a", enabled=False), False),
        (ANY, candidate("a", agent="b"), False),
        (Selector("anthropic", agent="b"), candidate("a", agent="b"), True),
        (Selector("anthropic", agent="b"), candidate("a"), False),
        (Selector("anthropic", profile="anthropic:a"), candidate("a"), True),
        (Selector("anthropic", profile="anthropic:b"), candidate("a"), False),
        (Selector("anthropic", profile="acme:a"), candidate("a", provider="acme"), True),
        (Selector("anthropic", profile="anthropic:a"), candidate("a", enabled=False), False),
        (Selector("anthropic", profile="anthropic:a"), candidate("a", agent="b"), False),
        (Selector("anthropic", kinds=KEY_KINDS), candidate("a", Kind.API_KEY), True),
        (Selector("anthropic", kinds=KEY_KINDS), candidate("a", Kind.OAUTH), False),
        (Selector("anthropic", kinds=OAUTH_KINDS), candidate("a", Kind.SETUP_TOKEN), True),
        (Selector("anthropic", kinds=OAUTH_KINDS), candidate("a", None), True),
        (Selector("anthropic", kinds=frozenset()), candidate("a"), False),
        (Selector("anthropic", tier="max"), candidate("a", tier="max"), True),
        (Selector("anthropic", tier="max"), candidate("a", tier="pro"), False),
        (Selector("anthropic", tier="max"), candidate("a"), False),
        (ANY, candidate("a", tier="max"), True),
        (
            Selector("anthropic", profile="anthropic:a", kinds=KEY_KINDS, tier="max"),
            candidate("a", tier="max"),
            False,
        ),
    ],
)
def test_who_may_answer(selector: Selector, offered: Candidate, *, admitted: bool) -> None:
    """Disabled profiles and other agents' never; a name beats the provider; every filter given must fit."""
    assert selector.admits(offered) is admitted


def test_every_kind_is_a_key_or_comes_from_oauth() -> None:
    """``auth_method`` leaves no kind out and names none twice."""
    assert set(Kind) == OAUTH_KINDS | KEY_KINDS
    assert not OAUTH_KINDS & KEY_KINDS


IN_ORDER = [
    candidate("a-oauth", Kind.OAUTH),
    candidate("b-oauth", Kind.OAUTH, source="claude-code"),
    candidate("federated", Kind.FEDERATED),
    candidate("setup", Kind.SETUP_TOKEN),
    candidate("gateway", Kind.AUTH_TOKEN),
    candidate("key", Kind.API_KEY),
    candidate("nothing-held", None),
    candidate("env-oauth", Kind.OAUTH, source="environment"),
    candidate("env-key", Kind.API_KEY, source="environment"),
    candidate("config-oauth", Kind.OAUTH, source="config"),
    candidate("config-key", Kind.API_KEY, source="config"),
]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_does_not_depend_on_how_they_come(seed: int) -> None:
    """Stored before environment before config; what refreshes before what does not; ties by id."""
    shuffled = random.Random(seed).sample(IN_ORDER, len(IN_ORDER))
    assert in_order(shuffled, ANY) == [one.profile.id for one in IN_ORDER]


def test_only_those_who_may_answer_are_in_the_order() -> None:
    """Filters come first, and no one may be no error here."""
    offered = [candidate("b", Kind.API_KEY), candidate("a"), candidate("c", provider="acme")]
    assert in_order(offered, Selector("anthropic", kinds=KEY_KINDS)) == ["anthropic:b"]
    assert in_order(offered, Selector("nobody")) == []
    assert in_order([], ANY) == []


@pytest.mark.parametrize("resolution", Resolution)
def test_every_order_has_one_step_for_everything(resolution: Resolution) -> None:
    """Whatever the origin and the kind, it stands at exactly one place of the order."""
    for origin in Origin:
        for kind in Kind:
            steps = [step for step in RESOLUTIONS[resolution] if step[0] is origin and kind in step[1]]
            assert len(steps) == 1


def test_main_comes_after_the_agents_own_where_it_is_inherited() -> None:
    """However good main's is; and nobody inherits from anybody else."""
    offered = [candidate("a"), candidate("b", Kind.API_KEY, agent="bot"), candidate("c", agent="other")]
    assert in_order(offered, Selector("anthropic", "bot")) == ["bot/anthropic:b"]
    assert in_order(offered, Selector("anthropic", "bot", inherits=True)) == ["bot/anthropic:b", "anthropic:a"]
    assert in_order(offered, Selector("anthropic", inherits=True)) == ["anthropic:a"]


def test_a_written_down_key_sets_aside_its_own_providers_logins_only() -> None:
    """Of its agent, of what is no key; a stored key sets nothing aside, nor does any key in another order."""
    login, empty = candidate("a"), candidate("empty", None)
    others = [candidate("o", provider="acme"), candidate("b", agent="bot"), candidate("k", Kind.API_KEY)]
    written = candidate("env", Kind.API_KEY, source="environment")
    everything = [login, empty, *others, written]
    assert set_aside(everything, Resolution.CONFIG_FIRST) == {"anthropic:a", "anthropic:empty"}
    assert set_aside([login, empty, *others], Resolution.CONFIG_FIRST) == set()
    assert set_aside(everything, Resolution.PROFILES_FIRST) == set()
    assert set_aside(everything, Resolution.OAUTH_FIRST) == set()


def test_of_one_kind_the_longest_unused_goes_first_and_before_it_the_never_used() -> None:
    """The kind goes before the use, the use before the id."""
    offered = [
        candidate("a", used=-1),
        candidate("b", used=-2),
        candidate("c", used=-2),
        candidate("z"),
        candidate("key", Kind.API_KEY),
    ]
    assert in_order(offered, ANY) == [f"anthropic:{name}" for name in ("z", "b", "c", "a", "key")]


def test_an_explicit_order_is_the_whole_list() -> None:
    """Neither kind nor use matters in it; the unnamed are not used, the unknown and the repeated passed over."""
    offered = [candidate("a"), candidate("b", used=-9), candidate("key", Kind.API_KEY, used=-1)]
    order = ("anthropic:key", "anthropic:gone", "anthropic:b", "anthropic:key")
    assert in_order(offered, Selector("anthropic", order=order)) == ["anthropic:key", "anthropic:b"]
    assert in_order(offered, Selector("anthropic", order=("anthropic:gone",))) == []
    keys_only = Selector("anthropic", kinds=KEY_KINDS, order=("anthropic:b", "anthropic:key"))
    assert in_order(offered, keys_only) == ["anthropic:key"]


def test_a_named_profile_is_served_whatever_the_order_says() -> None:
    """The request is the newer word."""
    selector = Selector("anthropic", profile="anthropic:a", order=("anthropic:b",))
    assert in_order([candidate("a"), candidate("b")], selector) == ["anthropic:a"]


def test_an_order_of_another_provider_admits_nobody_of_it() -> None:
    """A wrong id in the order does not make a token of one provider an answer for another."""
    assert in_order([candidate("a", provider="acme")], Selector("anthropic", order=("acme:a",))) == []


def test_main_keeps_its_own_order_where_it_is_inherited() -> None:
    """Unless the agent has one, which then names main's profiles too; of one id, the agent's own goes first."""
    offered = [candidate("a"), candidate("b"), candidate("c"), candidate("b", agent="bot", used=-1)]
    mains = Selector("anthropic", "bot", inherits=True, inherited_order=("anthropic:c", "anthropic:b"))
    assert in_order(offered, mains) == ["bot/anthropic:b", "anthropic:c", "anthropic:b"]
    own = Selector("anthropic", "bot", inherits=True, order=("anthropic:c", "anthropic:b"))
    assert in_order(offered, own) == ["anthropic:c", "bot/anthropic:b", "anthropic:b"]
    assert in_order(offered, Selector("anthropic", inherited_order=("anthropic:c",))) == [
        f"anthropic:{name}" for name in "abc"
    ]


def test_the_preferred_one_goes_first_as_long_as_it_is_usable() -> None:
    """It is preferred, not demanded; and not even that where the order leaves it out."""
    offered = [candidate("a"), candidate("b"), candidate("key", Kind.API_KEY)]
    prefers = Selector("anthropic", preferred="anthropic:key")
    assert in_order(offered, prefers) == ["anthropic:key", "anthropic:a", "anthropic:b"]
    cooling = [*offered[:2], candidate("key", Kind.API_KEY, windows=(window(60),))]
    assert listed(cooling, prefers).turns(prefers) == (Turn("anthropic:a"), Turn("anthropic:b"))
    ordered = Selector("anthropic", order=("anthropic:b",), preferred="anthropic:a")
    assert in_order(offered, ordered) == ["anthropic:b"]


@pytest.mark.covers("L27", "L28")
@pytest.mark.parametrize("reason", ["rate_limit", "overloaded", "timeout", "billing", "auth_permanent"])
def test_who_is_in_a_window_is_not_served_while_another_may(reason: str) -> None:
    """However good it is otherwise; and when the window is over, it is served with no further act."""
    offered = [candidate("a", windows=(window(60, reason),)), candidate("key", Kind.API_KEY)]
    assert listed(offered, ANY).turns(ANY) == (Turn("anthropic:key"),)
    assert listed(offered, ANY, at=59).usable == ("anthropic:key",)
    assert listed(offered, ANY, at=60).usable == ("anthropic:a", "anthropic:key")


def test_nobody_in_a_window_is_served_as_if_fine_if_nobody_else_is_left() -> None:
    """The caller gets the first recovery instead, whatever the profiles' order."""
    offered = [
        candidate("a", windows=(window(18_000, "billing"),)),
        candidate("b", windows=(window(300),)),
        candidate("c", windows=(window(60), window(300))),
        candidate("d", windows=(window(20, "overloaded"), window(-5, "billing"))),
    ]
    found = listed(offered, ANY)
    assert found.turns(ANY) == ()
    assert found.recovery == Unusable("anthropic:d", NOW + 20 * SECOND, "overloaded", "cooldown")
    assert [why.key for why in found.unusable] == [f"anthropic:{name}" for name in "dbca"]
    assert listed([], ANY).recovery is None


@pytest.mark.parametrize(
    ("reason", "turns"),
    [
        ("rate_limit", (Turn("anthropic:a", "cooling"),)),
        ("overloaded", (Turn("anthropic:a", "cooling"),)),
        ("timeout", (Turn("anthropic:a", "cooling"),)),
        ("billing", ()),
        ("auth", ()),
        ("auth_permanent", ()),
        ("auth_policy", ()),
    ],
)
def test_a_named_one_is_served_while_it_cools_and_says_so(reason: str, turns: tuple[Turn, ...]) -> None:
    """But not while a person must act first; and never another in its place."""
    named = Selector("anthropic", profile="anthropic:a")
    offered = [candidate("a", windows=(window(60, reason),)), candidate("b")]
    assert listed(offered, named).turns(named) == turns
    assert listed(offered, named, at=60).turns(named) == (Turn("anthropic:a"),)


def test_what_a_person_must_act_on_outweighs_what_only_slows_down() -> None:
    """Until both are over, the profile is disabled, and it says for which reason."""
    both = candidate("a", windows=(window(900, "overloaded"), window(60, "billing")))
    assert both.unusable(NOW, None) == Unusable("anthropic:a", NOW + 900 * SECOND, "billing", "disabled")
    later = both.unusable(NOW + 60 * SECOND, None)
    assert later == Unusable("anthropic:a", NOW + 900 * SECOND, "overloaded", "cooldown")


def test_the_limit_of_one_model_does_not_stand_in_the_way_of_others() -> None:
    """Nor of a request that names none."""
    offered = [candidate("a", windows=(window(60, model="opus"),)), candidate("b")]
    for model, usable in ((None, "ab"), ("sonnet", "ab"), ("opus", "b")):
        found = listed(offered, Selector("anthropic", model=model))
        assert found.usable == tuple(f"anthropic:{name}" for name in usable)


def test_the_window_of_one_is_nobody_elses() -> None:
    """Same provider, same name, another agent: untouched."""
    offered = [candidate("a", windows=(window(18_000, "billing"),)), candidate("b"), candidate("a", agent="bot")]
    assert listed(offered, ANY).usable == ("anthropic:b",)
    assert listed(offered, Selector("anthropic", "bot")).usable == ("bot/anthropic:a",)
