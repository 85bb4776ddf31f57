"""What a daemon has once, in a home of the test's, for tests of what follows from a configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from daemon.refreshing import sealer
from fakes.machine import CountingEntropy, FakeClock
from tokenward import config, paths
from tokenward.config import Settings
from tokenward.daemon.adopted import AdoptedFiles
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.machine import SystemProcesses
from tokenward.daemon.network import Network
from tokenward.daemon.providers_in_force import ProvidersInForce
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.stores.memory import MemoryCredentialStore

UID = 1000


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a daemon that finds no program but those in its home."""
    return {"HOME": str(home), "PATH": str(home / "bin"), **more}


def configured(home: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    """What a configuration file says."""
    file = home / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return config.load(file, environ or environment(home), uid=file.stat().st_uid, platform="linux").settings


@asynccontextmanager
async def equipped(
    home: Path, environ: Mapping[str, str] | None = None, **members: Any
) -> AsyncIterator[Equipment]:
    """The equipment of a daemon.

    Args:
        home: the home.
        environ: the daemon's environment; None = that of ``environment``.
        members: other members of ``Equipment``.
    """
    environ = environ or environment(home)
    clock, entropy = FakeClock(), CountingEntropy()
    network = Network(clock)
    async with anyio.create_task_group() as group:
        yield Equipment(
            **{
                "paths": paths.resolve(environ, uid=UID, platform="linux", is_ours=lambda _: False),
                "environ": environ,
                "clock": clock,
                "entropy": entropy,
                "network": network,
                "sealer": sealer(),
                "processes": SystemProcesses(group),
                "flights": anyio.CapacityLimiter(1),
                "store": MemoryCredentialStore(),
                "adopted": AdoptedFiles(home),
                "record": PublicationRecord(home / "published.json"),
                "platform": "linux",
                **members,
            }
        )
        await network.aclose()


def in_force(equipment: Equipment, settings: Settings) -> ProvidersInForce:
    """The providers of one configuration."""
    return ProvidersInForce(settings, equipment)
