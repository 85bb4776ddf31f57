"""The refresh transaction: the one way in which a refresh token is ever spent (design section 4).

The problem: a refresh token is good for one use, several programs hold it, and the process may die, the disk
fill up or the network go silent at any line. This file is therefore one straight line, run in one worker
thread, and each of its steps answers the question "if we die here, what is on disk?".

===========================  ========================================================
if the process dies after …  what is left
===========================  ========================================================
taking the locks             an unchanged place; locks named nowhere (stale in a minute)
the mark                     the mark: the successor treats the token as perhaps spent
the request was sent         the same; if the server rotated, nobody can know the answer
the answer, before sealing   the same (the only loss that no client can prevent)
sealing                      the new value, sealed: the successor writes it
the write                    the new value in its place
===========================  ========================================================

Rules (what other hosts find, where the place is leased to one at a time, is said in ``daemon.shared_place``):
- Nothing here is cancelled: a worker thread cannot be, and the request it waits for runs in a shielded scope.
- A place that is torn, blanked or gone never has its refresh token spent.
- After the answer no error may leave this file without the new value in its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from logging import getLogger
from pathlib import Path

from tokenward.core.credential import Credential, Secret, family_of, to_unix_milliseconds
from tokenward.core.freshness import lengthens_life
from tokenward.core.grants import (
    Ambiguous,
    Condemned,
    Granted,
    NotSent,
    RefreshOutcome,
    Unavailable,
    renewed,
)
from tokenward.core.reading import Blanked, Found, Reading, Unreadable
from tokenward.core.record import UnknownRecord, from_record, to_record
from tokenward.daemon.flight_results import (
    Adopted,
    Cause,
    Failed,
    FlightResult,
    Refreshed,
    Rejected,
    SaveFailed,
    cause_of,
)
from tokenward.daemon.leasing import are_lost, condemn, give_back, locks_to_send, may_send, settle
from tokenward.disk.family_file import FamilyFile, Mark, Outcome
from tokenward.disk.foreign_lock import remove_if_unchanged
from tokenward.errors import StoreUnavailable
from tokenward.ports import Clock, HeldLocks, LocksBusy, Place, PlaceWriter, Sealer, Stored, Superseded
from tokenward.ports.leases import KnownDead, PerhapsSpent

log = getLogger(__name__)
LOCK_PATIENCE_SECONDS = 12.0
"""How long a flight waits for a family or for foreign locks: a little more than Claude Code's own 9 s, and with
the request's 25 s well below the 60 s after which Claude Code takes a lock for orphaned."""


