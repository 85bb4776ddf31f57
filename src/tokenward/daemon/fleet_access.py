"""The fleet for the command line: put together from the configuration, without a daemon.

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
from tokenward.errors import StoreUnavailable
from tokenward.ports import SharedStoreAway
from tokenward.sources.claude_code_command import clean_environment
from tokenward.stores.shared_stores import open_fleet

if TYPE_CHECKING:
    from tokenward.stores.fleet import FleetCare


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
    try:
        yield open_fleet(
            said,
            options.paths.state,
            options.environ,
            command_environ=clean_environment(options.environ, said.shared_key_env),
            holder=holder_name(ensure_private_dir(options.paths.families), host, entropy),
            host=host,
            version=__version__,
            entropy=entropy,
        )
    except SharedStoreAway as away:
        raise StoreUnavailable(away.cause, hint=away.hint) from None
