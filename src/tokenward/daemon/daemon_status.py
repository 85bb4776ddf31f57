"""What a daemon says of itself: its status around its profiles, and its figures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tokenward import __version__
from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon.daemon_models import DaemonStatusResult
from tokenward.daemon.metrics import Family, Watched, families

if TYPE_CHECKING:
    from tokenward.daemon.daemon import Daemon
    from tokenward.daemon.profile_models import ProfileResult


def status_of(daemon: Daemon, profiles: list[ProfileResult]) -> DaemonStatusResult:
    """How it stands.

    Args:
        daemon: whose.
        profiles: how each of its profiles stands.
    """
    key = daemon.custody.status()
    server, loaded = daemon.server, daemon.loaded
    return DaemonStatusResult(
        version=__version__,
        pid=os.getpid(),
        started_at_ms=to_unix_milliseconds(daemon.started_at),
        uptime=round(daemon.clock.boottime() - daemon.started_boot, 3),
        socket=daemon.socket_path,
        state_directory=str(daemon.options.paths.state),
        config=str(loaded.path) if loaded.path is not None else None,
        config_error=daemon.config_error,
        store_key=f"{key.place} {key.description}",
        store_trouble=key.locked or key.note,
        sink_troubles=daemon.side_services.troubles(),
        connections=server.connections if server is not None else 0,
        subscribers=server.subscribers if server is not None else 0,
        restricted_sockets=daemon.side_services.restricted(),
        shared_store=daemon.sharing.shown() if daemon.sharing is not None else None,
        profiles=profiles,
    )


def figures_of(daemon: Daemon) -> list[Family]:
    """What can be counted and measured of it now."""
    desk = daemon.desk
    watched = Watched(desk.keepers, desk.broker, daemon.hub, daemon.notices, daemon.server, desk.household.shared)
    return families(watched, daemon.ward.status())
