"""One keeper a profile: it feeds the refresh machine with what happens, and performs what the machine asks for.

The problem: timers, callers, the watcher and the user all want something of one credential at the same time.
The keeper is where they meet: it holds the value and the phase, lets everybody wait for its one flight
(``flights``) without owning it, acts by itself when it is time (``timetable``), and tells what became of it.

Rules:
- What follows an event is decided by ``core.lifecycle``, what a caller gets by ``core.serving``; here is only
  the doing.
- Waiters have their own timeouts; none of them can end a flight.
- Every request begins with one stat of the place: a value that its owner rotated is served at once.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from tokenward.core import freshness, lifecycle, serving
from tokenward.core.credential import Credential, Profile
from tokenward.core.freshness import Held
from tokenward.core.lifecycle import Effect, Event, Phase
from tokenward.core.reading import GONE_AFTER_SECONDS, Found, News, is_another_account
from tokenward.core.serving import Decision, Refresh, Refusal, Resting, Serve, Standing, Wish
from tokenward.daemon import refusals, timetable
from tokenward.daemon.announcements import APPEARED, Heard, announce, unheard
from tokenward.daemon.attempts import NO_ATTEMPTS
from tokenward.daemon.flights import NO_OUTCOMES, Flights, draw_forced, end_all, family_of
from tokenward.daemon.lookout import Lookout
from tokenward.daemon.prepared import Prepared
from tokenward.daemon.surroundings import Surroundings
from tokenward.errors import TokenwardError
from tokenward.ports import Place, RenewingPlace

if TYPE_CHECKING:
    from tokenward.daemon.refresher import Refresher


class Keeper:
    """One profile's credential.

    Args:
        profile: whose it is.
        place: where it lives.
        refresher: by what means it is refreshed; None = it is only watched.
        around: what all keepers share.
        note: one line that a person should know of this profile, if any.
    """

    __slots__ = (
        "_distrusted", "_flights", "_prepared", "_published", "_seen_life", "around", "attempts", "changed",
        "held", "last_refresh", "lookout", "made_of", "next_attempt", "note", "outcomes", "phase", "place",
        "profile", "refresher", "refused_generation", "resting", "watched_for",
    )  # fmt: skip

    def __init__(
        self,
        profile: Profile,
        place: Place,
        refresher: Refresher | None,
        around: Surroundings,
        *,
        note: str | None = None,
    ) -> None:
        self.profile = profile
        self.place = place
        self.watched_for = place.description
        """Where changes are noticed; what the place calls itself may become another name."""
        self.refresher = refresher
        self.note = note
        self.phase = Phase.EMPTY
        self.resting: Resting | None = None
        """Why it is neither served nor refreshed though it may be usable; None = it is not resting."""
        self.held: Held | None = None
        self.lookout = Lookout(place, around.clock, around.reading)
        self.attempts = NO_ATTEMPTS
        self.last_refresh: datetime | None = None
        self.outcomes = NO_OUTCOMES
        """How flights ended, and how often."""
        self.around = around
        self.changed: Heard = unheard
        self.made_of: tuple[object, ...] = ()
        """As of ``Kept``: who keeps it replaces it when that is another."""
        self._prepared: Prepared | None = None
        self._flights: Flights | None = None
        self.next_attempt: datetime | None = None
        """When it acts next by itself; None = nothing is planned."""
        self.refused_generation: str | None = None
        """What a caller was refused with last."""
        self._seen_life: float | None = None
        self._published = False
        self._distrusted: str | None = None

    # What callers see

    @property
    def credential(self) -> Credential | None:
        """The value held."""
        return self.held.credential if self.held is not None else None

    @property
    def prepared(self) -> Prepared:
        """For its next caller; nothing as long as nobody asked."""
        prepared = self._prepared
        if prepared is None:
            prepared = self._prepared = Prepared(self, self.around)
        return prepared

    @property
    def flights(self) -> Flights:
        """Its refreshes and saves; for the event loop's thread, which makes it when it is first wanted."""
        flights = self._flights
        if flights is None:
            flights = self._flights = Flights(self)
        return flights

    @property
    def is_in_flight(self) -> bool:
        """Whether a refresh or a save is under way."""
        return self._flights is not None and self._flights.is_under_way

    def prepare_anew(self) -> None:
        """The value held is another, or what is said of it: what was made of it goes."""
        self._prepared = None

    def is_vacant(self) -> bool:
        """Whether nothing is held, and nothing is in its place."""
        return self.phase is Phase.EMPTY and (self.lookout.is_vacant or self.place.signature() is None)

    def left(self) -> float | None:
        """Seconds of life of the value held; None if none is held."""
        if self.held is None:
            return None
        clock = self.around.clock
        return freshness.remaining(self.held, now=clock.wall(), boot_now=clock.boottime())

    def granted_life(self) -> float | None:
        """Seconds of life the value began with: granted, or left when its rotation was seen; None = unknown."""
        return None if self.credential is None else self.credential.granted_life or self._seen_life

    def needs_attention(self) -> bool:
        """One stat and two clocks: whether a caller must wait for more than a look at what is held."""
        return self.lookout.changed() or (
            self.phase is Phase.READY and self.held is not None and timetable.is_due(self, self.held)
        )

    def decide(self, wish: Wish) -> Decision:
        """What a caller gets now, without waiting for anything."""
        return serving.decide(wish, self.standing())

    def standing(self) -> Standing:
        """How things stand now."""
        left = self.left()
        credential = self.credential
        refreshable = (
            self.refresher is not None
            and self.resting is None
            and credential is not None
            and credential.refreshable
            and self.refresher.may_start(left if left is not None else math.inf)
        )
        granted = credential.granted_life if credential is not None else None
        return Standing(self.phase, left, granted, refreshable)

    async def obtain(
        self, min_valid: float, *, newer_than: str | None, patience: float
    ) -> tuple[Held, str | None]:
        """The value for one caller, refreshed first if that helps it.

        Args:
            min_valid: seconds of life wanted.
            newer_than: the generation that was refused.
            patience: seconds to wait for a flight.

        Returns:
            The value, and why it is less than what was asked for, if it is.

        Raises:
            TokenwardError: if nothing can be served.
        """
        if newer_than is not None:
            self.refused_generation = newer_than
            self.distrust(newer_than)
        await self.reconcile()
        self.refresh_if_due()
        decision = self.decide(self._wish(min_valid, newer_than, tried=False))
        if isinstance(decision, Refresh):
            with anyio.move_on_after(patience):
                await self.flights.fly(forced=decision.forced)
            decision = self.decide(self._wish(min_valid, newer_than, tried=True))
        if isinstance(decision, Serve) and self.held is not None:
            return self.held, decision.degraded
        raise self.refusal(decision)

    def _wish(self, min_valid: float, newer_than: str | None, *, tried: bool) -> Wish:
        credential = self.credential
        excluded = credential is not None and newer_than == credential.generation
        return Wish(min_valid=min_valid, excludes_held=excluded, tried=tried)

    def refusal(self, decision: Decision) -> TokenwardError:
        """The error that says why nothing is served."""
        refused = decision if isinstance(decision, Refusal) else Refusal.REFRESH_FAILING
        return refusals.error_for(refused, self, retry_after=self.retry_in())

    def retry_in(self) -> float | None:
        """Seconds until the next attempt after a failure; None if none is planned."""
        return self.wait() if self.phase in {Phase.BACKOFF, Phase.UNSAVED} else None

    def wait(self) -> float:
        """Seconds until another attempt may be made; zero where none failed."""
        return self.attempts.wait(self.around.clock.boottime())

    def failed(self, cause: str, reason: str, *, retry_after: float | None, closed_for: float) -> None:
        """Count a failure, and wait before the next attempt; see ``Attempts.failed``."""
        clock, entropy = self.around.clock, self.around.entropy
        self.attempts = self.attempts.failed(
            cause, reason, retry_after=retry_after, closed_for=closed_for, clock=clock, entropy=entropy
        )

    async def refresh_by_hand(self) -> None:
        """Refresh now, whatever is left; draws from the bucket of forced refreshes.

        Raises:
            TokenwardError: if it cannot be done, or failed.
        """
        await self.reconcile()
        before, unsaved, dead = self.credential, self.phase is Phase.UNSAVED, self.phase is Phase.LOGIN_REQUIRED
        if before is None or dead or not self.standing().refreshable:
            raise refusals.cannot_refresh(self)
        await self.flights.fly(forced=True)
        if unsaved and self.phase is Phase.READY:
            return
        if self.credential == before or self.phase is Phase.LOGIN_REQUIRED:
            raise self.refusal(
                Refusal.LOGIN_REQUIRED if self.phase is Phase.LOGIN_REQUIRED else Refusal.REFRESH_FAILING
            )

    async def reject(self, generation: str) -> bool:
        """A caller was refused with this generation: get another one (design I7, I11).

        Returns:
            Whether another value is held now.
        """
        self.refused_generation = generation
        await self.reconcile()
        if self.credential is None or self.credential.generation != generation:
            return self.credential is not None
        if self.standing().refreshable and self.phase in {Phase.READY, Phase.REFRESHING, Phase.BACKOFF}:
            await self.flights.fly(forced=True)
        return self.credential is not None and self.credential.generation != generation

    def distrust(self, generation: str) -> None:
        """A caller was refused with this generation: a place that can make another value is told, once.

        Raises:
            RefreshFailed: if the bucket of forced refreshes is empty (design I11).
        """
        held = self.credential is not None and self.credential.generation == generation
        if held and generation != self._distrusted and isinstance(self.place, RenewingPlace):
            draw_forced(self)
            self._distrusted = generation
            self.place.reject(generation)

    def refused(self, generation: str) -> None:
        """A static credential was refused: nothing can renew it but new material from a person (E26)."""
        if self.credential is not None and self.credential.generation == generation and self.phase is Phase.READY:
            self.failed("auth", "the API refused it with 401", retry_after=None, closed_for=0.0)
            self.apply(Event.REJECTED)

    def _is_writing(self) -> bool:
        return self._flights is not None and self._flights.is_writing

    def holds(self, credential: Credential) -> bool:
        """Whether this is the value held."""
        return self.credential is not None and self.credential.generation == credential.generation

    # What wakes it

    async def reconcile(self) -> None:
        """Look at the place if it changed, and take what is news (design I5).

        While our own transaction is at work its file is not read: a value is seen when it is durable (I2).
        """
        judged, reading = await self.lookout.look(lambda: self.credential, at_work=self._is_writing)
        if judged is News.NEW_CREDENTIAL and isinstance(reading, Found):
            self.take(reading.credential)
        elif judged is News.NEW_DETAILS and isinstance(reading, Found):
            self.hold(reading.credential)
            timetable.reschedule(self)
        elif judged is News.LOGGED_OUT:
            await self._end(Event.LOST)
        elif self.lookout.absent_since is not None:
            moment = freshness.later(self.lookout.absent_since, GONE_AFTER_SECONDS)
            self.around.alarm.at(f"absence:{self.profile.key}", moment, self._check_absence)

    def take(self, credential: Credential) -> None:
        """New material: what failed before has nothing to do with it."""
        before = self.credential
        self.hold(credential)
        if is_another_account(before, credential) and before is not None:
            self.lookout.reinstate(before.generation)  # it was set aside, and not spent
        self.attempts = NO_ATTEMPTS
        self.apply(Event.LOADED)

    def _check_absence(self) -> None:
        self.around.spawn(self.reconcile)

    def refresh_if_due(self) -> None:
        """Start what time asks for, if anything; harmless at any time."""
        timetable.refresh_if_due(self)

    def on_alarm(self) -> None:
        """The alarm rang, or the clock stepped: act if it is time, else set it again."""
        timetable.on_alarm(self)

    async def settle(self) -> None:
        """Wait until no flight is under way."""
        if self._flights is not None:
            await self._flights.settle()

    def rest(self, why: Resting | None) -> None:
        """Neither serve nor refresh from now on, or do both again; what was rotated is still saved.

        Args:
            why: the reason; None ends the rest.
        """
        if why is self.resting:
            return
        self.resting = why
        self.profile = replace(self.profile, enabled=why is None)
        if why is not None and self.phase is not Phase.UNSAVED:
            timetable.cancel(self)
        self.changed(self, by_refresh=False)
        self.on_alarm()

    # Effects

    def hold(self, credential: Credential, *, by_refresh: bool = False) -> None:
        """Hold a value; what we know of the life it was granted, its place may not know."""
        known = self.credential
        if known is not None and known.generation != credential.generation:
            self.lookout.replaced(known.generation)
            self.lookout.reinstate(credential.generation)  # what is held is not over
            self.around.forced.follow(family_of(self, known), family_of(self, credential))
            self.prepare_anew()
        elif known is not None and credential.granted_life is None:
            credential = credential.aged(granted_life=known.granted_life)
        clock = self.around.clock
        self.held = freshness.hold(credential, now=clock.wall(), boot_now=clock.boottime())
        if known is None or known.generation != credential.generation:
            left = self.left() or 0.0
            is_told = known is not None and 0 < left < math.inf  # how long the first has lived, nobody saw
            self._seen_life = left if is_told else None
        self.changed(self, by_refresh=by_refresh)

    def apply(self, event: Event) -> None:
        """Something happened: what follows, the table says, and it is performed here."""
        step = lifecycle.step(self.phase, event)
        self.phase = step.phase
        for effect in step.effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Effect.START_FLIGHT:
                self.flights.refresh()
            case Effect.START_SAVE:
                self.flights.save()
            case Effect.SCHEDULE_REFRESH:
                timetable.schedule_refresh(self)
            case Effect.SCHEDULE_RETRY:
                timetable.reschedule(self)
            case Effect.CANCEL_ALARM:
                timetable.cancel(self)
            case Effect.DROP:
                self.held, self.lookout.absent_since = None, None
                self.flights.drop()
                self.prepare_anew()
                self._published = False
                self.changed(self, by_refresh=False)
            case Effect.PUBLISH if not self._published:
                self._published = True
                announce(self, effect, self.around.hub, as_type=APPEARED)
            case _:
                announce(self, effect, self.around.hub)

    # The end

    def dismiss(self) -> None:
        """The profile is kept no longer, but not deleted: let go of its alarms."""
        self.around.alarm.cancel(self.profile.key)
        self.around.alarm.cancel(f"absence:{self.profile.key}")

    async def forget(self) -> None:
        """Stop keeping it, after the flight under way; what lies in its place is not touched here."""
        await self.settle()
        await self._end(Event.FORGOTTEN)

    async def _end(self, event: Event) -> None:
        """The login is over: what is still open in its journals concerns nobody any more."""
        journals = self.flights.journals()
        self.apply(event)
        if journals:
            await to_thread.run_sync(end_all, journals, limiter=self.around.reading)

    def resume(self) -> None:
        """Take up what a predecessor left: the flight that follows writes it or obeys the ambiguous rule."""
        self.apply(Event.DUE)
