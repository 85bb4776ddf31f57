"""What is said on the socket about tokens: how one is asked for, what comes, and what became of it.

Rules, besides those of ``daemon.rpc_types``:
- Only ``TokenResult`` and ``CredentialInput`` hold a secret, and neither shows it in its repr.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr

from tokenward.core import names, protocol
from tokenward.daemon.plain_request import LONGEST_LIFE, LONGEST_TIMEOUT, MOST_COMPACTIONS
from tokenward.daemon.rpc_types import (
    AgentName,
    BetaName,
    Degraded,
    Generation,
    KindName,
    ModelName,
    Params,
    ProfileId,
    Result,
    SessionName,
)


class CredentialInput(Params):
    """An inline credential: shaped into headers, never refreshed or stored."""

    access_token: SecretStr = Field(description="The access token or key.")
    kind: KindName = "oauth"


class TokenParams(Params):
    """What kind of token is wanted, and how long it must live."""

    provider: str | None = Field(
        default=None, max_length=names.LONGEST_PROVIDER, description="Any profile of this provider."
    )
    profile: ProfileId | None = Field(default=None, description="Exactly this profile.")
    agent: AgentName = "main"
    session: SessionName | None = Field(
        default=None, description="Stays with one profile while that is usable, and obeys the session's pin."
    )
    compactions: int = Field(
        default=0,
        ge=0,
        le=MOST_COMPACTIONS,
        description="How often the session was compacted: then it may change.",
    )
    kinds: list[KindName] | None = Field(default=None, description="Only these kinds of credential.")
    auth_method: Literal["api_key", "oauth"] | None = Field(default=None, description="Only keys, or only OAuth.")
    tier: str | None = Field(
        default=None, max_length=names.LONGEST_TIER, description="Only profiles of this tier."
    )
    min_valid: float = Field(
        default=protocol.DEFAULT_MIN_VALID, ge=0, le=LONGEST_LIFE, description="Seconds of life wanted."
    )
    newer_than: Generation | None = Field(default=None, description="Answers a 401: not this generation.")
    timeout: float = Field(
        default=protocol.DEFAULT_TIMEOUT,
        ge=0,
        le=LONGEST_TIMEOUT,
        description="Seconds the caller is ready to wait.",
    )
    credential: CredentialInput | None = None
    model: ModelName | None = Field(
        default=None, description="What it is for; its provider serves if none is named."
    )
    betas: list[BetaName] | None = Field(
        default=None,
        max_length=64,
        description="Values of `anthropic-beta` that the caller sends; they are merged.",
    )


class TokenResult(Result):
    """A token that is valid now, and everything needed to use it."""

    token: str = Field(repr=False, description="The access token or key.")
    kind: KindName
    token_type: str
    profile: str
    provider: str
    source: str
    generation: str
    expires_at_ms: int | None = Field(description="Unix milliseconds; null = unknown.")
    valid_for: float | None = Field(description="Seconds of life left; null = unknown.")
    headers: dict[str, str] = Field(repr=False, description="The headers a request needs, the token included.")
    base_url: str | None
    billing: Literal["api", "subscription"] | None
    tier: str | None
    degraded: Degraded | None = Field(description="Why the token is less than what was asked for, if it is.")
    model: str | None = Field(
        default=None, description="The id of the model to use; null = the provider has no default."
    )
    model_note: str | None = Field(
        default=None, description="Why it is not the model that was asked for, or what is wrong with it."
    )


class ReportParams(Params):
    """What became of a token that was handed out."""

    profile: ProfileId
    agent: AgentName = "main"
    generation: Generation
    status: int | None = Field(default=None, ge=100, le=599, description="The HTTP status the API answered with.")
    error: dict[str, Any] | None = Field(default=None, description="The parsed error body.")
    headers: dict[str, str] | None = Field(default=None, description="Response headers that matter.")
    model: str | None = Field(default=None, max_length=128)
    outcome: Literal["ok", "failed"] | None = None


class ReportResult(Result):
    """What to do next."""

    failure: str | None = Field(description="The failure's class; null if it is none.")
    action: Literal["none", "retry", "rotate", "wait", "login"]
    retry_after: float | None = None
    billing_url: str | None = Field(
        default=None, description="Where funds are added, if there is no money and the configuration says where."
    )
