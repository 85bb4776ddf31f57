"""What keeps the shared profiles in step with the other hosts: it listens, asks once, and wakes whom it concerns.

The problem: a change on one host reaches all others within moments, be they five hundred, and each of them must
look once and not once a profile; an engine that comes back must not be met by everybody at one moment; and a
daemon without an engine must go on serving.

Rules:
- A word of a change costs one question, whatever it set in motion; words that come meanwhile are one more.
- While the engine does not answer it is asked by back-off with full jitter. Nobody waits for it.
- A host that holds a new value which the engine could not take asks far more often than a lease is long, and
  commits at once: before it does, nobody else can know that there is a new value.
- After its return those who failed for want of it try again, at a moment of each host's own.
- A verdict of the authorization server that another host was told goes through a flight of our own, which finds it
  in the record and asks nobody: there is one way in which a login is found dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from logging import getLogger

import anyio
from anyio import CapacityLimiter, to_thread

from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.freshness import later, retry_delay
from tokenward.core.lifecycle import Phase
from tokenward.core.reading import GONE_AFTER_SECONDS
from tokenward.daemon.daemon_models import SharedStoreResult
from tokenward.daemon.flight_results import Cause
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.refresher import DirectRefresher
from tokenward.daemon.shared_place import SHARED
from tokenward.daemon.shared_records import SharedNews, SharedRecords
from tokenward.daemon.surroundings import Surroundings
from tokenward.daemon.token_desk import TokenDesk
from tokenward.ports.sharing import SharedStoreAway

RETURN_SPREAD_SECONDS = 5.0
"""Within which hosts try again what failed while the engine was away: none of them serves later for it by more."""

log = getLogger(__name__)


class Sharing:
    """One engine, and the keepers of what it shares.

    Args:
        records: what this host knows of it.
        keepers: every keeper, by its profile's key.
        around: what keepers share.
        rearrange: keeps exactly what there is now.
        request_seconds: how long one request to a token endpoint may take: half a lease.
    """

    def __init__(
        self,
        records: SharedRecords,
        keepers: Mapping[str, Keeper],
        around: Surroundings,
        *,
        rearrange: Callable[[], Awaitable[None]],
        request_seconds: Callable[[], float],
    ) -> None:
        self.records = records
        self._keepers = keepers
        self._around = around
        self._rearrange = rearrange
        self._request_seconds = request_seconds
        self._asking = CapacityLimiter(1)
        self._heard: set[str | None] = set()
        self._changed: set[str] = set()
        self._woken = anyio.Event()

    # What is heard

    def heard(self, profile: str | None) -> None:
        """A record changed, or with None any may have; for the loop's thread."""
        self._heard.add(profile)
        self._woken.set()

    def _told(self, news: SharedNews, profile: str | None, detail: str) -> None:
        match news:
            case SharedNews.CHANGED if profile is not None:
                self._changed.add(profile)
                self._woken.set()
            case SharedNews.ORPHANED:
                self._around.hub.announce("orphaned", profile=profile, detail=f"kept as {detail}")
            case SharedNews.AWAY:
                self._around.hub.announce("shared_store_away", detail=detail)
                self.heard(None)
            case SharedNews.BACK:
                self._around.hub.announce("shared_store_back")
                self._come_back()
            case _:
                pass

    # What it does

    async def run(self) -> None:
        """Follow the engine until cancelled."""
        loop, context = asyncio.get_running_loop(), copy_context()

        def told(*news: *tuple[SharedNews, str | None, str]) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody is left to tell
                loop.call_soon_threadsafe(partial(self._told, *news), context=context)

        self.records.told = told
        if (away := self.records.away) is not None:
            self._told(SharedNews.AWAY, None, away.reason)
        async with anyio.create_task_group() as group:
            group.start_soon(self.records.engine.subscribe, self.heard)
            failures = 0
            self._changed.update(self.records.profiles())
            while True:
                failures = 0 if await self._follow_guarded() else failures + 1
                with anyio.move_on_after(self._patience(failures)):
                    await self._woken.wait()
                self._woken = anyio.Event()

    def _patience(self, failures: int) -> float | None:
        if not failures:
            return None
        delay = retry_delay(failures, draw=self._around.entropy.fraction())
        if any(keeper.phase is Phase.UNSAVED for keeper in self._shared_keepers()):
            return min(delay, self._request_seconds() / 4)
        return delay

    def _shared_keepers(self) -> list[Keeper]:
        return [keeper for keeper in self._keepers.values() if keeper.profile.source == SHARED]

    async def look(self) -> bool:
        """Ask for all records, as at a start.

        Returns:
            Whether the engine answered.
        """
        return await self._look(None)

    async def bring_left(self) -> None:
        """At a start, before marks are cleared: have what was received and not committed known to all."""
        for keeper in self._shared_keepers():
            if keeper.credential is not None and isinstance(keeper.refresher, DirectRefresher):
                await keeper.refresher.bring_left(keeper.credential)

    async def _look(self, profile: str | None) -> bool:
        try:
            work = partial(self.records.look, profile, was_told=True)
            await to_thread.run_sync(work, limiter=self._asking)
        except SharedStoreAway:
            return False
        return True

    async def _follow_guarded(self) -> bool:
        try:
            return await self._follow()
        except Exception as error:  # noqa: BLE001 - a record of another host must not end the daemon
            log.error("what the shared store told could not be followed: %s", type(error).__name__)  # noqa: TRY400 - its text could hold a secret
            self._heard.add(None)
            return False

    async def _follow(self) -> bool:
        """Ask for what was heard of, then wake whom it concerns; returns whether the engine answered."""
        heard, self._heard = self._heard, set()
        answered = True
        for profile in [None] if None in heard else sorted(filter(None, heard)):
            if not await self._look(profile):
                self._heard |= heard
                answered = False
                break
        changed, self._changed = self._changed, set()
        await self._wake(changed)
        return answered

    async def _wake(self, changed: set[str]) -> None:
        moving = self.records.moving
        kept = {keeper.profile.key for keeper in self._shared_keepers()} - moving
        known = set(self.records.profiles()) - moving
        for name in sorted(kept - known):
            if not self._keepers[name].flights.has_only_copy:
                await self._keepers[name].forget()
        if kept != known:
            await self._rearrange()
        for name in sorted(changed):
            keeper = self._keepers.get(name)
            if keeper is None or keeper.profile.source != SHARED:
                continue
            await keeper.reconcile()
            record = self.records.record(name)
            if record is None:
                self._look_again_later(name)
            elif record.condemned is not None and keeper.phase in {Phase.READY, Phase.BACKOFF}:
                _resume(keeper)

    def _look_again_later(self, name: str) -> None:
        """The engine misses it: after a while it is gone for good."""
        moment = later(self._around.clock.wall(), GONE_AFTER_SECONDS + 1)
        self._around.alarm.at(f"shared:{name}", moment, lambda: self.heard(name))

    def _come_back(self) -> None:
        self._woken.set()  # what was heard of meanwhile can be looked at
        for keeper in self._shared_keepers():
            if keeper.phase is Phase.UNSAVED:
                _resume(keeper)
        delay = self._around.entropy.fraction() * RETURN_SPREAD_SECONDS
        self._around.alarm.at("shared store", later(self._around.clock.wall(), delay), self._try_again)

    def _try_again(self) -> None:
        for keeper in self._shared_keepers():
            failure = keeper.attempts.failure
            if keeper.phase is Phase.BACKOFF and failure is not None and failure.cause == Cause.LOCKED:
                _resume(keeper)

    # What it shows

    def shown(self) -> SharedStoreResult:
        """How it stands."""
        away, tally = self.records.away, self.records.tally
        return SharedStoreResult(
            location=self.records.engine.description,
            holder=self.records.holder,
            away_since_ms=to_unix_milliseconds(away.since) if away is not None else None,
            trouble=away.reason if away is not None else None,
            hint=(away.hint or None) if away is not None else None,
            profiles=len(self.records.profiles()),
            orphans=tally["orphans"],
        )


def sharing_of(
    desk: TokenDesk, *, rearrange: Callable[[], Awaitable[None]], request_seconds: Callable[[], float]
) -> Sharing | None:
    """What a daemon shares, if it shares anything; see ``Sharing``."""
    if desk.household.shared is None:
        return None
    around = desk.household.around
    return Sharing(
        desk.household.shared, desk.keepers, around, rearrange=rearrange, request_seconds=request_seconds
    )


def _resume(keeper: Keeper) -> None:
    if keeper.refresher is not None and keeper.resting is None:
        keeper.resume()
