"""The packaged tables of models hold what the founding documents say, and are consistent."""

from __future__ import annotations

import json
from datetime import date
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from tokenward.core.catalog import Model, ModelTable, latest_by_family, of_family, with_capability
from tokenward.core.subscription_tier import TIERS
from tokenward.model_files import CURRENT, DOCUMENTS, model_catalog
from tokenward.providers import packaged

CATALOG = model_catalog()
TABLES = {table.name: table for table in CATALOG.tables}
HAIKU_3, HAIKU_3_5 = "claude-3-haiku-20240307", "claude-3-5-haiku-20241022"
SONNET_3_5, SONNET_V2 = "claude-3-5-sonnet-20241022", "claude-3-5-sonnet-v2-20241022"
SONNET_4, OPUS_3, OPUS_4 = "claude-sonnet-4-20250514", "claude-3-opus-20240229", "claude-opus-4-20250514"
SEVEN = [HAIKU_3, HAIKU_3_5, SONNET_3_5, SONNET_V2, SONNET_4, OPUS_3, OPUS_4]


class Part(BaseModel):
    """A table of a file; what is not named here is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Figures(Part):
    """A model."""

    family: str
    context_window: int | None = None
    max_output: int | None = None
    vision: bool | None = None
    extended_thinking: bool | None = None
    tool_use: bool | None = None
    deprecated: bool = False
    note: str | None = None


class File(Part):
    """What both files hold."""

    provider: str
    dated: str
    source: str
    models: dict[str, Figures]


Tier = Literal["free", "pro", "max", "max_5", "max_20", "api"]


class Defaults(Part):
    """The documents' answers where nobody names a model."""

    model: str
    without_tier: str
    by_tier: dict[Tier, str]


class Documents(File):
    """``models-documents-*.toml``."""

    normalized: dict[str, str]
    corrected: dict[str, str]
    defaults: Defaults
    tiers: dict[str, frozenset[Tier]]


class Current(File):
    """``models-current.toml``."""

    aliases: dict[str, str]
    retired: dict[str, date]


@pytest.mark.parametrize(
    ("name", "kind"), [("models-documents-2026.toml", Documents), ("models-current.toml", Current)]
)
def test_the_files_hold_nothing_that_is_not_read(name: str, kind: type[File]) -> None:
    """Every key has a meaning and every value its type: at a start nobody looks."""
    document = packaged(name)
    kind.model_validate_json(json.dumps(document, default=date.isoformat))
    with pytest.raises(ValidationError):
        kind.model_validate_json(json.dumps({**document, "of_no_file": 1}, default=date.isoformat))


def documented(model: str) -> Model:
    """A model as the documents describe it."""
    return next(each for each in TABLES[DOCUMENTS].models if each.id == model)


@pytest.mark.covers("N7")
@pytest.mark.parametrize(
    "row",
    [
        ("claude-opus-4-5-20251101", "opus", None, None, None, None, False),
        ("claude-sonnet-4-5-20250929", "sonnet", 200_000, None, True, True, False),
        ("claude-haiku-4-5-20251001", "haiku", 200_000, None, True, True, False),
        ("claude-opus-4-1-20250805", "opus", None, None, None, None, False),
        (OPUS_4, "opus", 200_000, 64_000, True, True, False),
        (SONNET_4, "sonnet", 200_000, 64_000, True, True, False),
        ("claude-3-7-sonnet-20250219", "sonnet", None, None, None, None, False),
        (SONNET_3_5, "sonnet", 200_000, 8_192, True, False, False),
        (HAIKU_3_5, "haiku", 200_000, 8_192, False, False, False),
        ("claude-3-sonnet-20240229", "sonnet", None, None, None, None, True),
        (OPUS_3, "opus", 200_000, 4_096, True, False, True),
        (HAIKU_3, "haiku", 200_000, 4_096, True, False, True),
    ],
    ids=lambda row: row[0],
)
def test_the_twelve_ids_of_the_enum(row: tuple[object, ...]) -> None:
    """Family, context, output, vision, thinking, deprecation; two have Polpo's figures."""
    model = documented(str(row[0]))
    assert model[:6] == row[:6]
    assert model.deprecated is row[6]


@pytest.mark.covers("L7")
@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-4-6",
        "claude-sonnet-4-6",
        "claude-sonnet-4-5-20250929",
        "claude-haiku-4-5-20251001",
        "claude-opus-4-5",
        "claude-opus-4-1",
        "claude-sonnet-4-0",
        "claude-3-7-sonnet-20250219",
        SONNET_3_5,
        HAIKU_3_5,
    ],
)
def test_polpos_ten_ids(model: str) -> None:
    """All are in the documents' table; the four it recommends with 200K, reasoning and vision."""
    known = documented(model)
    if model in {
        "claude-opus-4-6",
        "claude-sonnet-4-6",
        "claude-sonnet-4-5-20250929",
        "claude-haiku-4-5-20251001",
    }:
        assert (known.context_window, known.extended_thinking, known.vision) == (200_000, True, True)


