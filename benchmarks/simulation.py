"""72 hours of forty agents and six profiles in a few seconds: ``python -m benchmarks.simulation``.

The problem: that a call never waits while somebody could serve it, that a refresh token is spent once, and that a
window is not prolonged by failures inside it, can be said of three functions and be wrong of all of them together.
So the pure core (``roster``, ``health``, ``classify``, ``reset_times``, ``lifecycle``, ``freshness``) runs here
against a server that misbehaves by script, with a clock that is a number.

Rules: nothing here decides whose turn it is or how long somebody rests; what is counted is judged without the
roster, from what each profile's own health and end say.
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from benchmarks import chart
from benchmarks.scripted_server import LOGGED_IN_AGAIN, Answer, ScriptedServer
from tokenward.core import health as health_of
from tokenward.core.classify import FailureClass, classify
from tokenward.core.credential import Credential, Kind, Profile, Secret
from tokenward.core.freshness import Held, RefreshTiming, hold, refresh_due_in, remaining, retry_delay
from tokenward.core.ladders import Ladders
from tokenward.core.lifecycle import Event, Phase, step
from tokenward.core.reset_times import reset_at
from tokenward.core.roster import Roster
from tokenward.core.selection import Candidate, Selector

START = datetime(2026, 11, 21, tzinfo=UTC)
HOUR = 3600.0
HOURS, AGENTS, PROFILES = 72.0, 40, 6
PROVIDER = "acme"
FLIGHT_SECONDS = 2.0
"""From the POST of a refresh to its answer."""
LONGEST_ANSWER = 20.0
"""Seconds that the API takes at most: a failure may come long after somebody else's opened the window."""
THINKING = (20.0, 90.0)
"""Seconds between two calls of an agent."""
LONGEST_WAIT = 30.0
"""Seconds after which one that waits looks again at the latest."""


@dataclass
class Kept:
    """One profile, as a keeper and a broker hold it together."""

    number: int
    profile: Profile
    held: Held
    phase: Phase = Phase.READY
    health: health_of.Health = field(default_factory=health_of.cleared)
    failures: int = 0


@dataclass
class Tally:
    """What is shown in the end."""

    calls: int = 0
    served: int = 0
    waits: int = 0
    needless_waits: int = 0
    rotations: int = 0
    refreshes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    windows: int = 0
    inside: int = 0
    prolonged: int = 0
    spent_twice: int = 0
    expired: int = 0
    spans: dict[int, list[tuple[float, float, str]]] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str]]:
        """The table."""
        by_class = ", ".join(f"{name} {count:,}" for name, count in sorted(self.failures.items()))
        return [
            ("calls", f"{self.calls:,}"),
            ("served", f"{self.served:,}"),
            ("turns to another profile within a call", f"{self.rotations:,}"),
            ("times a call had to wait, since nobody could serve", f"{self.waits:,}"),
            ("times a call waited while somebody could serve", f"{self.needless_waits:,}"),
            ("failures", by_class),
            ("windows opened", f"{self.windows:,}"),
            ("failures inside an open window", f"{self.inside:,}"),
            ("windows prolonged by them", f"{self.prolonged:,}"),
            ("tokens handed out after their end", f"{self.expired:,}"),
            ("refreshes", f"{self.refreshes:,}"),
            ("refresh tokens spent twice", f"{self.spent_twice:,}"),
        ]


