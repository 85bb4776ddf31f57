"""``daemon.*`` and ``rpc.discover``: the process itself, and what it can be asked.

Rule: ``daemon.hello`` answers whatever state the daemon is in; it asks the service nothing.
"""

from __future__ import annotations

import os
from typing import Any

from pydantic import ConfigDict, Field

from tokenward import __version__
from tokenward.daemon.daemon_models import DaemonStatusResult, HelloParams, HelloResult, ReloadResult, StopResult
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.rpc_types import NoParams, Result


class DiscoverResult(Result):
    """An OpenRPC document."""

    model_config = ConfigDict(extra="allow")  # the specification's extensions, named x-…

    openrpc: str = Field(description="The version of the OpenRPC specification.")
    info: dict[str, Any]
    methods: list[dict[str, Any]]
    components: dict[str, Any]


async def _hello(_call: Call, _params: HelloParams) -> HelloResult:
    return HelloResult(version=__version__, pid=os.getpid())


async def _status(call: Call, _params: NoParams) -> DaemonStatusResult:
    return call.service.status()


async def _reload(call: Call, _params: NoParams) -> ReloadResult:
    return await call.service.reload()


async def _stop(call: Call, _params: NoParams) -> StopResult:
    call.service.stop()
    return StopResult()


async def _discover(_call: Call, _params: NoParams) -> DiscoverResult:
    from tokenward.daemon import openrpc  # it reads the table this method stands in

    return DiscoverResult.model_validate(openrpc.document())


METHODS = (
    Method.of(
        name="daemon.hello",
        handler=_hello,
        summary="Who answers, and which protocol.",
    ),
    Method.of(
        name="daemon.status",
        handler=_status,
        summary="The daemon as a whole, with all profiles.",
    ),
    Method.of(
        name="daemon.reload",
        handler=_reload,
        summary="Read the configuration again; a wrong file keeps the old settings and says so.",
    ),
    Method.of(
        name="daemon.stop",
        handler=_stop,
        summary="End after the refreshes under way.",
    ),
    Method.of(
        name="rpc.discover",
        handler=_discover,
        summary="This document (OpenRPC).",
    ),
)
