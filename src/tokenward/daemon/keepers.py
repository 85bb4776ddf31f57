"""Who is kept: all keepers by key, engaged and dismissed as profiles come and go, told of what may concern them.

The problem: profiles come and go with the configuration, the store and the files of other programs, while tokens
of them are handed out and refreshed. Nobody may be disturbed who is as it should be, nobody served twice, and
whoever is let go has its flight ended first.

Rules:
- It decides nothing about a refresh: keepers do.
- Who rests is worked out anew whenever somebody comes, goes, or holds another kind (``resting``).
- A change of a place is a hint; what is there now, the keeper finds out.
"""

from __future__ import annotations

from collections.abc import Sequence

from anyio import Lock, to_thread

from tokenward.core.credential import Kind
from tokenward.core.serving import Resting
from tokenward.daemon.household import Household, Kept
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.resting import let_rest


class Keepers:
    """Everybody who is kept, and the order in which they are asked.

    Args:
        household: what they share.
    """

    def __init__(self, household: Household) -> None:
        self._household = household
        self.by_key: dict[str, Keeper] = {}
        self.line = LineUp(household, self.by_key)
        self._made_of: dict[str, tuple[object, ...]] = {}
        self._live_at: dict[str, set[str]] = {}  # by place, the keys of those who live there
        self._watched_for: dict[str, str] = {}  # by key, the place that is watched
        self._overdue: dict[str, Kept | None] = {}
        """What shall take the place of keepers that cannot be let go yet, by key; None = nothing."""
        self._arranging = Lock()

    # Who comes and goes

    async def keep(self, wanted: Sequence[Kept]) -> None:
        """Keep exactly these profiles; a keeper that is as it should be goes on undisturbed.

        One whose value is nowhere but in its memory goes on too, until it is on a disk (``keep_overdue``).

        Args:
            wanted: every profile of the configuration, the store and the sources.
        """
        async with self._arranging:
            self._overdue.clear()
            names = {kept.profile.key for kept in wanted}
            gone = [(name, None) for name in self.by_key if name not in names]
            changed = [(kept.profile.key, kept) for kept in wanted if not self._is_kept(kept)]
            engaged = await self._replace([*gone, *changed])
            for keeper in self.by_key.values():
                keeper.prepared.clear()  # its provider may have changed
            self.line.arrange()
            await self.begin(engaged)

    def _is_kept(self, kept: Kept) -> bool:
        key = kept.profile.key
        return key in self.by_key and self._made_of.get(key) == kept.made_of

    async def keep_also(self, kept: Kept) -> None:
        """Keep one more, or one anew; the others go on undisturbed."""
        async with self._arranging:
            await self.begin(await self._replace([(kept.profile.key, kept)]))

    @property
    def is_overdue(self) -> bool:
        """Whether a keeper goes on only because its value is nowhere but in its memory."""
        return bool(self._overdue)

    async def keep_overdue(self) -> None:
        """Do what could not be done because a value was nowhere but in a keeper's memory, if it can be by now."""
        async with self._arranging:
            await self.begin(await self._replace(list(self._overdue.items())))

    async def save_unsaved(self) -> None:
        """Try to write what is unsaved now, at the end: its next attempt would come too late."""
        for keeper in list(self.by_key.values()):
            await keeper.flights.save_now()

    async def _replace(self, changes: Sequence[tuple[str, Kept | None]]) -> list[Keeper]:
        """Let keepers go and engage others in their place; those that cannot go yet are overdue.

        Returns:
            Those that were engaged.
        """
        engaged = []
        for name, kept in changes:
            if not await self.dismiss(name):
                self._overdue[name] = kept
                continue
            if kept is not None:
                engaged.append(await self.engage(kept))
        return engaged

    async def engage(self, kept: Kept) -> Keeper:
        """Keep one that is not kept yet; it takes up its work with ``begin``."""
        keeper = Keeper(kept.profile, kept.place, kept.refresher, self._household.around, note=kept.note)
        if kept.profile.key in self._household.routing.disabled:
            keeper.rest(Resting.DISABLED)
        self.by_key[kept.profile.key] = keeper
        keeper.changed = self.line.keeper_changed
        self.line.take(keeper)
        self._made_of[kept.profile.key] = kept.made_of
        self._live_at.setdefault(kept.place.description, set()).add(kept.profile.key)
        self._watched_for[kept.profile.key] = kept.place.description
        self._household.watch(kept.place.description)
        await keeper.reconcile()
        return keeper

    async def begin(self, engaged: Sequence[Keeper]) -> None:
        """Find out who rests, now that these are kept too, and let the others take up what was left to them."""
        self.let_rest()
        for keeper in engaged:
            if keeper.resting is None and await to_thread.run_sync(
                keeper.flights.predecessor_left_work, limiter=self._household.writing
            ):
                keeper.resume()

    async def dismiss(self, key: str) -> bool:
        """Let a keeper go; not if nothing but its memory has its value, which is tried to be written first."""
        keeper = self.by_key.get(key)
        if keeper is None:
            return True
        await keeper.settle()  # and it serves meanwhile
        if keeper.flights.has_only_copy:
            await keeper.flights.save_now()
        if keeper.flights.has_only_copy:
            return False
        self.let_go(keeper)
        return True

    def let_go(self, keeper: Keeper) -> None:
        """Keep one no longer, from this moment; others may live at its place still."""
        key = keeper.profile.key
        keeper.dismiss()
        self.by_key.pop(key, None)
        self.line.drop(key)
        self._overdue.pop(key, None)
        if (place := self._watched_for.pop(key, None)) is not None:
            self._live_at[place].discard(key)
            if not self._live_at[place]:
                del self._live_at[place]
                self._household.unwatch(place)

    def generation_at(self, profile: str, place: str) -> str | None:
        """The generation that a profile holds, if it lives at this place; see ``clear_left_marks``."""
        keeper = self.by_key.get(profile)
        if keeper is None or keeper.place.description != place:
            return None
        if keeper.credential is None:
            return "" if keeper.lookout.is_logged_out else None
        return keeper.credential.generation

    # What may concern them

    def let_rest(self) -> None:
        """Let those rest that people disabled and those that the order in force sets aside, and no others."""
        let_rest(self.by_key, self._household.routing.disabled, self._household.resolution)
        self._household.profiles_changed()

    async def place_changed(self, path: str) -> None:
        """The watcher's hint: look at whoever lives there."""
        kind_changed = False
        for key in tuple(self._live_at.get(path, ())):
            keeper = self.by_key.get(key)
            if keeper is not None and keeper.place.description == path:
                before = _kind_of(keeper)
                await keeper.reconcile()
                kind_changed = kind_changed or _kind_of(keeper) is not before
        if kind_changed:  # else nobody else rests than before; each beat announces every path
            self.let_rest()

    async def look_everywhere(self) -> None:
        """The beat, or a clock that stepped: look at every place and every due time anew."""
        self.line.now()
        for keeper in list(self.by_key.values()):
            await keeper.reconcile()
            keeper.on_alarm()
        self.let_rest()


def _kind_of(keeper: Keeper) -> Kind | None:
    return None if keeper.credential is None else keeper.credential.kind
