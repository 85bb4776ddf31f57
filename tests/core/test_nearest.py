"""A mistyped name is answered with the one that was meant, and a name of its own with nothing."""

from __future__ import annotations

import pytest

from tokenward.core.nearest import did_you_mean

KNOWN = ["anthropic", "acme", "acme:me", "anthropic:work", "anthropic:claude-cli"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("antropic", "anthropic"),
        ("anthropc", "anthropic"),
        ("acm", "acme"),
        ("acme:mee", "acme:me"),
        ("anthropic:wokr", "anthropic:work"),
        ("anthropic:claude-cil", "anthropic:claude-cli"),
    ],
)
def test_a_mistyped_name_is_asked_about(given: str, meant: str) -> None:
    """The nearest that there is, as the beginning of a hint."""
    assert did_you_mean(given, KNOWN) == f"did you mean {meant}? "


@pytest.mark.parametrize("given", ["openai", "anthropic", "anthropic:mine", "", "sk-ant-api03-" + "k" * 95])
def test_a_name_of_its_own_is_left_alone(given: str) -> None:
    """Nothing is near, or it is the name itself."""
    assert did_you_mean(given, ["anthropic", "anthropic:work"]) == ""
