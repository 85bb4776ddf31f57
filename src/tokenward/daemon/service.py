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

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from tokenward.core import protocol
from tokenward.core.model_reference import MODEL_TEXT, may_be_model

if TYPE_CHECKING:
    from tokenward.daemon.decisions import Decisions
    from tokenward.daemon.doctor import Doctor
    from tokenward.daemon.history_models import HistoryParams, HistoryResult
    from tokenward.daemon.logins import Logins
    from tokenward.daemon.models import Models
    from tokenward.daemon.sink_models import SinkListResult
    from tokenward.daemon.source_models import (
        SourceAdoptParams,
        SourceImportParams,
        SourceImportResult,
        SourceListResult,
    )
    from tokenward.daemon.usage_models import UsageListResult, UsageParams, UsageReportParams, UsageResult

PROFILE_ID = r"^[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$"
ProfileId = Annotated[
    str,
    Field(
        pattern=PROFILE_ID,
        description="A profile's id, `provider:name`.",
        examples=["anthropic:claude-cli", "acme:me@work.com"],
    ),
]
ProfileKey = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9._-]{1,64}/)?[a-z0-9][a-z0-9_-]{0,63}:[A-Za-z0-9._@+-]{1,128}$",
        description="A profile's id; of another agent than main, `agent/provider:name`.",
    ),
]
AgentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="A namespace of profiles.")]
KindName = Literal["api_key", "auth_token", "setup_token", "oauth", "federated"]
SessionName = Annotated[
    str, Field(min_length=1, max_length=128, description="Any text by which the caller knows a conversation.")
]
Generation = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="Names one value of a credential.")]
Degraded = Literal["short", "refresh_failing", "unsaved", "cooling"]


def _model_name(text: str) -> str:
    if not may_be_model(text):
        raise ValueError("not the name of a model")
    return text


ModelName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=160),
    AfterValidator(_model_name),
    Field(
        json_schema_extra={"pattern": MODEL_TEXT},
        description="`provider/model`, `provider:model`, or an id or alias alone.",
        examples=["anthropic/claude-opus-5-5", "opus"],
    ),
]
BetaName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._, -]{0,511}$")]


class Params(BaseModel):
    """What a caller sends; an unknown member is an error, so that a misspelt wish is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class Result(BaseModel):
    """What a caller gets; members may be added within a protocol version."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)


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
    session: SessionName | None = Field(
        default=None, description="Stays with one profile while that is usable, and obeys the session's pin."
    )
    compactions: int = Field(
        default=0, ge=0, le=1_000_000, description="How often the session was compacted: then it may change."
    )
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


class ProfileListResult(Result):
    """All profiles, sorted by id."""

    profiles: list[ProfileResult]


class ProviderListParams(Params):
    """For whom."""

    agent: AgentName = "main"


class ProviderParams(Params):
    """One provider."""

    provider: str = Field(max_length=64, description="Its name, or an alias.")
    agent: AgentName = "main"


class ProviderResult(Result):
    """A provider as it is in force."""

    provider: str
    env_var: str | None = Field(description="The variable whose key is served; null = none.")
    api_type: str | None = Field(description="The API's name, for people.")
    model_prefix: str | None = Field(description="How the ids of its models begin.")
    base_url: str | None
    base_url_overridden: bool = Field(description="Whether the configuration names another base URL than usual.")
    serves: str | None = Field(description="The profile that `token.get` would be answered from now.")


class ProviderListResult(Result):
    """All providers that are configured or have a profile, sorted by name."""

    providers: list[ProviderResult]


class SubscribeParams(Params):
    """Which profiles' events; absent = all."""

    profiles: list[ProfileKey] | None = Field(default=None, max_length=1024)


class SubscribeResult(Result):
    """From here on `event` notifications follow on this connection."""

    subscribed: Literal[True] = True


class Event(Result):
    """Something that happened; never holds a token."""

    type: Literal[
        "appeared", "rotated", "refresh_failed", "login_required", "unsaved", "saved", "logged_out",
        "forgotten", "sink_failed", "usage_warning", "cooling", "recovered", "clock_stepped", "reloaded",
        "stopping", "lost",
    ]  # fmt: skip
    profile: str | None = Field(
        description="Whose, null = the daemon's; of another agent than main, `agent/provider:name`."
    )
    generation: str | None
    at_ms: int
    detail: str = ""


class SocketResult(Result):
    """A restricted socket of the configuration."""

    path: str
    profiles: list[str]
    uids: list[int] = Field(description="Who may call besides our own user.")
    trouble: str | None = Field(description="Why nobody is served on it; null if it is open.")


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
    store_trouble: str | None = Field(description="Why the store's key cannot be used now; null if it can.")
    sink_troubles: list[str] = Field(default=[], description="One line for each sink that is not up to date.")
    connections: int
    subscribers: int
    restricted_sockets: list[SocketResult] = Field(
        default=[], description="The sockets that hand out tokens of some profiles and do nothing else."
    )
    profiles: list[ProfileResult]


class ReloadResult(Result):
    """Whether the configuration was taken over."""

    reloaded: bool
    error: str | None


class MetricsParams(Params):
    """How metrics are written."""

    format: Literal["openmetrics", "prometheus"] = Field(
        default="openmetrics", description="`prometheus` is the older text, which node_exporter reads from files."
    )


class MetricsResult(Result):
    """Counters and gauges as text."""

    content_type: str = Field(description="Which text, as HTTP names it.")
    text: str


