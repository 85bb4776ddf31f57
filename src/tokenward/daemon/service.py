"""What the daemon offers, as one object with a method for each thing that can be asked.

The problem: the socket, the in-process commands and the tests must all see one interface, and its reference
document must not drift from the code. So every method's params and result are models (``token_models``,
``profile_models`` and their neighbours), the methods in ``daemon/methods`` only name them, and ``openrpc.json`` is
generated from them.

Rules:
- Errors are ``TokenwardError`` leaves.
- A method that is not async answers from memory; only ``token_nowait`` may ask the disk for one stat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from tokenward.daemon.daemon_models import DaemonStatusResult, MetricsParams, MetricsResult, ReloadResult
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.plain_request import TokenRequest
from tokenward.daemon.profile_models import ProfileAddParams, ProfileListParams, ProfileResult
from tokenward.daemon.provider_models import ProviderResult
from tokenward.daemon.store_models import (
    ExportParams,
    ExportResult,
    RekeyParams,
    RestoreParams,
    RestoreResult,
    StoreStatusResult,
)
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams, TokenResult

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
    from tokenward.daemon.standing_answer import HandedOut
    from tokenward.daemon.usage_models import UsageListResult, UsageParams, UsageReportParams, UsageResult


class EventFeed(Protocol):
    """One subscriber's events, bounded by ``MAX_QUEUED_EVENTS``."""

    def __aiter__(self) -> AsyncIterator[Happening]:
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

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
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

    async def share(self, profile: str, agent: str = "main") -> ProfileResult:
        """Move a profile of our own store to where many hosts share it."""

    async def unshare(self, profile: str, agent: str = "main") -> ProfileResult:
        """Take a shared profile into our own store; the other hosts have it no more."""

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
