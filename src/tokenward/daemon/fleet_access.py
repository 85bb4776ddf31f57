"""The way from the configuration to the fleet: for a daemon that shares, and for a person without a daemon.

The problem: who founds a fleet or looks at it may have no daemon yet, or one that is cut off; the database alone
knows.

Rule: what the engine's absence is to the daemon, a wait, is an error to a person who asked.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenward import __version__
from tokenward.daemon.machine import SystemEntropy
from tokenward.daemon.options import Options
from tokenward.disk.holder_name import holder_name
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import ConfigurationFault, StoreUnavailable
from tokenward.ports.sharing import SharedStoreAway
from tokenward.sources.claude_code_command import clean_environment
from tokenward.store_settings import StoreSettings
from tokenward.stores.fleet_place import FleetPlace
from tokenward.stores.shared_keys import KEY_FILE, key_document
from tokenward.stores.shared_stores import open_fleet

if TYPE_CHECKING:
    from tokenward.stores.fleet import FleetCare


def fleet_place(options: Options, said: StoreSettings, *, holder: str, host: str) -> FleetPlace:
    """Where hosts share, as the configuration says, and as whom this one comes there.

    Args:
        options: how the daemon is, or would be, started.
        said: what the configuration says of stores.
        holder: names this host's daemon in leases; empty = it is only looked.
        host: the machine's name, for people.

    Raises:
        ConfigurationFault: if nothing is shared, or no command is named that prints the keys.
    """
    if said.shared is None:
        raise ConfigurationFault(
            "nothing is shared: the configuration names no database",
            hint='under [store] write: shared = "postgresql://ROLE@HOST:PORT/DATABASE"',
        )
    document = key_document(
        said.shared_key,
        file=said.shared_key_file or options.paths.state / KEY_FILE,
        credentials=options.environ.get("CREDENTIALS_DIRECTORY"),
        command=said.shared_key_command,
        command_environ=clean_environment(options.environ, said.shared_key_env),
    )
    return FleetPlace(said.shared, document, holder, host, __version__)


@contextmanager
def fleet() -> Iterator[FleetCare]:
    """The fleet that the configuration names.

    Raises:
        ConfigurationFault: if it names none, or cannot be used.
        StoreUnavailable: if the engine does not answer, also inside the context.
    """
    options = Options(dict(os.environ))
    said = options.load().settings.store
    host, entropy = socket.gethostname(), SystemEntropy()
    holder = holder_name(ensure_private_dir(options.paths.families), host, entropy)
    try:
        yield open_fleet(fleet_place(options, said, holder=holder, host=host), entropy)
    except SharedStoreAway as away:
        raise StoreUnavailable(away.cause, hint=away.hint) from None
