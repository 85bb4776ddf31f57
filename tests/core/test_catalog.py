"""What a name for a model means, over the packaged tables."""

import pytest

from tokenward.core.catalog import Model, ResolvedModel, latest_by_family
from tokenward.core.model_reference import Naming
from tokenward.errors import UnknownModel
from tokenward.model_files import model_catalog
from tokenward.provider_files import model_naming

CATALOG = model_catalog()
NAMING: Naming = model_naming(["acme"])

NORMALIZED = {
    "opus-4.5": "claude-opus-4-5",
    "sonnet-4.5": "claude-sonnet-4-5",
    "claude-sonnet-4": "claude-sonnet-4-20250514",
    "claude-opus-4": "claude-opus-4-20250514",
    "sonnet-4": "claude-sonnet-4-20250514",
    "opus-4": "claude-opus-4-20250514",
}


def resolve(text: str, *, provider: str | None = None, strict: bool = False) -> ResolvedModel:
    """What a text means."""
    return CATALOG.resolve(text, NAMING, provider=provider, strict=strict)


@pytest.mark.covers("E22")
@pytest.mark.parametrize("form", ["{}", " {}\t", "anthropic/{}", "Anthropic:{}", "claude-cli/{}"])
@pytest.mark.parametrize(("text", "model"), NORMALIZED.items())
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_the_six_shorthands_are_put_right(form: str, text: str, model: str, change: type[str]) -> None:
    """In any case, with blanks, with and without the provider."""
    meant = resolve(form.format(change(text)))
    assert (meant.provider, meant.model, meant.known) == ("anthropic", model, True)


@pytest.mark.covers("E22")
@pytest.mark.parametrize(
    "text", ["claude-opus-4-5", "claude-opus-4-5-20251101", "Claude-Opus-9", "opus-4.50", "x"]
)
def test_every_other_text_is_left_as_it_is(text: str) -> None:
    """The table of shorthands touches nothing else."""
    assert CATALOG.normalize(text) == text
    assert resolve(f"anthropic/{text}").model == text


@pytest.mark.covers("E23")
def test_aliases_are_another_table() -> None:
    """``opus`` is no shorthand: it names the newest of its family, which a shorthand never does."""
    for alias in ("opus", "sonnet"):
        assert alias not in CATALOG.normalized
        assert CATALOG.normalize(alias) == alias
        assert resolve(alias).model == CATALOG.aliases[alias]
        assert resolve(f"anthropic/{alias.upper()}").model == CATALOG.aliases[alias]
    assert not CATALOG.aliases.keys() & CATALOG.normalized.keys()


@pytest.mark.covers("E6")
def test_a_reference_becomes_a_provider_and_a_model() -> None:
    """Cut at the first slash."""
    meant = resolve("anthropic/claude-opus-4-5")
    assert (meant.provider, meant.model) == ("anthropic", "claude-opus-4-5")
    further = resolve("acme/claude-opus-4-5/x")
    assert (further.provider, further.model) == ("acme", "claude-opus-4-5/x")


@pytest.mark.covers("E25")
def test_strictly_an_id_that_no_table_holds_is_unknown() -> None:
    """The message is the founding document's; the suggestion is data too."""
    with pytest.raises(UnknownModel) as refused:
        resolve("anthropic/nope", strict=True)
    assert refused.value.cause == "Unknown model: anthropic/nope"
    with pytest.raises(UnknownModel) as near:
        resolve("claude-sonet-5-5", strict=True)
    assert near.value.hint == "did you mean claude-sonnet-5-5?"
    assert near.value.data()["suggestion"] == "claude-sonnet-5-5"


@pytest.mark.parametrize("text", ["claude-opus-9", "anthropic/claude-opus-9", "anthropic/nope"])
def test_otherwise_it_passes_through_with_a_word(text: str) -> None:
    """A new id is never taken for an old one: only the suggestion is."""
    meant = resolve(text)
    assert (meant.provider, meant.known) == ("anthropic", False)
    assert meant.model == text.removeprefix("anthropic/")


@pytest.mark.covers("L6")
def test_an_id_alone_that_is_nobodys_names_the_syntax() -> None:
    """Strict or not."""
    for strict in (False, True):
        with pytest.raises(UnknownModel) as refused:
            resolve("gpt-5", strict=strict)
        assert refused.value.cause == "Unknown model: gpt-5"
        assert "provider/model or provider:model" in refused.value.hint
    assert "did you mean claude-sonnet-5?" in _hint("laude-sonnet-5")


def _hint(text: str) -> str:
    with pytest.raises(UnknownModel) as refused:
        resolve(text)
    return refused.value.hint


def test_the_callers_provider_owns_an_id_alone() -> None:
    """A gateway may serve ``claude-…`` under its own name; a provider in the text wins over the caller's."""
    assert resolve("gpt-5", provider="acme").provider == "acme"
    assert resolve("claude-opus-5", provider="acme").provider == "acme"
    assert resolve("anthropic/claude-opus-5", provider="acme").provider == "anthropic"


@pytest.mark.parametrize("text", ["acme/opus", "acme/opus-4.5", "acme:claude-haiku-3-5-20241022"])
def test_another_providers_ids_are_not_touched(text: str) -> None:
    """They are not known, and nothing of ours is suggested for them."""
    meant = resolve(text)
    assert (meant.model, meant.known, meant.suggestion) == (text[5:], False, None)


@pytest.mark.covers("P8")
def test_the_documents_bad_haiku_id_is_the_real_one() -> None:
    """The id that no API ever had."""
    assert resolve("claude-haiku-3-5-20241022", strict=True).model == "claude-3-5-haiku-20241022"


def test_the_newest_of_a_family_is_one_that_its_provider_stands_by() -> None:
    """A deprecated one is passed over, though it is the last."""
    models = [Model("a-1", "a"), Model("a-2", "a"), Model("a-3", "a", deprecated=True), Model("b-1", "b")]
    assert latest_by_family(models) == {"a": "a-2", "b": "b-1"}
