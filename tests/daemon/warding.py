"""A ward over a store in memory, and credentials that somebody wrote down: what tests of choosing share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from daemon.keeping import Keeping
from daemon.on_lane import OnLane
from fakes.custody import OpenCustody
from tokenward.core.credential import Credential, Kind, Profile, Secret, agent_and_id
from tokenward.core.selection import Resolution
from tokenward.daemon.adopted import AdoptedFiles
from tokenward.daemon.household import STORE, Household, Kept
from tokenward.daemon.intake import Doorway
from tokenward.daemon.profile_models import ProfileAddParams
from tokenward.daemon.routing_state import STATE_NAME, RoutingState
from tokenward.daemon.token_desk import TokenDesk
from tokenward.daemon.token_models import TokenParams, TokenResult
from tokenward.daemon.ward import Ward
from tokenward.sources.fixed import FixedCredential
from tokenward.sources.foreign.catalogue import ForeignStores
from tokenward.sources.foreign.places import LAYOUTS
from tokenward.stores.age_archive import AgeArchive
from tokenward.stores.memory import MemoryCredentialStore, MemoryPlace


async def _unasked() -> Any:
    raise AssertionError("not asked by these tests")


def _unexpected(_: Any) -> Any:
    raise AssertionError("not asked by these tests")


def written_down(source: str, kind: Kind = Kind.API_KEY, *, provider: str = "anthropic") -> Kept:
    """A credential in the environment or the configuration."""
    name = {"environment": "env", "config": "config"}[source] + ("" if kind is Kind.API_KEY else "-oauth")
    credential = Credential(kind, Secret(f"{source}-{kind.value}"))
    place = FixedCredential(credential, name=source, description=source)
    return Kept(Profile(f"{provider}:{name}", provider, source), place, None)


def household_over(
    keeping: Keeping, store: MemoryCredentialStore, keep_stored: Callable[[str], Kept], **members: Any
) -> Household:
    """What a ward needs from who composed it, of parts that a test can see into.

    Args:
        keeping: the clocks, the scheduler and the directory.
        store: our own place.
        keep_stored: what a profile of the store is kept as.
        members: other members of ``Household`` than those that fail if they are asked.
    """
    return Household(
        **{
            "around": keeping.around,
            "store": store,
            "custody": OpenCustody(),
            "archive": AgeArchive(),
            "routing": RoutingState(keeping.directory / STATE_NAME),
            "hub": keeping.hub,
            "writing": anyio.CapacityLimiter(1),
            "keep_stored": keep_stored,
            "status": _unexpected,
            "reload": _unasked,
            "stop": lambda: None,
            "watch": lambda _: None,
            "unwatch": lambda _: None,
            "login_server": _unexpected,
            "doorway": lambda: Doorway(
                ForeignStores(keeping.directory, {}), AdoptedFiles(keeping.directory), LAYOUTS, _unexpected
            ),
            **members,
        }
    )


class Warding(Keeping):
    """A household whose keepers live in a ward.

    Args:
        directory: for the routing state and the families.
        group: where flights run.
    """

    def __init__(self, directory: Path, group: TaskGroup) -> None:
        super().__init__(directory, group)
        self.store = MemoryCredentialStore()
        self.written: list[Kept] = []
        self.refresh_stored = False
        self.ward = self.another()
        self.lane = OnLane(self.ward)

    def another(self) -> Ward:
        """A ward over the same places and decisions, as after a restart."""
        return Ward(
            TokenDesk(
                household_over(
                    self,
                    self.store,
                    self.of_store,
                    looked_at=lambda: ["here: not found", "there: not found"],
                    store_location="/state/credentials",
                )
            )
        )

    def of_store(self, key: str) -> Kept:
        """A profile of the store."""
        agent, profile = agent_and_id(key)
        place = self.store.place(key)
        refresher = self.direct(place) if self.refresh_stored else None
        return Kept(Profile(profile, profile.partition(":")[0], STORE, agent), place, refresher)

    def log_in(self, key: str, *, left: float = 3000.0) -> MemoryPlace:
        """Put an OAuth login into the store, before the ward looks."""
        place = self.store.place(key)
        place.overwrite(self.credential(sum(key.encode()), left=left))
        return place

    async def fill(self, ward: Ward | None = None, *, resolution: Resolution | None = None) -> None:
        """Have everything kept."""
        ward = ward or self.ward
        if resolution is not None:
            ward.household.resolution = resolution
        await ward.keep([*map(self.of_store, self.store.profiles()), *self.written])

    async def served(self, **params: Any) -> TokenResult:
        """What a caller gets."""
        return await self.ward.token(TokenParams(**params))

    async def add_key(self, profile: str, *, agent: str = "main", key: str = "sk-ant-api03-1") -> None:
        """Add an API key."""
        params = {"profile": profile, "kind": "api_key", "credential": {"access_token": key}, "agent": agent}
        await self.ward.add(ProfileAddParams.model_validate(params))


@asynccontextmanager
async def warding(directory: Path) -> AsyncIterator[Warding]:
    """A ward with a task group, which is cancelled at the end."""
    async with anyio.create_task_group() as group:
        yield Warding(directory, group)
        group.cancel_scope.cancel()
