"""A server under test: a scripted service, a clock that stands still until told, and a raw peer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from tokenward import errors
from tokenward.core.credential import Credential
from tokenward.core.key_check import KeyCheck
from tokenward.core.login import LoginTerms
from tokenward.daemon.daemon_models import DaemonStatusResult, MetricsParams, MetricsResult, ReloadResult
from tokenward.daemon.doctor_models import (
    DoctorProbeParams,
    DoctorProbeResult,
    DoctorRunParams,
    DoctorRunResult,
    FindingResult,
)
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.history_models import HistoryParams, HistoryResult
from tokenward.daemon.listener import bind_socket
from tokenward.daemon.logins import Started
from tokenward.daemon.methods.method import Audit
from tokenward.daemon.models import Models
from tokenward.daemon.pace import Pace
from tokenward.daemon.plain_request import PlainRequest, TokenRequest
from tokenward.daemon.profile_models import ProfileAddParams, ProfileListParams, ProfileResult
from tokenward.daemon.provider_models import ProviderResult
from tokenward.daemon.routing_models import (
    FallbackParams,
    FallbackResult,
    OrderParams,
    OrderResult,
    OrderSetParams,
    SessionParams,
    SessionPinParams,
    SessionResult,
)
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.service import Service
from tokenward.daemon.sink_models import SinkListResult, SinkResult
from tokenward.daemon.source_models import (
    SourceAdoptParams,
    SourceImportParams,
    SourceImportResult,
    SourceListResult,
)
from tokenward.daemon.standing_answer import HandedOut
from tokenward.daemon.store_models import (
    ExportParams,
    ExportResult,
    RekeyParams,
    RestoreParams,
    RestoreResult,
    StoreStatusResult,
)
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams, TokenResult
from tokenward.daemon.usage_models import (
    AllowanceResult,
    QuotaResult,
    RateLimitResult,
    UsageListResult,
    UsageParams,
    UsageReportParams,
    UsageResult,
)
from tokenward.provider_files import Provider

HELLO = b'{"jsonrpc":"2.0","id":1,"method":"daemon.hello"}\n'
GET = b'{"jsonrpc":"2.0","id":1,"method":"token.get"}\n'
PATIENCE_SECONDS = 20.0
"""How long a test waits for what must come; only a failing test waits so long."""
SECRET = "sk-ant-oat01-never-to-be-shown"
TOKEN = TokenResult(
    token="at-1",
    kind="oauth",
    token_type="Bearer",
    profile="acme:me",
    provider="acme",
    source="store",
    generation="0123456789ab",
    expires_at_ms=1_700_000_000_000,
    valid_for=1800.0,
    headers={"Authorization": "Bearer at-1"},
    base_url=None,
    billing=None,
    tier=None,
    degraded=None,
    model=None,
    model_note=None,
)
PROFILE = ProfileResult(
    profile="acme:me",
    provider="acme",
    agent="main",
    kind="oauth",
    source="store",
    location="credentials/x.json",
    phase="held",
    enabled=True,
    generation="0123456789ab",
    expires_at_ms=1_700_000_000_000,
    valid_for=1800.0,
    login_ends_at_ms=None,
    refresh="direct",
    next_refresh_at_ms=None,
    last_refresh_at_ms=None,
    last_failure=None,
    unusable=None,
    degraded=None,
    note=None,
    billing=None,
    tier=None,
    insufficient_access=None,
    cooling=[],
    last_report=None,
    last_used_at_ms=None,
)

_NO_ALLOWANCE = AllowanceResult(limit=None, remaining=None, resets_at_ms=None)
_NO_QUOTA = QuotaResult(utilization=None, status=None, resets_at_ms=None)
SINK = SinkResult(
    sink="job",
    format="token",
    profile="anthropic:claude-cli",
    paths=["/run/user/1000/tokenward/tokens/job"],
    mode="0600",
    state="published",
    generation="0123456789ab",
    expires_at_ms=None,
    written_at_ms=1,
    reason=None,
    hint=None,
    command_failure=None,
)
USAGE = UsageResult(
    profile="acme:me",
    agent="main",
    request_count=0,
    counted_since_ms=None,
    reported_at_ms=None,
    message_quota_percent=None,
    token_quota_percent=None,
    is_rate_limited=False,
    soonest_reset_ms=None,
    rate_limit=RateLimitResult(
        requests=_NO_ALLOWANCE,
        tokens=_NO_ALLOWANCE,
        five_hours=_NO_QUOTA,
        seven_days=_NO_QUOTA,
        fallback_percentage=None,
        overage_status=None,
        limited_until_ms=None,
    ),
)


class StillClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> datetime:
        """Aware UTC."""
        return datetime.fromtimestamp(self.now, UTC)

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def boottime(self) -> float:
        """Seconds."""
        return self.now


class Feed:
    """Events put in by a test."""

    def __init__(self) -> None:
        self.send, self.receive = anyio.create_memory_object_stream[Happening](1000)

    def __aiter__(self) -> AsyncIterator[Happening]:
        return self.receive.__aiter__()


class NoProviders:
    """No provider but the built-in ones."""

    default_provider = "anthropic"
    providers: Mapping[str, Provider] = MappingProxyType({})


class ScriptedLogins:
    """Logins that succeed at once."""

    async def start(
        self, provider: str, method: str, profile: str | None, *, terms: LoginTerms, agent: str, shared: bool
    ) -> Started:
        """A login of a fixed name."""
        ends_at = datetime.fromtimestamp(1_700_000_000, UTC)
        return Started("0" * 32, provider, f"https://{method}.test/", profile, ends_at)

    async def complete(self, name: str, pasted: str | None, *, patience: float) -> ProfileResult:
        """The one profile there is."""
        return PROFILE

    async def check_key(self, provider: str, credential: Credential) -> KeyCheck:
        """Refused, with what was asked."""
        return KeyCheck("refused", f"{provider} {credential.kind.value}")

    async def cancel(self, name: str) -> None:
        """Nothing happens."""

    async def revoke(self, profile: str, agent: str) -> ProfileResult:
        """The one profile there is."""
        return PROFILE


FINDING = FindingResult(check="clocks", level="ok", cause="the clocks agree", consequence="", hint="")
PROBED = DoctorProbeResult(
    profile="acme:me",
    provider="acme",
    verdict="taken",
    reason="",
    hint="",
    status=200,
    from_api=True,
    ahead=0.5,
)


class ScriptedDoctor:
    """Who finds nothing wrong."""

    async def run(self, params: DoctorRunParams) -> DoctorRunResult:
        """One finding."""
        return DoctorRunResult(findings=[FINDING])

    async def probe(self, params: DoctorProbeParams) -> DoctorProbeResult:
        """Taken."""
        return PROBED


class ScriptedDecisions:
    """Decisions that show what was understood."""

    def order(self, params: OrderParams) -> OrderResult:
        """Nothing is decided."""
        return OrderResult(provider=params.provider, agent=params.agent, profiles=[], missing=[])

    async def set_order(self, params: OrderSetParams) -> OrderResult:
        """What was asked for."""
        return OrderResult(provider=params.provider, agent=params.agent, profiles=params.profiles, missing=[])

    async def clear_order(self, params: OrderParams) -> OrderResult:
        """Nothing is decided."""
        return self.order(params)

    def session(self, params: SessionParams) -> SessionResult:
        """Nothing is settled."""
        return SessionResult(session=params.session, provider=None, model=None, profile=None, hard=False)

    async def pin(self, params: SessionPinParams) -> SessionResult:
        """The text is the model."""
        return SessionResult(session=params.session, provider="acme", model=params.model, profile=None, hard=False)

    async def reset(self, params: SessionParams) -> SessionResult:
        """Nothing is settled."""
        return self.session(params)

    def fallback(self, params: FallbackParams) -> FallbackResult:
        """None is left, and the cause says how many failed."""
        return FallbackResult(model=None, chain=[], cause=str(len(params.failed)), stopped=False)

    async def clear(self, profile: str, agent: str) -> ProfileResult:
        """The one profile there is."""
        return PROFILE


class ScriptedService:
    """A service whose behaviour hangs on the name of the profile.

    ``acme:slow*`` waits for ``release``, ``acme:broken`` raises with a secret in its text, ``acme:locked`` raises
    an error of ours, ``acme:large`` has 900 KiB, ``acme:huge`` is too long to send; every other one is served.
    """

    def __init__(self, *, has_lane: bool = True) -> None:
        self.has_lane = has_lane
        self.release = anyio.Event()
        self.waiting = 0
        self.feeds: list[Feed] = []
        self.open_feeds = 0
        self.reports: list[ReportParams] = []
        self.reported = anyio.Event()
        self.added: list[ProfileAddParams] = []
        self.logins: Any = ScriptedLogins()
        self.doctor: Any = ScriptedDoctor()
        self.decisions: Any = ScriptedDecisions()
        self.models = Models(NoProviders(), tier=lambda _provider, _agent: None)
        self.is_stopping = False
        self.lane_served = 0
        self.plain_asked = 0

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """The lane, where it is open."""
        if params.profile not in {None, "acme:me"} or params.credential is not None:
            if params.profile == "acme:broken":
                raise RuntimeError(SECRET)
            return None
        if not self.has_lane:
            return None
        self.lane_served += 1
        result = self.result(params)
        return HandedOut(
            result.model_dump_json().encode(), result.profile, result.generation, result.profile, "turn"
        )

    def token_later(self, params: PlainRequest) -> Awaitable[HandedOut] | None:
        """What waits and is plain, where the lane is open; sessions are the dispatcher's."""
        return None if params.session is not None or not self.has_lane else self._handed_out(params)

    async def _handed_out(self, params: PlainRequest) -> HandedOut:
        self.plain_asked += 1
        result = await self.token(TokenParams.model_validate(params._asdict()))
        encoded = result.model_dump_json().encode()
        return HandedOut(encoded, result.profile, result.generation, result.profile, "turn", None, result.degraded)

    def result(self, params: TokenRequest) -> TokenResult:
        """An answer that shows what was understood, so that a difference between two readings is seen."""
        return TOKEN.model_copy(
            update={"tier": params.tier, "valid_for": params.min_valid, "source": params.agent}
        )

    async def token(self, params: TokenParams) -> TokenResult:
        """As the profile's name says."""
        profile = params.profile or ""
        if profile.startswith("acme:slow"):
            self.waiting += 1
            await self.release.wait()
        if profile == "acme:broken":
            raise RuntimeError(SECRET)
        if profile == "acme:locked":
            raise errors.LoginRequired("the login ended", hint="log in again", command="tokenward login acme")
        if profile == "acme:short":
            return TOKEN.model_copy(update={"degraded": "short"})
        if profile == "acme:huge":
            return TOKEN.model_copy(update={"token": "x" * (1024 * 1024)})
        if profile == "acme:large":
            return TOKEN.model_copy(update={"token": "x" * (900 * 1024)})
        return self.result(params)

    async def report(self, params: ReportParams) -> ReportResult:
        """Kept for the test."""
        self.reports.append(params)
        self.reported.set()
        return ReportResult(failure=None, action="none")

    def usage(self, params: UsageParams) -> UsageListResult:
        """Nobody reported anything."""
        return UsageListResult(profiles=[USAGE])

    def report_usage(self, params: UsageReportParams) -> UsageResult:
        """Nothing is learnt."""
        return USAGE

    def sinks(self) -> SinkListResult:
        """The one there is."""
        return SinkListResult(sinks=[SINK])

    def profiles(self, params: ProfileListParams) -> list[ProfileResult]:
        """The one there is."""
        return [PROFILE]

    def profile(self, profile: str, agent: str = "main") -> ProfileResult:
        """The one there is, else an error."""
        del agent
        if profile != PROFILE.profile:
            raise errors.ProfileUnavailable("there is no such profile", hint="tokenward profiles lists them")
        return PROFILE

    async def add(self, params: ProfileAddParams) -> ProfileResult:
        """Kept for the test."""
        self.added.append(params)
        return PROFILE

    async def forget(self, profile: str, agent: str = "main") -> ProfileResult:
        """Nothing happens."""
        return self.profile(profile, agent)

    async def share(self, profile: str, agent: str = "main") -> ProfileResult:
        """Nothing happens."""
        return self.profile(profile, agent)

    async def unshare(self, profile: str, agent: str = "main") -> ProfileResult:
        """Nothing happens."""
        return self.profile(profile, agent)

    async def refresh(self, profile: str, agent: str = "main") -> ProfileResult:
        """Nothing happens."""
        return self.profile(profile, agent)

    async def enable(self, profile: str, agent: str = "main") -> ProfileResult:
        """Nothing happens."""
        return self.profile(profile, agent)

    async def disable(self, profile: str, agent: str = "main") -> ProfileResult:
        """Nothing happens."""
        return self.profile(profile, agent)

    def provider_shown(self, provider: str, agent: str = "main") -> ProviderResult:
        """One of which nothing is known."""
        del agent
        return ProviderResult(
            provider=provider,
            env_var=None,
            api_type=None,
            model_prefix=None,
            base_url=None,
            base_url_overridden=False,
            serves=None,
        )

    def providers_shown(self, agent: str = "main") -> list[ProviderResult]:
        """The one of the profile."""
        return [self.provider_shown(PROFILE.provider, agent)]

    async def sources(self) -> SourceListResult:
        """None."""
        return SourceListResult(sources=[], layouts=[], adopted=[])

    async def take_over(self, params: SourceImportParams) -> SourceImportResult:
        """Nothing happens."""
        return SourceImportResult(
            source=params.source, files=[], imported=[], unchanged=[], skipped=[], dry_run=params.dry_run
        )

    async def adopt(self, params: SourceAdoptParams) -> ProfileResult:
        """Nothing happens."""
        return self.profile(params.profile)

    @asynccontextmanager
    async def subscribe(self, profiles: frozenset[str] | None) -> AsyncIterator[Feed]:
        """A feed the test fills."""
        if profiles == frozenset({"acme:broken"}):
            raise RuntimeError(SECRET)
        feed = Feed()
        self.feeds.append(feed)
        self.open_feeds += 1
        try:
            yield feed
        finally:
            self.open_feeds -= 1
            feed.send.close()
            feed.receive.close()

    def history(self, params: HistoryParams) -> HistoryResult:
        """Nothing happened."""
        return HistoryResult(moments=[], earlier=False)

    def status(self) -> DaemonStatusResult:
        """An error, for once of a call without params."""
        raise errors.StoreUnavailable("the store is locked", hint="unlock it")

    async def metrics(self, params: MetricsParams) -> MetricsResult:
        """A page."""
        return MetricsResult(content_type="text/plain", text=f"{params.format}\n")

    async def reload(self) -> ReloadResult:
        """Nothing happens."""
        return ReloadResult(reloaded=True, error=None)

    async def store_status(self) -> StoreStatusResult:
        """A key in its file."""
        return StoreStatusResult(
            key="file", key_id="0" * 16, location="store.key", locked=None, moving_to=None, note=None, records=0
        )

    async def store_rekey(self, params: RekeyParams) -> StoreStatusResult:
        """Nothing happens."""
        return await self.store_status()

    async def store_export(self, params: ExportParams) -> ExportResult:
        """Nothing is written."""
        return ExportResult(file=params.file, profiles=[], left_out=[])

    async def store_restore(self, params: RestoreParams) -> RestoreResult:
        """Nothing is read."""
        return RestoreResult(profiles=[])

    def stop(self) -> None:
        """Kept for the test."""
        self.is_stopping = True


