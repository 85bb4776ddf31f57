"""The daemon itself: what one process keeps from its start to its stop, and what wakes it.

The problem: a change of the configuration, of a file, of the clock, a key that is locked away and a beat of the
scheduler all reach one object, and none of them may bring down what the others rely on.

Rules:
- What follows from the configuration is made anew by a reload; what does not (locks, sockets, the HTTP client, the
  store) stays.
- A wrong configuration never stops a daemon that runs.
- What a wake-up does runs in the task group at the top, and nobody waits for it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from tokenward.config import LoadedConfig
from tokenward.core.freshness import RefreshTiming, retry_delay
from tokenward.core.selection import Resolution
from tokenward.daemon import sd
from tokenward.daemon.audit import FILE_NAME as AUDIT_FILE
from tokenward.daemon.audit import AuditLog
from tokenward.daemon.composition import Composition
from tokenward.daemon.equipment import RECORDS_NAME, equip, key_custody, needs_restart
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.household import Household, Kept
from tokenward.daemon.import_aside import import_aside
from tokenward.daemon.machine import SystemEntropy
from tokenward.daemon.network import Network
from tokenward.daemon.notices import Notices
from tokenward.daemon.options import Options
from tokenward.daemon.pace import Pace
from tokenward.daemon.routing_state import STATE_NAME, RoutingState
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.scheduler import BEAT_SECONDS, Scheduler
from tokenward.daemon.side_services import SideServices
from tokenward.daemon.state_flush import StateFlush
from tokenward.daemon.surroundings import Surroundings
from tokenward.daemon.tidying import Tidying
from tokenward.daemon.token_desk import TokenDesk
from tokenward.daemon.watcher import Watcher
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import ConfigurationFault
from tokenward.ports import Clock, LoginServer
from tokenward.stores.age_archive import AgeArchive

if TYPE_CHECKING:
    from tokenward.checks import Finding
    from tokenward.daemon.daemon_models import DaemonStatusResult, ReloadResult
    from tokenward.daemon.intake import Doorway
    from tokenward.daemon.metrics import Family
    from tokenward.daemon.profile_models import ProfileResult
    from tokenward.daemon.sharing import Sharing
    from tokenward.daemon.ward import Ward


READING_THREADS = 8
"""Looks at places under way at once: enough for a start with many, and a stuck one holds no flight up."""

log = logging.getLogger("tokenward")


class Daemon:
    """One daemon, with or without a socket.

    Args:
        options: how it was started.
        loaded: the configuration in force.
        group: the task group at the top.
        clock: the machine's clocks.
    """

    def __init__(self, options: Options, loaded: LoadedConfig, group: TaskGroup, clock: Clock) -> None:
        self.options = options
        self.group = group
        self.clock = clock
        self.hub = EventHub(clock)
        self.scheduler = Scheduler(
            clock,
            on_clock_step=self._clock_stepped,
            progress=self._progress,
            beat_seconds=_beat_seconds(options.environ),
        )
        self.watcher = Watcher(self._path_changed)
        self.server: RpcServer | None = None
        self.socket_path = str(options.paths.socket)
        self.stop = anyio.Event()
        self.started_at = clock.wall()
        self.started_boot = clock.boottime()
        self.loaded = loaded
        self.config_error: str | None = None
        self._reloading = anyio.Lock()
        entropy, state = SystemEntropy(), ensure_private_dir(options.paths.state)
        self.audit = AuditLog(state / AUDIT_FILE, clock)
        self.audit.told = self.hub.history.asked
        self.pace = Pace(clock)
        self._is_offering = False
        self._unlocking = anyio.CapacityLimiter(1)
        self._network = Network(clock)
        self.custody = key_custody(state, options.environ, loaded.settings.store, entropy)
        self._equipment = equip(
            options,
            self.custody,
            loaded.settings.store,
            clock=clock,
            entropy=entropy,
            network=self._network,
            group=group,
        )
        self._shares_as = loaded.settings.store
        self._composition = Composition(loaded.settings, self._equipment)
        self.desk = TokenDesk(self._household())
        self.sharing = self._sharing()
        self.audit.choice = self.desk.broker.choice
        self.tidying = self._tidying()
        self.side_services = SideServices(
            self.desk,
            group,
            clock,
            audit=self.audit,
            pace=self.pace,
            service=self.service,
            metrics=self.metrics,
        )
        self.notices = Notices(
            self.desk.keepers,
            self.desk.household.routing,
            clock=clock,
            locked=lambda: self.custody.status().locked,
            spawn=group.start_soon,
            platform=sys.platform,
        )
        self.desk.household.metrics = self.metrics
        self.state_flush = StateFlush(
            self.desk.household.routing,
            clock=clock,
            alarm=self.scheduler,
            spawn=group.start_soon,
            writing=self.desk.household.writing,
        )

    @cached_property
    def ward(self) -> Ward:
        """Whoever answers what the desk does not; see ``token_desk`` for why it is imported so late."""
        from tokenward.daemon.ward import Ward

        return Ward(self.desk)

    async def service(self) -> Ward:
        """The ward, for a call that comes over a socket: whoever is served meanwhile does not wait for it."""
        await import_aside("tokenward.daemon.ward")
        return self.ward

    def _tidying(self) -> Tidying:
        return Tidying(
            self.options.paths.families,
            self.audit,
            clock=self.clock,
            spawn=self.group.start_soon,
            writing=self.desk.household.writing,
            generation_at=self.desk.kept.generation_at,
        )

    def _household(self) -> Household:
        around = Surroundings(
            clock=self.clock,
            entropy=self._equipment.entropy,
            alarm=self.scheduler,
            hub=self.hub,
            timing=_timing(self.loaded),
            host=socket.gethostname(),
            reading=anyio.CapacityLimiter(READING_THREADS),
            spawn=self.group.start_soon,
        )
        return Household(
            around=around,
            store=self._equipment.store,
            routing=RoutingState(self.options.paths.state / STATE_NAME),
            store_location=str(self.options.paths.state / RECORDS_NAME),
            custody=self.custody,
            archive=AgeArchive(),
            hub=self.hub,
            writing=anyio.CapacityLimiter(1),
            keep_stored=self._keep_stored,
            shared=self._equipment.shared,
            keep_shared=lambda profile: self._composition.shared(profile),  # noqa: PLW0108 - a reload replaces it
            status=self._status,
            reload=self.reload,
            stop=self.stop.set,
            watch=self._watch,
            unwatch=self._unwatch,
            login_server=self._login_server,
            examine=self._examine,
            doorway=self._doorway,
        )

    def _doorway(self) -> Doorway:
        # Here and below: what a daemon that is asked for tokens alone never needs.
        from tokenward.daemon.intake import Doorway
        from tokenward.sources.foreign.catalogue import ForeignStores
        from tokenward.sources.foreign.places import LAYOUTS

        stores = ForeignStores(self.options.paths.home, self.options.environ)
        return Doorway(stores, self._equipment.adopted, LAYOUTS, lambda each: self._composition.adopted(each))  # noqa: PLW0108 - a reload replaces it

    def _sharing(self) -> Sharing | None:
        if self._equipment.shared is None:
            return None
        from tokenward.daemon.sharing import sharing_of

        return sharing_of(
            self.desk,
            rearrange=self._keep,
            request_seconds=lambda: self.loaded.settings.default.refresh_timeout,
        )

    def _examine(
        self, profiles: Sequence[Mapping[str, Any]], probed: Mapping[str, Any] | None
    ) -> Sequence[Finding]:
        from tokenward.daemon.examination import examination

        return examination(self.options, profiles=profiles, probed=probed, project=None)

    def _login_server(self, provider: str) -> LoginServer:
        return self._composition.providers.login_server(provider)

    def _keep_stored(self, profile: str) -> Kept:
        return self._composition.stored(profile)

    async def fill(self) -> bool:
        """Keep everything that the configuration in force, the store and the sources have.

        Returns:
            Whether no provider's endpoints are missing.
        """
        complete = await self._composition.providers.discover(online=False)
        if self.sharing is not None:
            await self.sharing.look()
        await self._keep()
        return complete

    async def _keep(self) -> None:
        household = self.desk.household
        household.default_provider = self.loaded.settings.default.provider
        household.providers = self._composition.providers.all
        household.resolution = Resolution(self.loaded.settings.default.resolution)
        household.inherit_agents = self.loaded.settings.default.inherit_agents
        household.ladders = self.loaded.settings.health.ladders()
        household.fallbacks = self.loaded.settings.default.fallbacks
        household.looked_at = self._composition.looked_at
        said = self.loaded.settings.events
        self.notices.on_event = said.on_event
        if said.on_event:
            from tokenward.daemon.notice_command import tell_person  # most have none told

            self.notices.run = partial(tell_person, said=said, environ=self.options.environ)
        await self.desk.keep(self._composition.all_kept())
        if self._is_offering:
            await self._publish()

    async def offer(self) -> None:
        """Offer from now on what the configuration in force names beside the socket.

        Raises:
            ConfigurationFault: if collectors cannot be answered as it says.
        """
        self._is_offering = True
        await self._publish()
        await self.side_services.serve_collectors(self.loaded.settings.metrics.socket)

    async def _publish(self) -> None:
        await self.side_services.publish(lambda: self._composition, self._equipment.record)

    async def discover(self) -> None:
        """Ask issuers for their endpoints until none is missing."""
        failures = 0
        while not await self._composition.providers.discover(online=True):
            await self._keep()
            failures += 1
            await anyio.sleep(retry_delay(failures, draw=self._equipment.entropy.fraction()))
        await self._keep()

    async def reload(self) -> ReloadResult:
        """Take the configuration file over, if it is right; else go on as before and say so."""
        async with self._reloading:
            await import_aside("tokenward.config_check", "tokenward.daemon.daemon_models")
            return await self._reload()

    async def _reload(self) -> ReloadResult:
        from tokenward.daemon.daemon_models import ReloadResult

        try:
            loaded = self.options.load()
            if self._is_offering:
                await self.side_services.serve_collectors(loaded.settings.metrics.socket)
        except ConfigurationFault as fault:
            self.config_error = fault.cause
            log.warning("%s; the settings in force stay", fault.cause)
            return ReloadResult(reloaded=False, error=fault.cause)
        self.config_error, self.loaded = needs_restart(self._shares_as, loaded.settings.store), loaded
        warn_of(loaded)
        self._composition = Composition(loaded.settings, self._equipment)
        self.custody.wanted = loaded.settings.store.key
        self.desk.household.around.timing = _timing(loaded)
        await self.open_second_sockets()
        if not await self.fill():
            self.group.start_soon(self.discover)
        await self.desk.kept.look_everywhere()
        self.hub.announce("reloaded")
        return ReloadResult(reloaded=True, error=self.config_error)

    async def open_second_sockets(self) -> None:
        """Serve the restricted sockets of the configuration in force, and no other."""
        await self.side_services.serve_restricted(self.loaded.settings.sockets)

    # What wakes it

    def _watch(self, place: str) -> None:
        if place.startswith(os.sep):
            self.watcher.watch(place)

    def _unwatch(self, place: str) -> None:
        if place.startswith(os.sep):
            self.watcher.unwatch(place)

    def _path_changed(self, path: Path) -> None:
        if self.desk.kept.may_have_news(str(path)):
            self.group.start_soon(self.desk.kept.place_changed, str(path))

    def _clock_stepped(self, seconds: float) -> None:
        self.hub.announce("clock_stepped", detail=f"{seconds:+.0f} s")
        self.state_flush.on_alarm()
        self.group.start_soon(self.desk.kept.look_everywhere)

    def _progress(self) -> None:
        sd.notify("WATCHDOG=1", self.options.environ)
        self.tidying.on_beat()
        self.notices.look()
        if self.custody.status().locked is not None:
            self.group.start_soon(self._unlock)
        if self.side_services.are_missing:
            self.group.start_soon(self.open_second_sockets)
        if self.desk.kept.is_overdue:
            self.group.start_soon(self.desk.kept.keep_overdue)

    async def _unlock(self) -> None:
        """Ask again for a key that is locked away; a dialog may hold the thread, and nobody waits for it."""
        if await anyio.to_thread.run_sync(self.custody.unlock, limiter=self._unlocking, abandon_on_cancel=True):
            log.info("the store's key is unlocked")
            await self.desk.kept.look_everywhere()

    def _status(self, profiles: list[ProfileResult]) -> DaemonStatusResult:
        from tokenward.daemon.daemon_status import status_of  # here and below: only who shows it

        return status_of(self, profiles)

    def metrics(self) -> list[Family]:
        """What can be counted and measured now."""
        from tokenward.daemon.daemon_status import figures_of

        return figures_of(self)

    async def aclose(self) -> None:
        """Write what may still be lost, and let go of subscribers; flights have ended before."""
        await self.state_flush.flush()
        self.hub.end()
        await self._network.aclose()


def _beat_seconds(environ: Mapping[str, str]) -> float:
    watchdog = sd.watchdog_interval(environ, os.getpid())
    return BEAT_SECONDS if watchdog is None else min(BEAT_SECONDS, watchdog)


def _timing(loaded: LoadedConfig) -> RefreshTiming:
    return RefreshTiming(loaded.settings.default.refresh_margin, loaded.settings.default.refresh_jitter)


def warn_of(loaded: LoadedConfig) -> None:
    """Log what a configuration in force is warned of."""
    for warning in loaded.warnings:
        log.warning("%s", warning)
