"""Tiers, from what a credential's own data say."""

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.subscription_tier import TIERS, insufficient_access, tier_named, tier_of


@pytest.mark.parametrize(
    ("rate_limit_tier", "subscription", "tier"),
    [
        ("default_claude_max_20x", "max", "max_20"),
        ("default_claude_max_5x", "max", "max_5"),
        (None, "max", "max"),
        (None, "Pro", "pro"),
        ("default_claude_ai", "pro", "pro"),
        (None, "free", "free"),
        (None, None, None),
        ("default_raven", "enterprise", None),
    ],
)
def test_a_login_says_its_tier(rate_limit_tier: str | None, subscription: str | None, tier: str | None) -> None:
    """The rate-limit tier is the more particular; what nobody said is not guessed."""
    login = Credential(Kind.OAUTH, Secret("a"), Secret("r"), tier=rate_limit_tier, subscription=subscription)
    assert tier_of(login) == tier


def test_what_is_paid_by_the_token_is_api() -> None:
    """Keys have no subscription."""
    assert tier_of(Credential(Kind.API_KEY, Secret("k"))) == "api"


@pytest.mark.covers("N11")
def test_the_names_are_these() -> None:
    """Six tiers, in any case; anything else is none."""
    assert TIERS == ("free", "pro", "max", "max_5", "max_20", "api")
    assert [tier_named(f" {tier.upper()} ") for tier in TIERS] == list(TIERS)
    assert tier_named("gold") is None


@pytest.mark.parametrize(
    ("subscription", "scopes", "reason"),
    [
        ("free", ("user:inference", "user:profile"), "plan is free"),
        (None, ("org:create_api_key", "user:profile"), "not granted user:inference"),
        (None, ("user:inference",), None),
        (None, (), None),
        ("pro", ("user:profile", "user:inference"), None),
        ("max", (), None),
    ],
)
def test_a_login_that_opens_no_api_is_told(
    subscription: str | None, scopes: tuple[str, ...], reason: str | None
) -> None:
    """A free plan, or scopes that are known and leave inference out; what nobody said is not held against it."""
    login = Credential(Kind.OAUTH, Secret("a"), Secret("r"), subscription=subscription, scopes=scopes)
    said = insufficient_access(login, tier=tier_of(login))
    assert (said is None) if reason is None else (said is not None and reason in said)


def test_the_word_of_a_person_wins() -> None:
    """A plan that was bought since, or one that the login calls by another name."""
    login = Credential(Kind.OAUTH, Secret("a"), Secret("r"), subscription="free")
    assert insufficient_access(login, tier="max") is None
