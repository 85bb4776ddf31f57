"""``model.*``: what a name for a model means, what is known of it, and which tier may use it.

Rule: an id that no table holds passes through, unless the caller is strict, and is never replaced.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
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
)


async def _resolve(call: Call, params: ModelResolveParams) -> ModelResolveResult:
    return call.service.models.resolve(params)


async def _info(call: Call, params: ModelInfoParams) -> ModelResult:
    return call.service.models.info(params)


async def _list(call: Call, params: ModelListParams) -> ModelListResult:
    return call.service.models.list(params)


async def _for_tier(call: Call, params: ModelForTierParams) -> ModelForTierResult:
    return call.service.models.for_tier(params)


async def _validate_access(call: Call, params: ModelAccessParams) -> ModelAccessResult:
    return call.service.models.validate_access(params)


METHODS = (
    Method.of(
        name="model.resolve",
        handler=_resolve,
        summary="What a name for a model means: whose it is, and its id.",
        errors=(errors.UnknownModel,),
    ),
    Method.of(
        name="model.info",
        handler=_info,
        summary="One model: what it can do, which tier may use it, and which table says so.",
        errors=(errors.UnknownModel,),
    ),
    Method.of(
        name="model.list",
        handler=_list,
        summary="The models that are known, with the tables they come from and the defaults.",
    ),
    Method.of(
        name="model.for_tier",
        handler=_for_tier,
        summary="The model that a tier is to use: the one wanted, or the tier's own with a warning.",
        errors=(errors.UnknownModel, errors.ModelAccessDenied),
    ),
    Method.of(
        name="model.validate_access",
        handler=_validate_access,
        summary="Whether a tier may use a model.",
        errors=(errors.UnknownModel, errors.ModelAccessDenied),
    ),
)
