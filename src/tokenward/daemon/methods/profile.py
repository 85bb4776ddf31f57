"""``profile.*``: the user's named uses of credentials.

Rule: forget deletes here and not at the server; no result holds a token.
"""

from __future__ import annotations

from tokenward import errors
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.profile_models import (
    ProfileAddParams,
    ProfileListParams,
    ProfileListResult,
    ProfileParams,
    ProfileResult,
)


async def _list(call: Call, params: ProfileListParams) -> ProfileListResult:
    return ProfileListResult(profiles=call.service.profiles(params))


async def _get(call: Call, params: ProfileParams) -> ProfileResult:
    return call.service.profile(params.profile, params.agent)


async def _add(call: Call, params: ProfileAddParams) -> ProfileResult:
    return await call.service.add(params)


async def _forget(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.forget(params.profile, params.agent)


async def _share(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.share(params.profile, params.agent)


async def _unshare(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.unshare(params.profile, params.agent)


async def _refresh(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.refresh(params.profile, params.agent)


async def _enable(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.enable(params.profile, params.agent)


async def _disable(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.disable(params.profile, params.agent)


async def _clear(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.decisions.clear(params.profile, params.agent)


METHODS = (
    Method.of(
        name="profile.list",
        handler=_list,
        summary="All profiles that fit, sorted by id.",
    ),
    Method.of(
        name="profile.get",
        handler=_get,
        summary="One profile: its expiry, its source, its next refresh, and why it cannot be used if it cannot.",
        errors=(errors.ProfileUnavailable,),
    ),
    Method.of(
        name="profile.add",
        handler=_add,
        summary="Keep a credential in our own store, as a new profile or as new material of one.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
    Method.of(
        name="profile.forget",
        handler=_forget,
        summary="Delete a profile of our own store, here and not at the server.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
    Method.of(
        name="profile.share",
        handler=_share,
        summary="Move a profile of our own store to the shared store, for all hosts.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable, errors.ConfigurationFault),
    ),
    Method.of(
        name="profile.unshare",
        handler=_unshare,
        summary="Take a shared profile into our own store; the other hosts have it no more.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable, errors.ConfigurationFault),
    ),
    Method.of(
        name="profile.refresh",
        handler=_refresh,
        summary="Refresh now; forced refreshes are limited to three a family, one back each minute.",
        errors=(
            errors.ProfileUnavailable,
            errors.RefreshFailed,
            errors.LoginRequired,
            errors.StoreUnavailable,
        ),
    ),
    Method.of(
        name="profile.enable",
        handler=_enable,
        summary="Let a profile that was disabled serve again.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
    Method.of(
        name="profile.disable",
        handler=_disable,
        summary="Neither serve nor refresh a profile until it is enabled, also after a restart.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
    Method.of(
        name="profile.clear",
        handler=_clear,
        summary="Forget what callers reported of a profile, so that it serves again at once.",
        errors=(errors.ProfileUnavailable, errors.StoreUnavailable),
    ),
)
