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

from collections.abc import Iterable, Sequence
from itertools import chain, islice

from anyio import Lock, to_thread
from anyio.lowlevel import checkpoint

from tokenward.core.credential import Kind
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Resting
from tokenward.daemon.announcements import unheard
from tokenward.daemon.flights import predecessor_left_work
from tokenward.daemon.household import Household, Kept
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.residents import Residents
from tokenward.daemon.resting import let_rest

READ_TOGETHER = 256
"""Places that one thread reads in one go where many come at once: a start with ten thousand is in no hurry to
serve the first, and a thread for each would cost more than the reading."""


class Keepers:
    """Everybody who is kept, and the order in which they are asked.

    Args:
        household: what they share.
    """

    def __init__(self, household: Household) -> None:
        self._household = household
        self.by_key: dict[str, Keeper] = {}
        self.line = LineUp(household, self.by_key)
        self._heard = self.line.keeper_changed  # one for all: a bound method for each is 64 bytes
        self._residents = Residents()
        self._is_started = False
        """Whether everybody was kept once, so that somebody may ask."""
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
            for keeper in self.by_key.values():
                keeper.prepare_anew()  # its provider may have changed
            self.line.arrange()  # before the others come: each is put where it belongs, and none twice
            names = {kept.profile.key for kept in wanted}
            gone = [(name, None) for name in self.by_key if name not in names]
            changed = ((kept.profile.key, kept) for kept in wanted if not self._is_kept(kept))
            engaged = await self._replace(chain(gone, changed))
            await self.begin(engaged)
            self._is_started = True

    def _is_kept(self, kept: Kept) -> bool:
        keeper = self.by_key.get(kept.profile.key)
        return keeper is not None and keeper.made_of == kept.made_of

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
            if keeper.phase is Phase.UNSAVED:
                await keeper.flights.save_now()

    async def _replace(self, changes: Iterable[tuple[str, Kept | None]]) -> list[Keeper]:
        """Let keepers go and engage others in their place; those that cannot go yet are overdue.

        Returns:
            Those that were engaged.
        """
        engaged: list[Keeper] = []
        left = iter(changes)
        while some := list(islice(left, READ_TOGETHER)):
            next_ones = []
            for name, kept in some:
                if not await self.dismiss(name):
                    self._overdue[name] = kept
                elif kept is not None:
                    next_ones.append(kept)
            engaged += await self._engage(next_ones)
        return engaged

    async def engage(self, kept: Kept) -> Keeper:
        """Keep one that is not kept yet; it takes up its work with ``begin``."""
        return (await self._engage([kept]))[0]

    async def _engage(self, some: Sequence[Kept]) -> list[Keeper]:
        engaged = [self._seat(kept) for kept in some]
        if engaged:
            await to_thread.run_sync(_read_ahead, engaged, limiter=self._household.around.reading)
        for keeper in engaged:
            await keeper.reconcile()
            if keeper.changed is unheard:
                keeper.changed = self._heard
                self._heard(keeper, by_refresh=False)
        return engaged

    def _seat(self, kept: Kept) -> Keeper:
        keeper = Keeper(kept.profile, kept.place, kept.refresher, self._household.around, note=kept.note)
        if kept.profile.key in self._household.routing.disabled:
            keeper.rest(Resting.DISABLED)
        self.by_key[kept.profile.key] = keeper
        keeper.made_of = kept.made_of
        if self._is_started:  # else it is put in its order once, when it is known what it holds
            keeper.changed = self._heard
            self.line.take(keeper)
        self._residents.move_in(keeper.watched_for, kept.profile.key)
        self._household.watch(keeper.watched_for)
        return keeper

    async def begin(self, engaged: Sequence[Keeper]) -> None:
        """Find out who rests, now that these are kept too, and let the others take up what was left to them."""
        self.let_rest()
        awake = [keeper for keeper in engaged if keeper.resting is None]
        if awake:
            left = await to_thread.run_sync(_with_work_left, awake, limiter=self._household.writing)
            for keeper in left:
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
        key, place = keeper.profile.key, keeper.watched_for
        keeper.dismiss()
        self.by_key.pop(key, None)
        self.line.drop(key)
        self._overdue.pop(key, None)
        if not self._residents.move_out(place, key):
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

    def may_have_news(self, path: str) -> bool:
        """Whether ``place_changed`` would find anything: one stat for each who lives there."""
        return any(keeper.lookout.may_have_news() for keeper in self._those_at(path))

    async def place_changed(self, path: str) -> None:
        """The watcher's hint: look at whoever lives there."""
        kind_changed = False
        for keeper in self._those_at(path):
            before = _kind_of(keeper)
            await keeper.reconcile()
            kind_changed = kind_changed or _kind_of(keeper) is not before
        if kind_changed:  # else nobody else rests than before; each beat announces every path
            self.let_rest()

    def _those_at(self, path: str) -> list[Keeper]:
        lived = map(self.by_key.get, self._residents.at(path))
        return [keeper for keeper in lived if keeper is not None and keeper.place.description == path]

    async def look_everywhere(self) -> None:
        """The beat, or a clock that stepped: look at every place and every due time anew."""
        self.line.now()
        for keeper in list(self.by_key.values()):
            await checkpoint()  # callers are served meanwhile, however many there are
            await keeper.reconcile()
            keeper.on_alarm()
        self.let_rest()


def _read_ahead(keepers: Sequence[Keeper]) -> None:
    for keeper in keepers:
        keeper.lookout.read_ahead()


def _with_work_left(keepers: Sequence[Keeper]) -> list[Keeper]:
    return [keeper for keeper in keepers if predecessor_left_work(keeper)]


def _kind_of(keeper: Keeper) -> Kind | None:
    return None if keeper.credential is None else keeper.credential.kind
