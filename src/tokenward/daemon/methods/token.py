"""``token.*``: what nearly every caller wants.

Rule: a ``token.get`` that the lane could answer is answered alike here.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams, TokenResult


async def _get(call: Call, params: TokenParams) -> TokenResult:
    return await call.service.token(params)


async def _report(call: Call, params: ReportParams) -> ReportResult:
    return await call.service.report(params)


METHODS = (
    Method.of(
        name="token.get",
        handler=_get,
        summary="A token that is valid now, refreshed first if need be, with the headers a request needs.",
        errors=(
            errors.NoCredentials,
            errors.AllUnavailable,
            errors.ProfileUnavailable,
            errors.PinnedProfileUnavailable,
            errors.RefreshFailed,
            errors.LoginRequired,
            errors.StoreUnavailable,
            errors.CallTimeout,
            errors.UnknownModel,
        ),
    ),
    Method.of(
        name="token.report",
        handler=_report,
        summary="Tell what became of a token, and learn what to do next; works as a notification too.",
        errors=(errors.ProfileUnavailable,),
    ),
)