class StopResult(Result):
    """The daemon ends after the refreshes under way."""

    stopping: Literal[True] = True


class StoreStatusResult(Result):
    """Where the key of our own store lies."""

    key: Literal["file", "keyring", "systemd", "passphrase"]
    key_id: str = Field(description="Names the key; public.")
    location: str = Field(description="Where exactly, for people.")
    locked: str | None = Field(description="Why the key cannot be used now; null if it can.")
    moving_to: str | None = Field(description="Where a change of the key that has not ended leads.")
    note: str | None = Field(description="What a person should know, with the way out.")
    records: int


class RekeyParams(Params):
    """Where the new key shall lie."""

    to: Literal["file", "keyring", "systemd", "passphrase"]


class ExportParams(Params):
    """What to write, and who may read it."""

    file: str = Field(max_length=4096, description="An absolute path where nothing is yet.")
    recipients: list[str] = Field(min_length=1, max_length=64, description="age recipients, `age1…`.")


class ExportResult(Result):
    """What was written."""

    file: str
    profiles: list[str]
    left_out: list[str] = Field(description="Profiles whose record cannot be read.")


class RestoreParams(Params):
    """What to read, and with which identity."""

    file: str = Field(max_length=4096, description="The absolute path of an exported file.")
    identity_file: str = Field(max_length=4096, description="The absolute path of a file of age identities.")
    force: bool = Field(default=False, description="Replace records that are newer, too.")


class RestoredProfile(Result):
    """What became of one profile."""

    profile: str
    result: Literal["restored", "unchanged", "kept"]
    reason: str | None = Field(description="Why the record that was there is kept.")


class RestoreResult(Result):
    """What became of each profile of the file."""

    profiles: list[RestoredProfile]


class EventFeed(Protocol):
    """One subscriber's events, bounded by ``MAX_QUEUED_EVENTS``."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Each event once; after an overflow a last one of type ``lost``, then the end."""


class Service(Protocol):
    """The daemon, as its methods and its tests see it. Errors are ``TokenwardError`` leaves."""

    @property
    def logins(self) -> Logins:
        """The logins under way."""

    @property
    def doctor(self) -> Doctor:
        """Who looks for what is wrong."""

    @property
    def models(self) -> Models:
        """What is known of models."""

    @property
    def decisions(self) -> Decisions:
        """What people decide about routing."""

    def token_nowait(self, params: TokenParams) -> bytes | None:
        """The lane: the encoded ``TokenResult`` if it can be had without I/O beyond one stat, else None."""

    async def token(self, params: TokenParams) -> TokenResult:
        """A token that is valid now, refreshed first if need be."""

    async def report(self, params: ReportParams) -> ReportResult:
        """Take a caller's word on a token it was given."""

    def usage(self, params: UsageParams) -> UsageListResult:
        """How much of their limits the profiles that fit have used."""

    def report_usage(self, params: UsageReportParams) -> UsageResult:
        """Take the headers of an answer that a caller got."""

    def profiles(self, params: ProfileListParams) -> list[ProfileResult]:
        """All profiles that fit, sorted by id."""

    def profile(self, profile: str, agent: str = "main") -> ProfileResult:
        """One profile."""

    async def add(self, params: ProfileAddParams) -> ProfileResult:
        """Keep a credential in our own store."""

    async def forget(self, profile: str, agent: str = "main") -> ProfileResult:
        """Delete a profile of our own store."""

    async def refresh(self, profile: str, agent: str = "main") -> ProfileResult:
        """Refresh now, by hand."""

    async def sources(self) -> SourceListResult:
        """The programs whose credentials can be taken over, and what is adopted."""

    async def take_over(self, params: SourceImportParams) -> SourceImportResult:
        """Copy another program's credentials into our own store."""

    async def adopt(self, params: SourceAdoptParams) -> ProfileResult:
        """Keep a foreign file in place."""

    async def enable(self, profile: str, agent: str = "main") -> ProfileResult:
        """Let a profile that was disabled serve again."""

    async def disable(self, profile: str, agent: str = "main") -> ProfileResult:
        """Neither serve nor refresh a profile until it is enabled, also after a restart."""

    def sinks(self) -> SinkListResult:
        """The files that are published."""

    def provider_shown(self, provider: str, agent: str = "main") -> ProviderResult:
        """One provider, and which profile would serve it now."""

    def providers_shown(self, agent: str = "main") -> list[ProviderResult]:
        """All providers that are configured or have a profile, sorted by name."""

    async def store_status(self) -> StoreStatusResult:
        """Where the key of our own store lies."""

    async def store_rekey(self, params: RekeyParams) -> StoreStatusResult:
        """Seal every record under a new key."""

    async def store_export(self, params: ExportParams) -> ExportResult:
        """Write our own store to an age file."""

    async def store_restore(self, params: RestoreParams) -> RestoreResult:
        """Take an exported file into our own store."""

    def subscribe(self, profiles: frozenset[str] | None) -> AbstractAsyncContextManager[EventFeed]:
        """Open a feed of events."""

    def history(self, params: HistoryParams) -> HistoryResult:
        """What happened in the last day, and who asked."""

    def status(self) -> DaemonStatusResult:
        """The daemon as a whole."""

    async def metrics(self, params: MetricsParams) -> MetricsResult:
        """Counters and gauges."""

    async def reload(self) -> ReloadResult:
        """Read the configuration again."""

    def stop(self) -> None:
        """End after the refreshes under way."""
