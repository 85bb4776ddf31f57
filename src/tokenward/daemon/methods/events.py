"""``events.*``: what happens, told as it happens.

Rules: an event never holds a token. A subscription lives as long as its connection, and a connection has one.
"""

from __future__ import annotations

from tokenward.daemon.event_models import SubscribeParams, SubscribeResult
from tokenward.daemon.history_models import HistoryParams, HistoryResult
from tokenward.daemon.methods.method import Call, Method


async def _subscribe(call: Call, params: SubscribeParams) -> SubscribeResult:
    await call.subscribe(None if params.profiles is None else frozenset(params.profiles))
    return SubscribeResult()


async def _history(call: Call, params: HistoryParams) -> HistoryResult:
    return call.service.history(params)


METHODS = (
    Method.of(
        name="events.subscribe",
        handler=_subscribe,
        summary="From here on this connection gets a notification `event` for whatever happens.",
    ),
    Method.of(
        name="events.history",
        handler=_history,
        summary="What happened in the last day, what callers reported, and who asked, as far as memory goes.",
    ),
)