class Simulation:
    """Everybody.

    Args:
        hours: how long, simulated.
        agents: how many ask.
        seed: of everything that is drawn.
    """

    def __init__(self, *, hours: float = HOURS, agents: int = AGENTS, seed: int = 1) -> None:
        self._total = hours * HOUR
        self._draw = random.Random(seed)  # noqa: S311 - no secret depends on it
        self._server = ScriptedServer(PROFILES, self._total)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now = 0.0
        self._timing, self._ladders = RefreshTiming(), Ladders()
        self._selector = Selector(PROVIDER)
        self._roster = Roster()
        self.tally = Tally(spans={number: [] for number in range(PROFILES)})
        self._kept: dict[str, Kept] = {}
        for number in range(PROFILES):
            profile = Profile(f"{PROVIDER}:p{number}", PROVIDER, "store")
            self._kept[profile.key] = kept = Kept(number, profile, self._hold(number))
            self._show(kept)
            self._schedule(kept)
        for _ in range(agents):
            self._at(self._draw.uniform(0, THINKING[1]), self._call)
        self._at(LOGGED_IN_AGAIN * self._total, self._log_in_again)

    def run(self) -> Tally:
        """Let all of it happen."""
        while self._events and self._events[0][0] < self._total:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        self.tally.spent_twice = sum(times > 1 for times in self._server.spent.values())
        return self.tally

    @property
    def _moment(self) -> datetime:
        return START + timedelta(seconds=self._now)

    def _at(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._order), happen))

    # Agents

    def _call(self) -> None:
        self.tally.calls += 1
        self._try(frozenset())

    def _think(self) -> None:
        self._at(self._draw.uniform(*THINKING), self._call)

    def _try(self, tried: frozenset[str]) -> None:
        """Ask for a token; with none to be had, wait as long as the answer says."""
        key = self._roster.first(self._selector, self._moment)
        if key is None:
            self._wait()
            return
        self._roster.touch(key, self._moment)
        kept = self._kept[key]
        self.tally.expired += self._left(kept) <= 0
        access = kept.held.credential.access.reveal()
        generation = kept.held.credential.generation
        self.tally.rotations += bool(tried) and key not in tried
        answered = self._draw.uniform(1.0, LONGEST_ANSWER)
        self._at(answered, lambda: self._answered(kept, access, generation, tried | {key}))

    def _wait(self) -> None:
        self.tally.waits += 1
        self.tally.needless_waits += any(self._can_serve(kept) for kept in self._kept.values())
        recovery = self._roster.shortlist(self._selector, self._moment).recovery
        seconds = LONGEST_WAIT if recovery is None else (recovery.until - self._moment).total_seconds()
        self._at(min(LONGEST_WAIT, max(1.0, seconds)), lambda: self._try(frozenset()))

    def _can_serve(self, kept: Kept) -> bool:
        """By its own health and end, without the roster."""
        is_fine = not health_of.open_windows(kept.health, now=self._moment)
        return is_fine and kept.phase is not Phase.LOGIN_REQUIRED and self._left(kept) > 0

    def _answered(self, kept: Kept, access: str, generation: str, tried: frozenset[str]) -> None:
        answer = self._server.request(kept.number, access, self._now)
        failure = classify(answer.status, answer.error, answer.headers)
        if generation != kept.held.credential.generation:
            # A verdict on a value that was replaced has no effect (design I7), but the call goes on.
            if failure is None:
                self._serve()
            else:
                self._try(tried)
        elif failure is None:
            kept.health = health_of.after_success(kept.health)
            self._show(kept)
            self._serve()
        else:
            self._failed(kept, failure, answer)
            self._try(tried)

    def _serve(self) -> None:
        self.tally.served += 1
        self._think()

    def _failed(self, kept: Kept, failure: FailureClass, answer: Answer) -> None:
        self.tally.failures[failure.value] += 1
        if failure is FailureClass.AUTH:
            self._due(kept)  # a 401 asks for a refresh first
        before = _candidate(kept).unusable(self._moment, None)
        named = reset_at(answer.headers, failure=failure, now=self._moment)
        kept.health = health_of.after_failure(
            kept.health, failure, now=self._moment, ladders=self._ladders, reset_at=named
        )
        after = _candidate(kept).unusable(self._moment, None)
        if after is not None and before is not None:
            self.tally.inside += 1
            # What the server names is its word, and no prolongation; nor is a failure of a wider scope.
            is_narrower = after.reason == before.reason and named is None
            self.tally.prolonged += is_narrower and after.until != before.until
        elif after is not None:
            self.tally.windows += 1
            ends = min(self._total, (after.until - START).total_seconds())
            self.tally.spans[kept.number].append((self._now, ends, after.reason))
        self._show(kept)

    # Refreshes

    def _hold(self, number: int) -> Held:
        login = self._server.logins[number]
        credential = Credential(
            Kind.OAUTH,
            Secret(login.access),
            refresh=Secret(login.refresh),
            expires_at=START + timedelta(seconds=login.ends),
            granted_life=login.ends - self._now,
        )
        return hold(credential, now=self._moment, boot_now=self._now)

    def _left(self, kept: Kept) -> float:
        return remaining(kept.held, now=self._moment, boot_now=self._now)

    def _schedule(self, kept: Kept) -> None:
        due = refresh_due_in(kept.held, self._timing, seed=kept.profile.key, now=self._moment, boot_now=self._now)
        held = kept.held
        self._at(max(0.0, due), lambda: self._due(kept) if kept.held is held else None)
        self._at(max(0.0, self._left(kept)), lambda: self._show(kept))

    def _due(self, kept: Kept) -> None:
        before = kept.phase
        kept.phase = step(before, Event.DUE).phase
        if kept.phase is Phase.REFRESHING and before is not Phase.REFRESHING:
            token = kept.held.credential.refresh
            assert token is not None  # noqa: S101 - every profile here has one
            self.tally.refreshes += 1
            answer = self._server.refresh(kept.number, token.reveal(), self._now)
            self._at(FLIGHT_SECONDS, lambda: self._landed(kept, answer))

    def _landed(self, kept: Kept, answer: object) -> None:
        if answer == "unavailable":
            kept.phase = step(kept.phase, Event.FAILED).phase
            kept.failures += 1
            self._at(retry_delay(kept.failures, draw=self._draw.random()), lambda: self._due(kept))
        elif answer == "invalid_grant":
            kept.phase = step(kept.phase, Event.REJECTED).phase
            end = LOGGED_IN_AGAIN * self._total
            self.tally.spans[kept.number].append((self._now, max(end, self._now), "login_required"))
        else:
            self._take(kept, Event.REFRESHED)
        self._show(kept)

    def _take(self, kept: Kept, event: Event) -> None:
        """New material: it is as new, and so is what is known of it."""
        kept.phase = step(kept.phase, event).phase
        kept.held, kept.failures, kept.health = self._hold(kept.number), 0, health_of.cleared()
        self._schedule(kept)

    def _log_in_again(self) -> None:
        kept = next(kept for kept in self._kept.values() if kept.number == 2)
        self._server.log_in(kept.number, self._now)
        self._take(kept, Event.LOADED)
        self._show(kept)

    def _show(self, kept: Kept) -> None:
        """Tell the roster what became of a profile."""
        if kept.phase is Phase.LOGIN_REQUIRED or self._left(kept) <= 0:
            self._roster.drop(kept.profile.key)
            return
        self._roster.put(_candidate(kept))


