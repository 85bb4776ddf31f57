"""Which model goes out with a token where the caller names none.

The problem: the environment, the configuration, a tier and a document's table may each name one, and a program
that asks twice must hear the same. So there is one order: ``ANTHROPIC_MODEL``; ``model`` under ``[default]``; the
default of a tier that somebody configured; the tables' own.

Rule: a model that the API no longer serves is said with that fact, and is not replaced by another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from logging import getLogger
from typing import NamedTuple

from tokenward.core.catalog import Catalog
from tokenward.core.model_reference import may_be_model
from tokenward.model_files import model_catalog
from tokenward.provider_files import Provider, model_naming
from tokenward.settings import Settings

MODEL_VARIABLE = "ANTHROPIC_MODEL"
HOW_TO_CHANGE = "name another with model under [default]"

log = getLogger(__name__)


class DefaultModel(NamedTuple):
    """A model that nobody asked for.

    Args:
        model: its id.
        note: what a person should know of it.
    """

    model: str
    note: str | None = None


def default_models(
    settings: Settings, environ: Mapping[str, str], provider: Callable[[str], Provider]
) -> dict[str, DefaultModel]:
    """The default model of each provider that has one.

    Args:
        settings: the configuration.
        environ: the environment of the daemon.
        provider: the provider of a name, as it is in force.
    """
    catalog, naming = model_catalog(), model_naming(settings.providers)
    tier = provider(catalog.provider).tier
    fallback = catalog.default_model if tier is None else catalog.tiers.recommended(tier)
    chosen = {catalog.provider: fallback}
    if settings.default.model is not None:
        configured = catalog.resolve(settings.default.model, naming)
        chosen[configured.provider] = configured.model
    said = environ.get(MODEL_VARIABLE, "").strip()
    if may_be_model(said):
        meant = catalog.resolve(said, naming, provider=catalog.provider)
        # Its own readers send it as it is; what looks like another provider's is a gateway's id.
        chosen[catalog.provider] = meant.model if meant.provider == catalog.provider else said
    elif said:
        log.warning("%s is not the name of a model, and is ignored", MODEL_VARIABLE)
    return {name: DefaultModel(model, _note(name, model, catalog)) for name, model in chosen.items()}


def _note(provider: str, model: str, catalog: Catalog) -> str | None:
    note = retirement(model, catalog) if provider == catalog.provider else None
    return None if note is None else f"{note}; {HOW_TO_CHANGE}"


def retirement(model: str, catalog: Catalog) -> str | None:
    """That the API no longer serves a model of the catalog's provider, and which is current; None if it does."""
    since = catalog.retired.get(model)
    if since is None:
        return None
    found = catalog.model(model)
    newest = catalog.aliases.get(found[0].family) if found is not None else None
    instead = f"; {newest} is current" if newest is not None else ""
    return f"{model} was retired on {since}{instead}"
