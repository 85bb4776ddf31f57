"""What is said on the socket about events: whose are wanted, and what happened.

Rules, besides those of ``daemon.rpc_types``:
- An event never holds a token; who wants the new one asks for it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tokenward.daemon.event_hub import EventType
from tokenward.daemon.rpc_types import Params, ProfileKey, Result


class SubscribeParams(Params):
    """Which profiles' events; absent = all."""

    profiles: list[ProfileKey] | None = Field(default=None, max_length=1024)


class SubscribeResult(Result):
    """From here on `event` notifications follow on this connection."""

    subscribed: Literal[True] = True


class Event(Result):
    """Something that happened; never holds a token."""

    type: EventType
    profile: str | None = Field(
        description="Whose, null = the daemon's; of another agent than main, `agent/provider:name`."
    )
    generation: str | None
    at_ms: int
    detail: str = ""
