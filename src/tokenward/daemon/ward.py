"""The daemon's answer to every request: all keepers, and the one interface to them.

The problem: profiles come and go with the configuration, the store and the files of other programs, and the
answer must be the same on the lane, through the dispatcher and for a command that runs without a daemon. So all
three ask this one object (``service.Service``).

Rules:
- It decides nothing about a refresh: keepers do. Whose token a caller gets, the broker says.
- A profile whose place is not ours is never deleted from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from anyio import CapacityLimiter, Lock, to_thread

from tokenward.core.credential import (
    MAIN_AGENT,
    Credential,
    Kind,
    profile_key,
)
from tokenward.core.serving import Resting
from tokenward.core.subscription_tier import tier_of
from tokenward.daemon import (
    answers,
    exposition,
    given_credential,
    nothing_served,
    shared_acts,
    store_care,
    twins,
    usage_reports,
)
from tokenward.daemon.broker import Broker
from tokenward.daemon.daemon_models import DaemonStatusResult, MetricsParams, MetricsResult, ReloadResult
from tokenward.daemon.decisions import Decisions
from tokenward.daemon.doctor import Doctor
from tokenward.daemon.health_shown import with_health
from tokenward.daemon.history_models import HistoryParams, HistoryResult
from tokenward.daemon.household import STORE, Household, Kept
from tokenward.daemon.intake import ADOPTED, Intake
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.logins import Logins, Needs
from tokenward.daemon.models import Models
from tokenward.daemon.profile_models import ProfileAddParams, ProfileListParams, ProfileResult
from tokenward.daemon.provider_models import ProviderResult
from tokenward.daemon.reports import Reports
from tokenward.daemon.resting import let_rest
from tokenward.daemon.service import EventFeed
from tokenward.daemon.sessions import SessionPins
from tokenward.daemon.shared_place import SHARED
from tokenward.daemon.sink_models import SinkListResult
from tokenward.daemon.source_models import (
    SourceAdoptParams,
    SourceImportParams,
    SourceImportResult,
    SourceListResult,
)
from tokenward.daemon.store_models import (
    ExportParams,
    ExportResult,
    RekeyParams,
    RestoreParams,
    RestoreResult,
    StoreStatusResult,
)
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams, TokenResult
from tokenward.daemon.usage_models import UsageListResult, UsageParams, UsageReportParams, UsageResult
from tokenward.errors import ProfileUnavailable, StoreUnavailable
from tokenward.provider_files import Provider, choose


class Ward:
    """All keepers, and the one interface to them.

    Args:
        household: what it needs from its composer.
    """

    def __init__(self, household: Household) -> None:
        self.household = household
        self.keepers: dict[str, Keeper] = {}
        self.line = LineUp(household, self.keepers)
        self.sessions = SessionPins(household)
        self.broker = Broker(household, self.keepers, self.line, self.sessions)
        self._made_of: dict[str, tuple[object, ...]] = {}
        self._live_at: dict[str, set[str]] = {}  # by place, the keys of those who live there
        self._watched_for: dict[str, str] = {}  # by key, the place that is watched
        self._overdue: dict[str, Kept | None] = {}
        """What shall take the place of keepers that cannot be let go yet, by key; None = nothing."""
        self._arranging = Lock()
        self.logins = Logins(
            Needs(
                around=household.around,
                server=household.login_server,
                stores=self._is_ours,
                ready=self._ready_to_keep,
                keep=self._store,
                keeper=self._keeper,
                forget=self.forget,
            )
        )
        self._intake = Intake(self, household.doorway)
        self.models = Models(household, tier=self._tier_now)
        self.doctor = Doctor(household, self.token, self.profiles, CapacityLimiter(1))
        self.decisions = Decisions(self)
        self._reports = Reports(self.broker, self.line, self.models)

    # Keepers

    async def keep(self, wanted: Sequence[Kept]) -> None:
        """Keep exactly these profiles; a keeper that is as it should be goes on undisturbed.

        One whose value is nowhere but in its memory goes on too, until it is on a disk (``keep_overdue``).

        Args:
            wanted: every profile of the configuration, the store and the sources.
        """
        async with self._arranging:
            self._overdue.clear()
            names = {kept.profile.key for kept in wanted}
            gone = [(name, None) for name in self.keepers if name not in names]
            changed = [(kept.profile.key, kept) for kept in wanted if not self._is_kept(kept)]
            engaged = await self._replace([*gone, *changed])
            for keeper in self.keepers.values():
                keeper.encoded.clear()  # its provider may have changed
            self.line.arrange()
            await self._begin(engaged)
            self.sessions.drop_vanished({keeper.profile.id for keeper in self.keepers.values()})

    def _is_kept(self, kept: Kept) -> bool:
        key = kept.profile.key
        return key in self.keepers and self._made_of.get(key) == kept.made_of

    async def keep_also(self, kept: Kept) -> None:
        """Keep one more, or one anew; the others go on undisturbed."""
        async with self._arranging:
            await self._begin(await self._replace([(kept.profile.key, kept)]))

    @property
    def is_overdue(self) -> bool:
        """Whether a keeper goes on only because its value is nowhere but in its memory."""
        return bool(self._overdue)

    async def keep_overdue(self) -> None:
        """Do what could not be done because a value was nowhere but in a keeper's memory, if it can be by now."""
        async with self._arranging:
            await self._begin(await self._replace(list(self._overdue.items())))

    async def save_unsaved(self) -> None:
        """Try to write what is unsaved now, at the end: its next attempt would come too late."""
        for keeper in list(self.keepers.values()):
            await keeper.save_now()

    async def _replace(self, changes: Sequence[tuple[str, Kept | None]]) -> list[Keeper]:
        """Let keepers go and engage others in their place; those that cannot go yet are overdue.

        Returns:
            Those that were engaged.
        """
        engaged = []
        for name, kept in changes:
            if not await self._dismiss(name):
                self._overdue[name] = kept
                continue
            if kept is not None:
                engaged.append(await self._engage(kept))
        return engaged

    async def _engage(self, kept: Kept) -> Keeper:
        keeper = Keeper(kept.profile, kept.place, kept.refresher, self.household.around, note=kept.note)
        if kept.profile.key in self.household.routing.disabled:
            keeper.rest(Resting.DISABLED)
        self.keepers[kept.profile.key] = keeper
        keeper.changed = self.line.keeper_changed
        self.line.take(keeper)
        self._made_of[kept.profile.key] = kept.made_of
        self._live_at.setdefault(kept.place.description, set()).add(kept.profile.key)
        self._watched_for[kept.profile.key] = kept.place.description
        self.household.watch(kept.place.description)
        await keeper.reconcile()
        return keeper

    async def _begin(self, engaged: Sequence[Keeper]) -> None:
        """Find out who rests, now that these are kept too, and let the others take up what was left to them."""
        self._let_rest()
        for keeper in engaged:
            if keeper.resting is None and await to_thread.run_sync(
                keeper.predecessor_left_work, limiter=self.household.writing
            ):
                keeper.resume()

    async def _dismiss(self, name: str) -> bool:
        """Let a keeper go; not if nothing but its memory has its value, which is tried to be written first."""
        keeper = self.keepers.get(name)
        if keeper is None:
            return True
        await keeper.settle()  # and it serves meanwhile
        if keeper.has_only_copy:
            await keeper.save_now()
        if keeper.has_only_copy:
            return False
        self._let_go(keeper)
        return True

    def _let_go(self, keeper: Keeper) -> None:
        """Keep one no longer, from this moment; others may live at its place still."""
        key = keeper.profile.key
        keeper.dismiss()
        self.keepers.pop(key, None)
        self.line.drop(key)
        self._overdue.pop(key, None)
        if (place := self._watched_for.pop(key, None)) is not None:
            self._live_at[place].discard(key)
            if not self._live_at[place]:
                del self._live_at[place]
                self.household.unwatch(place)

    def generation_at(self, profile: str, place: str) -> str | None:
        """The generation that a profile holds, if it lives at this place; see ``clear_left_marks``."""
        keeper = self.keepers.get(profile)
        if keeper is None or keeper.place.description != place:
            return None
        if keeper.credential is None:
            return "" if keeper.lookout.is_logged_out else None
        return keeper.credential.generation

    def _let_rest(self) -> None:
        """Let those rest that people disabled and those that the order in force sets aside, and no others."""
        let_rest(self.keepers, self.household.routing.disabled, self.household.resolution)
        self.household.profiles_changed()

    async def place_changed(self, path: str) -> None:
        """The watcher's hint: look at whoever lives there."""
        kind_changed = False
        for key in tuple(self._live_at.get(path, ())):
            keeper = self.keepers.get(key)
            if keeper is not None and keeper.place.description == path:
                before = _kind_of(keeper)
                await keeper.reconcile()
                kind_changed = kind_changed or _kind_of(keeper) is not before
        if kind_changed:  # else nobody else rests than before; each beat announces every path
            self._let_rest()

    async def look_everywhere(self) -> None:
        """The beat, or a clock that stepped: look at every place and every due time anew."""
        self.line.now()
        for keeper in list(self.keepers.values()):
            await keeper.reconcile()
            keeper.on_alarm()
        self._let_rest()

    # Tokens

    def token_nowait(self, params: TokenParams) -> bytes | None:
        """The lane's answer; see ``Service``."""
        if params.model is not None or params.betas:
            return None
        if params.session is not None and self.sessions.is_chosen(params.session):
            return None
        return self.broker.token_nowait(params)

    async def token(self, params: TokenParams) -> TokenResult:
        """A token that is valid now, for the model that was asked for; see ``Service``.

        Raises:
            TokenwardError: if no profile that fits can serve one.
        """
        params, model = self.models.wanted(self._as_chosen(params))
        result = await self.broker.token(params, None if model is None else model.model)
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
        profile = choose(params.profile.partition(":")[0]).provider + ":" + params.profile.partition(":")[2]
        credential = given_credential.read(params, now=self.household.around.clock.wall())
        given_credential.refuse_misplaced(credential, self.household.provider(profile.partition(":")[0]))
        return await self._store(profile_key(profile, params.agent), credential, shared=params.shared)

    def _is_ours(self, name: str) -> bool:
        known = self.keepers.get(name)
        return known is None or known.profile.source in shared_acts.OURS

    async def _ready_to_keep(self, name: str | None, *, shared: bool) -> None:
        known = self.keepers.get(name) if name is not None else None
        if shared or (known is not None and known.profile.source == SHARED):
            await shared_acts.ready(self)

    async def _store(self, name: str, credential: Credential, *, shared: bool = False) -> ProfileResult:
        known = self.keepers.get(name)
        if shared and known is not None and known.profile.source == STORE:
            raise ProfileUnavailable(f"{name} is this host's own", hint=f"share it: tokenward fleet share {name}")
        if not self._is_ours(name) and known is not None:
            raise ProfileUnavailable(
                f"{name} lives in {known.place.description}, which is not tokenward's", hint="choose another name"
            )
        return self._shown(await self.install(name, credential, shared=shared))

    async def keep_credential(self, name: str, credential: Credential) -> ProfileResult:
        """Keep a credential in our own store under a name that is free or the store's, and show the profile.

        Raises:
            StoreUnavailable: if it could not be written.
        """
        return self._shown(await self.install(name, credential))

    async def install(self, name: str, credential: Credential, *, shared: bool = False) -> Keeper:
        """Keep a credential in our own store, durably, and serve it; that of a shared profile is shared.

        Args:
            name: a profile of our own store, or of none.
            credential: what to keep.
            shared: whether a new profile is shared with other hosts.

        Raises:
            StoreUnavailable: if it could not be stored.
        """
        known = self.keepers.get(name)
        if known is not None:
            await known.settle()
        shared = shared if known is None else known.profile.source == SHARED
        try:
            if shared:
                await shared_acts.keep(self, name, credential)
            else:
                await to_thread.run_sync(
                    self.household.store.add, name, credential, limiter=self.household.writing
                )
        except OSError as error:
            raise StoreUnavailable(
                f"{name} could not be stored: {error.strerror or error}", hint="nothing was changed"
            ) from None
        if known is None:
            keep = self.household.keep_shared if shared else self.household.keep_stored
            known = await self._engage(keep(name))
            await self._begin([known])
        await known.accept(credential)
        self.line.health.forgive(name)  # the person who gave it may have given the same again
        known.reopen()
        return known

    async def forget(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Delete a profile of our own store, or let an adopted one go; see ``Service``."""
        keeper = self._keeper(profile, agent)
        key = keeper.profile.key
        if keeper.profile.source == ADOPTED and await self._intake.release(profile):
            shown = self._shown(keeper)
            await keeper.settle()
            await keeper.forget()
            await self._dismiss(key)
            self.household.routing.forget(key)
            return shown
        if keeper.profile.source not in shared_acts.OURS:
            raise ProfileUnavailable(
                f"{profile} lives in {keeper.place.description}, which is not tokenward's",
                hint="log out where it was logged in: claude auth logout, or unset the variable",
            )
        shown = self._shown(keeper)
        await keeper.settle()
        try:
            if keeper.profile.source == SHARED:
                await shared_acts.remove(self, keeper)
            else:
                await to_thread.run_sync(self.household.store.remove, key, limiter=self.household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"{profile} could not be deleted: {error.strerror or error}", hint="nothing was changed"
            ) from None
        await keeper.forget()
        self._let_go(keeper)
        self.household.routing.forget(key)  # a namesake that is added later begins anew
        return shown

    async def share(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Move a profile of our own store to where many hosts share it; see ``Service``."""
        await shared_acts.share(self, self._keeper(profile, agent))
        return self.profile(profile, agent)

    async def unshare(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Take a shared profile into our own store; see ``Service``."""
        await shared_acts.unshare(self, self._keeper(profile, agent))
        return self.profile(profile, agent)

    async def enable(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Let a profile serve again; see ``Service``."""
        return await self._decide(self._keeper(profile, agent), disabled=False)

    async def disable(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """Let a profile rest; see ``Service``."""
        return await self._decide(self._keeper(profile, agent), disabled=True)

    async def _decide(self, keeper: Keeper, *, disabled: bool) -> ProfileResult:
        def decide() -> None:
            self.household.routing.set_disabled(keeper.profile.key, disabled=disabled)

        try:
            await to_thread.run_sync(decide, limiter=self.household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"the decision could not be written: {error.strerror or error}", hint="nothing was changed"
            ) from None
        self._let_rest()
        return self._shown(keeper)

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


def _kind_of(keeper: Keeper) -> Kind | None:
    return None if keeper.credential is None else keeper.credential.kind
