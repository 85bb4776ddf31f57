"""The place of a credential that many hosts hold: its refresh token is spent under a lease, its value is fenced.

The problem: whoever refreshes may die, be stopped or be cut off at any line, on another machine, and a refresh
token that two hosts send ends the login of both.

=======================================  ====================================================================
if the holder dies, or is stopped ...    what the other hosts find
=======================================  ====================================================================
before the claim                         an unclaimed record: the next one claims it
after the claim, before the request      a lease that lapses: they wait until the access token has ended, and until
                                         they have watched it lapsed for as long as it ran
after the request                        the same; the holder's family file says what became of it
after the answer was sealed              the same; the holder commits it when it starts, or goes on
after the commit                         the new value
stopped beyond its lease, then goes on   before the request: it sends nothing, for its lease is too short (the one
                                         instant between that look and the request is all that is left open).
                                         After it: its value is stored if nobody replaced the old one, and is
                                         else kept as an orphan, which a person is told of
=======================================  ====================================================================

Rules:
- A lease lasts for two requests, and a request is begun only while one more fits into it.
- Nobody waits for more than news: who waited in vain for another host's refresh does not try at once as well, so
  that an authorization server that is down is asked by one host a lease, and not by all of them one after another.
- That a token must not be sent is believed only of a word that the engine gave just now.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable, Sequence

from tokenward.core.claiming import AtWork, Dead, InDoubt, Take, may_claim
from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Found, Reading
from tokenward.core.sharing import Claimed, Committed, Condemnation, SharedRecord
from tokenward.daemon.shared_records import SharedRecords
from tokenward.ports import Clock, HeldLocks, LockIdentity, LocksBusy, NoLocks, PlaceWriter, Stored, Superseded
from tokenward.ports.leases import HeldLease, KnownDead, PerhapsSpent
from tokenward.ports.sharing import SharedStoreAway

SHARED = "shared"
"""The source's name of what many hosts hold."""
LEASE_REQUESTS = 2
"""Requests for which a lease lasts: one, and as long again for the mark before it and the commit after it."""
REPLACED = "another host has replaced it"

Word = AtWork | InDoubt | Dead | Take


