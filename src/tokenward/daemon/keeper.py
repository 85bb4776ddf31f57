"""One keeper a profile: it feeds the refresh machine with what happens, and performs what the machine asks for.

The problem: timers, callers, the watcher and the user all want something of one credential at the same time.
The keeper is where they meet: it holds the value, the phase and at most one flight, lets everybody wait for
that flight without owning it, and publishes a new value only when the flight says that it is durable.

Rules:
- What follows an event is decided by ``core.lifecycle``, what a caller gets by ``core.serving``; here is only
  the doing.
- Waiters have their own timeouts; none of them can end a flight.
- Every request begins with one stat of the place: a value that its owner rotated is served at once.
- A result that speaks of another generation than the one held has no effect (design I7).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from logging import getLogger
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio import to_thread

from tokenward.core import freshness, lifecycle, serving
from tokenward.core.credential import Credential, Profile
from tokenward.core.freshness import Held
from tokenward.core.grants import lengthens_life
from tokenward.core.lifecycle import Effect, Event, Phase
from tokenward.core.reading import GONE_AFTER_SECONDS, Found, News, Reading, is_another_account
from tokenward.core.serving import Decision, Refresh, Refusal, Resting, Serve, Standing, Wish
from tokenward.daemon import landing, refusals
from tokenward.daemon.attempts import Attempts
from tokenward.daemon.event_hub import Trouble
from tokenward.daemon.flight_results import Cause, Failed, FlightResult, Refreshed, SaveFailed
from tokenward.daemon.landing import Value
from tokenward.daemon.lookout import Lookout
from tokenward.daemon.refresher import Refresher
from tokenward.daemon.surroundings import Surroundings
from tokenward.disk.family_file import FamilyFile, end_unfinished, left_unfinished
from tokenward.errors import TokenwardError
from tokenward.ports import Place, RenewingPlace

if TYPE_CHECKING:
    from tokenward.daemon.answers import EncodedAnswer

log = getLogger(__name__)


NOT_YET_SECONDS = 10.0
"""Due by its margin, but its means would do nothing yet: an alarm that is past would ring in a circle."""


_EVENT_TYPES: Mapping[Effect, str] = MappingProxyType(
    {
        Effect.PUBLISH: "rotated",
        Effect.ANNOUNCE_FAILING: "refresh_failed",
        Effect.ANNOUNCE_LOGIN_REQUIRED: "login_required",
        Effect.ANNOUNCE_UNSAVED: "unsaved",
        Effect.ANNOUNCE_SAVED: "saved",
        Effect.ANNOUNCE_LOGGED_OUT: "logged_out",
        Effect.ANNOUNCE_FORGOTTEN: "forgotten",
    }
)


class Heard(Protocol):
    """Told of every change of what a keeper holds or of whether it rests; must not block."""

    def __call__(self, keeper: Keeper, /, *, by_refresh: bool) -> None:
        """Take note.

        Args:
            keeper: whose.
            by_refresh: whether a flight of ours brought the value.
        """


def _unheard(_keeper: Keeper, /, *, by_refresh: bool) -> None:
    pass


class Keeper:
    """One profile's credential.

    Args:
        profile: whose it is.
        place: where it lives.
        refresher: by what means it is refreshed; None = it is only watched.
        around: what all keepers share.
        note: one line that a person should know of this profile, if any.
    """

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
        self.refresher = refresher
        self.note = note
        self.phase = Phase.EMPTY
        self.resting: Resting | None = None
        """Why it is neither served nor refreshed though it may be usable; None = it is not resting."""
        self.held: Held | None = None
        self.lookout = Lookout(place, around.clock, around.reading)
        self.attempts = Attempts(around.clock, around.entropy)
        self.last_refresh: datetime | None = None
        self.next_attempt: datetime | None = None
        self.outcomes: Counter[Event] = Counter()
        """How flights ended, and how often."""
        self._around = around
        self.changed: Heard = _unheard
        self.encoded: dict[str | None, EncodedAnswer] = {}
        """Answers made of the value held, by why they are degraded; they go with it."""
        self._seen_life: float | None = None
        self._pending: SaveFailed | None = None
        self._flight: anyio.Event | None = None
        self._flown: Held | None = None
        self._published = False
        self._distrusted: str | None = None
        self._refused: str | None = None

    # What callers see

    @property
    def credential(self) -> Credential | None:
        """The value held."""
        return self.held.credential if self.held is not None else None

    @property
    def has_only_copy(self) -> bool:
        """Whether a value was received that is on no disk, not even sealed: with us it would be lost."""
        return self.phase is Phase.UNSAVED and self._pending is not None and not self._pending.sealed

    def is_vacant(self) -> bool:
        """Whether nothing is held, and nothing is in its place."""
        return self.phase is Phase.EMPTY and (self.lookout.is_vacant or self.place.signature() is None)

    def left(self) -> float | None:
        """Seconds of life of the value held; None if none is held."""
        if self.held is None:
            return None
        clock = self._around.clock
        return freshness.remaining(self.held, now=clock.wall(), boot_now=clock.boottime())

    def granted_life(self) -> float | None:
        """Seconds of life the value began with: granted, or left when its rotation was seen; None = unknown."""
        return None if self.credential is None else self.credential.granted_life or self._seen_life

    def waits_for(self) -> str | None:
        """The lock that a flight waits for now, and its holder, in one line; None while it waits for none."""
        return None if self.refresher is None else self.refresher.waits_for()

    def needs_attention(self) -> bool:
        """One stat and two clocks: whether a caller must wait for more than a look at what is held."""
        return self.lookout.changed() or (
            self.phase is Phase.READY and self.held is not None and self._is_due(self.held)
        )

    def decide(self, wish: Wish) -> Decision:
        """What a caller gets now, without waiting for anything."""
        return serving.decide(wish, self._standing())

    def _standing(self) -> Standing:
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
            self._refused = newer_than
            self.distrust(newer_than)
        await self.reconcile()
        self.refresh_if_due()
        decision = self.decide(self._wish(min_valid, newer_than, tried=False))
        if isinstance(decision, Refresh):
            with anyio.move_on_after(patience):
                await self._fly(forced=decision.forced)
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
        return self.attempts.wait() if self.phase in {Phase.BACKOFF, Phase.UNSAVED} else None

    async def refresh_by_hand(self) -> None:
        """Refresh now, whatever is left; draws from the bucket of forced refreshes.

        Raises:
            TokenwardError: if it cannot be done, or failed.
        """
        await self.reconcile()
        before, unsaved, dead = self.credential, self.phase is Phase.UNSAVED, self.phase is Phase.LOGIN_REQUIRED
        if before is None or dead or not self._standing().refreshable:
            raise refusals.cannot_refresh(self)
        await self._fly(forced=True)
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
        self._refused = generation
        await self.reconcile()
        if self.credential is None or self.credential.generation != generation:
            return self.credential is not None
        if self._standing().refreshable and self.phase in {Phase.READY, Phase.REFRESHING, Phase.BACKOFF}:
            await self._fly(forced=True)
        return self.credential is not None and self.credential.generation != generation

    def distrust(self, generation: str) -> None:
        """A caller was refused with this generation: a place that can make another value is told, once.

        Raises:
            RefreshFailed: if the bucket of forced refreshes is empty (design I11).
        """
        held = self.credential is not None and self.credential.generation == generation
        if held and generation != self._distrusted and isinstance(self.place, RenewingPlace):
            self._draw_forced()
            self._distrusted = generation
            self.place.reject(generation)

    def refused(self, generation: str) -> None:
        """A static credential was refused: nothing can renew it but new material from a person (E26)."""
        if self.credential is not None and self.credential.generation == generation and self.phase is Phase.READY:
            self.attempts.failed("auth", "the API refused it with 401", retry_after=None, closed_for=0.0)
            self._apply(Event.REJECTED)

    def reopen(self) -> None:
        """A person says that a static credential which was refused is good: it serves until it is refused anew."""
        if self.phase is Phase.LOGIN_REQUIRED and self.credential is not None and not self.credential.refreshable:
            self.attempts.succeeded()
            self._apply(Event.LOADED)

    async def accept(self, credential: Credential) -> None:
        """A person put this value into the place: it is news whatever we held or saw replaced before."""
        if not self._holds(credential):
            self.lookout.reinstate(credential.generation)
        await self.reconcile()
        if self._holds(credential):
            return  # it may be due, and its refresh under way: nobody who gives a login waits for that
        there = await self._what_is_there()
        is_there = isinstance(there, Found) and there.credential.generation == credential.generation
        if is_there and not self._holds(credential):
            self._take(credential)

    async def _what_is_there(self) -> Reading:
        """What the place holds, read while no flight could change it."""
        while True:
            await self.settle()
            before = self.held
            reading = await to_thread.run_sync(self.place.read, limiter=self._around.reading)
            if self._flight is None and self.held is before:
                return reading

    def _holds(self, credential: Credential) -> bool:
        return self.credential is not None and self.credential.generation == credential.generation

    # What wakes it

    async def reconcile(self) -> None:
        """Look at the place if it changed, and take what is news (design I5).

        While our own transaction is at work its file is not read: a value is seen when it is durable (I2).
        """
        judged, reading = await self.lookout.look(lambda: self.credential, at_work=self._is_writing)
        if judged is News.NEW_CREDENTIAL and isinstance(reading, Found):
            self._take(reading.credential)
        elif judged is News.NEW_DETAILS and isinstance(reading, Found):
            self._hold(reading.credential)
            self.reschedule()
        elif judged is News.LOGGED_OUT:
            await self._end(Event.LOST)
        elif self.lookout.absent_since is not None:
            moment = freshness.later(self.lookout.absent_since, GONE_AFTER_SECONDS)
            self._around.alarm.at(f"absence:{self.profile.key}", moment, self._check_absence)

    def _is_writing(self) -> bool:
        return self._flight is not None and self.refresher is not None and self.refresher.mode == "direct"

    def _take(self, credential: Credential) -> None:
        """New material: what failed before has nothing to do with it."""
        before = self.credential
        self._hold(credential)
        if is_another_account(before, credential) and before is not None:
            self.lookout.reinstate(before.generation)  # it was set aside, and not spent
        self.attempts.succeeded()
        self._apply(Event.LOADED)

    def _check_absence(self) -> None:
        self._around.spawn(self.reconcile)

    def refresh_if_due(self) -> None:
        """Start what time asks for, if anything; harmless at any time."""
        if self._flight is not None:
            return
        match self.phase:
            case Phase.READY if self.held is not None and self._is_due(self.held):
                self._apply(Event.DUE)
            case Phase.BACKOFF if self.resting is not None:
                pass
            case Phase.BACKOFF | Phase.UNSAVED if self.attempts.wait() <= 0:
                self._apply(Event.DUE)
            case _:
                pass

    def _is_due(self, held: Held) -> bool:
        clock = self._around.clock
        return self._standing().refreshable and freshness.is_due(
            held,
            self._around.timing_of(self.profile.key),
            seed=self._seed,
            now=clock.wall(),
            boot_now=clock.boottime(),
        )

    @property
    def _seed(self) -> str:
        return f"{self._around.host}\0{self.profile.key}"

    def on_alarm(self) -> None:
        """The alarm rang: act if it is time, else set it again (the clock may have stepped)."""
        self.refresh_if_due()
        if self._flight is None:
            self.reschedule()

    def reschedule(self) -> None:
        """Set the alarm anew from what is true now."""
        match self.phase:
            case Phase.READY:
                self._schedule_refresh()
            case Phase.BACKOFF if self.resting is not None:
                pass
            case Phase.BACKOFF | Phase.UNSAVED:
                self._set_alarm(self.attempts.wait())
            case _:
                pass

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
            self.next_attempt = None
            self._around.alarm.cancel(self.profile.key)
        self.changed(self, by_refresh=False)
        self.on_alarm()

    # Flights

    async def _fly(self, *, forced: bool) -> None:
        """Wait for the flight under way, or start one and wait for it."""
        if self._flight is None:
            if forced:
                self._draw_forced()
            self._apply(Event.DUE)
        flight = self._flight
        if flight is not None:
            await flight.wait()

    def _draw_forced(self) -> None:
        if self.credential is not None:
            self._around.forced.draw(self._family_of(self.credential), self.profile.key)

    def _family_of(self, credential: Credential) -> str:
        """What the bucket of forced refreshes is drawn from: this value's family, or else the profile."""
        family = self.refresher.family(credential) if self.refresher is not None else None
        return self.profile.key if family is None else family.name

    async def settle(self) -> None:
        """Wait until no flight is under way."""
        while self._flight is not None:
            await self._flight.wait()

    def _launch(self, work: Callable[[], Awaitable[FlightResult]]) -> None:
        ended = self._flight = anyio.Event()

        async def flight() -> None:
            try:
                try:
                    result = await work()
                except Exception as error:  # noqa: BLE001 - one profile's defect must not end the daemon
                    log.error("the flight of %s failed by a defect: %s", self.profile.key, type(error).__name__)  # noqa: TRY400 - its text could hold a secret
                    result = Failed(Cause.UNAVAILABLE, f"a defect of tokenward ({type(error).__name__})")
                self._flight = None
                self._land(result)
                self.lookout.look_again()
            finally:
                self._flight = None
                ended.set()

        self._around.spawn(flight)

    async def _refresh(self) -> FlightResult:
        assert self.refresher is not None  # noqa: S101 - never due without one
        assert self.held is not None  # noqa: S101 - as above
        self._flown = self.held
        return await self.refresher.refresh(self.held.credential, self.left() or 0.0)

    async def _save(self) -> FlightResult:
        assert self.refresher is not None  # noqa: S101 - never unsaved without one
        assert self._pending is not None  # noqa: S101 - as above
        return await self.refresher.save(self._pending)

    def _land(self, result: FlightResult) -> None:
        """Turn a flight's result into an event, unless what it speaks of is no longer held."""
        if self.phase not in {Phase.REFRESHING, Phase.UNSAVED}:
            return
        saving = self.phase is Phase.UNSAVED
        held = self.credential.generation if self.credential is not None else None
        is_over = partial(self.lookout.is_over, held=self.credential)
        landed = landing.of(result, saving=saving, held=held, is_over=is_over)
        if isinstance(result, Refreshed) and result.locks_lost:
            log.warning("a foreign lock was taken from %s during its refresh", self.profile.key)
        if isinstance(landed, Value):
            self._land_value(landed.credential, landed.event)
            return
        if isinstance(result, SaveFailed):
            self._pending = result
            if not saving:
                self._hold(result.credential, by_refresh=True)
                self.last_refresh = self._around.clock.wall()
        self._land_failure(landed.cause, landed.reason, landed.retry_after, landed.event)

    def _land_value(self, credential: Credential, event: Event) -> None:
        futile = event is Event.REFRESHED and not self._lengthens_life(credential)
        self._hold(credential, by_refresh=True)
        self._pending = None
        self.last_refresh = self._around.clock.wall()
        if futile:
            self._land_failure(Cause.NO_LONGER_LIFE, "the refresh did not lengthen life", None, Event.FUTILE)
            return
        self.attempts.succeeded()
        self.outcomes[event] += 1
        self._apply(event)

    def _lengthens_life(self, credential: Credential) -> bool:
        """Compared by what is left now on both clocks: a wall clock that was set back makes no refresh futile.

        What a caller was refused with has no life left, whatever end was written beside it.
        """
        if self._flown is None:
            return True
        now = self._around.clock.wall()
        left = 0.0
        if self._flown.credential.generation != self._refused:
            left = freshness.remaining(self._flown, now=now, boot_now=self._around.clock.boottime())
        end = freshness.later(now, left) if math.isfinite(left) else None
        return lengthens_life(replace(self._flown.credential, expires_at=end), credential)

    def _land_failure(self, cause: str, reason: str, retry_after: float | None, event: Event) -> None:
        closed = self.refresher.closed_for() if self.refresher is not None else 0.0
        self.attempts.failed(cause, reason, retry_after=retry_after, closed_for=closed)
        self.outcomes[event] += 1
        self._apply(event)

    def _hold(self, credential: Credential, *, by_refresh: bool = False) -> None:
        """Hold a value; what we know of the life it was granted, its place may not know."""
        known = self.credential
        if known is not None and known.generation != credential.generation:
            self.lookout.replaced(known.generation)
            self.lookout.reinstate(credential.generation)  # what is held is not over
            self._around.forced.follow(self._family_of(known), self._family_of(credential))
            self.encoded.clear()
        elif known is not None and credential.granted_life is None:
            credential = credential.aged(granted_life=known.granted_life)
        clock = self._around.clock
        self.held = freshness.hold(credential, now=clock.wall(), boot_now=clock.boottime())
        if known is None or known.generation != credential.generation:
            left = self.left() or 0.0
            is_told = known is not None and 0 < left < math.inf  # how long the first has lived, nobody saw
            self._seen_life = left if is_told else None
        self.changed(self, by_refresh=by_refresh)

    # Effects

    def _apply(self, event: Event) -> None:
        step = lifecycle.step(self.phase, event)
        self.phase = step.phase
        for effect in step.effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Effect.START_FLIGHT:
                self._launch(self._refresh)
            case Effect.START_SAVE:
                self._launch(self._save)
            case Effect.SCHEDULE_REFRESH:
                self._schedule_refresh()
            case Effect.SCHEDULE_RETRY:
                self.reschedule()
            case Effect.CANCEL_ALARM:
                self.next_attempt = None
                self._around.alarm.cancel(self.profile.key)
            case Effect.DROP:
                self.held, self._pending, self._flown, self.lookout.absent_since = None, None, None, None
                self.encoded.clear()
                self._published = False
                self.changed(self, by_refresh=False)
            case Effect.PUBLISH if not self._published:
                self._published = True
                self._announce(effect, as_type="appeared")
            case _:
                self._announce(effect)

    def _schedule_refresh(self) -> None:
        if self.held is None or self.refresher is None or not self.held.credential.refreshable:
            return
        if self.resting is not None:
            return
        clock = self._around.clock
        due = freshness.refresh_due_in(
            self.held,
            self._around.timing_of(self.profile.key),
            seed=self._seed,
            now=clock.wall(),
            boot_now=clock.boottime(),
        )
        if due <= 0 and not self._standing().refreshable:
            due = NOT_YET_SECONDS
        if math.isfinite(due):
            self._set_alarm(max(0.0, due))

    def _set_alarm(self, seconds: float) -> None:
        self.next_attempt = freshness.later(self._around.clock.wall(), seconds)
        self._around.alarm.at(self.profile.key, self.next_attempt, self.on_alarm)

    def _announce(self, effect: Effect, *, as_type: str | None = None) -> None:
        credential = self.credential
        failure = self.attempts.failure
        self._around.hub.announce(
            as_type or _EVENT_TYPES[effect],
            profile=self.profile.key,
            generation=credential.generation if credential is not None else None,
            detail=failure.reason if failure is not None else "",
            trouble=Trouble(failure.cause, failure.count, self.retry_in()) if failure is not None else None,
        )

    # The end

    def dismiss(self) -> None:
        """The profile is kept no longer, but not deleted: let go of its alarms."""
        self._around.alarm.cancel(self.profile.key)
        self._around.alarm.cancel(f"absence:{self.profile.key}")

    async def save_now(self) -> None:
        """Try to write what is unsaved, without waiting for its next attempt."""
        if self.phase is not Phase.UNSAVED:
            return
        await self.settle()
        if self.phase is Phase.UNSAVED:
            self._apply(Event.DUE)
        await self.settle()

    async def forget(self) -> None:
        """Stop keeping it, after the flight under way; what lies in its place is not touched here."""
        await self.settle()
        await self._end(Event.FORGOTTEN)

    async def _end(self, event: Event) -> None:
        """The login is over: what is still open in its journals concerns nobody any more."""
        journals = self._journals()
        self._apply(event)
        if journals:
            await to_thread.run_sync(_end_all, journals, limiter=self._around.reading)

    def _journals(self) -> list[FamilyFile]:
        if self.credential is None or self.refresher is None or self.refresher.mode != "direct":
            return []
        family = self.refresher.family(self.credential)
        if family is None:
            return []
        unsaved = [] if self._pending is None else [FamilyFile(family.path.parent, self._pending.family)]
        return [family, *unsaved]

    def predecessor_left_work(self) -> bool:
        """Whether a process that died left this value's family unfinished; blocks on the disk."""
        return (
            self.refresher is not None
            and self.credential is not None
            and self.refresher.mode == "direct"
            and left_unfinished(self.refresher.family(self.credential), self.credential.generation)
        )

    def resume(self) -> None:
        """Take up what a predecessor left: the flight that follows writes it or obeys the ambiguous rule."""
        self._apply(Event.DUE)


def _end_all(journals: Sequence[FamilyFile]) -> None:
    for journal in journals:
        try:
            end_unfinished(journal)
        except OSError as error:
            log.warning("a journal could not be ended, and stays: %s", error.strerror)
