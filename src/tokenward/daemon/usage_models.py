"""Params and results of ``usage.*``; the rules of ``daemon.rpc_types`` hold here as well."""

from __future__ import annotations

from pydantic import Field

from tokenward.daemon.rpc_types import AgentName, Params, ProfileId, Result


class UsageParams(Params):
    """Whose."""

    profile: ProfileId | None = Field(default=None, description="Absent = all.")
    agent: AgentName | None = Field(
        default=None, description="With a profile, whose it is (main); else only profiles of this agent."
    )


class UsageReportParams(Params):
    """The headers of one answer."""

    profile: ProfileId
    agent: AgentName = "main"
    headers: dict[str, str] = Field(
        max_length=256, description="Names in any case; those that tell nothing of limits are passed over."
    )


class AllowanceResult(Result):
    """What may be used in a minute; null = unknown, or told of a window that has ended."""

    limit: int | None
    remaining: int | None
    resets_at_ms: int | None


class QuotaResult(Result):
    """What a subscription may use in one of its windows; null = unknown, or told of a window that has ended."""

    utilization: float | None = Field(description="The part that is used up, 1.0 = all.")
    status: str | None = Field(description="The provider's word: allowed, allowed_warning, rejected.")
    resets_at_ms: int | None


class RateLimitResult(Result):
    """What the answers told of the limits."""

    requests: AllowanceResult
    tokens: AllowanceResult
    five_hours: QuotaResult
    seven_days: QuotaResult
    fallback_percentage: float | None
    overage_status: str | None
    limited_until_ms: int | None = Field(description="No request before, by the Retry-After of a 429.")


class UsageResult(Result):
    """How much of its limits a profile has used, as far as callers reported it."""

    profile: str
    agent: str
    request_count: int = Field(description="Answers whose headers were reported, restarts included.")
    counted_since_ms: int | None
    reported_at_ms: int | None = Field(description="The last of them.")
    message_quota_percent: float | None = Field(description="The part of the requests that is used up, 0 to 100.")
    token_quota_percent: float | None = Field(description="The part of the tokens that is used up, 0 to 100.")
    is_rate_limited: bool = Field(description="Whether a request now would be refused, as far as is known.")
    soonest_reset_ms: int | None = Field(description="When the first of the windows ends whose end was told.")
    rate_limit: RateLimitResult


class UsageListResult(Result):
    """Profiles, sorted by id."""

    profiles: list[UsageResult]