def _candidate(kept: Kept) -> Candidate:
    """A profile as selection sees it."""
    return Candidate(kept.profile, Kind.OAUTH, windows=health_of.for_selection(kept.health))


def broken(tally: Tally) -> list[str]:
    """Which of the promises were not kept."""
    promises = {
        "no call waits while somebody could serve": tally.needless_waits,
        "no refresh token is spent twice": tally.spent_twice,
        "no window is prolonged by failures inside it": tally.prolonged,
        "no token is handed out after its end": tally.expired,
    }
    return [promise for promise, count in promises.items() if count]


def picture(tally: Tally) -> str:
    """When each profile rested, and why."""
    rows = {
        f"p{number}": [(begin / HOUR, end / HOUR, reason) for begin, end, reason in spans]
        for number, spans in tally.spans.items()
    }
    return chart.lanes("When six profiles rest, in 72 hours", rows, total=HOURS, ticks=12, unit="hours")


def main() -> int:
    """Run it and print the table; the exit status says whether all promises were kept."""
    began = time.perf_counter()
    tally = Simulation().run()
    for what, count in tally.rows():
        sys.stdout.write(f"{what:55} {count}\n")
    sys.stderr.write(f"{HOURS:g} simulated hours in {time.perf_counter() - began:.1f} s\n")
    for promise in broken(tally):
        sys.stdout.write(f"NOT KEPT: {promise}\n")
    return 1 if broken(tally) else 0


if __name__ == "__main__":
    sys.exit(main())
