"""What the daemon offers, as types: the params and results of every RPC method, and the object that answers.

The problem: the socket, the in-process commands and the tests must all see one interface, and its reference
document must not drift from the code. So every method's params and result are models here, the methods in
``daemon/methods`` only name them, and ``openrpc.json`` is generated from them.

Rules:
- Params refuse unknown members; clients ignore unknown members of results (design section 6).
- Only ``TokenResult`` and ``CredentialInput`` hold a secret, and neither shows it in its repr. No result ever
  holds a refresh token (design I9).
- Times are Unix milliseconds where a name ends in ``_ms``, else seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tokenward.core import protocol

if TYPE_CHECKING:
    from tokenward.daemon.logins import Logins
    from tokenward.daemon.source_models import (
        SourceAdoptParams,
        SourceImportParams,
        SourceImportResult,
        SourceListResult,
    )

PROFILE_ID = r"^[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$"
ProfileId = Annotated[
    str,
    Field(
        pattern=PROFILE_ID,
        description="A profile's id, `provider:name`.",
        examples=["anthropic:claude-cli", "acme:me@work.com"],
    ),
]
AgentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="A namespace of profiles.")]
KindName = Literal["api_key", "auth_token", "setup_token", "oauth", "federated"]
Generation = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="Names one value of a credential.")]
Degraded = Literal["short", "refresh_failing", "unsaved"]


class Params(BaseModel):
    """What a caller sends; an unknown member is an error, so that a misspelt wish is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Result(BaseModel):
    """What a caller gets; members may be added within a protocol version."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class NoParams(Params):
    """No parameters."""


class HelloParams(Params):
    """Who is calling; shown in the audit, believed by nobody."""

    client: str | None = Field(default=None, max_length=128, description="The caller's name and version.")


class HelloResult(Result):
    """Who answers."""

    name: str = "tokenward"
    version: str
    protocol: int = protocol.PROTOCOL_VERSION
    pid: int


class CredentialInput(Params):
    """An inline credential: shaped into headers, never refreshed or stored."""

    access_token: SecretStr = Field(description="The access token or key.")
    kind: KindName = "oauth"


class TokenParams(Params):
    """What kind of token is wanted, and how long it must live."""

    provider: str | None = Field(default=None, max_length=64, description="Any profile of this provider.")
    profile: ProfileId | None = Field(default=None, description="Exactly this profile.")
    agent: AgentName = "main"
    kinds: list[KindName] | None = Field(default=None, description="Only these kinds of credential.")
    auth_method: Literal["api_key", "oauth"] | None = Field(default=None, description="Only keys, or only OAuth.")
    tier: str | None = Field(default=None, max_length=32, description="Only profiles of this tier.")
    min_valid: float = Field(
        default=protocol.DEFAULT_MIN_VALID, ge=0, le=31_622_400, description="Seconds of life wanted."
    )
    newer_than: Generation | None = Field(default=None, description="Answers a 401: not this generation.")
    timeout: float = Field(
        default=protocol.DEFAULT_TIMEOUT, ge=0, le=600, description="Seconds the caller is ready to wait."
    )
    credential: CredentialInput | None = None


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


class ReportParams(Params):
    """What became of a token that was handed out."""

    profile: ProfileId
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


class ProfileListParams(Params):
    """Which profiles."""

    agent: AgentName | None = None
    provider: str | None = Field(default=None, max_length=64)


class ProfileParams(Params):
    """One profile."""

    profile: ProfileId


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


class LastFailure(Result):
    """The last failed refresh."""

    failure: str = Field(description="not_sent, ambiguous, unavailable, invalid_grant, unsaved, locked, …")
    reason: str
    at_ms: int
    failures: int = Field(description="How many in a row.")


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


class ProfileListResult(Result):
    """All profiles, sorted by id."""

    profiles: list[ProfileResult]


class SubscribeParams(Params):
    """Which profiles' events; absent = all."""

    profiles: list[ProfileId] | None = Field(default=None, max_length=1024)


class SubscribeResult(Result):
    """From here on `event` notifications follow on this connection."""

    subscribed: Literal[True] = True


class Event(Result):
    """Something that happened; never holds a token."""

    type: Literal[
        "appeared", "rotated", "refresh_failed", "login_required", "unsaved", "saved", "logged_out",
        "forgotten", "clock_stepped", "reloaded", "stopping", "lost",
    ]  # fmt: skip
    profile: str | None
    generation: str | None
    at_ms: int
    detail: str = ""


class DaemonStatusResult(Result):
    """The daemon as a whole."""

    version: str
    pid: int
    protocol: int = protocol.PROTOCOL_VERSION
    started_at_ms: int
    uptime: float
    socket: str
    state_directory: str
    config: str | None = Field(description="The configuration file in force; null = built-in defaults.")
    config_error: str | None = Field(description="Why the file last read is not in force; null = it is.")
    store_key: str = Field(description="Where the store's key lies.")
    connections: int
    subscribers: int
    profiles: list[ProfileResult]


class ReloadResult(Result):
    """Whether the configuration was taken over."""

    reloaded: bool
    error: str | None


class StopResult(Result):
    """The daemon ends after the refreshes under way."""

    stopping: Literal[True] = True


class EventFeed(Protocol):
    """One subscriber's events, bounded by ``MAX_QUEUED_EVENTS``."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Each event once; after an overflow a last one of type ``lost``, then the end."""


class Service(Protocol):
    """The daemon, as its methods and its tests see it. Errors are ``TokenwardError`` leaves."""

    @property
    def logins(self) -> Logins:
        """The logins under way."""

    def token_nowait(self, params: TokenParams) -> bytes | None:
        """The lane: the encoded ``TokenResult`` if it can be had without I/O beyond one stat, else None."""

    async def token(self, params: TokenParams) -> TokenResult:
        """A token that is valid now, refreshed first if need be."""

    async def report(self, params: ReportParams) -> ReportResult:
        """Take a caller's word on a token it was given."""

    def profiles(self, params: ProfileListParams) -> list[ProfileResult]:
        """All profiles that fit, sorted by id."""

    def profile(self, profile: str) -> ProfileResult:
        """One profile."""

    async def add(self, params: ProfileAddParams) -> ProfileResult:
        """Keep a credential in our own store."""

    async def forget(self, profile: str) -> ProfileResult:
        """Delete a profile of our own store, here and not at the server."""

    async def refresh(self, profile: str) -> ProfileResult:
        """Refresh now, by hand."""

    async def sources(self) -> SourceListResult:
        """The programs whose credentials can be taken over, and what is adopted."""

    async def take_over(self, params: SourceImportParams) -> SourceImportResult:
        """Copy another program's credentials into our own store."""

    async def adopt(self, params: SourceAdoptParams) -> ProfileResult:
        """Keep a foreign file in place."""

    def subscribe(self, profiles: frozenset[str] | None) -> AbstractAsyncContextManager[EventFeed]:
        """Open a feed of events."""

    def status(self) -> DaemonStatusResult:
        """The daemon as a whole."""

    async def reload(self) -> ReloadResult:
        """Read the configuration again."""

    def stop(self) -> None:
        """End after the refreshes under way."""
