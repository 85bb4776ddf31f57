"""What is said on the socket about profiles: which there are, how each does, and what is added or changed.

Rules, besides those of ``daemon.rpc_types``:
- ``StoredCredential`` alone holds secrets, and it is only ever sent to us.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tokenward.daemon.rpc_types import AgentName, Degraded, KindName, Params, ProfileId, Result


class ProfileListParams(Params):
    """Which profiles."""

    agent: AgentName | None = None
    provider: str | None = Field(default=None, max_length=64)


class ProfileParams(Params):
    """One profile."""

    profile: ProfileId
    agent: AgentName = "main"


class StoredCredential(Params):
    """A credential to keep; of kind ``oauth`` it has a refresh token and an end, else only ``access_token``."""

    access_token: SecretStr
    refresh_token: SecretStr | None = None
    expires_in: float | None = Field(default=None, description="Seconds from now (RFC 6749 5.1).")
    expires_at_ms: float | None = Field(default=None, description="Unix milliseconds.")
    scope: str | None = None
    token_type: str = "Bearer"  # noqa: S105 - RFC 6749 token_type, not a secret


class ProfileAddParams(Params):
    """A profile to create or to give new material."""

    profile: ProfileId
    kind: KindName = "oauth"
    credential: StoredCredential
    agent: AgentName = "main"
    shared: bool = Field(
        default=False, description="A new profile is shared with other hosts; one that is shared stays so."
    )


class LastFailure(Result):
    """The last failed refresh."""

    failure: str = Field(description="not_sent, ambiguous, unavailable, invalid_grant, unsaved, locked, …")
    reason: str
    at_ms: int
    failures: int = Field(description="How many in a row.")


class HealthResult(Result):
    """What keeps a profile from serving, as callers reported it."""

    kind: Literal["cooldown", "disabled"] = Field(description="Whether it only slows down, or a person must act.")
    reason: str = Field(description="The class of the failure.")
    until_ms: int | None = Field(description="When it serves again; null = with new material or `profile.clear`.")
    model: str | None = Field(description="The only model it concerns; null = all.")
    errors: int = Field(description="How many failures counted, in a row.")


class ProfileResult(Result):
    """A profile as `status` shows it."""

    profile: str
    provider: str
    agent: str
    kind: KindName | None
    source: str
    location: str = Field(description="Where the credential lives, for people.")
    phase: str = Field(description="The refresh machine's phase; see docs/lifecycle.md.")
    enabled: bool
    generation: str | None
    expires_at_ms: int | None
    valid_for: float | None
    login_ends_at_ms: int | None
    refresh: Literal["direct", "delegate", "mint", "watch", "none"]
    next_refresh_at_ms: int | None
    last_refresh_at_ms: int | None
    last_failure: LastFailure | None
    unusable: str | None = Field(description="Why it cannot be served now; null if it can.")
    degraded: Degraded | None
    note: str | None = Field(description="What a person should know, with the way out.")
    billing: Literal["api", "subscription"] | None
    tier: str | None
    insufficient_access: str | None = Field(
        description="Why a valid login opens no API, as a free account's; null if it does, as far as is known."
    )
    cooling: list[HealthResult] = Field(default=[], description="Every window that is open, the widest first.")
    last_report: str | None = Field(
        default=None, description="The class of the last failure that callers reported; null = none, or over."
    )
    last_used_at_ms: int | None = Field(default=None, description="When its token was last handed out.")
    granted_life: float | None = Field(
        default=None,
        description="Seconds of life the token began with: granted, or seen at its rotation; null = unknown.",
    )
    waits_for: str | None = Field(
        default=None, description="The lock that a refresh waits for now, and who holds it; null = none."
    )


class ProfileListResult(Result):
    """All profiles, sorted by id."""

    profiles: list[ProfileResult]
