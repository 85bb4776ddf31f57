"""Results of ``sink.*``; the rules of ``daemon.rpc_types`` hold here as well."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tokenward.daemon.rpc_types import Result


class SinkResult(Result):
    """A file that is published."""

    sink: str
    format: Literal["token", "env", "template", "anthropic-profile"]
    profile: str
    paths: list[str]
    mode: str
    state: Literal["published", "withdrawn", "failing", "waiting"] = Field(
        description="withdrawn: there is nothing valid to publish; waiting: it was not written yet."
    )
    generation: str | None = Field(description="Of the value that the file holds; null = none of ours.")
    expires_at_ms: int | None = Field(description="When that value ends; null = unknown.")
    written_at_ms: int | None
    reason: str | None = Field(description="Why it is withdrawn or failing.")
    hint: str | None = Field(description="The way out.")
    command_failure: str | None = Field(description="Why its on_change command failed last; null if it did not.")


class SinkListResult(Result):
    """All sinks, sorted by name."""

    sinks: list[SinkResult]
