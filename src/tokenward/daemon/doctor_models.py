"""Params and results of ``doctor.*``; the rules of ``daemon.rpc_types`` hold here as well."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tokenward.daemon.rpc_types import AgentName, Params, ProfileId, Result


class DoctorProbeParams(Params):
    """With whose credential."""

    profile: ProfileId | None = Field(default=None, description="Absent = the one that `token.get` would serve.")
    agent: AgentName = "main"
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Send this model one short message, which costs tokens; absent = nothing that costs.",
    )


class DoctorRunParams(DoctorProbeParams):
    """What to look at, besides this machine."""

    probe: bool = Field(default=False, description="Make one small request as well; else nothing is sent.")


class DoctorProbeResult(Result):
    """What one small request showed; no secret is in it."""

    profile: str | None = Field(description="Whose credential it was; null = none could be had.")
    provider: str
    verdict: Literal["taken", "refused", "unknown"]
    reason: str = Field(description="Why it was not taken; empty if it was.")
    hint: str = Field(description="The way out that came with the reason; may be empty.")
    status: int | None = Field(description="The HTTP status; null = nothing answered.")
    from_api: bool = Field(description="Whether the answer bears a request id: the API's do, a proxy's do not.")
    ahead: float | None = Field(
        description="Seconds by which this machine's clock is ahead of the server's `Date`; null = it sent none."
    )


class FindingResult(Result):
    """One sentence of the doctor."""

    check: str = Field(description="Which check says it; see docs/doctor.md.")
    level: Literal["ok", "warn", "fail"] = Field(
        description="`warn`: works now, may not later; `fail`: does not work, or a secret is open to others."
    )
    cause: str = Field(description="What was found.")
    consequence: str = Field(description="What comes of it; may be empty.")
    hint: str = Field(description="The way out, a command where one mends it; empty where nothing is to be done.")


class DoctorRunResult(Result):
    """Everything that was found, in the order of the checks."""

    findings: list[FindingResult]