@pytest.mark.covers("N12")
@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        (HAIKU_3, TIERS),
        (HAIKU_3_5, TIERS),
        (SONNET_3_5, TIERS[1:]),
        (SONNET_V2, TIERS[1:]),
        (SONNET_4, TIERS[1:]),
        (OPUS_3, TIERS[2:]),
        (OPUS_4, TIERS[2:]),
    ],
)
def test_the_truth_table_of_tiers(model: str, allowed: tuple[str, ...]) -> None:
    """Seven models by six tiers."""
    assert [tier for tier in TIERS if CATALOG.tiers.is_available(model, tier)] == list(allowed)
    assert CATALOG.tiers.minimum_tier(model) == allowed[0]


@pytest.mark.covers("N13")
def test_the_default_of_each_tier() -> None:
    """And no tier lacks one."""
    assert {tier: CATALOG.tiers.recommended(tier) for tier in TIERS} == {
        "free": HAIKU_3_5,
        "pro": SONNET_4,
        "max": OPUS_4,
        "max_5": OPUS_4,
        "max_20": OPUS_4,
        "api": SONNET_4,
    }


@pytest.mark.covers("N14")
def test_without_a_tier_there_is_a_default_of_its_own() -> None:
    """The tiers' defaults hold only for a tier."""
    assert CATALOG.tiers.recommended(None) == SONNET_3_5
    assert SONNET_3_5 not in CATALOG.tiers.defaults.values()


@pytest.mark.covers("N15")
def test_opus_on_pro_becomes_sonnet_with_a_warning() -> None:
    """The founding document's example."""
    advice = CATALOG.tiers.advice(OPUS_4, "pro")
    assert advice.model == SONNET_4
    assert advice.warning is not None
    assert "not available for tier" in advice.warning


@pytest.mark.covers("N68", "N69")
def test_the_documents_helper_functions_give_the_documents_examples() -> None:
    """Over its table of seven models, exactly."""
    seven = [model for model in TABLES[DOCUMENTS].models if model.id in CATALOG.tiers.access]
    assert [model.id for model in seven] == SEVEN
    assert not CATALOG.tiers.is_available(OPUS_4, "pro")
    assert CATALOG.tiers.is_available(OPUS_4, "max")
    assert CATALOG.tiers.minimum_tier(OPUS_4) == "max"
    assert with_capability(seven, "extended_thinking") == [SONNET_4, OPUS_4]
    assert latest_by_family(seven) == {"haiku": HAIKU_3_5, "sonnet": SONNET_4, "opus": OPUS_4}
    assert CATALOG.tiers.available("pro") == [HAIKU_3, HAIKU_3_5, SONNET_3_5, SONNET_V2, SONNET_4]
    assert of_family(seven, "Opus") == [OPUS_3, OPUS_4]
    assert CATALOG.model(OPUS_4) == (documented(OPUS_4), TABLES[DOCUMENTS])


@pytest.mark.parametrize("table", CATALOG.tables, ids=lambda table: table.name)
def test_each_table_says_when_and_whence(table: ModelTable) -> None:
    """A date and a source for people, and no id twice."""
    assert table.dated.startswith("2026")
    assert table.source
    ids = [model.id for model in table.models]
    assert len(ids) == len(set(ids))


def test_what_is_current_has_the_last_word() -> None:
    """An id that both tables hold is described by the newer."""
    found = CATALOG.model("claude-opus-4-6")
    assert found is not None
    assert (found[0].context_window, found[1].name) == (1_000_000, CURRENT)


def test_every_name_leads_to_a_model_that_is_there() -> None:
    """No shorthand, correction, alias, default or retirement points nowhere, and no alias at what is gone."""
    known = {model.id for table in CATALOG.tables for model in table.models}
    named = [
        *CATALOG.normalized.values(),
        *CATALOG.corrected.values(),
        *CATALOG.aliases.values(),
        *CATALOG.tiers.access,
        *CATALOG.tiers.defaults.values(),
        CATALOG.tiers.without_tier,
        CATALOG.default_model,
        *CATALOG.retired,
    ]
    assert set(named) <= known
    assert all(text == text.lower() for text in [*CATALOG.normalized, *CATALOG.corrected, *CATALOG.aliases])
    newest = latest_by_family(TABLES[CURRENT].models)
    assert dict(CATALOG.aliases) == newest
    assert not CATALOG.retired.keys() & {model.id for model in TABLES[CURRENT].models}
