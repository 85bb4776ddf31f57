"""All profiles in the order in which they are asked, kept so while they are used, cool down and come and go.

The problem: the order of ``core.selection`` changes with every token that is served, for whoever served goes to
the end. Sorting ten thousand profiles for each request costs more than all the rest of it.

Rules:
- It says what ``selection.in_order`` and ``Candidate.unusable`` say, for any moment in any order: clocks step.
- Whoever is in a window waits apart, by its end, so that those who cool are not passed over at each request.
- A use is stamped later than every use before, however the clock stands: of two, one was first.
- Nearly every use is that of whoever stands at the front of its shelf: it goes to the end, and nothing is made for
  it. A ``Candidate`` with its last use is made when somebody looks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
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
    Window,
    soonest_first,
    step_and_kind,
)

_TICK = timedelta(microseconds=1)
_FOREVER = datetime.max.replace(tzinfo=UTC)

_Place = tuple[datetime, str]
"""A moment and a profile's id: the last use in a shelf, the end of the window among those who wait."""


@dataclass(slots=True, eq=False)
class _Member:
    """One profile, and where it stands.

    Args:
        key: the profile's.
        candidate: as it was put; its last use may be older than ``used``.
        used: its last use; ``NEVER`` if there was none.
        windows: the candidate's; nearly always there are none, and the candidate need not be looked at.
        shelf: where it stands; None while it waits for the end of a window, or is disabled.
    """

    key: str
    candidate: Candidate
    used: datetime
    windows: tuple[Window, ...]
    shelf: deque[_Member] | None = None

    @property
    def place(self) -> _Place:
        """What its shelf is sorted by."""
        return self.used, self.candidate.profile.id