def _untold(_reason: str | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Transaction:
    """Everything one profile's refreshes need; holds no state.

    Args:
        profile: whose credential it is.
        place: where it lives.
        token_endpoint: the URL that names the family.
        reuse_grace: seconds in which a spent refresh token may be presented again.
        families: the families' directory.
        sealer: seals the answer.
        clock: the machine's clocks.
        wait: sleeps for so many seconds.
        post: spends a refresh token and blocks until the outcome.
        waiting: told which lock is waited for and who holds it, and None when that is over.
    """

    profile: str
    place: Place
    token_endpoint: str
    reuse_grace: float
    families: Path
    sealer: Sealer
    clock: Clock
    wait: Callable[[float], None]
    post: Callable[[Secret], RefreshOutcome]
    waiting: Callable[[str | None], None] = _untold

    def refresh(self, held: Credential) -> FlightResult:
        """Spend the refresh token of the value we hold, if it is still the one in its place.

        Args:
            held: the value to renew; it has a refresh token.
        """
        if held.refresh is None:
            raise ValueError("a credential without a refresh token is never due")
        try:
            with self._family(family_of(self.token_endpoint, held.refresh)) as family:
                if isinstance(family, str):
                    return Failed(Cause.LOCKED, family)
                return self._locked_refresh(family, held)
        except OSError as error:
            return Failed(Cause.UNWRITABLE, f"the family file: {error.strerror or error}")

    def save(self, pending: SaveFailed) -> FlightResult:
        """Try again to write a value that its place does not hold yet, as an earlier call returned it."""
        try:
            with self._family(pending.family) as family:
                if isinstance(family, str):
                    return pending
                sealed = pending.sealed or self._seal(family, pending.credential)
                return self._write_late(family, pending._replace(sealed=sealed))
        except OSError as error:
            return pending._replace(reason=f"the family file: {_why(error)}")

    @contextmanager
    def _family(self, name: str) -> Iterator[FamilyFile | str]:
        """The family, locked; if that could not be had in time, why, in words."""
        family = FamilyFile(self.families, name)
        deadline = self.clock.monotonic() + LOCK_PATIENCE_SECONDS
        told: list[str] = []

        def wait(seconds: float) -> None:
            if not told:
                told.append(family.held_elsewhere())
                self.waiting(told[0])
            self.wait(seconds)

        try:
            if not family.acquire(deadline, wait=wait, monotonic=self.clock.monotonic):
                yield family.held_elsewhere()
                return
        finally:
            self.waiting(None)
        try:
            for lock in family.state.orphaned_locks:
                remove_if_unchanged(lock)
            yield family
        finally:
            give_back(family.release)

    def _locked_refresh(self, family: FamilyFile, held: Credential) -> FlightResult:
        if family.state.spent and (done := self._finish_predecessor(family, held)) is not None:
            return done
        if (early := self._unless_current(family, held)) is not None:
            return early
        if (wait := self._replay_forbidden_for(family, held)) is not None:
            return Failed(
                Cause.AMBIGUOUS,
                "a refresh was sent and not answered; the token is kept until the access token ends",
                retry_after=wait,
            )
        locks = locks_to_send(self.place, held.generation, self.clock.monotonic() + LOCK_PATIENCE_SECONDS)
        match locks:
            case LocksBusy(reason):
                return self._unless_current(family, held) or Failed(Cause.LOCKED, reason)
            case PerhapsSpent(reason, seconds):
                return Failed(Cause.AMBIGUOUS, reason, retry_after=seconds)
            case KnownDead(reason):
                return self._unless_current(family, held) or Rejected(held.generation, reason)
        try:
            if (early := self._unless_current(family, held)) is not None:
                return early
            result = self._spend(family, held, locks)
            settle(locks, result)
            return result
        finally:
            give_back(locks.release)

    def _unless_current(self, family: FamilyFile, held: Credential) -> Adopted | Failed | None:
        """Read the place again: anything but the value we hold ends the flight before it spends anything."""
        match reading := self.place.read():
            case Found(credential) if credential.generation == held.generation:
                return None
            case Found(credential) if held.refreshable and not credential.refreshable:
                return Failed(Cause.SOURCE_GONE, "its place holds a token without a refresh token now")
            case Found(credential):
                if not family.state.finished:
                    self._note(family, Outcome.ADOPTED)
                return Adopted(credential)
            case _:
                return _not_there(reading)

    def _replay_forbidden_for(self, family: FamilyFile, held: Credential) -> float | None:
        """Seconds for which a token that may be spent must not be sent again; None if it may (section 4.10)."""
        since = family.state.uncertain_since_ms
        if since is None:
            return None
        now = self.clock.wall()
        if self._may_replay(family) or held.expires_at is None or held.expires_at <= now:
            return None
        return (held.expires_at - now).total_seconds()

    def _may_replay(self, family: FamilyFile) -> bool:
        """Whether the provider would honour once more a token whose first answer was lost (section 4.10)."""
        since = family.state.uncertain_since_ms
        if since is None or family.state.replayed or self.reuse_grace <= 0:
            return False
        return 0 <= to_unix_milliseconds(self.clock.wall()) - since <= self.reuse_grace * 1000

    def _spend(self, family: FamilyFile, held: Credential, locks: HeldLocks) -> FlightResult:
        """Prove that the answer can be kept, then send; ``held`` is known to be what the place holds."""
        assert held.refresh is not None  # noqa: S101 - ``refresh`` has checked it
        with suppress(Exception):  # loads what sealing needs before there is anything to lose
            self.sealer.seal(b"", family.name.encode())
        try:
            writer = self.place.prepare_write()
        except OSError as error:
            return Failed(Cause.UNWRITABLE, f"{self.place.description}: {_why(error)}")
        try:
            family.begin(self._mark(held, locks))
            if not may_send(locks):
                self._note(family, Outcome.NOT_SENT)
                return Failed(Cause.LOCKED, "this host was stopped too long to send its refresh token safely")
            outcome, requested_at = self._send(family, held, held.refresh, locks)
            if isinstance(outcome, Granted):
                new = renewed(held, outcome, requested_at=requested_at)
                return self._keep(family, writer, locks, sent=held.generation, new=new)
            return self._without_grant(family, held, outcome)
        finally:
            give_back(writer.discard)

    def _mark(self, held: Credential, locks: HeldLocks) -> Mark:
        return Mark(
            profile=self.profile,
            place=self.place.description,
            sent=held.generation,
            started_at_ms=to_unix_milliseconds(self.clock.wall()),
            locks=tuple(locks.identities),
        )

    def _send(
        self, family: FamilyFile, held: Credential, refresh: Secret, locks: HeldLocks
    ) -> tuple[RefreshOutcome, datetime]:
        """Send; where the provider allows it, send once more what was not answered, under a mark of its own."""
        requested_at = self.clock.wall()
        outcome = self.post(refresh)
        if isinstance(outcome, Ambiguous) and self._may_replay(family) and may_send(locks):
            with suppress(OSError):
                family.begin(self._mark(held, locks))
                requested_at = self.clock.wall()
                outcome = self.post(refresh)
        return outcome, requested_at

    def _keep(
        self, family: FamilyFile, writer: PlaceWriter, locks: HeldLocks, *, sent: str, new: Credential
    ) -> Refreshed | Adopted | SaveFailed:
        """Seal the answer, then write it to its place; from here on nothing may raise."""
        sealed = self._seal(family, new)
        pending = SaveFailed(new, sent, family.name, sealed, "")
        locks_lost = are_lost(locks)
        try:
            swapped = writer.commit(sent, new)
        except Exception as error:  # noqa: BLE001 - whatever it is, the new value must go on living
            return self._unsaved(family, pending, f"{self.place.description}: {_why(error)}")
        result = self._after_commit(family, pending, swapped)
        return result._replace(locks_lost=locks_lost) if isinstance(result, Refreshed) else result

    def _after_commit(
        self, family: FamilyFile, pending: SaveFailed, swapped: Stored | Superseded
    ) -> Refreshed | Adopted | SaveFailed:
        match swapped:
            case Stored():
                self._note(family, Outcome.STORED)
                return Refreshed(pending.credential)
            case Superseded(Found(credential)):
                self._note(family, Outcome.SUPERSEDED)
                return Adopted(credential)
            case Superseded(reading):
                return self._unsaved(family, pending, f"{self.place.description}: {_not_there(reading).reason}")

    def _unsaved(self, family: FamilyFile, pending: SaveFailed, reason: str) -> SaveFailed:
        self._note(family, Outcome.UNSAVED)
        return pending._replace(reason=reason)

    def _note(self, family: FamilyFile, outcome: Outcome) -> None:
        """Record how it ended; if that fails, a successor does again what is already done, and harms nothing."""
        with suppress(OSError):
            family.record_outcome(outcome)

    def _seal(self, family: FamilyFile, new: Credential) -> bool:
        """Seal the new value into the journal; the place is still tried where even that fails."""
        try:
            sealed = self.sealer.seal(to_record(new), family.name.encode())
            family.record_answer(sealed, generation=new.generation)
        except Exception as error:  # noqa: BLE001 - as in _keep
            log.warning("the answer for %s could not be sealed: %s", self.profile, type(error).__name__)
            return False
        return True

    def _write_late(self, family: FamilyFile, pending: SaveFailed) -> Refreshed | Adopted | SaveFailed:
        """Write a value that was received earlier, under the owner's locks."""
        locks = self.place.acquire_locks(self.clock.monotonic() + LOCK_PATIENCE_SECONDS)
        if isinstance(locks, LocksBusy):
            return pending._replace(reason=locks.reason)
        try:
            writer = self.place.prepare_write()
            try:
                return self._after_commit(family, pending, writer.commit(pending.sent, pending.credential))
            finally:
                writer.discard()
        except Exception as error:  # noqa: BLE001 - as in _keep
            return self._unsaved(family, pending, f"{self.place.description}: {_why(error)}")
        finally:
            give_back(locks.release)

    def _finish_predecessor(self, family: FamilyFile, held: Credential) -> FlightResult | None:
        """The token was answered already: to a process that died, for another place, or for the value we hold.

        Returns:
            None if that answer kept the refresh token and has nothing for us: it may be sent again.
        """
        if (early := self._unless_current(family, held)) is not None:
            return early
        if family.state.generation == held.generation:
            return None
        mark = family.state.mark
        try:
            new = from_record(self.sealer.unseal(family.state.sealed or b"", family.name.encode()))
        except (StoreUnavailable, UnknownRecord):
            whom = f"{mark.profile} at {mark.place}" if mark else "another holder"
            return Failed(
                Cause.SPENT_ELSEWHERE, f"its refresh token was spent by {whom}, and that answer cannot be opened"
            )
        if new.refresh == held.refresh and not lengthens_life(held, new):
            return None
        return self._write_late(family, SaveFailed(new, held.generation, family.name, sealed=True, reason=""))

    def _without_grant(
        self, family: FamilyFile, held: Credential, outcome: Condemned | Unavailable | NotSent | Ambiguous
    ) -> Adopted | Rejected | Failed:
        """No new value. Whoever condemns or keeps silent may speak of a value that is no longer the one."""
        if isinstance(outcome, Condemned | Ambiguous):
            current = self.place.read()
            if isinstance(current, Found) and current.credential.generation != held.generation:
                self._note(family, Outcome.ADOPTED)
                return Adopted(current.credential)
            if isinstance(outcome, Condemned) and isinstance(current, Unreadable):
                self._note(family, Outcome.ANSWERED)
                return _not_there(current)
        match outcome:
            case Condemned(error, description):
                self._note(family, Outcome.ANSWERED)
                return self._reject(held, f"{error}: {description}" if description else error)
            case Unavailable(reason, retry_after):
                self._note(family, Outcome.ANSWERED)
                return Failed(cause_of(outcome), reason, retry_after)
            case NotSent(reason):
                self._note(family, Outcome.NOT_SENT)
                return Failed(Cause.NOT_SENT, reason)
            case Ambiguous(reason):
                self._note(family, Outcome.AMBIGUOUS)
                return Failed(Cause.AMBIGUOUS, reason)

    def _reject(self, held: Credential, reason: str) -> Adopted | Rejected | Failed:
        """Tell other holders, who need not ask any more; where one has replaced the value, the verdict is void."""
        try:
            condemn(self.place, held.generation, reason)
        except OSError as error:
            return Failed(Cause.SOURCE_UNREADABLE, f"{reason}; {self.place.description}: {_why(error)}")
        current = self.place.read()
        if isinstance(current, Found) and current.credential.generation != held.generation:
            return Adopted(current.credential)
        return Rejected(held.generation, reason)


def _why(error: Exception) -> str:
    """What may be said of an error: an operating system's words, of others only the type."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else type(error).__name__


def _not_there(reading: Reading) -> Failed:
    match reading:
        case Unreadable(reason):
            return Failed(Cause.SOURCE_UNREADABLE, reason)
        case Blanked():
            return Failed(Cause.SOURCE_GONE, "its owner blanked the login")
        case _:
            return Failed(Cause.SOURCE_GONE, "its place is empty")
