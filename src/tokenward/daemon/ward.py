"""The daemon's answer to every request: all keepers, and the one interface to them.

The problem: profiles come and go with the configuration, the store and the files of other programs, and the
answer must be the same on the lane, through the dispatcher and for a command that runs without a daemon. So all
three ask this one object (``service.Service``).

Rules:
- It decides nothing: whose token a caller gets, the broker says; who is kept, ``keepers``; what people change,
  ``own_profiles``; and what is refreshed, each keeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from anyio import CapacityLimiter

from tokenward.core.credential import (
    MAIN_AGENT,
    Credential,
    profile_key,
)
from tokenward.core.subscription_tier import tier_of
from tokenward.daemon import (
    answers,
    exposition,
    nothing_served,
    store_care,
    twins,
    usage_reports,
)
from tokenward.daemon.daemon_models import DaemonStatusResult, MetricsParams, MetricsResult, ReloadResult
from tokenward.daemon.decisions import Decisions
from tokenward.daemon.doctor import Doctor
from tokenward.daemon.health_shown import with_health
from tokenward.daemon.history_models import HistoryParams, HistoryResult
from tokenward.daemon.household import Kept
from tokenward.daemon.intake import Intake
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.logins import Logins, Needs
from tokenward.daemon.models import Models
from tokenward.daemon.own_profiles import OwnProfiles
from tokenward.daemon.plain_request import TokenRequest
from tokenward.daemon.profile_models import ProfileAddParams, ProfileListParams, ProfileResult
from tokenward.daemon.provider_models import ProviderResult
from tokenward.daemon.reports import Reports
from tokenward.daemon.service import EventFeed
from tokenward.daemon.sink_models import SinkListResult
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
from tokenward.daemon.token_desk import TokenDesk
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams, TokenResult
from tokenward.daemon.usage_models import UsageListResult, UsageParams, UsageReportParams, UsageResult
from tokenward.provider_files import Provider, choose


class Ward:
    """All keepers, and the one interface to them.

    Args:
        desk: who is kept, and whose token goes out.
    """

    def __init__(self, desk: TokenDesk) -> None:
        household = self.household = desk.household
        self._desk = desk
        self._kept = desk.kept
        self.keepers = desk.keepers
        self.line = desk.line
        self.sessions = desk.sessions
        self.broker = desk.broker
        self._intake = Intake(self, household.doorway())
        self._own = OwnProfiles(household, self._kept, shown=self._shown, release=self._intake.release)
        self.logins = Logins(
            Needs(
                around=household.around,
                server=household.login_server,
                stores=self._own.is_ours,
                ready=self._own.ready,
                keep=self._own.store,
                keeper=self._keeper,
                forget=self.forget,
            )
        )
        self.models = Models(household, tier=self._tier_now)
        self.doctor = Doctor(household, self.token, self.profiles, CapacityLimiter(1))
        self.decisions = Decisions(self)
        self._reports = Reports(self.broker, self.line, self.models)

    # Keepers

    async def keep(self, wanted: Sequence[Kept]) -> None:
        """Keep exactly these profiles; a keeper that is as it should be goes on undisturbed.

        Args:
            wanted: every profile of the configuration, the store and the sources.
        """
        await self._desk.keep(wanted)

    async def keep_also(self, kept: Kept) -> None:
        """Keep one more, or one anew; the others go on undisturbed."""
        await self._kept.keep_also(kept)

    @property
    def is_overdue(self) -> bool:
        """Whether a keeper goes on only because its value is nowhere but in its memory."""
        return self._kept.is_overdue

    async def keep_overdue(self) -> None:
        """Do what could not be done because a value was nowhere but in a keeper's memory, if it can be by now."""
        await self._kept.keep_overdue()

    async def save_unsaved(self) -> None:
        """Try to write what is unsaved now, at the end: its next attempt would come too late."""
        await self._kept.save_unsaved()

    def generation_at(self, profile: str, place: str) -> str | None:
        """The generation that a profile holds, if it lives at this place; see ``clear_left_marks``."""
        return self._kept.generation_at(profile, place)

    async def place_changed(self, path: str) -> None:
        """The watcher's hint: look at whoever lives there."""
        await self._kept.place_changed(path)

    async def look_everywhere(self) -> None:
        """The beat, or a clock that stepped: look at every place and every due time anew."""
        await self._kept.look_everywhere()

    # Tokens

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """The lane's answer; see ``Service``."""
        return self._desk.token_nowait(params)

    async def token(self, params: TokenParams) -> TokenResult:
        """A token that is valid now, for the model that was asked for; see ``Service``.

        Raises:
            TokenwardError: if no profile that fits can serve one.
        """
        params, model = self.models.wanted(self._as_chosen(params))
        members = await self.broker.token(params, None if model is None else model.model)
        result = TokenResult.model_validate(members)
        return self.models.dressed(result, params, model)

    def _as_chosen(self, params: TokenParams) -> TokenParams:
        """The request with the model that a person chose for its session, if it says nothing of its own."""
        pin = self.sessions.get(params.session) if params.session is not None else None
        if pin is None or pin.model is None or params.model is not None or params.profile is not None:
            return params
        if params.provider is not None and choose(params.provider).provider != pin.provider:
            return params
        return params.model_copy(update={"model": f"{pin.provider}/{pin.model}"})

    def provider(self, keeper: Keeper) -> Provider:
        """The provider of a keeper's profile."""
        return self.household.provider(keeper.profile.provider)

    async def report(self, params: ReportParams) -> ReportResult:
        """Take a caller's word on a token; see ``Service``."""
        keeper = self._keeper(params.profile, params.agent)
        if params.headers:
            usage_reports.take(self.household, keeper.profile, params.headers, status=params.status)
        result = await self._reports.take(keeper, params)
        self.household.hub.history.reported(keeper.profile.key, params.generation, result)
        return result

    # Usage

    def usage(self, params: UsageParams) -> UsageListResult:
        """How much of their limits profiles have used; see ``Service``."""
        if params.profile is not None:
            kept = [self._keeper(params.profile, params.agent or MAIN_AGENT)]
        else:
            everybody = (keeper for _, keeper in sorted(self.keepers.items()) if not keeper.is_vacant())
            kept = [keeper for keeper in everybody if params.agent in {None, keeper.profile.agent}]
        shown = [usage_reports.shown(self.household, keeper.profile) for keeper in kept]
        return UsageListResult(profiles=shown)

    def report_usage(self, params: UsageReportParams) -> UsageResult:
        """Take the headers of an answer; see ``Service``."""
        profile = self._keeper(params.profile, params.agent).profile
        usage_reports.take(self.household, profile, params.headers)
        return usage_reports.shown(self.household, profile)

    # Profiles

    def _keeper(self, profile: str, agent: str) -> Keeper:
        keeper = self.keepers.get(profile_key(profile, agent))
        if keeper is None:
            raise nothing_served.no_such_profile(profile, agent, known=self.broker.known_names(agent))
        return keeper

    def profiles(self, params: ProfileListParams) -> list[ProfileResult]:
        """All profiles that fit; a place where nothing ever was is no profile yet. See ``Service``."""
        provider = choose(params.provider).provider if params.provider is not None else None
        shared = twins.notes(self.keepers.values())
        return [
            self._shown(keeper, shared.get(keeper.profile.key))
            for _, keeper in sorted(self.keepers.items())
            if provider in {None, keeper.profile.provider}
            and params.agent in {None, keeper.profile.agent}
            and not keeper.is_vacant()
        ]

    def _shown(self, keeper: Keeper, shared: str | None = None) -> ProfileResult:
        provider = self.provider(keeper)
        shown = answers.profile_result(keeper, provider)
        shown = with_health(shown, keeper, self.line, billing_url=provider.api.billing_url)
        if shared is None:
            return shown
        return shown.model_copy(update={"note": f"{shared}; {shown.note}" if shown.note else shared})

    def profile(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """One profile; see ``Service``."""
        keeper = self._keeper(profile, agent)
        return self._shown(keeper, twins.notes(self.keepers.values()).get(keeper.profile.key))

    async def add(self, params: ProfileAddParams) -> ProfileResult:
        """Keep a credential in our own store, durably; see ``Service``."""
        return await self._own.add(params)

    async def keep_credential(self, name: str, credential: Credential) -> ProfileResult:
        """Keep a credential in our own store under a name that is free or the store's, and show the profile.

        Raises:
            StoreUnavailable: if it could not be written.
        """
        return self._shown(await self._own.install(name, credential))

    async def install(self, name: str, credential: Credential) -> Keeper:
        """Keep a credential in our own store, durably, and serve it; see ``OwnProfiles``."""
        return await self._own.install(name, credential)

    async def forget(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Delete a profile of our own store, or let an adopted one go; see ``Service``."""
        return await self._own.forget(self._keeper(profile, agent))

    async def share(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Move a profile of our own store to where many hosts share it; see ``Service``."""
        await self._own.share(self._keeper(profile, agent))
        return self.profile(profile, agent)

    async def unshare(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Take a shared profile into our own store; see ``Service``."""
        await self._own.unshare(self._keeper(profile, agent))
        return self.profile(profile, agent)

    async def enable(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Let a profile serve again; see ``Service``."""
        return await self._own.decide(self._keeper(profile, agent), disabled=False)

    async def disable(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Let a profile rest; see ``Service``."""
        return await self._own.decide(self._keeper(profile, agent), disabled=True)

    async def refresh(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Refresh now, by hand; see ``Service``."""
        keeper = self._keeper(profile, agent)
        if keeper.resting is not None:
            raise nothing_served.resting(keeper.profile, keeper.resting).error
        await keeper.refresh_by_hand()
        return self._shown(keeper)

    # Other programs

    async def sources(self) -> SourceListResult:
        """What can be taken over, and what is adopted; see ``Service``."""
        return await self._intake.sources()

    async def take_over(self, params: SourceImportParams) -> SourceImportResult:
        """Copy what another program keeps; see ``Service``."""
        return await self._intake.take_over(params)

    async def adopt(self, params: SourceAdoptParams) -> ProfileResult:
        """Keep a foreign file in place; see ``Service``."""
        return await self._intake.adopt(params)

    # Published files

    def sinks(self) -> SinkListResult:
        """The files that are published; see ``Service``."""
        return SinkListResult(sinks=list(self.household.sinks()))

    # Providers

    def provider_shown(self, provider: str, agent: str = MAIN_AGENT) -> ProviderResult:
        """One provider; see ``Service``."""
        name = choose(provider).provider
        serves = self.broker.would_serve(name, agent)
        return answers.provider_result(name, self.household.provider(name), serves=serves)

    def providers_shown(self, agent: str = MAIN_AGENT) -> list[ProviderResult]:
        """All providers; see ``Service``."""
        names = {self.household.default_provider, *self.household.providers}
        names |= {keeper.profile.provider for keeper in self.keepers.values()}
        return [self.provider_shown(name, agent) for name in sorted(names)]

    def _tier_now(self, provider: str, agent: str) -> str | None:
        """The tier of what would be served now."""
        profile = self.broker.would_serve(provider, agent)
        keeper = self.keepers.get(profile_key(profile, agent)) if profile is not None else None
        return tier_of(keeper.credential) if keeper is not None and keeper.credential is not None else None

    # The store

    async def store_status(self) -> StoreStatusResult:
        """Where its key lies; see ``Service``."""
        return await store_care.status(self)

    async def store_rekey(self, params: RekeyParams) -> StoreStatusResult:
        """Another key for it; see ``Service``."""
        return await store_care.rekey(self, params)

    async def store_export(self, params: ExportParams) -> ExportResult:
        """An age file of it; see ``Service``."""
        return await store_care.export(self, params)

    async def store_restore(self, params: RestoreParams) -> RestoreResult:
        """An age file into it; see ``Service``."""
        return await store_care.restore(self, params)

    # The daemon

    def subscribe(self, profiles: frozenset[str] | None) -> AbstractAsyncContextManager[EventFeed]:
        """A feed of events; see ``Service``."""
        return self.household.hub.subscribe(profiles)

    def history(self, params: HistoryParams) -> HistoryResult:
        """The last day; see ``Service``."""
        return self.household.hub.history.between(params.since, params.before, params.profiles)

    def status(self) -> DaemonStatusResult:
        """The daemon as a whole; see ``Service``."""
        return self.household.status(self.profiles(ProfileListParams()))

    async def metrics(self, params: MetricsParams) -> MetricsResult:
        """Counters and gauges; see ``Service``."""
        accept = exposition.OPENMETRICS if params.format == "openmetrics" else ""
        page = await exposition.page(self.household.metrics(), accept)
        return MetricsResult(content_type=page.content_type, text=page.text)

    async def reload(self) -> ReloadResult:
        """Read the configuration again; see ``Service``."""
        return await self.household.reload()

    def stop(self) -> None:
        """End after the refreshes under way; see ``Service``."""
        self.household.stop()
