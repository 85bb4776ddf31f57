"""By what means one profile is refreshed: by us, or by the credential's owner.

The problem: the keeper must not care. Whether we spend the refresh token ourselves, or ask the program that
owns it to do so, a flight ends in one of the five results of ``daemon.transaction``.

Rules:
- A flight that may have sent a refresh token is never cut short: it runs in a shielded scope, and the blocking
  part of it in a worker thread of our own, so that no file watcher can starve it (design I2).
- Delegation holds our family lock and never the owner's locks; its success is a new generation in the place,
  not the owner's exit status (design section 4, "Claude Code's own login").
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from anyio import CancelScope, CapacityLimiter, from_thread, to_thread

from tokenward.core.credential import Credential, Secret, family_of
from tokenward.core.reading import Found
from tokenward.daemon import left_answers
from tokenward.daemon.flight_results import Adopted, Cause, Failed, FlightResult, Refreshed, Rejected, SaveFailed
from tokenward.disk.family_file import FamilyFile
from tokenward.ports import Clock, Delegate, LockedPlace, Place, TokenEndpoint

if TYPE_CHECKING:
    from tokenward.core.grants import RefreshOutcome
    from tokenward.daemon.endpoint_gate import EndpointGate
    from tokenward.daemon.transaction import Transaction

DELEGATE_BELOW_SECONDS = 300.0
"""Claude Code refreshes when at most this is left, and not before (measured)."""

_ENDPOINT_TROUBLE = frozenset({Cause.NOT_SENT, Cause.AMBIGUOUS, Cause.UNAVAILABLE, Cause.RATE_LIMITED})


class Refresher(Protocol):
    """The means by which one profile is refreshed."""

    @property
    def mode(self) -> Literal["direct", "delegate", "mint"]:
        """As shown to people."""

    def may_start(self, left: float) -> bool:
        """Whether a refresh can do anything while so many seconds of life are left."""

    def closed_for(self) -> float:
        """Seconds before which a refresh is not worth trying."""

    def waits_for(self) -> str | None:
        """The lock that a flight waits for now, and its holder, in one line; None while it waits for none."""

    def family(self, credential: Credential) -> FamilyFile | None:
        """The family file of a value, unlocked; None where it has none."""

    async def refresh(self, held: Credential, left: float) -> FlightResult:
        """Renew a value of which so many seconds are left."""

    async def save(self, pending: SaveFailed) -> FlightResult:
        """Try again to write a value that its place does not hold yet."""


class DirectRefresher:
    """We spend the refresh token ourselves, by the refresh transaction.

    Args:
        transaction: the profile's transaction; its ``post`` is ours to set.
        endpoint: where the token is spent.
        gate: the endpoint's gate.
        limiter: the flights' worker threads.
    """

    __slots__ = ("_endpoint", "_family_wait", "_gate", "_limiter", "_terms")
    mode: Literal["direct"] = "direct"

    def __init__(
        self, transaction: Transaction, endpoint: TokenEndpoint, gate: EndpointGate, limiter: CapacityLimiter
    ) -> None:
        self._terms = transaction
        self._endpoint = endpoint
        self._gate = gate
        self._limiter = limiter
        self._family_wait: str | None = None

    def _transaction(self) -> Transaction:
        """Made for each flight: nearly all of ten thousand wait for theirs."""
        return replace(self._terms, post=self._post, waiting=self._note_wait)

    def _post(self, refresh: Secret) -> RefreshOutcome:
        return from_thread.run(self._endpoint.refresh, refresh)

    def may_start(self, left: float) -> bool:  # noqa: ARG002 - the port's signature
        """Always: a refresh token may be spent at any time."""
        return True

    def closed_for(self) -> float:
        """What the endpoint's gate says."""
        return self._gate.closed_for()

    def _note_wait(self, reason: str | None) -> None:
        self._family_wait = reason

    def waits_for(self) -> str | None:
        """The family's lock, or one of the place's owner."""
        if self._family_wait is not None:
            return self._family_wait
        place = self._terms.place
        return place.waits_for if isinstance(place, LockedPlace) else None

    def family(self, credential: Credential) -> FamilyFile | None:
        """The family of its refresh token."""
        if credential.refresh is None:
            return None
        name = family_of(self._terms.token_endpoint, credential.refresh)
        return FamilyFile(self._terms.families, name)

    async def refresh(self, held: Credential, left: float) -> FlightResult:
        """Queue at the gate, then run the transaction to its end, whatever is cancelled meanwhile."""
        async with self._gate.slot(left):
            if (closed := self._gate.closed_for()) > 0:
                return Failed(Cause.UNAVAILABLE, "its token endpoint is in trouble", retry_after=closed)
            with CancelScope(shield=True):
                result = await to_thread.run_sync(self._transaction().refresh, held, limiter=self._limiter)
            self._tell_gate(result)
        return result

    def _tell_gate(self, result: FlightResult) -> None:
        if isinstance(result, Refreshed | SaveFailed | Rejected):
            self._gate.succeeded()
        elif isinstance(result, Failed) and result.cause in _ENDPOINT_TROUBLE:
            if result.cause in {Cause.UNAVAILABLE, Cause.RATE_LIMITED}:
                self._gate.failed(result.retry_after)
            elif result.retry_after is None:  # else nothing was sent, because of an earlier silence
                self._gate.failed(None)

    async def bring_left(self, held: Credential) -> None:
        """Write what a process that was killed had received for a value that is not held any more."""
        with CancelScope(shield=True):
            await to_thread.run_sync(
                left_answers.bring, self._transaction(), held.generation, limiter=self._limiter
            )

    async def save(self, pending: SaveFailed) -> FlightResult:
        """Write what is unsaved; shielded like a refresh."""
        with CancelScope(shield=True):
            result = await to_thread.run_sync(self._transaction().save, pending, limiter=self._limiter)
        return result  # noqa: RET504 - mypy: a scope may swallow


