"""The tables of models: two data files, read once and made one catalog.

The problem: which models there are changes every month, and what the founding documents say of them must stay as
they said it. So both are data, each with its date: ``models-documents-2026.toml`` holds the documents' tables,
``models-current.toml`` what is current, and the second has the last word.

Rule: the core gets values; nothing else reads these files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from tokenward.core.catalog import Catalog, Model, ModelTable
from tokenward.core.tiers import TierTable
from tokenward.providers import packaged

CURRENT = "current"
DOCUMENTS = "documents"


@cache
def model_catalog() -> Catalog:
    """Everything that is known of models."""
    documents, current = packaged("models-documents-2026.toml"), packaged("models-current.toml")
    defaults = documents["defaults"]
    return Catalog(
        provider=current["provider"],
        tables=(_table(CURRENT, current), _table(DOCUMENTS, documents)),
        normalized=MappingProxyType(documents["normalized"]),
        corrected=MappingProxyType(documents["corrected"]),
        aliases=MappingProxyType(current["aliases"]),
        retired=MappingProxyType({model: since.isoformat() for model, since in current["retired"].items()}),
        tiers=TierTable(
            MappingProxyType({model: frozenset(tiers) for model, tiers in documents["tiers"].items()}),
            MappingProxyType(defaults["by_tier"]),
            defaults["without_tier"],
        ),
        default_model=defaults["model"],
    )


def _table(name: str, file: Mapping[str, Any]) -> ModelTable:
    models = tuple(Model(model, **figures) for model, figures in file["models"].items())
    return ModelTable(name, file["dated"], file["source"], models)
