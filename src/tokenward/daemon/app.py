"""The composition root: everything the daemon is made of, put together, run and taken down.

The problem: a daemon that holds single-use tokens must come up in an order in which nobody can steal its place,
and go down in an order in which nothing that was rotated is lost.

Rules:
- Up: private process, configuration, the state directory's lock, sockets, store, keepers, READY; only then the
  scheduler and the watcher, whose libraries are the slow ones to import.
- One task group at the top. A stop cancels it; flights are shielded and end by themselves, with their result
  on disk, and the programs we asked are waited for.
- A wrong configuration stops a start, and never a daemon that runs.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from tokenward import __version__
from tokenward.config import LoadedConfig
from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.freshness import RefreshTiming, retry_delay
from tokenward.core.selection import Resolution
from tokenward.daemon import exposition, sd
from tokenward.daemon.adopted import AdoptedFiles, Adoption
from tokenward.daemon.audit import FILE_NAME as AUDIT_FILE
from tokenward.daemon.audit import AuditLog
from tokenward.daemon.change_command import run_change_command
from tokenward.daemon.composition import RECORDS_NAME, Composition, Equipment, key_custody, tell_person
from tokenward.daemon.daemon_models import DaemonStatusResult, ReloadResult
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.event_log import EventLog
from tokenward.daemon.hardening import protect
from tokenward.daemon.household import Household, Kept
from tokenward.daemon.intake import Doorway
from tokenward.daemon.listener import bind_socket, raise_nofile_limit
from tokenward.daemon.logs import format_wanted, start_logging
from tokenward.daemon.machine import SystemClock, SystemEntropy, SystemProcesses
from tokenward.daemon.metrics import Family, Watched, families
from tokenward.daemon.metrics_socket import serve_metrics
from tokenward.daemon.notices import Notices
from tokenward.daemon.options import Options
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.publishing import Publishing
from tokenward.daemon.refresher import flight_limiter
from tokenward.daemon.routing_state import STATE_NAME, RoutingState
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.scheduler import BEAT_SECONDS, Scheduler
from tokenward.daemon.second_sockets import SecondSockets
from tokenward.daemon.state_flush import StateFlush
from tokenward.daemon.surroundings import Surroundings
from tokenward.daemon.ward import Ward
from tokenward.daemon.watcher import Watcher
from tokenward.disk import family_file
from tokenward.disk.flock import FileLock
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import AlreadyServed, ConfigurationFault, TokenwardError
from tokenward.http import HttpClient
from tokenward.oauth.metadata import MetadataCache
from tokenward.ports import Clock, LoginServer
from tokenward.sinks.publication_record import FILE_NAME as PUBLISHED_NAME
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.sources.foreign.catalogue import ForeignStores
from tokenward.sources.foreign.places import LAYOUTS
from tokenward.stores.age_archive import AgeArchive
from tokenward.stores.custody import KeyCustody
from tokenward.stores.key_ring import AesGcmSealer, open_key_file

if TYPE_CHECKING:
    from tokenward.checks import Finding

READING_THREADS = 8
"""Looks at places under way at once: enough for a start with many, and a stuck one holds no flight up."""
PRUNE_EVERY_BEATS = 360
"""Beats between two prunings of finished families: two hours at 20 s each, less where a watchdog wants more."""

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
        self.stop = anyio.Event()
        self._started_at = clock.wall()
        self._started_boot = clock.boottime()
        self._loaded = loaded
        self._config_error: str | None = None
        self._reloading = anyio.Lock()
        self.audit = AuditLog(ensure_private_dir(options.paths.state) / AUDIT_FILE, clock)
        self.audit.told = self.hub.history.asked
        self._beats = 0
        self.second_sockets = SecondSockets(group, clock, self.audit)
        self._unlocking = anyio.CapacityLimiter(1)
        self._http = HttpClient(user_agent=f"tokenward/{__version__}")
        self._metadata = MetadataCache(self._http, clock)
        self.custody: KeyCustody
        self._equipment = self._equip()
        self._composition = Composition(loaded.settings, self._equipment, self._metadata)
        self.ward = Ward(self._household())
        self.publishing: Publishing | None = None
        self.notices = Notices(
            self.ward.keepers,
            self.ward.household.routing,
            clock=clock,
            locked=lambda: self.custody.status().locked,
            spawn=group.start_soon,
            platform=sys.platform,
        )
        self.ward.household.metrics = self.metrics
        self.state_flush = StateFlush(
            self.ward.household.routing,
            clock=clock,
            alarm=self.scheduler,
            spawn=group.start_soon,
            writing=self.ward.household.writing,
        )

    def _equip(self) -> Equipment:
        entropy, places = SystemEntropy(), self.options.paths
        state = ensure_private_dir(places.state)
        self.custody = key_custody(state, self.options.environ, self._loaded.settings.store, entropy)
        store = self.custody.open()
        if (note := self.custody.status().note) is not None:
            log.warning("%s", note)
        families = ensure_private_dir(places.families)
        family_key = open_key_file(families, entropy, may_create=not family_file.families_in(families))
        return Equipment(
            paths=places,
            environ=self.options.environ,
            clock=self.clock,
            entropy=entropy,
            http=self._http,
            sealer=AesGcmSealer(family_key, entropy),
            processes=SystemProcesses(self.group),
            flights=flight_limiter(),
            store=store,
            adopted=AdoptedFiles(state),
            record=PublicationRecord(state / PUBLISHED_NAME),
        )

    def _household(self) -> Household:
        around = Surroundings(
            clock=self.clock,
            entropy=self._equipment.entropy,
            alarm=self.scheduler,
            hub=self.hub,
            timing=_timing(self._loaded),
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
            status=self._status,
            reload=self.reload,
            stop=self.stop.set,
            watch=self._watch,
            login_server=self._login_server,
            examine=self._examine,
            doorway=Doorway(
                ForeignStores(self.options.paths.home, self.options.environ),
                self._equipment.adopted,
                LAYOUTS,
                self._keep_adopted,
            ),
        )

    def _examine(
        self, profiles: Sequence[Mapping[str, Any]], probed: Mapping[str, Any] | None
    ) -> Sequence[Finding]:
        from tokenward.daemon.examination import examination

        return examination(self.options, profiles=profiles, probed=probed, project=None)

    def _login_server(self, provider: str) -> LoginServer:
        return self._composition.login_server(provider)

    def _keep_stored(self, profile: str) -> Kept:
        return self._composition.stored(profile)

    def _keep_adopted(self, adoption: Adoption) -> Kept:
        return self._composition.adopted(adoption)

    async def fill(self) -> bool:
        """Keep everything that the configuration in force, the store and the sources have.

        Returns:
            Whether no provider's endpoints are missing.
        """
        complete = await self._composition.discover(online=False)
        await self._keep()
        return complete

    async def _keep(self) -> None:
        household = self.ward.household
        household.default_provider = self._loaded.settings.default.provider
        household.providers = self._composition.providers
        household.resolution = Resolution(self._loaded.settings.default.resolution)
        household.inherit_agents = self._loaded.settings.default.inherit_agents
        household.ladders = self._loaded.settings.health.ladders()
        household.fallbacks = self._loaded.settings.default.fallbacks
        household.looked_at = self._composition.looked_at
        said = self._loaded.settings.events
        self.notices.on_event = said.on_event
        self.notices.run = partial(tell_person, said=said, environ=self.options.environ)
        await self.ward.keep(self._composition.all_kept())
        if self.publishing is not None:
            await self.publishing.have(self._composition.outlets())

    async def publish(self) -> None:
        """Publish files from now on; only who goes on to keep them valid does."""
        household = self.ward.household
        self.publishing = Publishing(
            household.around,
            self.ward.keepers,
            base_url=lambda keeper: self._composition.unusual_base_url(keeper.profile),
            run_command=run_change_command,
            remove_leftovers=self._equipment.record.remove_leftovers,
        )
        household.profiles_changed, household.sinks = self.publishing.look, self.publishing.shown
        on_event = self.publishing.on_event
        self.hub.listen(lambda event, _trouble: on_event(event))
        await self.publishing.have(self._composition.outlets())
        for keeper in self.ward.keepers.values():
            keeper.on_alarm()  # its margin may be another now

    async def discover(self) -> None:
        """Ask issuers for their endpoints until none is missing."""
        failures = 0
        while not await self._composition.discover(online=True):
            await self._keep()
            failures += 1
            await anyio.sleep(retry_delay(failures, draw=self._equipment.entropy.fraction()))
        await self._keep()

    async def reload(self) -> ReloadResult:
        """Take the configuration file over, if it is right; else go on as before and say so."""
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> ReloadResult:
        try:
            loaded = self.options.load()
        except ConfigurationFault as fault:
            self._config_error = fault.cause
            log.warning("%s; the settings in force stay", fault.cause)
            return ReloadResult(reloaded=False, error=fault.cause)
        self._config_error, self._loaded = None, loaded
        _say(loaded)
        self._composition = Composition(loaded.settings, self._equipment, self._metadata)
        self.custody.wanted = loaded.settings.store.key
        self.ward.household.around.timing = _timing(loaded)
        await self.open_second_sockets()
        if not await self.fill():
            self.group.start_soon(self.discover)
        await self.ward.look_everywhere()
        self.hub.announce("reloaded")
        return ReloadResult(reloaded=True, error=None)

    async def open_second_sockets(self) -> None:
        """Serve the restricted sockets of the configuration in force, and no other."""
        await self.second_sockets.serve(self.ward, self._loaded.settings.sockets)

    # What wakes it

    def _watch(self, place: str) -> None:
        if place.startswith(os.sep):
            self.watcher.watch(Path(place))

    def _path_changed(self, path: Path) -> None:
        self.group.start_soon(self.ward.place_changed, str(path))

    def _clock_stepped(self, seconds: float) -> None:
        self.hub.announce("clock_stepped", detail=f"{seconds:+.0f} s")
        self.state_flush.on_alarm()
        self.group.start_soon(self.ward.look_everywhere)

    def _progress(self) -> None:
        sd.notify("WATCHDOG=1", self.options.environ)
        self.group.start_soon(self.write_audit)
        self.notices.look()
        self._beats += 1
        if self._beats % PRUNE_EVERY_BEATS == 1:
            self.group.start_soon(self._prune)
        if self.custody.status().locked is not None:
            self.group.start_soon(self._unlock)
        if self.second_sockets.are_missing:
            self.group.start_soon(self.open_second_sockets)

    async def _unlock(self) -> None:
        """Ask again for a key that is locked away; a dialog may hold the thread, and nobody waits for it."""
        if await anyio.to_thread.run_sync(self.custody.unlock, limiter=self._unlocking, abandon_on_cancel=True):
            log.info("the store's key is unlocked")
            await self.ward.look_everywhere()

    async def write_audit(self, *, everything: bool = False) -> None:
        """Write what the audit has noted; a disk that will not take it costs the lines, not the service."""
        taken = self.audit.take(everything=everything)

        def write() -> None:
            try:
                self.audit.write(taken)
            except OSError as error:
                log.warning("the audit could not be written: %s", error.strerror)

        await anyio.to_thread.run_sync(write, limiter=self.ward.household.writing)

    async def clear_left_marks(self) -> None:
        """End what processes of ours that died had begun, where its place has moved on since."""
        await self._with_families(lambda families: family_file.clear_left_marks(families, self.ward.generation_at))

    async def _prune(self) -> None:
        await self._with_families(lambda families: family_file.prune(families, now=self.clock.wall()))

    async def _with_families(self, work: Callable[[Path], int]) -> None:
        def guarded() -> None:
            try:
                work(self.options.paths.families)
            except OSError as error:
                log.warning("the families' directory could not be tidied: %s", error.strerror)

        await anyio.to_thread.run_sync(guarded, limiter=self.ward.household.writing)

    def _status(self, profiles: list[ProfileResult]) -> DaemonStatusResult:
        key = self.custody.status()
        return DaemonStatusResult(
            version=__version__,
            pid=os.getpid(),
            started_at_ms=to_unix_milliseconds(self._started_at),
            uptime=round(self.clock.boottime() - self._started_boot, 3),
            socket=str(self.options.paths.socket),
            state_directory=str(self.options.paths.state),
            config=str(self._loaded.path) if self._loaded.path is not None else None,
            config_error=self._config_error,
            store_key=f"{key.place} {key.description}",
            store_trouble=key.locked or key.note,
            sink_troubles=self.publishing.troubles() if self.publishing is not None else [],
            connections=self.server.connections if self.server is not None else 0,
            subscribers=self.server.subscribers if self.server is not None else 0,
            restricted_sockets=self.second_sockets.shown(),
            profiles=profiles,
        )

    def metrics(self) -> list[Family]:
        """What can be counted and measured now."""
        watched = Watched(self.ward.keepers, self.ward.broker, self.hub, self.notices, self.server)
        return families(watched, self.ward.status())

    async def serve_metrics(self) -> None:
        """Answer collectors, if the configuration names a socket for them; begun, it goes on until the end.

        Raises:
            TokenwardError: if it cannot be done.
        """
        if (place := self._loaded.settings.metrics.socket) is None:
            return
        exposition.require()
        bound = bind_socket(str(place))

        async def serve() -> None:
            await serve_metrics(bound, lambda accept: exposition.page(self.metrics(), accept))

        self.group.start_soon(serve)

    async def aclose(self) -> None:
        """Write what may still be lost, and let go of subscribers; flights have ended before."""
        await self.state_flush.flush()
        self.hub.end()
        await self._http.aclose()


def _beat_seconds(environ: Mapping[str, str]) -> float:
    watchdog = sd.watchdog_interval(environ, os.getpid())
    return BEAT_SECONDS if watchdog is None else min(BEAT_SECONDS, watchdog)


def _timing(loaded: LoadedConfig) -> RefreshTiming:
    return RefreshTiming(loaded.settings.default.refresh_margin, loaded.settings.default.refresh_jitter)


def _say(loaded: LoadedConfig) -> None:
    for warning in loaded.warnings:
        log.warning("%s", warning)


@asynccontextmanager
async def _opened(options: Options, loaded: LoadedConfig) -> AsyncIterator[Daemon]:
    """A daemon that owns its state directory; leaving it waits for the flights under way."""
    clock = SystemClock()
    lock = FileLock(ensure_private_dir(options.paths.state) / options.paths.daemon_lock.name)
    if not lock.try_acquire():
        raise AlreadyServed(
            f"another tokenward uses {options.paths.state}",
            hint="ask that one (tokenward status), or give this one its own --state-dir",
        )
    try:
        async with anyio.create_task_group() as group:
            daemon = Daemon(options, loaded, group, clock)
            try:
                yield daemon
            finally:
                group.cancel_scope.cancel()
        await daemon.aclose()
    except BaseExceptionGroup as failures:
        raise _the_one(failures) from None
    finally:
        lock.release()


@asynccontextmanager
async def in_process_service(*, config: Path | None, state_dir: Path | None) -> AsyncIterator[Ward]:
    """The service without a socket, a scheduler or a watcher, for one command (design section 7).

    Args:
        config: what ``--config`` named.
        state_dir: what ``--state-dir`` named.

    Raises:
        TokenwardError: if the configuration is wrong, or a daemon owns the state directory.
    """
    options = Options(dict(os.environ), config_file=config, state_dir=state_dir)
    protect(debuggable=False)
    async with _opened(options, options.load()) as daemon:
        await daemon.fill()
        yield daemon.ward


async def _serve(options: Options, loaded: LoadedConfig) -> None:
    async with _opened(options, loaded) as daemon:
        daemon.hub.listen(EventLog(daemon.clock))
        listeners = [opened for _, opened in sd.inherited_sockets(options.environ, os.getpid())]
        listeners = listeners or sd.launchd_sockets("rpc") or [bind_socket(str(options.paths.socket))]
        complete = await daemon.fill()
        await daemon.clear_left_marks()
        await daemon.publish()
        daemon.hub.listen(lambda _event, _trouble: daemon.notices.look())
        server = daemon.server = RpcServer(daemon.ward, clock=daemon.clock, audit=daemon.audit)
        await daemon.serve_metrics()
        await daemon.group.start(server.serve, listeners)
        await daemon.open_second_sockets()
        daemon.group.start_soon(_obey_signals, daemon)
        sd.notify(f"READY=1\nSTATUS=keeping {len(daemon.ward.keepers)} profiles", options.environ)
        log.info("serving %s, keeping %d profiles", options.paths.socket, len(daemon.ward.keepers))
        daemon.group.start_soon(daemon.scheduler.run)
        daemon.group.start_soon(daemon.watcher.run)
        if not complete:
            daemon.group.start_soon(daemon.discover)
        await daemon.stop.wait()
        sd.notify("STOPPING=1", options.environ)
        daemon.hub.announce("stopping")
        await daemon.second_sockets.aclose()
        await server.aclose()
        await daemon.write_audit(everything=True)
    log.info("stopped")


async def _obey_signals(daemon: Daemon) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for received in signals:
            if received is signal.SIGHUP:
                daemon.group.start_soon(daemon.reload)
            else:
                daemon.stop.set()


def run_daemon(
    *,
    config: Path | None,
    state_dir: Path | None,
    socket: Path | None,
    log_level: str,
    log_format: str | None,
    debuggable: bool,
) -> int:
    """Run the daemon in the foreground until it is told to stop.

    Args:
        config: what ``--config`` named.
        state_dir: what ``--state-dir`` named.
        socket: what ``--socket`` named.
        log_level: a level's name, for standard error.
        log_format: how its lines are written; None = as the environment says, else as text.
        debuggable: let profilers and debuggers attach.

    Returns:
        The exit code.

    Raises:
        TokenwardError: if it cannot start.
    """
    protect(debuggable=debuggable)
    raise_nofile_limit()
    options = Options(os.environ, config_file=config, state_dir=state_dir, socket_file=socket)
    start_logging(log_level, options.environ, format_wanted(log_format, options.environ))
    loaded = options.load()
    _say(loaded)
    anyio.run(_serve, options, loaded)
    return 0


def run_checks(
    *,
    config: Path | None,
    profiles: Sequence[Mapping[str, Any]] | None,
    probed: Mapping[str, Any] | None,
    project: Path | None,
) -> Sequence[Finding]:
    """Look at everything that could be wrong around the daemon; needs none to run.

    Args:
        config: what ``--config`` named.
        profiles: as in ``examination``.
        probed: as in ``examination``.
        project: as in ``examination``.
    """
    from tokenward.daemon.examination import examination

    options = Options(dict(os.environ), config_file=config)
    return examination(options, profiles=profiles, probed=probed, project=project)


def _the_one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a task group wrapped: our own error if there is one, else the group."""
    ours, _ = group.split(TokenwardError)
    while ours is not None and isinstance(ours.exceptions[0], BaseExceptionGroup):
        ours = ours.exceptions[0]
    return group if ours is None else ours.exceptions[0]
