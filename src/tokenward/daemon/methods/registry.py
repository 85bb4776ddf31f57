"""The one table of RPC methods, from which dispatch, validation and ``openrpc.json`` are made.

Rule: a method exists if and only if it stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenward.daemon.methods import (
    daemon,
    doctor,
    events,
    login,
    metrics,
    model,
    order,
    profile,
    provider,
    session,
    sink,
    source,
    store,
    token,
    usage,
)
from tokenward.daemon.methods.method import Method

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            *daemon.METHODS,
            *metrics.METHODS,
            *token.METHODS,
            *profile.METHODS,
            *provider.METHODS,
            *model.METHODS,
            *login.METHODS,
            *source.METHODS,
            *sink.METHODS,
            *store.METHODS,
            *usage.METHODS,
            *doctor.METHODS,
            *order.METHODS,
            *session.METHODS,
            *events.METHODS,
        )
    }
)