class DelegateRefresher:
    """The credential's owner refreshes it; we ask, and look.

    Args:
        delegate: how to ask.
        place: where to look.
        token_endpoint: the URL that names the family, the same as for a direct refresh of this place.
        families: the families' directory.
        clock: the machine's clocks.
        limiter: the flights' worker threads.
    """

    mode: Literal["delegate"] = "delegate"

    def __init__(
        self,
        delegate: Delegate,
        place: Place,
        *,
        token_endpoint: str,
        families: Path,
        clock: Clock,
        limiter: CapacityLimiter,
    ) -> None:
        self._delegate = delegate
        self._place = place
        self._token_endpoint = token_endpoint
        self._families = families
        self._clock = clock
        self._limiter = limiter

    def may_start(self, left: float) -> bool:
        """Only near the end: before, the owner would see no reason to refresh."""
        return left <= DELEGATE_BELOW_SECONDS

    def closed_for(self) -> float:
        """Never: the owner has its own back-off."""
        return 0.0

    def waits_for(self) -> str | None:
        """Nothing: a family that is held is tried again later, and the owner's locks are the owner's."""
        return None

    def family(self, credential: Credential) -> FamilyFile | None:
        """The family of its refresh token."""
        if credential.refresh is None:
            return None
        return FamilyFile(self._families, family_of(self._token_endpoint, credential.refresh))

    async def refresh(self, held: Credential, left: float) -> FlightResult:  # noqa: ARG002 - the port's signature
        """Hold the family, ask the owner, and read what it left."""
        family = self.family(held)
        if family is None:
            return Failed(Cause.SOURCE_GONE, "its place holds a token without a refresh token now")
        with CancelScope(shield=True):
            result = await self._hold_and_ask(family, held)
        return result  # noqa: RET504 - mypy: a scope may swallow

    async def _hold_and_ask(self, family: FamilyFile, held: Credential) -> FlightResult:
        try:
            if not await self._lock(family):
                return Failed(Cause.LOCKED, family.held_elsewhere())
        except OSError as error:
            return Failed(Cause.UNWRITABLE, f"the family file: {error.strerror or error}")
        try:
            return await self._ask(held)
        finally:
            await to_thread.run_sync(family.release, limiter=self._limiter)

    async def _lock(self, family: FamilyFile) -> bool:
        """One try at once, so that a holder at work is seen and not waited for in a thread."""
        return await to_thread.run_sync(
            lambda: family.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0), limiter=self._limiter
        )

    async def _ask(self, held: Credential) -> FlightResult:
        if (newer := await self._newer(held)) is not None:
            return newer
        trouble = await self._delegate.refresh()
        if (newer := await self._newer(held)) is not None:
            return newer
        return Failed(
            Cause.NOT_DELEGATED, trouble or "Claude Code ran and left its login as it was: it may be offline"
        )

    async def _newer(self, held: Credential) -> Adopted | None:
        reading = await to_thread.run_sync(self._place.read, limiter=self._limiter)
        if not isinstance(reading, Found) or reading.credential.generation == held.generation:
            return None
        found = reading.credential
        if not found.refreshable:
            return None
        if found.expires_at is None:
            return Adopted(found)
        life = (found.expires_at - self._clock.wall()).total_seconds()
        return Adopted(found.aged(granted_life=life if life > 0 else None))

    async def save(self, pending: SaveFailed) -> FlightResult:
        """Never needed: the owner writes."""
        raise AssertionError(f"a delegated refresh leaves nothing unsaved ({pending.reason})")
