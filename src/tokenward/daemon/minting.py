"""A federated credential is not refreshed but minted again: from an identity token that somebody else renews.

The problem: everything a keeper does (due 90 s before the end, one flight, back-off, phases that ``status``
shows) should hold for it unchanged, and yet it has no place: nothing of it is on a disk, no refresh token is
spent, and a restart simply mints anew. So its place is memory that the mint fills, and the mint is a refresher.

Rules:
- Before the first mint the place holds a value that ended long ago: it is due, and never served.
- Minting spends nothing: no family, no journal, no shield. A flight may be cut short and made again.
- An identity token that was refused is not presented again until its source changes, or ten minutes have passed:
  the fault may as well be the server's. What then comes is the same access token under a new generation, so that
  for the keeper it is new material, and what failed before has nothing to do with it.
- Some servers take an identity token only once. Whether one was presented before is remembered as a digest, and
  said where it is refused.
- In the slot of a refresh token stands a mark of ours that names the attempt; it is no secret and is never sent.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Literal

from tokenward.core.credential import Credential, Secret
from tokenward.core.federation import NoIdentity, unminted
from tokenward.core.grants import Ambiguous, Condemned, Granted, NotSent, RefreshOutcome, Unavailable, renewed
from tokenward.core.reading import Found, Reading
from tokenward.daemon.endpoint_gate import EndpointGate
from tokenward.daemon.flight_results import Cause, Failed, FlightResult, Refreshed, Rejected, SaveFailed, cause_of
from tokenward.disk.family_file import FamilyFile
from tokenward.ports import Clock, HeldLocks, IdentitySource, LocksBusy, MintEndpoint, NoLocks, PlaceWriter

FEDERATION = "federation"
"""The source's name of what is minted."""
REFUSED_FOR_SECONDS = 600.0
"""A rule that was mended at the server is noticed after this, and a wrong one is asked six times an hour."""
PRESENTED_BEFORE = "it was presented before, and some servers take each only once"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """The identity token that was of no use.

    Args:
        signature: of its source, then.
        until: on the boot clock, when it may be presented again all the same; None = the keeper's back-off says.
    """

    signature: Hashable | None
    until: float | None


class MintedPlace:
    """Memory for one minted credential (``ports.Place``).

    Args:
        profile: whose it is.
        identity: where its identity token comes from.
        clock: times how long a refused identity token rests.
    """

    name = FEDERATION

    def __init__(self, profile: str, identity: IdentitySource, clock: Clock) -> None:
        self.description = identity.description
        self._profile = profile
        self._identity = identity
        self._clock = clock
        self._guard = threading.Lock()
        self._attempt = 0
        self._trouble: _Trouble | None = None
        self._held = unminted(self._mark())

    def _mark(self) -> str:
        return f"minted for {self._profile}, attempt {self._attempt}"

    def signature(self) -> Hashable | None:
        """Changes with the value, and when an identity token that failed may be tried anew."""
        with self._guard:
            return self._held.generation, self._may_try_anew()

    def read(self) -> Reading:
        """What was minted last, as new material if an identity token that failed may be tried anew."""
        with self._guard:
            if self._may_try_anew():
                self._attempt += 1
                self._trouble = None
                self._held = replace(self._held, refresh=Secret(self._mark()))
            return Found(self._held)

    def _may_try_anew(self) -> bool:
        trouble = self._trouble
        if trouble is None:
            return False
        rested = trouble.until is not None and self._clock.boottime() >= trouble.until
        return rested or self._identity.signature() != trouble.signature

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        """Nobody else has it."""
        return NoLocks()

    def prepare_write(self) -> PlaceWriter:
        """Refused: it is filled by the mint alone.

        Raises:
            OSError: always.
        """
        raise OSError(errno.EROFS, "what is minted is kept in memory only", self.description)

    def fill(self, minted: Credential) -> None:
        """Hold what was just minted."""
        with self._guard:
            self._held, self._trouble = minted, None

    def failed(self, signature: Hashable | None, *, refused: bool) -> None:
        """Note that the identity token was of no use.

        Args:
            signature: of its source, taken before it was fetched.
            refused: whether the server refused it, rather than that there was none.
        """
        until = self._clock.boottime() + REFUSED_FOR_SECONDS if refused else None
        with self._guard:
            self._trouble = _Trouble(signature, until)