class RawPeer:
    """A peer that sends whatever bytes it likes."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self._buffered = BufferedByteReceiveStream(stream)

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        await self.stream.send(data)

    async def line(self) -> Any:
        """The next line, read as JSON."""
        with anyio.fail_after(PATIENCE_SECONDS):
            return json.loads(await self._buffered.receive_until(b"\n", 8 * 1024 * 1024))

    async def ask(self, request: Any) -> Any:
        """Send one JSON value and read one line."""
        await self.send(json.dumps(request).encode() + b"\n")
        return await self.line()

    async def call(self, method: str, params: Any = None, request_id: Any = 1) -> Any:
        """Send one request and read one line."""
        request = {"jsonrpc": "2.0", "id": request_id, "method": method}
        return await self.ask(request if params is None else {**request, "params": params})

    async def rest(self) -> bytes:
        """Everything that still comes, until the server closes."""
        received = b""
        with anyio.fail_after(PATIENCE_SECONDS):
            try:
                while True:
                    received += await self._buffered.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return received


class Served:
    """A running server and what belongs to it."""

    def __init__(self, server: RpcServer, service: ScriptedService, clock: StillClock, path: Path) -> None:
        self.server = server
        self.service = service
        self.clock = clock
        self.path = path

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[RawPeer]:
        """Connect."""
        async with await anyio.connect_unix(self.path) as stream:
            yield RawPeer(stream)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and the server notice."""
        self.clock.now += seconds
        self.server.sweep()
        await settle()


