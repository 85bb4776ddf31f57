"""``session.*`` and ``fallback.next``: what a conversation uses, and what it tries next.

Rule: a profile that a person named is hard; it gives way to another model, never to another credential.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.routing_models import (
    FallbackParams,
    FallbackResult,
    SessionParams,
    SessionPinParams,
    SessionResult,
)


async def _pin(call: Call, params: SessionPinParams) -> SessionResult:
    return await call.service.decisions.pin(params)


async def _get(call: Call, params: SessionParams) -> SessionResult:
    return call.service.decisions.session(params)


async def _reset(call: Call, params: SessionParams) -> SessionResult:
    return await call.service.decisions.reset(params)


async def _fallback(call: Call, params: FallbackParams) -> FallbackResult:
    return call.service.decisions.fallback(params)


METHODS = (
    Method.of(
        name="session.pin",
        handler=_pin,
        summary="Let a session use a model, and with `@provider:name` that profile and no other.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable, errors.UnknownModel),
    ),
    Method.of(
        name="session.get",
        handler=_get,
        summary="The model and the profile that a session uses; null where nothing is settled.",
    ),
    Method.of(
        name="session.reset",
        handler=_reset,
        summary="Forget the model and the profile of a session.",
        errors=(errors.StoreUnavailable,),
    ),
    Method.of(
        name="fallback.next",
        handler=_fallback,
        summary="The model to try after those that failed: the fallbacks, then the default; each once.",
        errors=(errors.UnknownModel,),
    ),
)