class MintRefresher:
    """A new access token for an identity token (RFC 7523 section 2.1).

    Args:
        place: where it is kept.
        identity: where identity tokens come from.
        endpoint: where they are presented.
        gate: the endpoint's gate.
        clock: dates the grant.
    """

    mode: Literal["mint"] = "mint"

    def __init__(
        self,
        place: MintedPlace,
        identity: IdentitySource,
        endpoint: MintEndpoint,
        *,
        gate: EndpointGate,
        clock: Clock,
    ) -> None:
        self._place = place
        self._identity = identity
        self._endpoint = endpoint
        self._gate = gate
        self._clock = clock
        self._presented = b""

    def may_start(self, left: float) -> bool:  # noqa: ARG002 - the port's signature
        """Always: minting spends nothing."""
        return True

    def closed_for(self) -> float:
        """What the endpoint's gate says."""
        return self._gate.closed_for()

    def waits_for(self) -> str | None:
        """Nothing: there is no lock where no refresh token is spent."""
        return None

    def family(self, credential: Credential) -> FamilyFile | None:  # noqa: ARG002 - the port's signature
        """None: no refresh token is spent."""
        return None

    async def refresh(self, held: Credential, left: float) -> FlightResult:
        """Fetch the identity token, queue at the gate, present it."""
        if (closed := self._closed()) is not None:
            return closed
        signature = self._identity.signature()
        identity = await self._identity.token()
        if isinstance(identity, NoIdentity):
            self._place.failed(signature, refused=False)
            return Failed(Cause.NO_IDENTITY, identity.reason)
        async with self._gate.slot(left):
            if (closed := self._closed()) is not None:
                return closed
            requested_at = self._clock.wall()
            again = self._note_presented(identity)
            outcome = await self._endpoint.mint(identity)
            self._tell_gate(outcome)
        if isinstance(outcome, Granted):
            # A refresh token has no business here (RFC 7521 section 4.1); the identity token is what renews.
            minted = renewed(held, replace(outcome, refresh=None), requested_at=requested_at)
            self._place.fill(minted)
            return Refreshed(minted)
        return self._without_grant(held, outcome, signature, again=again)

    def _note_presented(self, identity: Secret) -> bool:
        """Whether this identity token is the one that was presented last."""
        before, self._presented = self._presented, hashlib.sha256(identity.reveal().encode()).digest()
        return before == self._presented

    def _closed(self) -> Failed | None:
        closed = self._gate.closed_for()
        if closed <= 0:
            return None
        return Failed(Cause.UNAVAILABLE, "its token endpoint is in trouble", retry_after=closed)

    def _tell_gate(self, outcome: RefreshOutcome) -> None:
        match outcome:
            case Granted() | Condemned():
                self._gate.succeeded()
            case Unavailable(retry_after=retry_after, configuration=False):
                self._gate.failed(retry_after)
            case NotSent() | Ambiguous():
                self._gate.failed(None)
            case _:
                pass

    def _without_grant(
        self,
        held: Credential,
        outcome: Condemned | Unavailable | NotSent | Ambiguous,
        signature: Hashable | None,
        *,
        again: bool,
    ) -> Rejected | Failed:
        match outcome:
            case Condemned(error, description):
                self._place.failed(signature, refused=True)
                reason = f"{error}: {description}" if description else error
                return Rejected(held.generation, f"{reason} ({PRESENTED_BEFORE})" if again else reason)
            case Unavailable(reason, retry_after):
                return Failed(cause_of(outcome), reason, retry_after)
            case NotSent(reason):
                return Failed(Cause.NOT_SENT, reason)
            case Ambiguous(reason):
                return Failed(Cause.AMBIGUOUS, reason)

    async def save(self, pending: SaveFailed) -> FlightResult:
        """Never needed: memory is always written."""
        raise AssertionError(f"a mint leaves nothing unsaved ({pending.reason})")