class SharedPlace:
    """One shared credential; a ``ports.LeasedPlace``.

    Args:
        profile: its key.
        records: what this host knows, and the way to the engine.
        clock: the machine's clocks.
        request_seconds: how long one request to the token endpoint may take.
        reuse_grace: seconds in which the authorization server takes a spent refresh token once more.
    """

    def __init__(
        self,
        profile: str,
        records: SharedRecords,
        *,
        clock: Clock,
        request_seconds: float,
        reuse_grace: float = 0.0,
    ) -> None:
        self.name = SHARED
        self.description = records.engine.description
        self._profile = profile
        self._records = records
        self._clock = clock
        self._request_seconds = request_seconds
        self._reuse_grace = reuse_grace

    def signature(self) -> Hashable | None:
        """A count of what was heard; None where nothing is."""
        return self._records.signature(self._profile)

    def read(self) -> Reading:
        """What the engine said last; asks nobody."""
        return self._records.reading(self._profile)

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        """A write needs none: the engine compares generations."""
        return NoLocks()

    def prepare_write(self) -> PlaceWriter:
        """A claim has just shown that the engine takes writes; where no record is, none is made."""
        if self._records.record(self._profile) is None:
            self._records.look(self._profile)  # as after a start, for a value that is late
        if self._records.record(self._profile) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.description)
        return _SharedWriter(self._profile, self._records)

    # The lease

    def claim(self, generation: str, deadline: float) -> HeldLease | LocksBusy | PerhapsSpent | KnownDead:
        """Take the lease, or wait until whoever has it is done; see ``LeasedPlace``."""
        try:
            return self._claim(generation, deadline)
        except SharedStoreAway as away:
            return LocksBusy(f"the shared store is away, and nobody refreshes without it: {away.cause}")

    def _claim(self, generation: str, deadline: float) -> HeldLease | LocksBusy | PerhapsSpent | KnownDead:
        looked = waited = False
        while True:
            record = self._records.record(self._profile)
            if record is None and not looked:
                self._records.look(self._profile)
                looked = True
                continue
            if record is None or record.value.generation != generation:
                return LocksBusy(REPLACED)
            word = self._decide(record)
            if isinstance(word, InDoubt | Dead) and not looked:
                self._records.look(self._profile)
                looked = True
                continue
            if isinstance(word, AtWork) and (patience := deadline - self._clock.monotonic()) > 0:
                waited = True
                seconds = min(word.seconds, patience)
                looked = not self._records.await_change(self._profile, record.revision, seconds)
                if looked:
                    self._records.look(self._profile)
                continue
            if isinstance(word, Take) and not (waited and record.lease is None):
                taken_at = self._clock.boottime()
                answer = self._records.claim(record, holder=word.holder, seconds=self._lease_seconds)
                if isinstance(answer, Claimed):
                    ends_at = taken_at + self._lease_seconds
                    return _Lease(self, self._records, answer.record, ends_at, may_return=word.may_return)
                looked = True
                continue
            return _refusal(word)

    def lasts_until(self, ends_at: float, *, for_a_request: bool = False) -> bool:
        """Whether a lease is ours now, or until a request that begins now has ended.

        Args:
            ends_at: on the boot clock, in seconds.
            for_a_request: as above.
        """
        return self._clock.boottime() + self._request_seconds * for_a_request < ends_at

    @property
    def _lease_seconds(self) -> float:
        return LEASE_REQUESTS * self._request_seconds

    def _decide(self, record: SharedRecord) -> Word:
        opened = self._records.open(self._profile, record.value)
        ends = opened.credential.expires_at if isinstance(opened, Found) else None
        left = None if ends is None else (ends - self._clock.wall()).total_seconds()
        return may_claim(
            record,
            holder=self._records.holder,
            left=left,
            reuse_grace=self._reuse_grace,
            watched=self._records.watched(record),
        )

    def condemn(self, generation: str, reason: str) -> None:
        """Tell all hosts that a value's refresh token is dead; see ``LeasedPlace``."""
        self._records.commit(self._profile, generation, Condemnation(reason))


def _refusal(word: Word) -> LocksBusy | PerhapsSpent | KnownDead:
    match word:
        case Dead(reason):
            return KnownDead(reason)
        case InDoubt(holder, since, seconds):
            return PerhapsSpent(
                f"{holder} began to refresh it {since:.0f} s ago and has not told how that ended; "
                f"what it holds is waited for, for {seconds:.0f} s",
                seconds,
            )
        case AtWork(holder):
            return LocksBusy(f"{holder} is refreshing it")
        case _:
            return LocksBusy("another host tried to refresh it, and could not")


class _Lease:
    identities: Sequence[LockIdentity] = ()

    def __init__(
        self,
        place: SharedPlace,
        records: SharedRecords,
        claimed: SharedRecord,
        ends_at: float,
        *,
        may_return: bool,
    ) -> None:
        self._place = place
        self._records = records
        self._claimed = claimed
        self._ends_at = ends_at
        self._may_return = may_return
        self._is_in_doubt = False

    def still_owned(self) -> bool:
        return self._place.lasts_until(self._ends_at)

    def may_send(self) -> bool:
        lasts = self._place.lasts_until(self._ends_at, for_a_request=True)
        self._is_in_doubt = self._is_in_doubt or lasts
        return lasts

    def settle(self) -> None:
        self._is_in_doubt = False

    def release(self) -> None:
        if self._is_in_doubt or not self._may_return:
            return
        self._may_return = False
        record = self._records.record(self._claimed.profile)
        if record is not None and record.revision == self._claimed.revision:
            self._records.claim(self._claimed, holder=self._records.holder, seconds=0.0)


class _SharedWriter:
    def __init__(self, profile: str, records: SharedRecords) -> None:
        self._profile = profile
        self._records = records

    def commit(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        value = self._records.seal(self._profile, credential)
        answer = self._records.commit(self._profile, expected_generation, value)
        if isinstance(answer, Committed):
            return Stored()
        if answer.record is None:
            return Superseded(Absent())
        return Superseded(self._records.open(self._profile, answer.record.value))

    def discard(self) -> None:
        """Nothing was prepared that would have to be taken back."""
