"""A login takes minutes, a person and two programs, and only one of them may know its secrets.

The problem: between the address that is shown and the code that comes back, a code_verifier, a state or a
device_code has to be kept, and the tokens that follow must be on disk before anybody hears of them. So the
login lives here, in the process that owns the store; who asks for it holds a name for it and no more.

Rules:
- A login is named by 128 random bits and ends after ten minutes, sooner if the server says so.
- What cannot be our answer leaves the login as it was; what the server refuses ends it.
- From the request for the tokens to the stored profile nothing is cancelled, whoever hangs up.
- The tokens are stored under the profile that was named, else under the account that the server names beside
  them, else as ``provider:default``; a profile of that name gets them as new material.
- To revoke is to ask the server first; only a login that the server has ended is forgotten here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import anyio

from tokenward.core.credential import MAIN_AGENT, Credential, Kind, profile_key
from tokenward.core.grants import Unavailable
from tokenward.core.key_check import KeyCheck
from tokenward.core.login import DEFAULT_NAME, LoginMethod, LoginTerms, NotOurs, Refused
from tokenward.core.login_answers import LoggedIn
from tokenward.core.nearest import did_you_mean
from tokenward.core.provider import CLIENT_KEY_UNUSABLE
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.surroundings import Surroundings
from tokenward.errors import (
    CallTimeout,
    ConfigurationFault,
    InvalidParams,
    LoginRequired,
    ProfileUnavailable,
    RefreshFailed,
    TokenwardError,
)
from tokenward.ports import Login, LoginServer

LOGIN_SECONDS = 600.0
"""RFC 6749 section 4.1.2: a code lives ten minutes at most."""
MAX_LOGINS = 16
"""Each may hold a port; nobody logs in to more accounts at once, and the oldest gives way."""
_NAME_BYTES = 16
_REVOKE_TRIES = 2
"""A refresh that was under way may bring a newer token while the older one is revoked."""


@dataclass(frozen=True, slots=True)
class Started:
    """A login that waits for its person.

    Args:
        login: its name.
        title: the provider's name for people.
        url: what the person opens.
        user_code: what the person types there, if anything.
        ends_at: when it stops waiting, aware UTC.
    """

    login: str
    title: str
    url: str
    user_code: str | None
    ends_at: datetime


@dataclass(slots=True)
class _Pending:
    login: Login
    server: LoginServer
    provider: str
    method: LoginMethod
    profile: str | None
    agent: str
    shared: bool
    ends_at: float
    in_use: anyio.Lock = field(default_factory=anyio.Lock)


class Ready(Protocol):
    """Makes sure that a credential could be kept, before a person makes one."""

    def __call__(self, key: str | None, /, *, shared: bool) -> Awaitable[None]:
        """Raise what ``Keep`` would, if that can be known.

        Args:
            key: the profile's; None = it is not known yet.
            shared: whether a new profile is shared with other hosts.
        """


class Keep(Protocol):
    """Puts a credential where it belongs, durably."""

    def __call__(self, key: str, credential: Credential, /, *, shared: bool) -> Awaitable[ProfileResult]:
        """Keep it.

        Args:
            key: the profile's.
            credential: what to keep.
            shared: whether a new profile is shared with other hosts.
        """


@dataclass(frozen=True, slots=True)
class Needs:
    """What logins need from the daemon.

    Args:
        around: its clocks, randomness and alarm.
        server: the authorization server of a provider.
        stores: whether a profile's key may be given to a login: it is new, or lies in our store.
        ready: asked before a person makes a login.
        keep: puts a credential into our store, durably, under a profile's key.
        keeper: the keeper of an agent's profile.
        forget: deletes an agent's profile of our store.
    """

    around: Surroundings
    server: Callable[[str], LoginServer]
    stores: Callable[[str], bool]
    ready: Ready
    keep: Keep
    keeper: Callable[[str, str], Keeper]
    forget: Callable[[str, str], Awaitable[ProfileResult]]


class Logins:
    """The logins under way.

    Args:
        needs: what they need.
    """

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._pending: dict[str, _Pending] = {}

    async def start(
        self,
        provider: str,
        method: LoginMethod,
        profile: str | None,
        *,
        terms: LoginTerms,
        agent: str = MAIN_AGENT,
        shared: bool = False,
    ) -> Started:
        """Begin a login.

        Args:
            provider: the provider's own name.
            method: how.
            profile: where the credential will be stored; None = under the account's name.
            terms: how the answer comes back.
            agent: whose it will be.
            shared: whether a new profile is shared with other hosts.

        Raises:
            ConfigurationFault: if the provider has no such login for us.
            RefreshFailed: if the server cannot be reached.
            ProfileUnavailable: if the profile is not ours to write.
        """
        if profile is not None:
            self._refuse_foreign(provider, profile, agent)
        await self._needs.ready(None if profile is None else profile_key(profile, agent), shared=shared)
        server = self._needs.server(provider)
        begun = await server.begin(method, terms)
        if isinstance(begun, Refused):
            raise ConfigurationFault(
                f"no login by {method} at {provider}: {begun.description or begun.error}",
                hint=_way(provider, begun.error),
            )
        if isinstance(begun, Unavailable):
            raise RefreshFailed(f"{provider} could not be asked: {begun.reason}", hint="try again")
        while len(self._pending) >= MAX_LOGINS:
            await self._end(next(iter(self._pending)))
        clock = self._needs.around.clock
        seconds = min(LOGIN_SECONDS, begun.expires_in or LOGIN_SECONDS)
        name = self._needs.around.entropy.token(_NAME_BYTES).hex()
        self._pending[name] = _Pending(
            begun, server, provider, method, profile, agent, shared, clock.boottime() + seconds
        )
        ends_at = clock.wall() + timedelta(seconds=seconds)
        self._needs.around.alarm.at(f"login:{name}", ends_at, partial(self._expire, name))
        return Started(name, server.title, begun.url, begun.user_code, ends_at)

    def _expire(self, name: str) -> None:
        self._needs.around.spawn(partial(self._end, name))

    def _refuse_foreign(self, provider: str, profile: str, agent: str) -> None:
        if profile.partition(":")[0] != provider:
            raise InvalidParams(
                f"{profile} is not a profile of {provider}", hint=f"name it {provider}:name, or leave it out"
            )
        if not self._needs.stores(profile_key(profile, agent)):
            raise ProfileUnavailable(
                f"{profile} lives in a place that is not tokenward's", hint="choose another name"
            )

    async def complete(self, name: str, pasted: str | None, *, patience: float) -> ProfileResult:
        """Wait for the person, take the tokens and store them.

        Args:
            name: the login's.
            pasted: what the person copied; None = the answer comes by itself.
            patience: seconds to wait for it.

        Returns:
            The profile after.

        Raises:
            CallTimeout: if nobody has answered yet; the login waits on.
            InvalidParams: if what was pasted does not belong to this login, which waits on.
            LoginRequired: if the server or the person said no, or the login has ended.
            RefreshFailed: if the server did not answer; the login is over.
            StoreUnavailable: if the tokens could not be stored; the login is over.
        """
        clock = self._needs.around.clock
        pending = self._named(name)
        deadline = clock.boottime() + min(patience, max(0.0, pending.ends_at - clock.boottime()))
        async with pending.in_use:
            while True:
                self._named(name)
                ready = await pending.login.ready(pasted, patience=max(0.0, deadline - clock.boottime()))
                if isinstance(ready, NotOurs):
                    raise InvalidParams(f"the login was not completed: {ready.reason}", hint="paste it again")
                if isinstance(ready, Refused):
                    await self._end(name)
                    raise _denied(pending.provider, ready)
                if not ready:
                    self._named(name)
                    raise CallTimeout("nobody has answered this login yet", hint="it waits on")
                with anyio.CancelScope(shield=True):
                    profile = await self._redeem(name, pending)
                if profile is not None:
                    return profile

    async def _redeem(self, name: str, pending: _Pending) -> ProfileResult | None:
        outcome = await pending.login.redeem()
        if isinstance(outcome, Refused):
            await self._end(name)
            raise _denied(pending.provider, outcome)
        if isinstance(outcome, Unavailable):
            await self._end(name)
            raise _unanswered(pending.provider, outcome)
        if not isinstance(outcome, LoggedIn):
            return None
        try:
            return await self._store(pending, outcome)
        finally:
            await self._end(name)

    async def _store(self, pending: _Pending, login: LoggedIn) -> ProfileResult:
        credential = login.credential
        if pending.method == "create-api-key":
            made = await pending.server.create_api_key(credential)
            if isinstance(made, Refused):
                raise _denied(pending.provider, made)
            if isinstance(made, Unavailable):
                raise _unanswered(pending.provider, made)
            credential = made
        profile = pending.profile
        if profile is None:
            # An API key and a login of one account are two credentials, and neither may replace the other.
            name = login.account if login.account and credential.kind is Kind.OAUTH else DEFAULT_NAME
            profile = f"{pending.provider}:{name}"
        return await self._needs.keep(profile_key(profile, pending.agent), credential, shared=pending.shared)

    def _named(self, name: str) -> _Pending:
        pending = self._pending.get(name)
        if pending is None or pending.ends_at <= self._needs.around.clock.boottime():
            raise LoginRequired("this login has ended or was never begun", hint="begin again: tokenward login")
        return pending

    async def check_key(self, provider: str, credential: Credential) -> KeyCheck:
        """Ask a provider's API whether it takes a key; nothing is kept of it here.

        Args:
            provider: the provider's own name.
            credential: the key.
        """
        return await self._needs.server(provider).check_key(credential)

    async def cancel(self, name: str) -> None:
        """Give a login up; one that has ended already is given up."""
        await self._end(name)

    async def _end(self, name: str) -> None:
        pending = self._pending.pop(name, None)
        self._needs.around.alarm.cancel(f"login:{name}")
        if pending is not None:
            await pending.login.aclose()

    async def revoke(self, profile: str, agent: str) -> ProfileResult:
        """End a login at the server (RFC 7009), then forget it here.

        Args:
            profile: one of our own store.
            agent: whose it is.

        Returns:
            The profile as it was.

        Raises:
            ProfileUnavailable: if it is not ours, or is nothing that a server can revoke.
            RefreshFailed: if the server did not answer; nothing was changed here.
            ConfigurationFault: if it refused, or has no way to revoke; nothing was changed here.
        """
        keeper = self._needs.keeper(profile, agent)
        if not self._needs.stores(keeper.profile.key):
            raise ProfileUnavailable(
                f"{profile} lives in {keeper.place.description}, which is not tokenward's",
                hint="log out where it was logged in: claude auth logout, or unset the variable",
            )
        with anyio.CancelScope(shield=True):
            await self._revoke(profile, keeper)
            shown = await self._needs.forget(profile, agent)
        return shown  # noqa: RET504 - a scope may swallow a cancellation, and mypy knows

    async def _revoke(self, profile: str, keeper: Keeper) -> None:
        server = self._needs.server(keeper.profile.provider)
        for _ in range(_REVOKE_TRIES):
            await keeper.settle()
            credential = keeper.credential
            if credential is None or credential.kind is not Kind.OAUTH:
                raise ProfileUnavailable(
                    f"{profile} holds no login that a server could revoke",
                    hint=f"delete the key where it was made, then: tokenward logout {profile}",
                )
            refusal = await server.revoke(credential)
            hint = f"it is still kept; to forget it here alone: tokenward logout {profile}"
            if isinstance(refusal, Refused):
                what = f"{refusal.error} {refusal.description}".strip()
                raise ConfigurationFault(f"{profile} was not revoked: {what}", hint=hint)
            if isinstance(refusal, Unavailable):
                raise RefreshFailed(f"{profile} was not revoked: {refusal.reason}", hint=hint)
            if keeper.credential is credential:
                return


def _way(provider: str, error: str) -> str:
    if error == CLIENT_KEY_UNUSABLE:
        return f"mend that, then begin again: tokenward login {provider}"
    if provider == "anthropic":
        return "let Claude Code log in: tokenward login anthropic --method claude-code"
    meant = did_you_mean(provider, ["anthropic"])
    return f"{meant}register a client, and write its client_id and issuer under [providers.{provider}]"


def _denied(provider: str, refused: Refused) -> TokenwardError:
    said = f"{refused.error}: {refused.description}" if refused.description else refused.error
    return LoginRequired(
        f"{provider} refused the login: {said}",
        hint=f"begin again: tokenward login {provider}",
        command=f"tokenward login {provider}",
    )


def _unanswered(provider: str, unavailable: Unavailable) -> TokenwardError:
    return RefreshFailed(
        f"{provider} did not complete the login: {unavailable.reason}", hint="begin again; nothing was stored"
    )
