"""The words for a request that no profile answers: what was asked for, where it was looked for, what helps.

The problem: "no credentials" has four reasons that look alike to a program and need different acts of a person:
nothing was ever set up, it was set up for another agent, the one that was named cannot serve, or all of them
are unusable for now. So each has its own sentence, and every sentence names the places and the next command.

Rules: a refusal that names one profile keeps its type, so that callers still know whether waiting helps; what
is said first is that this profile was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tokenward.core.classify import FailureClass
from tokenward.core.credential import MAIN_AGENT, Profile, to_unix_milliseconds
from tokenward.core.health import NEVER
from tokenward.core.nearest import did_you_mean
from tokenward.core.redact import printable
from tokenward.core.selection import COOLDOWN, DISABLED, Unusable
from tokenward.core.serving import Resting
from tokenward.errors import (
    AllUnavailable,
    AskDifferently,
    NoCredentials,
    PersonNeeded,
    PinnedProfileUnavailable,
    ProfileUnavailable,
    RetryLater,
    TokenwardError,
)

_SHOWN_OF_A_WINDOW = ("kind", "until_ms", "billing_url")
_STATE = {COOLDOWN: "cooling", DISABLED: "out of use"}
_UNLESS_INHERITED = "agents have no credentials but their own, unless inherit_agents = true under [default]"


class Asked(NamedTuple):
    """What a request asked for.

    Args:
        provider: the provider's own name.
        agent: the namespace of profiles.
        profile: the one that was named; None = any of the provider's.
        looked_at: the places that were looked at, found or not.
        store: where our own store lies.
        known: the names of providers and the agent's profiles that there are.
    """

    provider: str
    agent: str
    profile: str | None
    looked_at: Sequence[str]
    store: str
    known: Collection[str] = ()


class Refused(NamedTuple):
    """A profile that was asked and could not serve.

    Args:
        profile: whose.
        error: what it said.
    """

    profile: Profile
    error: TokenwardError


def looked_at_for(provider: str, found: Collection[str]) -> list[str]:
    """Where the credentials of a provider can be that no other program keeps.

    Args:
        provider: its own name.
        found: the sources that have a profile of it.
    """
    places = ((f"[providers.{provider}] in the configuration", "config"), ("tokenward's own store", "store"))
    return [f"{place}: {'found' if source in found else 'not found'}" for place, source in places]


def resting(profile: Profile, why: Resting) -> Refused:
    """A profile that may not be asked."""
    hint = f"let it serve again with: tokenward profiles enable {profile.id}{_of_agent(profile.agent)}"
    if why is Resting.SET_ASIDE:
        hint = 'remove the API key, or choose another resolution than "config-first" under [default]'
    return Refused(profile, ProfileUnavailable(f"{profile.id} is {why.value}", hint=hint))


def no_such_profile(profile: str, agent: str = MAIN_AGENT, *, known: Collection[str] = ()) -> ProfileUnavailable:
    """There is no profile of this id (E30); a token that was given for one is not said back.

    Args:
        profile: what was asked for.
        agent: whose.
        known: the ids that the one who asks may be told of.
    """
    return ProfileUnavailable(
        f'No credentials found for profile "{printable(profile)}"{_whose(agent)}.',
        hint=f"{did_you_mean(profile, known)}see which there are: tokenward profiles list",
    )


def in_window(profile: Profile, why: Unusable, now: datetime, *, billing_url: str | None) -> Refused:
    """A profile that is not asked, because a window holds.

    Args:
        profile: whose.
        why: the window.
        now: aware UTC.
        billing_url: where its provider's funds are added, if the configuration says so.
    """
    clear = f"tokenward profiles clear {profile.id}{_of_agent(profile.agent)}"
    funds = {"billing_url": billing_url} if why.reason == FailureClass.BILLING and billing_url else {}
    way = f"add funds at {billing_url}, then say so" if funds else "if that is over, say so"
    if why.until == NEVER:
        until_ms, wait, when = None, None, "until there is a new credential"
    else:
        until_ms, when = to_unix_milliseconds(why.until), f"until {why.until:%Y-%m-%d %H:%M:%S} UTC"
        wait = math.ceil((why.until - now).total_seconds())
    return Refused(
        profile,
        ProfileUnavailable(
            f"{profile.id} is {_STATE[why.kind]} ({why.reason}), {when}",
            hint=f"{way}: {clear}",
            reason=why.reason,
            kind=why.kind,
            until_ms=until_ms,
            retry_after=wait,
            **funds,
        ),
    )


def pinned(profile: str, error: TokenwardError) -> PinnedProfileUnavailable:
    """A person pinned the session to a profile, and it cannot serve.

    Args:
        profile: its id.
        error: why.
    """
    return PinnedProfileUnavailable(
        f"the session is pinned to {profile}, which cannot serve: {error.cause}",
        hint=f"{error.hint}; or reset the pin, or ask fallback.next for another model",
        error_class=error.error_class,
        **error.details,
    )


def error_for(asked: Asked, refused: Sequence[Refused], cooling: Sequence[Refused] = ()) -> TokenwardError:
    """The one error for a request that nobody answered.

    Args:
        asked: what it asked for.
        refused: who was asked, the first choice first.
        cooling: who was not asked, because a window holds; the soonest recovery first.
    """
    if asked.profile is not None:
        refused = [*refused, *cooling]
        if refused:
            return _named(asked.profile, refused[0].error)
        return no_such_profile(asked.profile, asked.agent, known=asked.known)
    if cooling:
        return _all_unavailable(asked.provider, [*refused, *cooling])
    if not refused:
        return _not_set(asked)
    if len(refused) == 1:
        return refused[0].error
    return _all_unavailable(asked.provider, refused)


def _named(profile: str, error: TokenwardError) -> TokenwardError:
    opening = f'No credentials found for profile "{profile}"'
    if isinstance(error, RetryLater) or error.cause.startswith(opening):
        return error
    assert isinstance(error, PersonNeeded | AskDifferently)  # noqa: S101 - the caller collects no others
    return type(error)(
        f"{opening}: {error.cause}", hint=error.hint, error_class=error.error_class, **error.details
    )


def _not_set(asked: Asked) -> NoCredentials:
    provider, meant = asked.provider, did_you_mean(asked.provider, asked.known)
    if asked.agent != MAIN_AGENT:
        return NoCredentials(
            f'No API key found for provider "{provider}"{_whose(asked.agent)}; looked at {asked.store}',
            hint=f"{meant}run: tokenward add {provider}:default --api-key{_of_agent(asked.agent)}; "
            f"{_UNLESS_INHERITED}",
            looked_at=[asked.store],
        )
    return NoCredentials(
        f"{provider.capitalize()} credentials not set; looked at {'; '.join(asked.looked_at)}",
        hint=f"{meant}run: tokenward onboard, or: tokenward add {provider}:default --api-key",
        looked_at=list(asked.looked_at),
    )


def _all_unavailable(provider: str, refused: Sequence[Refused]) -> AllUnavailable:
    waits = [wait for each in refused if (wait := each.error.details.get("retry_after")) is not None]
    soonest = min(waits) if waits else None
    ends = [end for each in refused if (end := each.error.details.get("until_ms")) is not None]
    when = f"the first is tried again in {soonest:g} s" if soonest is not None else "none recovers by itself"
    pages = {page: None for each in refused if (page := each.error.details.get("billing_url")) is not None}
    funds = "".join(f"add funds at {page}, or " for page in pages)
    reasons = "; ".join(map(_reason, refused))
    return AllUnavailable(
        f"No available auth profile for {provider} (all in cooldown or unavailable).",
        hint=f"{when}, or {funds}add another with: tokenward add; {reasons}",
        retry_after=soonest,
        until_ms=min(ends) if ends else None,
        profiles=[_told(each) for each in refused],
    )


def _reason(refused: Refused) -> str:
    """Why one cannot serve; most causes begin with whose they are."""
    profile, cause = refused.profile.id, refused.error.cause
    return cause if cause.startswith(f"{profile} ") else f"{profile}: {cause}"


def _told(refused: Refused) -> dict[str, Any]:
    details = refused.error.details
    window: dict[str, Any] = {name: details[name] for name in _SHOWN_OF_A_WINDOW if name in details}
    return {"profile": refused.profile.id, "reason": refused.error.cause, **window}


def _whose(agent: str) -> str:
    return "" if agent == MAIN_AGENT else f' of agent "{agent}"'


def _of_agent(agent: str) -> str:
    return "" if agent == MAIN_AGENT else f" --agent {agent}"