def slow(request_id: int) -> bytes:
    """A request that the scripted service answers when it is released."""
    request = {"jsonrpc": "2.0", "id": request_id, "method": "token.get", "params": {"profile": "acme:slow"}}
    return json.dumps(request).encode() + b"\n"


def unsent(served: Served) -> int:
    """Bytes that wait for peers who do not read."""
    return sum(len(connection._outbox) for connection in served.server._connections)


async def settle() -> None:
    """Let everything that is ready happen; the socket is local, so what was sent has arrived."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def until(condition: Any) -> None:
    """Let things happen until something is so."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():
            await anyio.lowlevel.checkpoint()


def answered_by(
    service: Service,
) -> tuple[Callable[[TokenRequest], HandedOut | None], Callable[[], Awaitable[Service]]]:
    """What a server takes of a service: what its lane asks, and whom everything else is asked."""

    async def whole() -> Service:
        return service

    return service.token_nowait, whole


@asynccontextmanager
async def serving(
    directory: Path, service: ScriptedService | None = None, *, audit: Audit | None = None
) -> AsyncIterator[Served]:
    """A server on a socket of its own, closed at the end."""
    service = service or ScriptedService()
    clock = StillClock()
    server = RpcServer(
        *answered_by(service), clock=clock, pace=Pace(clock), audit=audit, token_later=service.token_later
    )
    path = directory / "run" / "t.sock"
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, [bind_socket(str(path))])
        try:
            yield Served(server, service, clock, path)
        finally:
            service.release.set()
            tasks.cancel_scope.cancel()
