"""Two daemons of one process that share an engine in memory, a token endpoint and a clock that obeys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from daemon.keeping import PATIENCE_SECONDS, turns
from daemon.sharing import CountingEngine
from daemon.warding import Warding
from fakes.machine import FakeClock
from fakes.scripted_token_endpoint import ScriptedTokenEndpoint
from fakes.shared_sealer import OneKeySealer
from tokenward.core.credential import Credential, Profile, agent_and_id
from tokenward.core.lifecycle import Phase
from tokenward.core.sharing import SharedRecord
from tokenward.daemon.event_hub import Happening
from tokenward.daemon.gathering import one_of_each
from tokenward.daemon.household import Kept
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.shared_place import SHARED, SharedPlace
from tokenward.daemon.shared_records import SharedRecords
from tokenward.daemon.sharing import Sharing
from tokenward.stores.memory import MemoryCredentialStore
from tokenward.stores.memory_shared import MemorySharedStore

KEY = "acme:me"
REQUEST_SECONDS = 25.0


class SharingHost(Warding):
    """A daemon of the fleet.

    Args:
        name: its name at the engine.
        fleet: whom it shares with.
    """

    def __init__(self, name: str, fleet: SharingFleet) -> None:
        directory = fleet.directory / name
        directory.mkdir(exist_ok=True)
        self.shared_clock = fleet.clock
        super().__init__(directory, fleet.group)
        self.name = name
        self.fleet = fleet
        self.endpoint = fleet.endpoint
        self.refresh_stored = True
        self.copies = MemoryCredentialStore()
        self._following = anyio.CancelScope()
        self.events: list[Happening] = []
        self.hub.listen(lambda event, _trouble: self.events.append(event))
        self.prepare()

    def __post_init__(self) -> None:
        """One clock for all."""
        self.clock = self.shared_clock
        super().__post_init__()

    def prepare(self) -> None:
        """What a start makes anew."""
        self.records = SharedRecords(
            self.fleet.engine, OneKeySealer(), self.copies, holder=self.name, clock=self.clock
        )
        household = self.ward.household
        household.shared, household.keep_shared = self.records, self.of_shared
        self.sharing = Sharing(
            self.records,
            self.ward.keepers,
            self.around,
            rearrange=self.fill_all,
            request_seconds=lambda: REQUEST_SECONDS,
        )

    def of_shared(self, key: str) -> Kept:
        """A shared profile."""
        agent, profile = agent_and_id(key)
        place = SharedPlace(key, self.records, clock=self.clock, request_seconds=REQUEST_SECONDS)
        return Kept(Profile(profile, "acme", SHARED, agent), place, self.direct(place), made_of=(SHARED,))

    async def fill_all(self) -> None:
        """Keep what is shared and what is in the store, the shared first."""
        kept = [self.of_shared(key) for key in self.records.profiles()]
        await self.ward.keep(one_of_each([*kept, *map(self.of_store, self.store.profiles())]))

    async def start(self) -> None:
        """As a daemon starts; it has looked twice when it has begun to listen."""
        asked = self.fleet.engine.asked.count("read")
        await self.sharing.look()
        await self.fill_all()
        self.fleet.group.start_soon(self._follow)
        await until(lambda: self.fleet.engine.asked.count("read") >= asked + 2)
        await turns()

    async def _follow(self) -> None:
        with self._following:
            await self.sharing.run()

    async def restart(self) -> None:
        """As a daemon that was killed starts again."""
        self._following.cancel()
        await turns()
        self._following = anyio.CancelScope()
        self.ward.keepers.clear()
        self.prepare()
        await self.start()

    @property
    def mine(self) -> Keeper:
        """The keeper of the shared profile."""
        return self.ward.keepers[KEY]

    def is_in(self, phase: Phase) -> bool:
        """Whether that keeper stands there."""
        return self.mine.phase is phase

    def holds(self, credential: Credential) -> bool:
        """Whether it serves this value."""
        held = self.mine.credential if KEY in self.ward.keepers else None
        return held is not None and held.generation == credential.generation

    def happened(self, kind: str) -> int:
        """How often it told of such an event."""
        return sum(event.type == kind for event in self.events)


class SharingFleet:
    """Hosts, and what is between them.

    Args:
        directory: for their disks.
        group: where everything runs.
    """

    def __init__(self, directory: Path, group: TaskGroup) -> None:
        self.directory = directory
        self.group = group
        self.clock = FakeClock()
        self.engine = CountingEngine(self.clock)
        self.endpoint = ScriptedTokenEndpoint(expires_in=3600.0)
        self.hosts: list[SharingHost] = []

    def put(self, credential: Credential, *, replaced: str | None = None) -> None:
        """Somebody gives the fleet a login."""
        self.engine.commit(KEY, replaced, OneKeySealer().seal(KEY, credential, None), holder="a person")

    async def host(self, name: str) -> SharingHost:
        """A host that has started."""
        host = SharingHost(name, self)
        self.hosts.append(host)
        await host.start()
        return host

    @property
    def record(self) -> SharedRecord | None:
        """What the engine holds."""
        return next(iter(MemorySharedStore.read(self.engine, KEY)), None)

    def holds(self, credential: Credential) -> bool:
        """Whether the engine has this value."""
        return self.record is not None and self.record.value.generation == credential.generation

    def pass_time(self, seconds: float) -> None:
        """Time passes for all; what is due rings."""
        self.clock.advance(seconds)
        for host in self.hosts:
            host.alarm.ring_due()


@asynccontextmanager
async def sharing(directory: Path) -> AsyncIterator[SharingFleet]:
    """A fleet without hosts, which ends with the test."""
    async with anyio.create_task_group() as group:
        fleet = SharingFleet(directory, group)
        try:
            yield fleet
        finally:
            fleet.endpoint.release()  # a flight is shielded: after a failed test it would wait for ever
            group.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let things happen until something is so."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - several loops and threads have no one event
            await anyio.sleep(0.002)
