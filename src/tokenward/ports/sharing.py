"""Credentials that many hosts hold: the engine between them, and the lease under which one of them refreshes.

The problem: no host can know whether another is dead, stopped or cut off, and no two clocks agree.

Rule: all of it but ``subscribe`` blocks, and is called in worker threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import EHOSTUNREACH
from typing import Protocol, runtime_checkable

from tokenward.core.credential import Credential
from tokenward.core.sharing import Claimed, Committed, Condemnation, Outdated, Removal, SealedValue, SharedRecord
from tokenward.ports.places import HeldLocks, LocksBusy, Place


@dataclass(frozen=True, slots=True)
class PerhapsSpent:
    """Somebody who had the lease may have spent the refresh token and told nobody: it must not be sent now.

    Args:
        reason: one line for people: who, and how long ago.
        seconds: for how long.
    """

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class KnownDead:
    """The authorization server condemned the refresh token when another holder sent it.

    Args:
        reason: what it said.
    """

    reason: str


@runtime_checkable
class HeldLease(HeldLocks, Protocol):
    """The right to spend one refresh token for a while; time alone tells whether it is ours still."""

    def may_send(self) -> bool:
        """Whether it lasts for a whole request still, asked before the token leaves.

        If so, what follows is in doubt until ``settle``: ``release`` gives nothing back, and the lease lapses.
        """

    def settle(self) -> None:
        """What was sent has an answer, and whoever comes next finds it in the place or need not know of it."""


@runtime_checkable
class LeasedPlace(Place, Protocol):
    """A place that many hosts hold: its refresh token is spent under a lease, and written without one."""

    def claim(self, generation: str, deadline: float) -> HeldLease | LocksBusy | PerhapsSpent | KnownDead:
        """Take the lease, or wait until whoever has it is done.

        Args:
            generation: the value whose refresh token is to be spent.
            deadline: on the monotonic clock, in seconds.

        Returns:
            ``LocksBusy`` also if the place holds another value now: it is to be read again.
        """

    def condemn(self, generation: str, reason: str) -> None:
        """Tell all holders that the refresh token of a value is dead; nothing happens if it was replaced.

        Raises:
            OSError: if they could not be told, so that nobody can say whether it was replaced.
        """


class SharedStoreAway(OSError):
    """The engine did not answer, or refused us; for whoever writes to a place, the same as a disk that fails.

    Args:
        cause: one line for people, without a secret; also its ``strerror``.
        hint: one line that says what to do.
    """

    def __init__(self, cause: str, *, hint: str = "") -> None:
        super().__init__(EHOSTUNREACH, cause)
        self.cause = cause
        self.hint = hint


class SharedStore(Protocol):
    """An engine in which daemons on many hosts agree about credentials; all agreement is the engine's.

    ``read``, ``claim`` and ``commit`` block, each within a deadline of its own, and hold no connection afterwards.
    What raises ``SharedStoreAway`` may or may not have happened; each may be repeated.
    """

    @property
    def description(self) -> str:
        """Where it is, for people and logs; without a password."""

    def read(self, profile: str | None = None) -> Sequence[SharedRecord]:
        """The record of one profile, or all of them, sorted by profile.

        Raises:
            SharedStoreAway: if it does not answer.
        """

    def claim(self, seen: SharedRecord, *, holder: str, seconds: float) -> Claimed | Outdated:
        """Take the lease on a record, if nothing has changed since it was seen.

        Whether a lease that is there may be taken over is decided before (``core.sharing``); the engine compares
        the revision alone.

        Args:
            seen: the record as it was read.
            holder: who takes it.
            seconds: how long it lasts by the engine's clock; 0 gives a lease back, and leaves nothing in doubt.

        Raises:
            SharedStoreAway: if it does not answer.
        """

    def commit(
        self, profile: str, expected: str | None, change: SealedValue | Condemnation | Removal, *, holder: str
    ) -> Committed | Outdated:
        """Change a record, fenced by the generation alone; whoever holds the lease.

        A value that is already there counts as stored, so that a commit whose answer was lost can be repeated.
        One that was there and was itself replaced meanwhile is outdated, and not kept again.

        Args:
            profile: whose record.
            expected: the generation that the change replaces; None = there is no record yet.
            change: what becomes of it. A value that comes too late is kept beside the records, as an orphan.
            holder: who says so, for people who look.

        Raises:
            SharedStoreAway: if it does not answer.
        """

    async def subscribe(self, changed: Callable[[str | None], None]) -> None:
        """Tell of changes until cancelled; never raises. A claim alone may be left out.

        Args:
            changed: called with the profile whose record changed, or with None where any may have: at the
                beginning, after each time the engine was away, when it does not answer any more, and now and then
                where it cannot tell.
        """


class SharedSealer(Protocol):
    """Seals what hosts share, under keys that all of them were given. Its methods block."""

    def seal(self, profile: str, credential: Credential, replaced: SealedValue | None) -> SealedValue:
        """Seal a value, bound to profile and generation.

        Args:
            profile: whose it is.
            credential: the value.
            replaced: what it takes the place of; the same key seals it, so that whoever could read the one can
                read the other, and nothing has to be asked for after a token endpoint's answer. None = the key
                that the engine names.

        Raises:
            StoreUnavailable: if the key is not here.
            SharedStoreAway: if the engine had to be asked, and does not answer.
        """

    def unseal(self, profile: str, value: SealedValue) -> Credential:
        """Open a value.

        Raises:
            StoreUnavailable: if its key is not here, or it is not what we sealed for this profile and generation;
                its cause is one line that names the key.
        """
