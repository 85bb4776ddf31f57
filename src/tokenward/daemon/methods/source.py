"""``source.*``: credentials of other programs, taken over or kept in place.

Rule: nothing foreign is deleted; no result holds a token.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.rpc_types import NoParams
from tokenward.daemon.source_models import (
    SourceAdoptParams,
    SourceImportParams,
    SourceImportResult,
    SourceListResult,
)


async def _list(call: Call, _params: NoParams) -> SourceListResult:
    return await call.service.sources()


async def _import(call: Call, params: SourceImportParams) -> SourceImportResult:
    return await call.service.take_over(params)


async def _adopt(call: Call, params: SourceAdoptParams) -> ProfileResult:
    return await call.service.adopt(params)


METHODS = (
    Method.of(
        name="source.list",
        handler=_list,
        summary="The programs whose credentials can be taken over, and the foreign files that are kept in place.",
    ),
    Method.of(
        name="source.import",
        handler=_import,
        summary="Copy another program's credentials into our own store, once; nothing of that program is changed.",
        errors=(errors.ConfigurationFault, errors.StoreUnavailable),
    ),
    Method.of(
        name="source.adopt",
        handler=_adopt,
        summary="Keep a foreign file in place: watched, and refreshed by us only with that consent.",
        errors=(errors.ConfigurationFault, errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
)
