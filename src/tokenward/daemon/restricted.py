"""What a restricted socket offers: tokens of the profiles on its list, and nothing that touches anybody else.

The problem: a container or a forwarded socket needs a token, and must not be able to read the daemon's other
profiles, to rotate its logins without end, or to put a profile to rest for everybody by claiming that it failed.

Rules:
- ``daemon.hello``, ``token.get`` and ``token.report``; every other method, known or not, is -32010. Each request
  of a batch is judged by itself.
- A profile that is not listed is answered like one that does not exist. No error holds a word from inside: only
  what the caller asked for, and profiles of the list.
- Who may serve is tried in the order of the list; a profile of which a 429 was reported here goes last for the
  time named, a minute at most. Only this socket knows of it, and only until the daemon ends.
- A profile that rests by the word of the daemon's own callers serves only if no other of the list does.
- A 401 forces a refresh as "not this one" does, from a bucket of one for each profile, beside the bucket that all
  share (design I11). It condemns nothing. Other reports have no effect.
- A parameter that is not named here is not passed on, so that what a later version adds is not open by accident.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import anyio

from tokenward import errors
from tokenward.core import protocol
from tokenward.core.credential import agent_and_id, profile_key
from tokenward.core.freshness import forced_refreshes
from tokenward.daemon import nothing_served
from tokenward.daemon.methods import daemon as daemon_methods
from tokenward.daemon.methods import token as token_methods
from tokenward.daemon.methods.method import Call, Method
from tokenward.daemon.plain_request import TokenRequest
from tokenward.daemon.rpc_types import Result
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams, TokenResult
from tokenward.errors import TokenwardError
from tokenward.ports import Clock
from tokenward.provider_files import choose

LONGEST_COOLDOWN_SECONDS = 60.0
"""A caller that is not trusted may name no longer rest."""
MOST_CONNECTIONS = 128
"""At once, on each restricted socket; a container's crowd takes no place from the user's own programs."""

_PASSED_ON = ("provider", "kinds", "auth_method", "tier", "min_valid", "model", "betas")
_OFFERED = {
    method.name: method
    for method in (*daemon_methods.METHODS, *token_methods.METHODS)
    if method.name in {"daemon.hello", "token.get", "token.report"}
}


class Tokens(Protocol):
    """The part of the service that is asked."""

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """See ``Service``."""

    async def token(self, params: TokenParams) -> TokenResult:
        """See ``Service``."""


def refused() -> TokenwardError:
    """The answer to every call that a restricted socket does not take."""
    return errors.PermissionDenied(
        "this socket hands out tokens and does nothing else", hint="ask on the daemon's own socket"
    )


class RestrictedTokens:
    """The tokens of one restricted socket.

    Args:
        tokens: the daemon.
        profiles: the keys of those it may serve, the first choice first.
        clock: cooldowns and buckets are on its boot clock.
    """

    def __init__(self, tokens: Tokens, profiles: Iterable[str], clock: Clock) -> None:
        self._tokens = tokens
        self._profiles = tuple(dict.fromkeys(_canonical(key) for key in profiles))
        self._clock = clock
        self._cool_until: dict[str, float] = {}
        self._forced = {key: forced_refreshes(at=clock.boottime(), most=1) for key in self._profiles}
        self._rejecting = {key: anyio.Lock() for key in self._profiles}

    def methods(self) -> Mapping[str, Method]:
        """The table of methods that this socket answers."""

        async def get(_call: Call, params: TokenParams) -> TokenResult:
            return await self.token(params)

        async def report(_call: Call, params: ReportParams) -> ReportResult:
            return await self.report(params)

        handlers: Mapping[str, Callable[[Call, Any], Awaitable[Result]]]
        handlers = {"token.get": get, "token.report": report}
        return {
            name: replace(method, handler=handlers.get(name, method.handler)) for name, method in _OFFERED.items()
        }

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """The lane's answer; whoever rejects a token or has nobody to ask is for the dispatcher.

        It does not stand: who is first here changes with what cools here, of which the ward knows nothing.
        """
        if params.credential is not None or params.newer_than is not None:
            return None
        first = next(self._order(params), None)
        handed_out = self._tokens.token_nowait(_narrowed(params, first)) if first is not None else None
        return None if handed_out is None else handed_out._replace(standing=None)

    async def token(self, params: TokenParams) -> TokenResult:
        """A token of the first profile that has one.

        Raises:
            TokenwardError: if none has, or the caller asks for something else.
        """
        if params.credential is not None:
            raise refused()
        deadline = self._clock.monotonic() + params.timeout
        failures: list[tuple[str, TokenwardError]] = []
        cooling: TokenResult | None = None
        for key in list(self._order(params)):
            left = max(0.0, deadline - self._clock.monotonic())
            try:
                result = await self._token_of(key, params, left)
            except TokenwardError as error:
                failures.append((agent_and_id(key)[1], error))
                continue
            if result.degraded != protocol.DEGRADED_COOLING:
                return result
            cooling = cooling or result
        if cooling is not None:
            return cooling
        raise _error_for(params, failures)

    async def _token_of(self, key: str, params: TokenParams, patience: float) -> TokenResult:
        narrowed = _narrowed(params, key, timeout=patience)
        if params.newer_than is None:
            return await self._tokens.token(narrowed)
        with anyio.move_on_after(patience) as waiting:
            await self._rejecting[key].acquire()
        if waiting.cancelled_caught:
            raise errors.CallTimeout("a refresh is under way", hint="ask again, or wait longer")
        try:  # whoever waited here for the refresh of another finds what it brought
            held = await self._tokens.token(narrowed)
            if held.generation != params.newer_than:
                return held
            self._draw(key)
            return await self._tokens.token(narrowed.model_copy(update={"newer_than": params.newer_than}))
        finally:
            self._rejecting[key].release()

    def _draw(self, key: str) -> None:
        self._forced[key], seconds = self._forced[key].draw(self._clock.boottime())
        if seconds > 0:
            raise errors.RefreshFailed("too many tokens were rejected", retry_after=round(seconds, 1))

    async def report(self, params: ReportParams) -> ReportResult:
        """Take note of a 401 or a 429; anything else has no effect.

        Raises:
            ProfileUnavailable: if the profile is not on the list.
        """
        key = profile_key(params.profile, params.agent)
        if key not in self._profiles:
            raise nothing_served.no_such_profile(params.profile, params.agent)
        match params.status:
            case 401:
                return await self._unauthorized(key, params)
            case 429:
                return self._cool(key, params)
            case _:
                return ReportResult(failure=None, action="none")

    async def _unauthorized(self, key: str, params: ReportParams) -> ReportResult:
        wanted = TokenParams(profile=params.profile, min_valid=0.0, newer_than=params.generation)
        try:
            await self._token_of(key, wanted, wanted.timeout)
        except errors.RetryLater as later:
            return ReportResult(failure="auth", action="wait", retry_after=later.details.get("retry_after"))
        except TokenwardError:
            return ReportResult(failure="auth", action="login")
        return ReportResult(failure="auth", action="retry")

    def _cool(self, key: str, params: ReportParams) -> ReportResult:
        now = self._clock.boottime()
        seconds = min(LONGEST_COOLDOWN_SECONDS, _retry_after(params.headers or {}))
        self._cool_until[key] = now + seconds
        others = any(self._cool_until.get(each, 0.0) <= now for each in self._profiles)
        return ReportResult(failure="rate_limit", action="rotate" if others else "wait", retry_after=seconds)

    def _order(self, params: TokenRequest) -> Iterator[str]:
        """The listed profiles that fit, those that cool last."""
        fitting = [key for key in self._profiles if _fits(key, params)]
        if not self._cool_until:
            return iter(fitting)
        now = self._clock.boottime()
        return iter(sorted(fitting, key=lambda key: self._cool_until.get(key, 0.0) > now))


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a socket is narrowed to.

    Args:
        tokens: what it hands out.
        uids: who may call besides our own user.
    """

    tokens: RestrictedTokens
    uids: frozenset[int]


