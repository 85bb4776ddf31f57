"""The engine that hosts share, what seals for it, and the fleet, opened at one place.

The problem: a daemon that shares nothing must not pay for a database's driver, and one that was told to share must
say what is missing.

Rule: nothing here asks the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationFault
from tokenward.ports import Entropy
from tokenward.ports.sharing import SharedSealer, SharedStore
from tokenward.stores.fleet_place import FleetPlace
from tokenward.stores.shared_keys import SharedKeys

if TYPE_CHECKING:
    from tokenward.stores.fleet import FleetCare


def open_shared(place: FleetPlace, entropy: Entropy) -> tuple[SharedStore, SharedSealer]:
    """The engine, and what seals for it.

    Args:
        place: where it is.
        entropy: where nonces and jitter come from.

    Raises:
        ConfigurationFault: if the driver is not installed.
    """
    with _driver():
        from tokenward.stores.postgres.administration import Administration
        from tokenward.stores.postgres.follower import Follower
        from tokenward.stores.postgres.hosts import Host
        from tokenward.stores.postgres.shared_store import PostgresSharedStore
        from tokenward.stores.postgres.wire import Wire
    wire = Wire(place.url)
    keys = SharedKeys(place.document, entropy, Administration(wire).current_key)
    host = Host(place.holder, place.host, place.version, keys.key_ids)
    return PostgresSharedStore(wire, Follower(wire, host, entropy)), keys


def open_fleet(place: FleetPlace, entropy: Entropy) -> FleetCare:
    """The fleet, for what persons do to it.

    Args:
        place: where it is.
        entropy: where keys and nonces come from.

    Raises:
        ConfigurationFault: if the driver is not installed.
    """
    with _driver():
        from tokenward.stores.fleet import FleetCare
    return FleetCare(place, entropy)


@contextmanager
def _driver() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigurationFault(
            "[store] shared needs psycopg, which is not installed", hint="pip install 'tokenward[postgres]'"
        ) from None
