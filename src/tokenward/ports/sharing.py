"""Credentials that many hosts hold, and the engine between them; the lease on one is in ``ports.leases``.

The problem: no host can know whether another is dead, stopped or cut off, and no two clocks agree.

Rule: all of it but ``subscribe`` blocks, and is called in worker threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from errno import EHOSTUNREACH
from typing import Protocol

from tokenward.core.credential import Credential
from tokenward.core.sharing import Claimed, Committed, Condemnation, Outdated, Removal, SealedValue, SharedRecord


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