@dataclass(slots=True)
class _Rota:
    """The profiles of one agent and provider that are not disabled.

    Args:
        shelves: by step and kind of the order, who stands there, sorted by last use and id; whoever serves goes
            from the front to the end, which costs the same however many they are.
        waiting: the end of the window and id of each that was last seen in one, sorted.
    """

    shelves: dict[tuple[int, int], deque[_Member]] = field(default_factory=dict)
    waiting: list[_Place] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Profiles of one agent, provider, step and kind: whoever was used longest ago goes first.

    Args:
        shelf: those who take turns, in order; kept so by the roster.
    """

    shelf: Sequence[_Member]

    def first(self, now: datetime) -> str | None:
        """The key of the one whose turn it is; None if that takes more than a look.

        Args:
            now: aware UTC.
        """
        member = self.shelf[0]
        if member.windows and member.candidate.unusable(now, None) is not None:
            return None
        return member.key


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
        self._members: dict[str, _Member] = {}
        self._rotas: dict[tuple[str, str], _Rota] = {}
        self._latest = NEVER
        self.changes = 0
        """How often a profile came, went or changed; a use is no change."""
        for candidate in candidates:
            self.put(candidate)

    def __getitem__(self, key: str) -> Candidate:
        member = self._members[key]
        return replace(member.candidate, last_used=_known_use(member.used))

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def put(self, candidate: Candidate) -> None:
        """Add a profile, or take its new state; a last use once known is not forgotten.

        Args:
            candidate: whose key may be in the roster already.
        """
        key = candidate.profile.key
        self.changes += 1
        used = candidate.last_used or NEVER
        known = self._members.get(key)
        if known is not None:
            self._take_out(known)
            used = max(known.used, used)
        member = self._members[key] = _Member(key, candidate, used, candidate.windows)
        self._latest = max(self._latest, used)
        self._put_in(member)

    def drop(self, key: str) -> None:
        """Take a profile out; one that is not there is no error."""
        member = self._members.pop(key, None)
        if member is not None:
            self.changes += 1
            self._take_out(member)

    def touch(self, key: str, now: datetime) -> datetime | None:
        """Note that a profile was served: of its kind, it is now the last.

        Args:
            key: whose; one that was dropped meanwhile is no error.
            now: aware UTC.

        Returns:
            The moment noted, later than all before; None if there is no such profile.
        """
        member = self._members.get(key)
        if member is None:
            return None
        self._latest = moment = now if now > self._latest else self._latest + _TICK
        shelf = member.shelf
        if shelf is not None:  # it only goes to the end of where it stands
            if shelf[0] is member:  # nearly always
                shelf.rotate(-1)
            else:
                _remove(shelf, member)
                shelf.append(member)
        member.used = moment
        return moment

    def last_used(self, key: str) -> datetime | None:
        """When a profile of the roster was last served, aware UTC; None = never."""
        return _known_use(self._members[key].used)

    def used_since(self, moment: datetime) -> Iterator[tuple[str, datetime]]:
        """Whoever was served after a moment, by key, and when last: in no order, by a walk over all there are."""
        return ((key, member.used) for key, member in self._members.items() if member.used > moment)

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
        member = self._members[key]
        if selector.profile is not None or selector.order_of(member.candidate.profile.agent):
            return None
        return Rotation(member.shelf) if member.shelf is not None and len(member.shelf) > 1 else None

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

    def _put_in(self, member: _Member) -> None:
        profile = member.candidate.profile
        if not profile.enabled:
            return
        rota = self._rotas.setdefault((profile.agent, profile.provider), _Rota())
        until = _whole_window(member.candidate)
        if until is not None:
            insort(rota.waiting, (until, profile.id))
        else:
            self._shelve(rota, member)

    def _shelve(self, rota: _Rota, member: _Member) -> None:
        shelf = rota.shelves.setdefault(step_and_kind(member.candidate, self._resolution), deque())
        if shelf and member.place < shelf[-1].place:
            shelf.insert(bisect_left(shelf, member.place, key=_place), member)
        else:
            shelf.append(member)
        member.shelf = shelf

    def _take_out(self, member: _Member) -> None:
        candidate, profile = member.candidate, member.candidate.profile
        if not profile.enabled:
            return
        rota = self._rotas[profile.agent, profile.provider]
        if member.shelf is None:
            until = _whole_window(candidate)
            del rota.waiting[bisect_left(rota.waiting, (until, profile.id))]
        else:
            _remove(member.shelf, member)
            if not member.shelf:
                del rota.shelves[step_and_kind(candidate, self._resolution)]
        if not rota.shelves and not rota.waiting:
            del self._rotas[profile.agent, profile.provider]

    def _wake(self, rota: _Rota, agent: str, now: datetime) -> None:
        """Those whose window is over stand in the order again."""
        while rota.waiting and rota.waiting[0][0] <= now:
            _, profile_id = rota.waiting.pop(0)
            self._shelve(rota, self._members[profile_key(profile_id, agent)])

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
            if not selector.wants(shelf[0].candidate.kind):
                continue  # all of a shelf are of one kind
            for member in shelf:
                if selector.fits(member.candidate):
                    yield member.candidate

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
                candidate = self._members[profile_key(profile_id, agent)].candidate
                why = candidate.unusable(now, selector.model)
                if why is not None and profile_id != selector.preferred and selector.fits(candidate):
                    yield why

    def _called(self, profile_id: str, selector: Selector, agents: Iterable[str]) -> Iterator[Candidate]:
        for agent in agents:
            member = self._members.get(profile_key(profile_id, agent))
            if member is not None and selector.fits(member.candidate):
                yield member.candidate


def _usable(candidate: Candidate, selector: Selector, now: datetime) -> bool:
    return candidate.unusable(now, selector.model) is None


def _whole_window(candidate: Candidate) -> datetime | None:
    """The end of the last window that concerns the whole profile; it may be over."""
    return max((window.until for window in candidate.windows if window.model is None), default=None)


def _known_use(used: datetime) -> datetime | None:
    return None if used == NEVER else used


def _place(member: _Member) -> _Place:
    return member.place


def _remove(shelf: deque[_Member], member: _Member) -> None:
    if shelf[0] is member:
        shelf.popleft()
    elif shelf[-1] is member:
        shelf.pop()
    else:
        del shelf[bisect_left(shelf, member.place, key=_place)]
