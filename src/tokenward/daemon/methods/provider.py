"""``provider.*``: the APIs and their authorization servers, as they are in force.

Rule: no result holds a secret.
"""

from __future__ import annotations

from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.provider_models import ProviderListParams, ProviderListResult, ProviderParams, ProviderResult


async def _list(call: Call, params: ProviderListParams) -> ProviderListResult:
    return ProviderListResult(providers=call.service.providers_shown(params.agent))


async def _get(call: Call, params: ProviderParams) -> ProviderResult:
    return call.service.provider_shown(params.provider, params.agent)


METHODS = (
    Method.of(
        name="provider.list",
        handler=_list,
        summary="All providers that are configured or have a profile, sorted by name.",
    ),
    Method.of(
        name="provider.get",
        handler=_get,
        summary="One provider: its variable, its API, its base URL, and which profile would serve it now.",
    ),
)
