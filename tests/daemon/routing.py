"""Callers that report, for the tests of routing: a household of keys, and a second life of its daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyio.abc import TaskGroup

from daemon.on_lane import OnLane
from daemon.warding import Warding
from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon.event_hub import Feed, Happening
from tokenward.daemon.token_models import ReportParams, ReportResult, TokenParams

A, B, C = "anthropic:a", "anthropic:b", "anthropic:c"


class Callers(Warding):
    """Callers of a ward with keys.

    Args:
        directory: for the routing state.
        group: where flights run.
    """

    def __init__(self, directory: Path, group: TaskGroup) -> None:
        super().__init__(directory, group)
        self.now = self.ward

    async def with_keys(self, *profiles: str) -> None:
        """Add keys, each another one."""
        for profile in profiles:
            await self.add_key(profile, key=f"sk-ant-api03-{profile.partition(':')[2]}")

    async def get(self, **params: Any) -> str:
        """The id of the profile that is served through the dispatcher."""
        return (await self.ward.token(TokenParams(**params))).profile

    async def report(self, profile: str, status: int | None = 429, **members: Any) -> ReportResult:
        """Report of the value held, if no other generation is named."""
        members.setdefault("generation", self.ward.profile(profile).generation)
        return await self.ward.report(ReportParams(profile=profile, status=status, **members))

    def rest(self, profile: str, **of: Any) -> float | None:
        """The seconds for which a profile rests; None if it does not."""
        windows = [each for each in self.ward.profile(profile).cooling if each.model == of.get("model")]
        if not windows or windows[0].until_ms is None:
            return None
        return (windows[0].until_ms - to_unix_milliseconds(self.clock.now)) / 1000

    async def restart(self) -> None:
        """Write what may be lost, and begin again from the disk."""
        self.ward.household.routing.gather()
        self.ward.household.routing.write()
        for key in list(self.ward.keepers):
            self.alarm.cancel(f"health:{key}")
        self.ward = self.another()
        self.lane = OnLane(self.ward)
        await self.fill()


async def heard(feed: Feed, *types: str) -> list[Happening]:
    """The events of these types that came until now."""
    feed.end()
    return [event async for event in feed if event.type in types]
