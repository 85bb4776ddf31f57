"""What the tests of keepers share: a keeper over a place in memory, a scripted server, and a clock that obeys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from daemon.refreshing import LIFE, HookedPlace, credential_at, transaction
from fakes.machine import CountingEntropy, FakeClock
from fakes.manual_scheduler import ManualScheduler
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from tokenward.core.credential import Credential, Profile, Secret
from tokenward.core.freshness import RefreshTiming
from tokenward.core.grants import RefreshOutcome
from tokenward.core.lifecycle import Phase
from tokenward.core.reading import Found
from tokenward.daemon.endpoint_gate import EndpointGate
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.refresher import DirectRefresher, Refresher
from tokenward.daemon.surroundings import Surroundings
from tokenward.ports import Place

PATIENCE_SECONDS = 20.0
"""Until a test says that what it waits for never comes."""
PROFILE = Profile("acme:me", "acme", "store")


def _unset(_: Secret) -> RefreshOutcome:
    raise AssertionError("set by the refresher")


@dataclass
class Keeping:
    """A household of one.

    Args:
        directory: for the families.
        group: where flights run.
    """

    directory: Path
    group: TaskGroup
    clock: FakeClock = field(default_factory=FakeClock)
    entropy: CountingEntropy = field(default_factory=CountingEntropy)
    timing: RefreshTiming = field(default_factory=lambda: RefreshTiming(90.0, 0.0))
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(8))

    def __post_init__(self) -> None:
        self.alarm = ManualScheduler(self.clock)
        self.hub = EventHub(self.clock)
        self.endpoint = ScriptedTokenEndpoint(expires_in=LIFE)
        self.gate = EndpointGate(self.clock, self.entropy)
        self.around = Surroundings(
            clock=self.clock,
            entropy=self.entropy,
            alarm=self.alarm,
            hub=self.hub,
            timing=self.timing,
            host="host",
            reading=self.limiter,
            spawn=self.group.start_soon,
        )
        self.place = HookedPlace()

    def credential(self, number: int = 0, *, left: float = LIFE, granted_life: float | None = None) -> Credential:
        """A value with so many seconds left."""
        return credential_at(self.clock, number, left=left, granted_life=granted_life)

    def direct(self, place: Place | None = None, *, reuse_grace: float = 0.0) -> DirectRefresher:
        """We refresh it ourselves."""
        made = transaction(
            self.directory, self.place if place is None else place, self.clock, _unset, reuse_grace=reuse_grace
        )
        return DirectRefresher(made, self.endpoint, self.gate, self.limiter)

    def keeper(
        self, refresher: Refresher | None, *, place: Place | None = None, profile: Profile = PROFILE
    ) -> Keeper:
        """A keeper that has not looked yet."""
        return Keeper(profile, self.place if place is None else place, refresher, self.around)

    async def directly(self, credential: Credential) -> Keeper:
        """A keeper that holds a value which we refresh ourselves."""
        self.place.overwrite(credential)
        keeper = self.keeper(self.direct())
        await keeper.reconcile()
        return keeper

    async def pass_time(self, seconds: float, keeper: Keeper) -> None:
        """Let time pass; what rings is let happen at its moment, before more time passes."""
        end = self.clock.now + timedelta(seconds=seconds)
        while (due := self.alarm.when(keeper.profile.id)) is not None and due <= end:
            self.alarm.advance(max(0.0, (due - self.clock.now).total_seconds()))
            await settled(keeper)
        self.alarm.advance((end - self.clock.now).total_seconds())
        await settled(keeper)

    def phase(self, keeper: Keeper) -> Phase:
        """Its phase now."""
        return keeper.phase

    def stored(self) -> Credential:
        """What the place holds."""
        reading = self.place.read()
        assert isinstance(reading, Found)
        return reading.credential

    def static(self, credential: Credential) -> Credential:
        """The same access token without a refresh token."""
        return replace(credential, refresh=None)


@asynccontextmanager
async def keeping(directory: Path) -> AsyncIterator[Keeping]:
    """A household with a task group, which is cancelled at the end."""
    async with anyio.create_task_group() as group:
        household = Keeping(directory, group)
        yield household
        group.cancel_scope.cancel()
        household.endpoint.release()  # a flight is shielded: after a failed test it would wait for ever


async def turns(count: int = 20) -> None:
    """Let the loop run what is ready."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def settled(keeper: Keeper) -> None:
    """Wait for the flight under way, if there is one, and for what follows from it at once."""
    await turns()
    with anyio.fail_after(PATIENCE_SECONDS):
        await keeper.settle()
    await turns()


async def until(condition: Callable[[], bool]) -> None:
    """Let things happen until something is so; worker threads are waited for."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - a phase has no event to wait for
            await anyio.sleep(0.001)
