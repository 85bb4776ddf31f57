"""Everybody who could answer, in the order in which they are asked, kept in step with what happens to them.

The problem: a request must not look at ten thousand profiles to find the one that goes first, and what decides
about the order (a credential, a person's decision, a failure, a use) changes in many places.

Rules:
- Keepers tell of every change (``Keeper.changed``), the health book of every window; each costs one place in the
  ``Roster``. Only another ``resolution`` orders them anew.
- A use is noted on the roster when the answer is made, and handed to the state when that is about to be written,
  or when the profile goes: any number of uses is one look at the roster. Its loss costs a turn.
- A clock that was set back is found out at the next request, since windows would last too long until then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING

from tokenward.core.roster import Roster, Rotation
from tokenward.core.selection import NEVER, Candidate, Selector, Shortlist
from tokenward.core.subscription_tier import tier_of
from tokenward.daemon.health_book import HealthBook
from tokenward.daemon.routing_state import MAX_ENTRIES, Section

if TYPE_CHECKING:
    from tokenward.daemon.household import Household
    from tokenward.daemon.keeper import Keeper


class LineUp:
    """Who goes first, and who does not go now.

    Args:
        household: the order in force, and the state.
        keepers: everybody, by key; the ward's own table.
    """

    def __init__(self, household: Household, keepers: Mapping[str, Keeper]) -> None:
        self._household = household
        self._keepers = keepers
        self.health = HealthBook(household, self._health_changed)
        self._roster = Roster(household.resolution)
        self._resolution = household.resolution
        self._clock = household.around.clock
        self._latest = self._clock.wall()
        self._in_force: tuple[object, ...] = ()
        self.latest_use: datetime | None = None
        """The last use that was noted."""
        self._handed_over = NEVER
        self._will_be_asked = False
        household.routing.gather = self._hand_over_uses

    def __getitem__(self, key: str) -> Candidate:
        return self._roster[key]

    def __contains__(self, key: object) -> bool:
        return key in self._roster

    # What happens

    def take(self, keeper: Keeper) -> None:
        """Keep one more, or note what became of one.

        Args:
            keeper: one that stands in the ward's table.
        """
        self._roster.put(self.candidate(keeper))

    def keeper_changed(self, keeper: Keeper, *, by_refresh: bool) -> None:
        """What a keeper holds changed, or whether it rests; see ``Keeper.changed``."""
        key = keeper.profile.key
        if self._keepers.get(key) is not keeper:
            return
        if keeper.credential is not None:
            self.health.holds(key, keeper.credential.generation, by_refresh=by_refresh)
        self.take(keeper)

    def drop(self, key: str) -> None:
        """A profile is kept no longer."""
        if key in self._roster:
            used = self._roster.last_used(key)
            if used is not None and used > self._handed_over:
                self._household.routing.put(Section.LAST_USED, key, used.timestamp())
        self._roster.drop(key)
        self.health.release(key)

    def arrange(self) -> None:
        """The configuration may have changed: the order, or the tier of a provider."""
        self._resolution = self._household.resolution
        self._roster = Roster(self._resolution, map(self.candidate, self._keepers.values()))

    def served(self, key: str, now: datetime) -> None:
        """A profile's token was handed out.

        Args:
            key: the profile's.
            now: aware UTC, from ``now``.
        """
        moment = self._roster.touch(key, now)
        if moment is not None:
            self.latest_use = moment
            if not self._will_be_asked:
                self._will_be_asked = True
                self._household.routing.changed()

    def _hand_over_uses(self) -> None:
        """The state is about to be written: note all uses since the last time, the earliest first."""
        self._will_be_asked = False
        if self.latest_use is None or self.latest_use <= self._handed_over:
            return
        uses = nlargest(MAX_ENTRIES, self._roster.used_since(self._handed_over), key=itemgetter(1))
        self._handed_over = self.latest_use
        self._household.routing.put_all(
            Section.LAST_USED, {key: moment.timestamp() for key, moment in reversed(uses)}
        )

    # Who goes first

    def now(self) -> datetime:
        """The wall clock, aware UTC; windows are put right first if it was set back."""
        now = self._clock.wall()
        if now < self._latest:
            self._latest = now
            self.health.rebase()
        self._latest = now
        return now

    def in_turn(self, selector: Selector) -> Iterator[str]:
        """The keys of those in no window, the first choice first; none costs more because there are others."""
        now = self.now()
        self._follow()
        return self._roster.in_turn(selector, now)

    def in_force(self) -> tuple[object, ...]:
        """All that may change who goes first and what is asked of it, but for uses and time.

        Returns:
            The same object as before if nothing of it changed.
        """
        household, around = self._household, self._household.around
        current = (
            self._roster,
            self._roster.changes,
            household.resolution,
            household.default_provider,
            household.inherit_agents,
            household.routing.decided,
            around.timing,
            around.least_margins,
        )
        if current != self._in_force:
            self._in_force = current
        return self._in_force

    def calm_until(self, selector: Selector) -> datetime:
        """Up to when nobody who rests after failures comes back by itself; see ``Roster.calm_until``."""
        return self._roster.calm_until(selector, self.now())

    def rotation(self, key: str, selector: Selector) -> Rotation | None:
        """Those who take turns, the first choice first; see ``Roster.rotation``."""
        return self._roster.rotation(key, selector)

    def shortlist(self, selector: Selector) -> Shortlist:
        """Everybody who may answer now."""
        now = self.now()
        self._follow()
        return self._roster.shortlist(selector, now)

    def last_used(self, key: str) -> datetime | None:
        """When a profile was last served; None = never."""
        return self._roster.last_used(key) if key in self._roster else self._noted_use(key)

    # What it is made of

    def _follow(self) -> None:
        if self._household.resolution is not self._resolution:
            self.arrange()

    def _health_changed(self, key: str) -> None:
        keeper = self._keepers.get(key)
        if keeper is not None:
            self.take(keeper)

    def candidate(self, keeper: Keeper) -> Candidate:
        """A keeper as selection sees it now."""
        key, credential = keeper.profile.key, keeper.credential
        used = self.last_used(key)
        windows = self.health.windows(key)
        if credential is None:
            return Candidate(keeper.profile, None, last_used=used, windows=windows)
        tier = self._household.provider(keeper.profile.provider).tier or tier_of(credential)
        return Candidate(keeper.profile, credential.kind, tier, used, windows)

    def _noted_use(self, key: str) -> datetime | None:
        noted = self._household.routing.section(Section.LAST_USED).get(key)
        if isinstance(noted, bool) or not isinstance(noted, int | float) or not math.isfinite(noted):
            return None
        now = self._household.around.clock.wall()
        # What lies ahead was noted before the clock was set back, or written by hand.
        return datetime.fromtimestamp(max(0.0, min(float(noted), now.timestamp())), UTC)
