"""``order.*``: the profiles of a provider in the order that a person decided.

Rule: an order is the whole list; whom it does not name does not serve.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.routing_models import OrderParams, OrderResult, OrderSetParams


async def _get(call: Call, params: OrderParams) -> OrderResult:
    return call.service.decisions.order(params)


async def _set(call: Call, params: OrderSetParams) -> OrderResult:
    return await call.service.decisions.set_order(params)


async def _clear(call: Call, params: OrderParams) -> OrderResult:
    return await call.service.decisions.clear_order(params)


METHODS = (
    Method.of(
        name="order.get",
        handler=_get,
        summary="The explicit order of an agent's profiles of a provider; empty if none is set.",
    ),
    Method.of(
        name="order.set",
        handler=_set,
        summary="Let exactly these profiles serve, in this order, also after a restart.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
    Method.of(
        name="order.clear",
        handler=_clear,
        summary="Forget the order: whoever was used longest ago goes first again.",
        errors=(errors.StoreUnavailable,),
    ),
)
