"""``metrics.get``: the daemon's numbers, as a collector reads them.

Rule: names of profiles, methods and errors are all the words in it; never a token, and no text from outside.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.daemon_models import MetricsParams, MetricsResult
from tokenward.daemon.methods.method import Call, Method


async def _get(call: Call, params: MetricsParams) -> MetricsResult:
    return await call.service.metrics(params)


METHODS = (
    Method.of(
        name="metrics.get",
        handler=_get,
        summary="Counters and gauges, in the text of OpenMetrics or the older one of Prometheus.",
        errors=(errors.ConfigurationFault,),
    ),
)
