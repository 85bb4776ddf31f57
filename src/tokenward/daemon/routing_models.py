"""Params and results of ``order.*``, ``session.*`` and ``fallback.next``; ``daemon.rpc_types`` has the rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tokenward.daemon.rpc_types import AgentName, ModelName, Params, ProfileId, Result, SessionName

MOST_ORDERED = 256
"""Profiles in one order: a person writes it."""
MOST_FAILED = 32
"""Attempts of one request that are told."""


class OrderParams(Params):
    """Whose order."""

    provider: str = Field(min_length=1, max_length=64, description="Its name, or an alias.")
    agent: AgentName = "main"


class OrderSetParams(OrderParams):
    """An order."""

    profiles: list[ProfileId] = Field(
        min_length=1,
        max_length=MOST_ORDERED,
        description="The whole list: these, in this order, and nobody else.",
    )


class OrderResult(Result):
    """The order in force."""

    provider: str
    agent: str
    profiles: list[str] = Field(description="Empty: whoever was used longest ago goes first.")
    missing: list[str] = Field(description="Those of them that nobody bears now; they are passed over.")


class SessionParams(Params):
    """Which session."""

    session: SessionName


class SessionPinParams(SessionParams):
    """What a session shall use from now on."""

    model: ModelName = Field(
        description="A model, and after an `@` the profile, if only that one shall be used with it.",
        examples=["anthropic/claude-opus-4-6@anthropic:user@work.com"],
    )


class SessionResult(Result):
    """What a session uses."""

    session: str
    provider: str | None
    model: str | None = Field(description="The model that a person chose.")
    profile: str | None = Field(description="The profile that it stays with.")
    hard: bool = Field(description="Whether a person named the profile: then no other takes its place.")


class FailedAttempt(Params):
    """What became of one model."""

    model: ModelName
    error: Annotated[str, Field(max_length=2000)] = ""
    reason: str = Field(
        default="unknown", max_length=64, description="The failure's class; `aborted` = the caller stopped."
    )


class FallbackParams(Params):
    """What was tried."""

    session: SessionName | None = None
    model: ModelName | None = Field(
        default=None, description="The model asked for first; absent = the session's, else the default."
    )
    failed: list[FailedAttempt] = Field(default=[], max_length=MOST_FAILED, description="The first one first.")


class FallbackResult(Result):
    """What to try now."""

    model: str | None = Field(description="`provider/model`; null = none is left.")
    chain: list[str] = Field(description="All models, in the order in which they are tried.")
    cause: str | None = Field(description="Why none is left, with what became of each.")
    stopped: bool = Field(description="Whether the caller stopped it, while models may be left.")
