"""What is known of models, and what a name for one means.

The problem: people write ``opus-4.5``, ``opus`` or last year's id, every program has its own list of what that
means, and a list that is asked "does it exist?" says no to everything newer than itself. So names are put right by
tables that are data, and an id that no table holds passes through as it is, unless the caller insists.

Rules:
- Normalization is not aliasing: the first puts an id right that is written in another way, the second names
  whatever is newest of a family. Neither knows the other's words (E23).
- Both are for the provider of the tables alone; another provider's ids are never touched.
- Where two tables hold an id, the first of them describes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tokenward.core.model_reference import Naming, parse
from tokenward.core.tiers import TierTable
from tokenward.errors import UnknownModel

Capability = Literal["vision", "extended_thinking", "tool_use"]
_NO_TIERS = TierTable({}, {}, "")
SYNTAX = "write it as provider/model or provider:model"


class Model(NamedTuple):
    """One model; None = no source says.

    Args:
        id: its id at the API.
        family: ``opus``, ``sonnet``, …
        context_window: tokens it can read at once.
        max_output: tokens it can write at once.
        vision: whether it sees images.
        extended_thinking: whether it can think before it answers.
        tool_use: whether it can call tools.
        deprecated: whether its provider advises against it.
        note: what else a person should know.
    """

    id: str
    family: str
    context_window: int | None = None
    max_output: int | None = None
    vision: bool | None = None
    extended_thinking: bool | None = None
    tool_use: bool | None = None
    deprecated: bool = False
    note: str | None = None


class ModelTable(NamedTuple):
    """Models from one place.

    Args:
        name: what the table is called.
        dated: when it was right: a year or a day, as ISO 8601 has it.
        source: where it was taken from, for people.
        models: within a family the older first.
    """

    name: str
    dated: str
    source: str
    models: tuple[Model, ...]


class ResolvedModel(NamedTuple):
    """What a name for a model means.

    Args:
        provider: the provider's own name.
        model: the id at its API.
        written: the provider as the caller named it; None = it was inferred.
        known: whether a table holds the id.
        suggestion: for an id that none holds, the nearest that one does.
    """

    provider: str
    model: str
    written: str | None
    known: bool
    suggestion: str | None = None


class Catalog(NamedTuple):
    """All tables of one provider.

    Args:
        provider: whose models these are.
        tables: what is current first.
        normalized: ids written in another way, in lower case, and the ids.
        corrected: ids that no API has, and the ones that are meant.
        aliases: names for the newest of a family.
        retired: ids that the API no longer serves, and since when, as ISO 8601 has it.
        tiers: who may use what.
        default_model: the model of those who name none and have no tier.
    """

    provider: str
    tables: tuple[ModelTable, ...]
    normalized: Mapping[str, str]
    corrected: Mapping[str, str]
    aliases: Mapping[str, str]
    retired: Mapping[str, str]
    tiers: TierTable
    default_model: str

    def normalize(self, model: str) -> str:
        """The id that is meant by another way to write it; every other text comes back as it is."""
        return self.normalized.get(model.strip().lower(), model)

    def model(self, model: str) -> tuple[Model, ModelTable] | None:
        """An id as the first table that holds it describes it, and that table."""
        for table in self.tables:
            for each in table.models:
                if each.id == model:
                    return each, table
        return None

    def tiers_of(self, provider: str) -> TierTable:
        """The tier table for a provider's models; other providers' are open to all."""
        return self.tiers if provider == self.provider else _NO_TIERS

    def resolve(
        self, text: str, naming: Naming, *, provider: str | None = None, strict: bool = False
    ) -> ResolvedModel:
        """What a name for a model means.

        Args:
            text: a reference, an id, another way to write one, or an alias.
            naming: the providers there are.
            provider: whose it is if the text does not name anybody; None = nobody said.
            strict: whether an id that no table holds is an error.

        Raises:
            UnknownModel: if nobody can tell whose model it is; or, strictly, if no table holds it.
        """
        reference = parse(text, naming)
        owner = reference.provider or provider or reference.inferred
        meant = self._meant(reference.model) if owner in {None, self.provider} else reference.model
        if owner is None and meant != reference.model:
            owner = self.provider
        known = owner == self.provider and self.model(meant) is not None
        suggestion = self._nearest(meant) if not known and owner in {None, self.provider} else None
        if owner is None or (strict and not known):
            raise _unknown(reference.model if owner is None else f"{owner}/{meant}", owner, suggestion)
        return ResolvedModel(owner, meant, reference.written, known, suggestion)

    def _meant(self, model: str) -> str:
        normal = self.normalize(model)
        if normal != model:
            return normal
        lower = model.lower()
        return self.corrected.get(lower) or self.aliases.get(lower) or model

    def _nearest(self, model: str) -> str | None:
        import difflib  # only a mistake needs it

        names = [each.id for table in self.tables for each in table.models]
        near = difflib.get_close_matches(model.lower(), [*names, *self.normalized, *self.aliases], n=1)
        return self._meant(near[0]) if near else None


def _unknown(name: str, owner: str | None, suggestion: str | None) -> UnknownModel:
    hint = f"did you mean {suggestion}?" if suggestion else "see which there are: tokenward models"
    if owner is None:
        hint = f"{SYNTAX}; {hint}"
    return UnknownModel(f"Unknown model: {name}", hint=hint, suggestion=suggestion)


def with_capability(models: Iterable[Model], capability: Capability) -> list[str]:
    """The ids of the models that can do something, in the order of the table."""
    return [model.id for model in models if getattr(model, capability) is True]


def of_family(models: Iterable[Model], family: str) -> list[str]:
    """The ids of a family, the older first."""
    return [model.id for model in models if model.family == family.lower()]


def latest_by_family(models: Iterable[Model]) -> dict[str, str]:
    """The newest id of each family that its provider does not advise against."""
    return {model.family: model.id for model in models if not model.deprecated}
