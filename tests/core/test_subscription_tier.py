"""Tiers, from what a credential's own data say."""

import pytest

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.subscription_tier import TIERS, tier_named, tier_of


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
