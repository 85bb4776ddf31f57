"""The status, and what happened meanwhile: asked for once, or again and again while a daemon comes and goes.

Rules:
- Whoever watches is told that the daemon went away, and goes on watching when it is back. Only a daemon that is
  not there at the start is an error.
- Every subscription is older than the picture that follows it, so that nothing falls between the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from tokenward.cli.status_words import Quotas
from tokenward.client import Client, Event, EventStream, Status
from tokenward.errors import CallTimeout, DaemonUnreachable, MethodNotFound, ProfileUnavailable

TICK = 1.0
"""Seconds between two pictures on a terminal, where the bars shrink though nothing happens."""
KNOCK_SECONDS = 1.0
"""Seconds between two looks whether the daemon is back."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known at one moment.

    Args:
        status: the daemon's answer; None = it has gone.
        quotas: what was reported of its limits.
        news: what happened since the picture before.
        gone: why there is no status.
    """

    status: Status | None
    quotas: Quotas = field(default_factory=dict)
    news: tuple[Event, ...] = ()
    gone: str | None = None


def asked(client: Client, agent: str | None, profile: str | None, news: tuple[Event, ...] = ()) -> Picture:
    """One picture.

    Args:
        client: whom to ask.
        agent: only the profiles of this agent.
        profile: only this profile.
        news: what happened since the picture before.

    Raises:
        DaemonUnreachable: if no daemon answers.
        ProfileUnavailable: if there is no such profile.
    """
    status = client.status()
    kept = [
        each
        for each in status["profiles"]
        if agent in {None, each["agent"]} and profile in {None, each["profile"]}
    ]
    if profile is not None and not kept:
        raise ProfileUnavailable(f"there is no profile {profile}", hint="see: tokenward profiles list")
    status["profiles"] = kept
    return Picture(status, _quotas(client), news)


def watched(
    client: Client,
    agent: str | None,
    profile: str | None,
    *,
    tick: float | None,
    pause: Callable[[float], None] = time.sleep,
) -> Generator[Picture, None, None]:
    """A picture now, after each event, and every ``tick`` seconds; endless.

    Args:
        client: whom to ask.
        agent: only the profiles of this agent.
        profile: only this profile.
        tick: seconds; None = only after events.
        pause: sleeps for so many seconds.

    Raises:
        DaemonUnreachable: if no daemon answers at the start.
    """
    with client.events() as events:
        yield asked(client, agent, profile)
        gone = yield from _followed(client, events, agent, profile, tick)
    while True:
        if gone is not None:
            yield Picture(None, gone=gone)
            pause(KNOCK_SECONDS)
        try:
            with client.events() as events:
                yield asked(client, agent, profile)
                gone = yield from _followed(client, events, agent, profile, tick)
        except (DaemonUnreachable, CallTimeout) as error:
            gone = error.cause


def _followed(
    client: Client, events: EventStream, agent: str | None, profile: str | None, tick: float | None
) -> Generator[Picture, None, str | None]:
    """A picture after each event and tick; in the end why the daemon has gone, None if only events were lost."""
    try:
        for heard in _heard(events, tick):
            yield asked(client, agent, profile, heard)
    except (DaemonUnreachable, CallTimeout) as error:
        return error.cause
    return None


def _heard(events: EventStream, tick: float | None) -> Iterator[tuple[Event, ...]]:
    while True:
        event = events.wait(tick)
        if events.ended:
            return
        yield () if event is None else (event,)


def _quotas(client: Client) -> Quotas:
    try:
        answer = client.call("usage.get")
    except MethodNotFound:
        return {}  # a daemon of an older version, which the status of a newer client must outlive
    return {(each["agent"], each["profile"]): each["rate_limit"] for each in answer["profiles"]}
