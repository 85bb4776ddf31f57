"""All profiles in the order in which they are asked, kept so while they are used, cool down and come and go.

The problem: the order of ``core.selection`` changes with every token that is served, for whoever served goes to
the end. Sorting ten thousand profiles for each request costs more than all the rest of it.

Rules:
- It says what ``selection.in_order`` and ``Candidate.unusable`` say, for any moment in any order: clocks step.
- Whoever is in a window waits apart, by its end, so that those who cool are not passed over at each request.
- A use is stamped later than every use before, however the clock stands: of two, one was first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tokenward.core.credential import profile_key
from tokenward.core.selection import (
    NEVER,
    Candidate,
    Resolution,
    Selector,
    Shortlist,
    Unusable,
    soonest_first,
    step_and_kind,
)

_TICK = timedelta(microseconds=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)

_Place = tuple[datetime, str]
"""A moment and a profile's id: the last use in a shelf, the end of the window among those who wait."""


@dataclass(slots=True)
class _Rota:
    """The profiles of one agent and provider that are not disabled.

    Args:
        shelves: by step and kind of the order, the last use and id of each, sorted; whoever serves goes from the
            front to the end, which costs the same however many they are.
        waiting: the end of the window and id of each that was last seen in one, sorted.
    """

    shelves: dict[tuple[int, int], deque[_Place]] = field(default_factory=dict)
    waiting: list[_Place] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Profiles of one agent, provider, step and kind: whoever was used longest ago goes first.

    Args:
        candidates: all there are, by key.
        shelf: the last use and id of each that takes turns, sorted; kept so by the roster.
        agent: whose they are.
    """

    candidates: Mapping[str, Candidate]
    shelf: Sequence[_Place]
    agent: str

    def first(self, now: datetime) -> str | None:
        """The key of the one whose turn it is; None if that takes more than a look.

        Args:
            now: aware UTC.
        """
        key = profile_key(self.shelf[0][1], self.agent)
        return key if self.candidates[key].unusable(now, None) is None else None


class Roster:
    """Every profile, by the order in which it is asked.

    Args:
        resolution: the order in force; another one needs another roster.
        candidates: who is in it from the start.
    """

    def __init__(
        self, resolution: Resolution = Resolution.PROFILES_FIRST, candidates: Iterable[Candidate] = ()
    ) -> None:
        self._resolution = resolution
        self._candidates: dict[str, Candidate] = {}
        self._rotas: dict[tuple[str, str], _Rota] = {}
        self._shelf_of: dict[str, deque[_Place]] = {}
        """Where those stand that wait for nothing, by key."""
        self._latest = NEVER
        self.changes = 0
        """How often a profile came, went or changed; a use is no change."""
        for candidate in candidates:
            self.put(candidate)

    def __getitem__(self, key: str) -> Candidate:
        return self._candidates[key]

    def __contains__(self, key: object) -> bool:
        return key in self._candidates

    def __iter__(self) -> Iterator[str]:
        return iter(self._candidates)

    def put(self, candidate: Candidate) -> None:
        """Add a profile, or take its new state; a last use once known is not forgotten.

        Args:
            candidate: whose key may be in the roster already.
        """
        key = candidate.profile.key
        self.changes += 1
        known = self._candidates.get(key)
        if known is not None:
            self._take_out(known)
            used = max(known.last_used or NEVER, candidate.last_used or NEVER)
            candidate = replace(candidate, last_used=None if used == NEVER else used)
        self._candidates[key] = candidate
        self._latest = max(self._latest, candidate.last_used or NEVER)
        self._put_in(candidate)

    def drop(self, key: str) -> None:
        """Take a profile out; one that is not there is no error."""
        candidate = self._candidates.pop(key, None)
        if candidate is not None:
            self.changes += 1
            self._take_out(candidate)

    def touch(self, key: str, now: datetime) -> datetime | None:
        """Note that a profile was served: of its kind, it is now the last.

        Args:
            key: whose; one that was dropped meanwhile is no error.
            now: aware UTC.

        Returns:
            The moment noted, later than all before; None if there is no such profile.
        """
        known = self._candidates.get(key)
        if known is None:
            return None
        self._latest = max(now, self._latest + _TICK)
        shelf = self._shelf_of.get(key)
        if shelf is not None:  # it only goes to the end of where it stands
            if shelf[0][1] == known.profile.id:  # nearly always
                shelf.popleft()
            else:
                _remove(shelf, _last_use(known))
            shelf.append((self._latest, known.profile.id))
        self._candidates[key] = Candidate(known.profile, known.kind, known.tier, self._latest, known.windows)
        return self._latest

    def first(self, selector: Selector, now: datetime) -> str | None:
        """The key of the first choice among those in no window; None if there is none.

        Args:
            selector: what is asked for.
            now: aware UTC.
        """
        return next(self.in_turn(selector, now), None)

    def in_turn(self, selector: Selector, now: datetime) -> Iterator[str]:
        """The keys of those in no window, the first choice first, found as they are asked for.

        Args:
            selector: what is asked for.
            now: aware UTC.
        """
        return (one.profile.key for one in self._admitted(selector, now) if _usable(one, selector, now))

    def calm_until(self, selector: Selector, now: datetime) -> datetime:
        """Up to when nobody who is left out of ``in_turn`` for a window comes back by itself.

        Args:
            selector: what is asked for.
            now: aware UTC.
        """
        ends = [
            window.until
            for candidate in self._called_all(selector)
            for window in candidate.windows
            if window.until > now
        ]
        for agent in selector.agents:
            rota = self._rotas.get((agent, selector.provider))
            if rota is not None and rota.waiting and selector.profile is None and not selector.order_of(agent):
                ends.append(rota.waiting[0][0])
        return min(ends, default=_FOREVER)

    def rotation(self, key: str, selector: Selector) -> Rotation | None:
        """Those among whom the turn goes round by use alone; None if no use makes another the first choice.

        Args:
            key: of the first choice.
            selector: what is asked for, with no tier (else some of one kind fit and others do not) and nobody
                preferred.
        """
        agent = self._candidates[key].profile.agent
        if selector.profile is not None or selector.order_of(agent):
            return None
        shelf = self._shelf_of[key]
        return Rotation(self._candidates, shelf, agent) if len(shelf) > 1 else None

    def shortlist(self, selector: Selector, now: datetime) -> Shortlist:
        """Everybody who may answer, as it is now.

        Args:
            selector: what is asked for.
            now: aware UTC.
        """
        usable: list[str] = []
        unusable: list[Unusable] = []
        for candidate in self._admitted(selector, now):
            why = candidate.unusable(now, selector.model)
            if why is None:
                usable.append(candidate.profile.key)
            else:
                unusable.append(why)
        unusable += self._waiting(selector, now)
        return Shortlist(tuple(usable), soonest_first(unusable))

    def _put_in(self, candidate: Candidate) -> None:
        profile = candidate.profile
        if not profile.enabled:
            return
        rota = self._rotas.setdefault((profile.agent, profile.provider), _Rota())
        until = _whole_window(candidate)
        if until is not None:
            insort(rota.waiting, (until, profile.id))
        else:
            self._shelve(rota, candidate)

    def _shelve(self, rota: _Rota, candidate: Candidate) -> None:
        shelf = rota.shelves.setdefault(step_and_kind(candidate, self._resolution), deque())
        insort(shelf, _last_use(candidate))
        self._shelf_of[candidate.profile.key] = shelf

    def _take_out(self, candidate: Candidate) -> None:
        profile = candidate.profile
        if not profile.enabled:
            return
        rota = self._rotas[profile.agent, profile.provider]
        until = _whole_window(candidate)
        if until is not None and _remove(rota.waiting, (until, profile.id)):
            return
        shelf = step_and_kind(candidate, self._resolution)
        del self._shelf_of[profile.key]
        _remove(rota.shelves[shelf], _last_use(candidate))
        if not rota.shelves[shelf]:
            del rota.shelves[shelf]
        if not rota.shelves and not rota.waiting:
            del self._rotas[profile.agent, profile.provider]

    def _wake(self, rota: _Rota, agent: str, now: datetime) -> None:
        """Those whose window is over stand in the order again."""
        while rota.waiting and rota.waiting[0][0] <= now:
            _, profile_id = rota.waiting.pop(0)
            self._shelve(rota, self._candidates[profile_key(profile_id, agent)])

    def _admitted(self, selector: Selector, now: datetime) -> Iterator[Candidate]:
        """Whoever may answer, in order, but for those whose window is known to last."""
        if selector.profile is not None:
            yield from self._called(selector.profile, selector, selector.agents)
            return
        if selector.preferred is not None:
            preferred = self._called(selector.preferred, selector, selector.agents)
            yield from filter(selector.admits, preferred)
        for candidate in self._by_order(selector, now):
            if candidate.profile.id != selector.preferred:
                yield candidate

    def _by_order(self, selector: Selector, now: datetime) -> Iterator[Candidate]:
        if selector.order:
            for profile_id in dict.fromkeys(selector.order):
                yield from self._called(profile_id, selector, selector.agents)
            return
        for agent in selector.agents:
            order = selector.order_of(agent)
            for profile_id in dict.fromkeys(order):
                yield from self._called(profile_id, selector, (agent,))
            if not order:
                yield from self._by_use(selector, agent, now)

    def _by_use(self, selector: Selector, agent: str, now: datetime) -> Iterator[Candidate]:
        rota = self._rotas.get((agent, selector.provider))
        if rota is None:
            return
        self._wake(rota, agent, now)
        for place in sorted(rota.shelves):
            shelf = rota.shelves[place]
            if not selector.wants(self._candidates[profile_key(shelf[0][1], agent)].kind):
                continue  # all of a shelf are of one kind
            for _, profile_id in shelf:
                candidate = self._candidates[profile_key(profile_id, agent)]
                if selector.fits(candidate):
                    yield candidate

    def _called_all(self, selector: Selector) -> Iterator[Candidate]:
        """Whoever may answer and is called by its id: by the request, or in an explicit order."""
        if selector.profile is not None:
            yield from self._called(selector.profile, selector, selector.agents)
            return
        for agent in selector.agents:
            for profile_id in selector.order_of(agent):
                yield from self._called(profile_id, selector, selector.agents)

    def _waiting(self, selector: Selector, now: datetime) -> Iterator[Unusable]:
        """Whoever may answer and was left out because its window lasts."""
        if selector.profile is not None:
            return
        for agent in selector.agents:
            rota = self._rotas.get((agent, selector.provider))
            if rota is None or selector.order_of(agent):
                continue  # an explicit order leaves nobody out
            for _, profile_id in rota.waiting:
                candidate = self._candidates[profile_key(profile_id, agent)]
                why = candidate.unusable(now, selector.model)
                if why is not None and profile_id != selector.preferred and selector.fits(candidate):
                    yield why

    def _called(self, profile_id: str, selector: Selector, agents: Iterable[str]) -> Iterator[Candidate]:
        for agent in agents:
            candidate = self._candidates.get(profile_key(profile_id, agent))
            if candidate is not None and selector.fits(candidate):
                yield candidate


def _usable(candidate: Candidate, selector: Selector, now: datetime) -> bool:
    return candidate.unusable(now, selector.model) is None


def _whole_window(candidate: Candidate) -> datetime | None:
    """The end of the last window that concerns the whole profile; it may be over."""
    return max((window.until for window in candidate.windows if window.model is None), default=None)


def _last_use(candidate: Candidate) -> _Place:
    return candidate.last_used or NEVER, candidate.profile.id


def _remove(places: MutableSequence[_Place], place: _Place) -> bool:
    at = bisect_left(places, place)
    found = at < len(places) and places[at] == place
    if found:
        del places[at]
    return found
