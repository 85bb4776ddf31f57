"""Who may use which model, and what is used instead."""

import pytest

from tokenward.core.subscription_tier import TIERS
from tokenward.core.tiers import TierAdvice, TierTable
from tokenward.errors import ModelAccessDenied

TABLE = TierTable(
    {"small": frozenset(TIERS), "large": frozenset({"max", "max_5", "max_20", "api"})},
    {tier: "large" if tier.startswith("max") else "small" for tier in TIERS},
    "middle",
)


@pytest.mark.covers("N12")
@pytest.mark.parametrize("tier", [*TIERS, None])
def test_a_model_that_no_table_holds_is_open_to_all_and_never_replaced(tier: str | None) -> None:
    """A new id passes through, for every tier and without a warning."""
    assert TABLE.is_available("claude-opus-9", tier)
    assert TABLE.advice("claude-opus-9", tier) == TierAdvice("claude-opus-9")
    assert TABLE.minimum_tier("claude-opus-9") is None
    TABLE.require("claude-opus-9", tier)


def test_an_unknown_tier_forbids_nothing() -> None:
    """Nobody is refused for what is not known of them."""
    assert TABLE.advice("large", None) == TierAdvice("large")


def test_what_a_tier_may_not_use_is_replaced_and_said() -> None:
    """The warning names the model, the tier and the model instead."""
    advice = TABLE.advice("large", "pro")
    assert advice.model == "small"
    assert advice.warning == 'Model "large" is not available for tier "pro"; small is the default of that tier'


@pytest.mark.covers("N66")
def test_insisting_is_refused_with_the_tier_it_takes() -> None:
    """The error says what is required, in words and as data."""
    with pytest.raises(ModelAccessDenied) as refused:
        TABLE.require("large", "free")
    assert refused.value.cause == (
        'Model "large" is not available for tier "free". Required tier: "max" or higher.'
    )
    assert refused.value.data()["required_tier"] == "max"
    TABLE.require("large", "max")
