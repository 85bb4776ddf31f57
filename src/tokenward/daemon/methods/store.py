"""``store.*``: our own store as a whole.

Rule: no result holds a credential; an export goes to a file, encrypted, and not over the socket.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.rpc_types import NoParams
from tokenward.daemon.store_models import (
    ExportParams,
    ExportResult,
    RekeyParams,
    RestoreParams,
    RestoreResult,
    StoreStatusResult,
)


async def _status(call: Call, _params: NoParams) -> StoreStatusResult:
    return await call.service.store_status()


async def _rekey(call: Call, params: RekeyParams) -> StoreStatusResult:
    return await call.service.store_rekey(params)


async def _export(call: Call, params: ExportParams) -> ExportResult:
    return await call.service.store_export(params)


async def _restore(call: Call, params: RestoreParams) -> RestoreResult:
    return await call.service.store_restore(params)


METHODS = (
    Method.of(
        name="store.status",
        handler=_status,
        summary="Where the key of our own store lies; one that was locked is asked for again.",
    ),
    Method.of(
        name="store.rekey",
        handler=_rekey,
        summary="Seal every record under a new key in a place; can be interrupted at any moment and goes on.",
        errors=(errors.StoreUnavailable,),
    ),
    Method.of(
        name="store.export",
        handler=_export,
        summary="Write everything that our own store keeps to a new age file for recipients.",
        errors=(errors.StoreUnavailable,),
    ),
    Method.of(
        name="store.restore",
        handler=_restore,
        summary="Take the profiles of an exported file into our own store; newer records stay.",
        errors=(errors.StoreUnavailable,),
    ),
)
