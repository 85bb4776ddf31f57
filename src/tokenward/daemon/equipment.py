"""What one daemon has once, whatever is configured: its paths, clock, HTTP client, locks, and the store's key.

The problem: every place and refresher is made of the same few things, and two of one kind (two HTTP clients, two
gates before one endpoint, two records of what is published) would not know of each other.

Rules:
- It is made once and outlives every configuration; what follows from the configuration is ``composition``'s.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import CapacityLimiter
from anyio.abc import TaskGroup

from tokenward.daemon.adopted import AdoptedFiles
from tokenward.daemon.machine import SystemProcesses
from tokenward.daemon.options import Options
from tokenward.disk import family_file
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.paths import Paths
from tokenward.ports import Clock, CredentialStore, Entropy, KeyPlace, Processes, Sealer
from tokenward.sinks.publication_record import FILE_NAME as PUBLISHED_NAME
from tokenward.sinks.publication_record import PublicationRecord
from tokenward.sources.claude_code_command import clean_environment
from tokenward.store_settings import StoreSettings
from tokenward.stores.custody import KeyCustody
from tokenward.stores.key_files import FileKeyPlace, PassphraseKeyPlace
from tokenward.stores.key_ring import AesGcmSealer, open_key_file

if TYPE_CHECKING:
    from tokenward.daemon.endpoint_gate import EndpointGate
    from tokenward.daemon.network import Network
    from tokenward.daemon.shared_records import SharedRecords

RECORDS_NAME = "credentials"
"""The directory of our own records, in the state directory."""
COPIES_NAME = "shared"
"""The directory of our copies of shared records, in the state directory."""
ASKPASS_NEEDS = (
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
)
"""Variables without which a program can neither ask a person nor open a password store."""

FLIGHT_THREADS = 32
"""Worker threads for flights: more than fit through the gates of a few endpoints."""

log = logging.getLogger("tokenward")


@dataclass(slots=True, eq=False, repr=False)
class Equipment:
    """What every refresher is made of.

    Args:
        paths: the user's places.
        environ: the environment of the daemon.
        clock: the machine's clocks.
        entropy: the machine's randomness.
        network: what reaches servers.
        sealer: seals what goes into family files.
        processes: other programs.
        flights: the worker threads of flights.
        store: our own place.
        adopted: the foreign files that a person told us to keep.
        record: which files we published.
        shared: what is shared with other hosts; None = nothing is.
        platform: ``sys.platform``, by which Claude Code chooses where its login lies.
        security: the program that reads the Keychain of macOS; None = where macOS has it.
    """

    paths: Paths
    environ: Mapping[str, str]
    clock: Clock
    entropy: Entropy
    network: Network
    sealer: Sealer
    processes: Processes
    flights: CapacityLimiter
    store: CredentialStore
    adopted: AdoptedFiles
    record: PublicationRecord
    shared: SharedRecords | None = None
    gates: dict[str, EndpointGate] = field(default_factory=dict)
    wait: Callable[[float], None] = time.sleep
    platform: str = sys.platform
    security: str | None = None

    def gate(self, url: str) -> EndpointGate:
        """The one gate before a token endpoint."""
        from tokenward.daemon.endpoint_gate import EndpointGate  # who refreshes nothing needs none

        return self.gates.setdefault(url, EndpointGate(self.clock, self.entropy))


def key_custody(state: Path, environ: Mapping[str, str], said: StoreSettings, entropy: Entropy) -> KeyCustody:
    """Our own store's key, wherever it lies.

    Args:
        state: the state directory.
        environ: the environment of the daemon.
        said: what the configuration says of the store.
        entropy: where keys and nonces come from.
    """
    places = _KeyPlaces(state, environ, said, entropy)
    return KeyCustody(state, state / RECORDS_NAME, places, entropy, wanted=said.key)


class _KeyPlaces(dict[str, KeyPlace]):
    """The places that a key can lie in, by name, each made when it is first asked for: most keys lie in a file."""

    def __init__(self, state: Path, environ: Mapping[str, str], said: StoreSettings, entropy: Entropy) -> None:
        super().__init__(file=FileKeyPlace(state, entropy))
        self._state = state
        self._environ = environ
        self._said = said
        self._entropy = entropy

    def __missing__(self, name: str) -> KeyPlace:
        credentials = self._environ.get("CREDENTIALS_DIRECTORY")
        place: KeyPlace
        match name:
            case "keyring":
                from tokenward.stores.keyring_key import KeyringKeyPlace

                place = KeyringKeyPlace(self._entropy)
            case "systemd":
                from tokenward.stores.systemd_key import SystemdKeyPlace

                place = SystemdKeyPlace(credentials)
            case "passphrase":
                from tokenward.stores.passphrase import PassphraseSource

                environ = clean_environment(self._environ, ASKPASS_NEEDS)
                asked = PassphraseSource(credentials, self._said.askpass, environ)
                place = PassphraseKeyPlace(self._state, self._entropy, asked)
            case _:
                raise KeyError(name)
        return self.setdefault(name, place)


def shared_records(
    options: Options, custody: KeyCustody, said: StoreSettings, *, clock: Clock, entropy: Entropy
) -> SharedRecords | None:
    """What is shared with other hosts, if the configuration says that something is; asks no network.

    Args:
        options: how the daemon was started.
        custody: our own store's key, which seals the copies; opened.
        said: what the configuration says of stores.
        clock: the machine's clocks.
        entropy: where names, nonces and jitter come from.

    Raises:
        ConfigurationFault: if it cannot be as it is said.
        StoreUnavailable: if this host's name cannot be kept.
    """
    if said.shared is None:
        return None
    from tokenward.daemon.fleet_access import fleet_place
    from tokenward.daemon.shared_records import SharedRecords
    from tokenward.disk.holder_name import holder_name
    from tokenward.stores.shared_stores import open_shared

    host = socket.gethostname()
    holder = holder_name(ensure_private_dir(options.paths.families), host, entropy)
    engine, sealer = open_shared(fleet_place(options, said, holder=holder, host=host), entropy)
    copies = custody.beside(options.paths.state / COPIES_NAME)
    return SharedRecords(engine, sealer, copies, holder=holder, clock=clock)


def needs_restart(started: StoreSettings, now: StoreSettings) -> str | None:
    """Why the daemon does not share as its configuration says now: what is shared is opened once; None if it does.

    Args:
        started: what the configuration said of stores when the daemon started.
        now: what it says.
    """
    if started.but(key=now.key, askpass=now.askpass) == now:
        return None
    reason = "what [store] says of sharing was changed, and is followed after a restart"
    log.warning("%s", reason)
    return reason


def equip(
    options: Options,
    custody: KeyCustody,
    said: StoreSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    network: Network,
    group: TaskGroup,
) -> Equipment:
    """Open our own store and the key of the families, and put together what a daemon has once.

    Args:
        options: how the daemon was started.
        custody: our own store's key.
        said: what the configuration says of stores.
        clock: the machine's clocks.
        entropy: the machine's randomness.
        network: what reaches servers.
        group: where programs are waited for.

    Raises:
        TokenwardError: if the store, or the key of the families, cannot be opened.
    """
    places, state = options.paths, ensure_private_dir(options.paths.state)
    store = custody.open()
    if (note := custody.status().note) is not None:
        log.warning("%s", note)
    families = ensure_private_dir(places.families)
    family_key = open_key_file(families, entropy, may_create=not family_file.families_in(families))
    return Equipment(
        paths=places,
        environ=options.environ,
        clock=clock,
        entropy=entropy,
        network=network,
        sealer=AesGcmSealer(family_key, entropy),
        processes=SystemProcesses(group),
        flights=flight_limiter(),
        store=store,
        adopted=AdoptedFiles(state),
        record=PublicationRecord(state / PUBLISHED_NAME),
        shared=shared_records(options, custody, said, clock=clock, entropy=entropy),
    )


def flight_limiter() -> CapacityLimiter:
    """The worker threads of flights, apart from anyio's default ones."""
    return CapacityLimiter(FLIGHT_THREADS)
