"""``sink.*``: the files that are published.

Rule: no result holds a token.
"""

from __future__ import annotations

from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.rpc_types import NoParams
from tokenward.daemon.sink_models import SinkListResult


async def _list(call: Call, _params: NoParams) -> SinkListResult:
    return call.service.sinks()


METHODS = (
    Method.of(
        name="sink.list",
        handler=_list,
        summary="The files that are published for programs that cannot ask the socket, and their state.",
    ),
)
"""The methods of this noun."""
