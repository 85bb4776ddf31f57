"""``usage.*``: what is left of the provider's limits.

Rule: the daemon asks no provider; it knows what callers reported here or with ``token.report``.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.usage_models import UsageListResult, UsageParams, UsageReportParams, UsageResult


async def _get(call: Call, params: UsageParams) -> UsageListResult:
    return call.service.usage(params)


async def _report(call: Call, params: UsageReportParams) -> UsageResult:
    return call.service.report_usage(params)


METHODS = (
    Method.of(
        name="usage.get",
        handler=_get,
        summary="How much of its limits each profile has used, as far as callers reported it.",
        errors=(errors.ProfileUnavailable,),
    ),
    Method.of(
        name="usage.report",
        handler=_report,
        summary="Tell the headers of the API's answer, and learn the usage; works as a notification too.",
        errors=(errors.ProfileUnavailable,),
    ),
)
