"""Params and results of ``events.history``; the rules of ``daemon.rpc_types`` hold here as well."""

from __future__ import annotations

from pydantic import Field

from tokenward.daemon.rpc_types import Params, ProfileKey, Result

MOST_AT_ONCE = 500
"""Moments in one answer, which must fit into one line whatever they say."""


class HistoryParams(Params):
    """Which part of it."""

    since: int | None = Field(
        default=None, description="Unix milliseconds; absent = all that is kept, a day at most."
    )
    before: int | None = Field(
        default=None,
        description="Unix milliseconds; only what began at it or earlier: the `at_ms` of the oldest "
        "moment of an answer leads to those before.",
    )
    profiles: list[ProfileKey] | None = Field(default=None, max_length=1024, description="Absent = all.")


class MomentResult(Result):
    """Something that happened, was reported or asked; never holds a token."""

    type: str = Field(description="The type of an event, or `reported`, or `asked`.")
    profile: str | None = Field(description="Whose, as events name it; null = the daemon's, or nobody's.")
    generation: str | None
    at_ms: int
    until_ms: int = Field(description="When it happened last, if it repeated.")
    count: int = Field(description="How often; what repeats within a minute is one moment.")
    pid: int | None = Field(description="The process that asked; null = not known, or nobody asked.")
    detail: str


class HistoryResult(Result):
    """The oldest first; two bounded rings, one of what happened and one of who used it."""

    moments: list[MomentResult] = Field(description="The newest that fit, at most 500.")
    earlier: bool = Field(description="Whether older ones were left out.")
