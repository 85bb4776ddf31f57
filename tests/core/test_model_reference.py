"""References to models: where they are cut, and whose they are."""

import pytest

from tokenward.core.model_reference import ModelReference, Naming, parse

NAMING = Naming({"anthropic": "anthropic", "claude-cli": "anthropic", "acme": "acme"}, {"claude-": "anthropic"})


@pytest.mark.covers("L5")
@pytest.mark.parametrize("separator", ["/", ":"])
def test_both_separators_name_a_provider(separator: str) -> None:
    """``provider:model`` and ``provider/model`` say the same."""
    assert parse(f"anthropic{separator}claude-sonnet-4-5-20250929", NAMING) == ModelReference(
        "claude-sonnet-4-5-20250929", "anthropic", "anthropic"
    )


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("acme/foo/bar", "acme", "foo/bar"),
        ("acme:foo/bar", "acme", "foo/bar"),
        ("acme/foo:8b", "acme", "foo:8b"),
        ("openrouter/anthropic/claude-x", "openrouter", "anthropic/claude-x"),
    ],
)
def test_a_reference_is_cut_once_at_the_first_separator(text: str, provider: str, model: str) -> None:
    """What follows it may hold separators itself."""
    reference = parse(text, NAMING)
    assert (reference.provider, reference.model) == (provider, model)


def test_a_provider_is_known_in_any_case_and_by_its_aliases() -> None:
    """The alias is remembered: it may ask for more than its provider. The model keeps its case."""
    assert parse("  Claude-CLI/Opus ", NAMING) == ModelReference("Opus", "anthropic", "claude-cli")


@pytest.mark.covers("L6")
@pytest.mark.parametrize(
    "model", ["claude-sonnet-4-5-20250929", "Claude-New-9", "claude-x:thinking", "claude-4@2026"]
)
def test_the_prefix_of_an_id_says_whose_it_is(model: str) -> None:
    """The whole text is the id then, with its separators."""
    assert parse(model, NAMING) == ModelReference(model, inferred="anthropic")


@pytest.mark.parametrize("text", ["gpt-5", "opus", "acme/", "/x", ":x", "no provider/x"])
def test_what_names_nobody_stays_whole(text: str) -> None:
    """No provider is guessed from what cannot be one."""
    assert parse(text, NAMING) == ModelReference(text)
