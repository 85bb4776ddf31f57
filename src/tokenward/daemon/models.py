"""What is known of models, as callers ask for it: by name, by tier, and beside a token.

The problem: a caller that says ``opus-4.5`` to one method and to another must be understood alike, and which tier
it has is known to nobody better than to the one who would serve it. So every method and every ``token.get`` ask
this one object, which reads the tables and the profiles, and decides nothing that the core does not.

Rules:
- A model that is asked for chooses the provider only if neither a provider nor a profile is named.
- The answer names the model to use; no request is ever rewritten by us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from tokenward.core import catalog, headers
from tokenward.core.catalog import Catalog, Model, ModelTable, ResolvedModel
from tokenward.core.model_reference import Naming
from tokenward.core.pins import split_profile
from tokenward.daemon.default_model import retirement
from tokenward.daemon.model_shapes import (
    ModelAccessParams,
    ModelAccessResult,
    ModelForTierParams,
    ModelForTierResult,
    ModelInfoParams,
    ModelListParams,
    ModelListResult,
    ModelResolveParams,
    ModelResolveResult,
    ModelResult,
    ModelTableResult,
)
from tokenward.daemon.token_models import TokenParams, TokenResult
from tokenward.errors import InvalidParams
from tokenward.model_files import model_catalog
from tokenward.provider_files import Provider, choose, model_naming


class Providers(Protocol):
    """The providers in force."""

    @property
    def default_provider(self) -> str:
        """Served if a call names none."""

    @property
    def providers(self) -> Mapping[str, Provider]:
        """By their own names."""


class Models:
    """The one to ask about models.

    Args:
        household: the providers in force.
        tier: the tier of what would be served now, by provider and agent; None = unknown.
    """

    def __init__(self, household: Providers, tier: Callable[[str, str], str | None]) -> None:
        self._household = household
        self._tier_now = tier

    # Beside a token

    def wanted(self, params: TokenParams) -> tuple[TokenParams, ResolvedModel | None]:
        """The request with the provider that its model chooses, and the model that it means.

        Raises:
            UnknownModel: if nobody can tell whose model it is.
            InvalidParams: if the model is another provider's than the request is for.
        """
        if params.model is None:
            return params, None
        params = _without_profile(params)
        named = params.provider if params.profile is None else params.profile.partition(":")[0]
        given = choose(named).provider if named is not None else None
        assert params.model is not None  # noqa: S101 - as above
        model = self._resolved(params.model, provider=given)
        if given is None:
            return params.model_copy(update={"provider": model.written or model.provider}), model
        if model.provider != given:
            raise InvalidParams(
                f"model: it is a model of {model.provider}, and the request is for {given}",
                hint="leave the provider out of one of them",
            )
        return params, model

    def meant(self, text: str, *, provider: str | None = None) -> ResolvedModel:
        """What a name means where no profile stands behind it.

        Args:
            text: a reference, an id or an alias.
            provider: whose it is if the text does not say.

        Raises:
            UnknownModel: if nobody can tell whose model it is.
        """
        return self._resolved(text, provider=provider)

    def dressed(self, result: TokenResult, params: TokenParams, model: ResolvedModel | None) -> TokenResult:
        """The answer with the model to use, and with the caller's betas among its headers.

        Args:
            result: what is served.
            params: what was asked for.
            model: the model that was asked for; None = none was.
        """
        changes: dict[str, Any] = {}
        if model is not None:
            advice = self._catalog.tiers_of(model.provider).advice(model.model, result.tier)
            notes = filter(None, (advice.warning, self._note(model.provider, advice.model)))
            changes |= {"model": advice.model, "model_note": "; ".join(notes) or None}
        if params.betas:
            changes["headers"] = headers.with_betas(result.headers, params.betas)
        return result.model_copy(update=changes) if changes else result

    # By name

    def resolve(self, params: ModelResolveParams) -> ModelResolveResult:
        """What a name means; see the method."""
        model = self._resolved(params.model, strict=params.strict)
        return ModelResolveResult(
            provider=model.provider,
            model=model.model,
            known=model.known,
            suggestion=model.suggestion,
            note=self._note(model.provider, model.model),
        )

    def info(self, params: ModelInfoParams) -> ModelResult:
        """One model; see the method."""
        model = self._resolved(params.model, strict=True)
        found = self._catalog.model(model.model)
        assert found is not None  # noqa: S101 - resolved strictly
        return self._shown(*found)

    def list(self, params: ModelListParams) -> ModelListResult:
        """The models that fit; see the method."""
        tables = [table for table in self._catalog.tables if params.table in {None, table.name}]
        default = self._household.providers.get(self._household.default_provider)
        return ModelListResult(
            tables=[ModelTableResult.model_validate(_source(table)) for table in tables],
            models=[self._shown(model, table) for table in tables for model in self._fitting(table, params)],
            default=default.default_model if default is not None else None,
            default_note=default.default_model_note if default is not None else None,
            defaults_by_tier=dict(self._catalog.tiers.defaults),
            aliases=dict(self._catalog.aliases),
        )

    # By tier

    def for_tier(self, params: ModelForTierParams) -> ModelForTierResult:
        """The model to use; see the method.

        Raises:
            ModelAccessDenied: strictly, if the tier may not use the model.
        """
        tier = params.tier or self._tier(self._catalog.provider, params.agent)
        model = self._resolved(params.model or self._catalog.tiers.recommended(tier))
        if model.provider != self._catalog.provider:
            tier = params.tier or self._tier(model.provider, params.agent)
        tiers = self._catalog.tiers_of(model.provider)
        if params.strict:
            tiers.require(model.model, tier)
        advice = tiers.advice(model.model, tier)
        return ModelForTierResult(
            provider=model.provider,
            model=advice.model,
            tier=tier,
            warning=advice.warning,
            note=self._note(model.provider, advice.model),
        )

    def validate_access(self, params: ModelAccessParams) -> ModelAccessResult:
        """Whether a tier may use a model; see the method.

        Raises:
            ModelAccessDenied: strictly, if it may not.
        """
        model = self._resolved(params.model)
        tier = params.tier or self._tier(model.provider, params.agent)
        tiers = self._catalog.tiers_of(model.provider)
        if params.strict:
            tiers.require(model.model, tier)
        return ModelAccessResult(
            allowed=tiers.is_available(model.model, tier),
            provider=model.provider,
            model=model.model,
            tier=tier,
            required_tier=tiers.minimum_tier(model.model),
        )

    # What they are made of

    @property
    def _catalog(self) -> Catalog:
        return model_catalog()

    @property
    def _naming(self) -> Naming:
        return model_naming(self._household.providers)

    def _resolved(self, text: str, *, provider: str | None = None, strict: bool = False) -> ResolvedModel:
        return self._catalog.resolve(text, self._naming, provider=provider, strict=strict)

    def _tier(self, provider: str, agent: str) -> str | None:
        known = self._household.providers.get(provider)
        return known.tier if known is not None and known.tier else self._tier_now(provider, agent)

    def _note(self, provider: str, model: str) -> str | None:
        return retirement(model, self._catalog) if provider == self._catalog.provider else None

    def _fitting(self, table: ModelTable, params: ModelListParams) -> Iterator[Model]:
        models = table.models
        if params.tier is not None:
            open_to = self._catalog.tiers.available(params.tier)
            models = tuple(model for model in models if model.id in open_to)
        wanted = {model.id for model in models}
        if params.capability is not None:
            wanted &= set(catalog.with_capability(models, params.capability))
        if params.family is not None:
            wanted &= set(catalog.of_family(models, params.family))
        if params.latest:
            wanted &= set(catalog.latest_by_family(models).values())
        return (model for model in models if model.id in wanted)

    def _shown(self, model: Model, table: ModelTable) -> ModelResult:
        return ModelResult.model_validate(
            {
                "provider": self._catalog.provider,
                "model": model.id,
                "family": model.family,
                "context_window": model.context_window,
                "max_output": model.max_output,
                "vision": model.vision,
                "extended_thinking": model.extended_thinking,
                "tool_use": model.tool_use,
                "deprecated": model.deprecated,
                "retired": self._catalog.retired.get(model.id),
                "minimum_tier": self._catalog.tiers.minimum_tier(model.id),
                "table": table.name,
                "note": model.note,
            }
        )


def _without_profile(params: TokenParams) -> TokenParams:
    """The same request, with the profile that stands behind its model taken out of it.

    Raises:
        InvalidParams: if the request names another profile.
    """
    assert params.model is not None  # noqa: S101 - the caller has checked it
    model, profile = split_profile(params.model)
    if profile is None:
        return params
    if params.profile not in {None, profile}:
        raise InvalidParams(
            f"the model names {profile}, and the request {params.profile}", hint="leave one of them out"
        )
    return params.model_copy(update={"model": model, "profile": profile})


def _source(table: ModelTable) -> dict[str, str]:
    return {"table": table.name, "dated": table.dated, "source": table.source}
