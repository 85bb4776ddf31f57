"""What the daemon keeps credentials with: one profile that is to be kept, and everything that keepers share.

The problem: profiles come from the configuration, the store and the files of other programs, and whoever serves
them must not know which adapters they came by. So the composer says it in two values: ``Kept``, one for each
profile, and ``Household``, one for the daemon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from anyio import CapacityLimiter

from tokenward.core.credential import Profile
from tokenward.core.ladders import DEFAULT_PRESET, PRESETS, Ladders
from tokenward.core.selection import Resolution
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.routing_state import RoutingState
from tokenward.daemon.surroundings import Surroundings
from tokenward.ports import Archive, CredentialStore, Custody, LoginServer, Place
from tokenward.provider_files import Provider, provider_named

if TYPE_CHECKING:
    from tokenward.daemon.daemon_models import DaemonStatusResult, ReloadResult
    from tokenward.daemon.intake import Doorway
    from tokenward.daemon.metrics import Family
    from tokenward.daemon.profile_models import ProfileResult
    from tokenward.daemon.refresher import Refresher
    from tokenward.daemon.shared_records import SharedRecords
    from tokenward.daemon.sink_models import SinkResult

STORE = "store"
"""The source's name of what we own."""
ADOPTED = "adopted"
"""The source's name of a foreign file that a person told us to keep."""
UNLOCK = "unlock it, then: tokenward store status"
"""What to do with a store whose key is locked."""


class FindingLike(Protocol):
    """One sentence of the doctor, as a check says it."""

    @property
    def check(self) -> str:
        """Which check says it."""

    @property
    def level(self) -> Literal["ok", "warn", "fail"]:
        """How bad it is."""

    @property
    def cause(self) -> str:
        """What was found."""

    @property
    def consequence(self) -> str:
        """What comes of it."""

    @property
    def hint(self) -> str:
        """What to do."""


Examine: TypeAlias = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any] | None], Sequence[FindingLike]]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Kept:
    """A profile that is to be kept: what the configuration, the store and the sources make of it.

    No tuple: that is as large as a ``Profile``, and of ten thousand of both, made by turns, one kind is let go
    when each has its keeper, so that every second place in memory would stay empty.

    Args:
        profile: whose it is.
        place: where it lives.
        refresher: by what means it is refreshed; None = only watched.
        note: one line that a person should know.
        made_of: equal for two that need not be told apart; a keeper is replaced when it changes.
    """

    profile: Profile
    place: Place
    refresher: Refresher | None
    note: str | None = None
    made_of: tuple[object, ...] = ()


def _nothing_shared(profile: str) -> Kept:
    raise AssertionError(f"{profile} is not shared: nothing is")


@dataclass(slots=True, eq=False, repr=False)
class Household:
    """What the ward needs from the one who composed it.

    Args:
        around: what all keepers share.
        store: our own place.
        routing: what people decided about profiles.
        custody: its key.
        archive: encrypts what is exported.
        hub: tells subscribers.
        writing: the worker threads that write to the store.
        keep_shared: makes a ``Kept`` of a profile that is shared with other hosts.
        keep_stored: makes a ``Kept`` of a profile in the store.
        status: the daemon as a whole, around its profiles.
        reload: reads the configuration again.
        stop: ends the daemon.
        watch: asks for changes of a path to be noticed.
        unwatch: says that changes of a path concern nobody any more.
        doorway: says where credentials of other programs come from.
        default_provider: served if a call names none.
        providers: the providers of the configuration in force.
        looked_at: the places looked at for credentials, for the error that says there are none.
        store_location: where our own store lies, for people.
        resolution: which of several credentials goes first.
        inherit_agents: whether main's profiles serve other agents too.
        ladders: how long profiles rest after failures.
        fallbacks: the models that are tried after one that failed.
        shared: what is shared with other hosts; None = nothing is.
        metrics: what can be counted and measured.
        login_server: the authorization server of a provider, for logins.
        profiles_changed: told when profiles may have come, gone, or begun or ended a rest.
        sinks: the published files.
        examine: the doctor's findings, from the profiles and what a probe showed; blocks for seconds.
    """

    around: Surroundings
    store: CredentialStore
    routing: RoutingState
    custody: Custody
    archive: Archive
    hub: EventHub
    writing: CapacityLimiter
    keep_stored: Callable[[str], Kept]
    status: Callable[[list[ProfileResult]], DaemonStatusResult]
    reload: Callable[[], Awaitable[ReloadResult]]
    stop: Callable[[], None]
    watch: Callable[[str], None]
    unwatch: Callable[[str], None]
    login_server: Callable[[str], LoginServer]
    doorway: Callable[[], Doorway]
    default_provider: str = "anthropic"
    providers: Mapping[str, Provider] = field(default_factory=dict)
    looked_at: Callable[[], Sequence[str]] = tuple
    store_location: str = ""
    resolution: Resolution = Resolution.PROFILES_FIRST
    inherit_agents: bool = False
    profiles_changed: Callable[[], None] = lambda: None
    sinks: Callable[[], Sequence[SinkResult]] = tuple
    examine: Examine = lambda _profiles, _probed: ()
    ladders: Ladders = PRESETS[DEFAULT_PRESET]
    fallbacks: Sequence[str] = ()
    shared: SharedRecords | None = None
    keep_shared: Callable[[str], Kept] = _nothing_shared
    metrics: Callable[[], Sequence[Family]] = tuple

    def provider(self, name: str) -> Provider:
        """A provider in force, configured or built in."""
        return self.providers.get(name) or unconfigured(name)


@lru_cache(maxsize=64)
def unconfigured(name: str) -> Provider:
    """The provider that nobody said anything of: asked for each of its profiles, and always the same."""
    return provider_named(name)