def _canonical(key: str) -> str:
    agent, profile = agent_and_id(key)
    return profile_key(profile, agent)


def _fits(key: str, params: TokenRequest) -> bool:
    if params.profile is not None:
        return key == profile_key(params.profile, params.agent)
    agent, profile = agent_and_id(key)
    if agent != params.agent:
        return False
    return params.provider is None or profile.partition(":")[0] == choose(params.provider).provider


def _narrowed(params: TokenRequest, key: str, *, timeout: float | None = None) -> TokenParams:
    """The request, for exactly this profile."""
    agent, profile = agent_and_id(key)
    passed: dict[str, Any] = {name: getattr(params, name) for name in _PASSED_ON}
    passed["timeout"] = params.timeout if timeout is None else timeout
    passed["provider"] = params.provider or profile.partition(":")[0]
    return TokenParams.model_construct(**passed, profile=profile, agent=agent)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the API asked for; the longest where it named none that can be read."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 10 else LONGEST_COOLDOWN_SECONDS


_WORDS: Sequence[tuple[type[TokenwardError], str, str]] = (
    (errors.UnknownModel, "the model is not known", "name a model of the provider"),
    (errors.FixNeeded, "the request does not fit", "name a model of the profile's provider"),
    (errors.PersonNeeded, "a person must log in again", "whoever runs tokenward sees why: tokenward status"),
    (errors.RetryLater, "no valid token for now", "ask again later"),
    (errors.AskDifferently, "it cannot serve this request", "ask for less, or for another profile"),
)
"""What a caller here is told, by the branch of the error; what was really said may name files and profiles."""


def _outside(profile: str, error: TokenwardError) -> TokenwardError:
    wait = error.details.get("retry_after")
    meant = errors.RetryLater if wait is not None else type(error)
    cause, hint = next((cause, hint) for kind, cause, hint in _WORDS if issubclass(meant, kind))
    waits = {"retry_after": wait} if wait is not None else {}
    return type(error)(f"{profile}: {cause}", hint=hint, error_class=error.error_class, **waits)


def _error_for(params: TokenParams, failures: Sequence[tuple[str, TokenwardError]]) -> TokenwardError:
    outside = [(profile, _outside(profile, error)) for profile, error in failures]
    if len(outside) == 1:
        return outside[0][1]
    if outside:
        waits = [wait for _, error in outside if (wait := error.details.get("retry_after")) is not None]
        return errors.AllUnavailable(
            "no profile of this socket has a valid token",
            hint="ask again later",
            retry_after=min(waits, default=None),
            profiles=[{"profile": profile, "reason": error.cause} for profile, error in outside],
        )
    if params.profile is not None:
        return nothing_served.no_such_profile(params.profile, params.agent)
    return errors.NoCredentials(
        "no profile that fits is open to this socket", hint="list it under [[sockets]]", looked_at=[]
    )
