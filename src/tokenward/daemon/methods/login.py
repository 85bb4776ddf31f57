"""``login.*`` and ``profile.revoke``: how a person's login begins and ends.

Rule: no code_verifier, device_code or token is in any result; what was pasted is in no message.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from tokenward import errors
from tokenward.core.credential import Credential, Kind, Secret, to_unix_milliseconds
from tokenward.core.login import LoginMethod, LoginTerms
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.profile_models import ProfileParams, ProfileResult
from tokenward.daemon.rpc_types import AgentName, Params, ProfileId, Result
from tokenward.provider_files import choose

LONGEST_WAIT = 60.0
"""Seconds one ``login.complete`` may wait: below every client's patience, and asked again as long as needed."""
MAX_PASTED = 16_384
"""A redirect URL with the largest code in it."""

LoginName = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="Names a login under way.")]


class LoginStartParams(Params):
    """Where, and how."""

    provider: str = Field(max_length=64)
    method: LoginMethod = Field(
        description="`oauth` waits for a browser of this machine, `paste` for what a person copies off the page, "
        "`device` for a person anywhere; `create-api-key` makes an API key by a login that is not kept."
    )
    pasted: bool = Field(default=False, description="For `create-api-key`: as `paste` does.")
    allow_missing_state: bool = Field(default=False, description="Take a pasted code without its state.")
    profile: ProfileId | None = Field(default=None, description="Absent = named by the account.")
    agent: AgentName = Field(default="main", description="Whose it will be.")
    shared: bool = Field(
        default=False, description="A new profile is shared with other hosts; one that is shared stays so."
    )


class LoginStartResult(Result):
    """A login that waits for its person."""

    login: LoginName
    provider: str
    title: str = Field(description="The provider's name for people.")
    url: str = Field(description="What the person opens.")
    user_code: str | None = Field(description="What the person types there, if anything.")
    expires_at_ms: int


class LoginCompleteParams(Params):
    """Which login, and what the person copied."""

    login: LoginName
    code: SecretStr | None = Field(
        default=None,
        max_length=MAX_PASTED,
        description="`code#state`, or the whole address that the browser was sent to; absent = wait for it.",
    )
    wait: float = Field(default=20.0, ge=0, le=LONGEST_WAIT, description="Seconds to wait for the person.")


class LoginCheckParams(Params):
    """A key that was not stored yet."""

    provider: str = Field(max_length=64)
    key: SecretStr = Field(max_length=MAX_PASTED, description="The API key.")


class LoginCheckResult(Result):
    """What the API says of it."""

    verdict: Literal["taken", "refused", "unknown"] = Field(
        description="`unknown`: it could not be asked, or answered something that says nothing of the key."
    )
    reason: str = Field(description="Why it is not taken, or not known; empty if it is taken.")


class LoginCancelParams(Params):
    """Which login."""

    login: LoginName


class LoginCancelResult(Result):
    """It is given up."""

    cancelled: Literal[True] = True


async def _start(call: Call, params: LoginStartParams) -> LoginStartResult:
    provider = choose(params.provider).provider
    terms = LoginTerms(params.pasted or params.method == "paste", params.allow_missing_state)
    started = await call.service.logins.start(
        provider, params.method, params.profile, terms=terms, agent=params.agent, shared=params.shared
    )
    return LoginStartResult(
        login=started.login,
        provider=provider,
        title=started.title,
        url=started.url,
        user_code=started.user_code,
        expires_at_ms=to_unix_milliseconds(started.ends_at),
    )


async def _complete(call: Call, params: LoginCompleteParams) -> ProfileResult:
    pasted = params.code.get_secret_value() if params.code is not None else None
    return await call.service.logins.complete(params.login, pasted, patience=params.wait)


async def _check(call: Call, params: LoginCheckParams) -> LoginCheckResult:
    key = Credential(Kind.API_KEY, Secret(params.key.get_secret_value()))
    found = await call.service.logins.check_key(choose(params.provider).provider, key)
    return LoginCheckResult(verdict=found.verdict, reason=found.reason)


async def _cancel(call: Call, params: LoginCancelParams) -> LoginCancelResult:
    await call.service.logins.cancel(params.login)
    return LoginCancelResult()


async def _revoke(call: Call, params: ProfileParams) -> ProfileResult:
    return await call.service.logins.revoke(params.profile, params.agent)


METHODS = (
    Method.of(
        name="login.start",
        handler=_start,
        summary="Begin a login; it waits ten minutes at most.",
        errors=(errors.ConfigurationFault, errors.RefreshFailed, errors.ProfileUnavailable),
    ),
    Method.of(
        name="login.complete",
        handler=_complete,
        summary="Wait for the person, store what the server grants, and answer with the profile.",
        errors=(
            errors.CallTimeout,
            errors.LoginRequired,
            errors.RefreshFailed,
            errors.ProfileUnavailable,
            errors.StoreUnavailable,
        ),
    ),
    Method.of(
        name="login.cancel",
        handler=_cancel,
        summary="Give a login up; one that has ended is given up already.",
    ),
    Method.of(
        name="login.check_key",
        handler=_check,
        summary="Ask the provider's API, by one request that costs nothing, whether it takes an API key.",
    ),
    Method.of(
        name="profile.revoke",
        handler=_revoke,
        summary="End a login at the server (RFC 7009), then forget it here; else nothing changes.",
        errors=(
            errors.ProfileUnavailable,
            errors.RefreshFailed,
            errors.ConfigurationFault,
            errors.StoreUnavailable,
        ),
    ),
)
