"""The tables of models: two data files, read once and made one catalog.

The problem: which models there are changes every month, and what the founding documents say of them must stay as
they said it. So both are data, each with its date: ``models-documents-2026.toml`` holds the documents' tables,
``models-current.toml`` what is current, and the second has the last word.

Rule: the core gets values; nothing else reads these files.
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tokenward.core.catalog import Catalog, Model, ModelTable
from tokenward.core.tiers import TierTable

CURRENT = "current"
DOCUMENTS = "documents"
_Tier = Literal["free", "pro", "max", "max_5", "max_20", "api"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class _Model(_Part):
    family: str
    context_window: int | None = None
    max_output: int | None = None
    vision: bool | None = None
    extended_thinking: bool | None = None
    tool_use: bool | None = None
    deprecated: bool = False
    note: str | None = None


class _File(_Part):
    provider: str
    dated: str
    source: str
    models: dict[str, _Model]


class _Defaults(_Part):
    model: str
    without_tier: str
    by_tier: dict[_Tier, str]


class _Documents(_File):
    """``models-documents-*.toml``."""

    normalized: dict[str, str]
    corrected: dict[str, str]
    defaults: _Defaults
    tiers: dict[str, frozenset[_Tier]]


class _Current(_File):
    """``models-current.toml``."""

    aliases: dict[str, str]
    retired: dict[str, date]


@cache
def model_catalog() -> Catalog:
    """Everything that is known of models."""
    documents = _Documents.model_validate(_read("models-documents-2026.toml"))
    current = _Current.model_validate(_read("models-current.toml"))
    return Catalog(
        provider=current.provider,
        tables=(_table(CURRENT, current), _table(DOCUMENTS, documents)),
        normalized=MappingProxyType(documents.normalized),
        corrected=MappingProxyType(documents.corrected),
        aliases=MappingProxyType(current.aliases),
        retired=MappingProxyType({model: since.isoformat() for model, since in current.retired.items()}),
        tiers=TierTable(
            MappingProxyType({model: frozenset[str](tiers) for model, tiers in documents.tiers.items()}),
            MappingProxyType({str(tier): model for tier, model in documents.defaults.by_tier.items()}),
            documents.defaults.without_tier,
        ),
        default_model=documents.defaults.model,
    )


def _read(name: str) -> dict[str, object]:
    return tomllib.loads(resources.files("tokenward.providers").joinpath(name).read_text("utf-8"))


def _table(name: str, file: _File) -> ModelTable:
    models = tuple(Model(model, **figures.model_dump()) for model, figures in file.models.items())
    return ModelTable(name, file.dated, file.source, models)
