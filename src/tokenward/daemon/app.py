"""How the daemon, or its service without a socket, comes up and goes down.

The problem: a daemon that holds single-use tokens must come up in an order in which nobody can steal its place,
and go down in an order in which nothing that was rotated is lost.

Rules:
- Up: private process, configuration, the state directory's lock, sockets, store, keepers, READY; only then the
  scheduler and the watcher, whose libraries are the slow ones to import.
- One task group at the top. A stop cancels it; flights are shielded and end by themselves, with their result
  on disk, and the programs we asked are waited for.
- A wrong configuration stops a start.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from tokenward.config import LoadedConfig
from tokenward.daemon import sd
from tokenward.daemon.daemon import Daemon, warn_of
from tokenward.daemon.event_log import EventLog
from tokenward.daemon.hardening import protect
from tokenward.daemon.listener import bind_socket, raise_nofile_limit
from tokenward.daemon.logs import format_wanted, start_logging
from tokenward.daemon.machine import SystemClock
from tokenward.daemon.options import Options
from tokenward.daemon.rpc_server import RpcServer
from tokenward.disk.flock import FileLock
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import AlreadyServed, TokenwardError

if TYPE_CHECKING:
    from tokenward.checks import Finding
    from tokenward.daemon.ward import Ward


log = logging.getLogger("tokenward")


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
        daemon.socket_path = (
            listeners[0].getsockname() or daemon.socket_path
        )  # a service manager may choose another
        complete = await daemon.fill()
        if daemon.sharing is not None:
            await daemon.sharing.bring_left()
        await daemon.tidying.clear_left_marks()
        await daemon.offer()
        daemon.hub.listen(daemon.notices.happened)
        daemon.notices.look()  # at what was found at the start
        server = daemon.server = RpcServer(
            daemon.desk.token_nowait,
            daemon.service,
            clock=daemon.clock,
            pace=daemon.pace,
            audit=daemon.audit,
            token_later=daemon.desk.token_later,
        )
        await daemon.group.start(server.serve, listeners)
        await daemon.open_second_sockets()
        daemon.group.start_soon(_obey_signals, daemon)
        sd.notify(f"READY=1\nSTATUS=keeping {len(daemon.desk.keepers)} profiles", options.environ)
        log.info("serving %s, keeping %d profiles", daemon.socket_path, len(daemon.desk.keepers))
        daemon.group.start_soon(daemon.scheduler.run)
        daemon.group.start_soon(daemon.watcher.run)
        if daemon.sharing is not None:
            daemon.group.start_soon(daemon.sharing.run)
        if not complete:
            daemon.group.start_soon(daemon.discover)
        await daemon.stop.wait()
        sd.notify("STOPPING=1", options.environ)
        daemon.hub.announce("stopping")
        await daemon.side_services.aclose()
        await server.aclose()
        await daemon.desk.kept.save_unsaved()
        await daemon.tidying.write_audit(everything=True)
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
    loaded = options.load(apart=sys.platform == "linux")  # macOS has libraries that a fork breaks
    warn_of(loaded)
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
