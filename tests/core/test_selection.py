"""Who may answer a request, and who first."""

import random

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
    in_order,
    set_aside,
)


def candidate(
    name: str,
    kind: Kind | None = Kind.OAUTH,
    *,
    provider: str = "anthropic",
    source: str = "store",
    agent: str = "main",
    enabled: bool = True,
    tier: str | None = None,
) -> Candidate:
    """A profile of ``provider:name``."""
    profile = Profile(f"{provider}:{name}", provider, source, agent=agent, enabled=enabled)
    return Candidate(profile, kind, tier)


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
