"""From what the configuration says to the engine that hosts share, and to what seals for it.

The problem: a daemon that shares nothing must not pay for a database's driver, and one that was told to share must
say what is missing.

Rule: nothing here asks the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.core.credential import Secret
from tokenward.errors import ConfigurationFault
from tokenward.ports import Entropy, SharedSealer, SharedStore
from tokenward.store_settings import StoreSettings
from tokenward.stores.shared_keys import KEY_FILE, KeyDocument, SharedKeys, key_document

if TYPE_CHECKING:
    from tokenward.stores.fleet import FleetCare


def open_shared(
    said: StoreSettings,
    state: Path,
    environ: Mapping[str, str],
    *,
    command_environ: Mapping[str, str],
    holder: str,
    host: str,
    version: str,
    entropy: Entropy,
) -> tuple[SharedStore, SharedSealer] | None:
    """The engine, and what seals for it.

    Args:
        said: what the configuration says of stores.
        state: the state directory.
        environ: the environment of the daemon.
        command_environ: the whole environment of ``shared_key_command``.
        holder: names this daemon in leases; stable over its restarts.
        host: the machine's name, for people.
        version: our program's, for people.
        entropy: where nonces and jitter come from.

    Returns:
        None if nothing is shared.

    Raises:
        ConfigurationFault: if it cannot be as it is said.
    """
    if said.shared is None:
        return None
    with _driver():
        from tokenward.stores.postgres.administration import Administration
        from tokenward.stores.postgres.follower import Follower
        from tokenward.stores.postgres.hosts import Host
        from tokenward.stores.postgres.shared_store import PostgresSharedStore
        from tokenward.stores.postgres.wire import Wire
    wire = Wire(Secret(said.shared.get_secret_value()))
    document = _document(said, state, environ, command_environ)
    keys = SharedKeys(document, entropy, Administration(wire).current_key)
    return PostgresSharedStore(wire, Follower(wire, Host(holder, host, version, keys.key_ids), entropy)), keys


def open_fleet(
    said: StoreSettings,
    state: Path,
    environ: Mapping[str, str],
    *,
    command_environ: Mapping[str, str],
    holder: str,
    host: str,
    version: str,
    entropy: Entropy,
) -> FleetCare:
    """The fleet, for what persons do to it.

    Args:
        said: what the configuration says of stores.
        state: the state directory.
        environ: our environment.
        command_environ: the whole environment of ``shared_key_command``.
        holder: names this host's daemon in leases.
        host: the machine's name, for people.
        version: our program's, for people.
        entropy: where keys and nonces come from.

    Raises:
        ConfigurationFault: if it cannot be as it is said, or nothing is shared.
    """
    if said.shared is None:
        raise ConfigurationFault(
            "nothing is shared: the configuration names no database",
            hint='under [store] write: shared = "postgresql://ROLE@HOST:PORT/DATABASE"',
        )
    with _driver():
        from tokenward.stores.fleet import FleetCare
    document = _document(said, state, environ, command_environ)
    url = Secret(said.shared.get_secret_value())
    return FleetCare(url, document, entropy, holder=holder, host=host, version=version)


@contextmanager
def _driver() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigurationFault(
            "[store] shared needs psycopg, which is not installed", hint="pip install 'tokenward[postgres]'"
        ) from None


def _document(
    said: StoreSettings, state: Path, environ: Mapping[str, str], command_environ: Mapping[str, str]
) -> KeyDocument:
    return key_document(
        said.shared_key,
        file=said.shared_key_file or state / KEY_FILE,
        credentials=environ.get("CREDENTIALS_DIRECTORY"),
        command=said.shared_key_command,
        command_environ=command_environ,
    )
