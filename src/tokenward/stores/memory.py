"""Places and a store without a disk, for tests and for whoever needs nothing to last.

The problem: what a keeper does when a write fails, a lock is busy or another program writes in between must be
tried hundreds of times, and a disk is slow to break on purpose. So here is a place that keeps every promise of
the real ones and breaks on request.

Rules:
- Everything is safe from many threads, since places are called from worker threads.
- A scripted failure leaves what was there untouched, as the port promises.
- What stands for the owner of the place (``overwrite``, ``blank``, ``tear``, ``vanish``) obeys no lock of ours.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Hashable, Sequence

from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.ports import HeldLocks, LockIdentity, LocksBusy, PlaceWriter, Stored, Superseded


class MemoryPlace:
    """A place in memory.

    Args:
        credential: what it holds; None = nothing.
        name: the source's name.
        description: where it pretends to be.
        lock_identities: the foreign locks it pretends to have.
    """

    def __init__(
        self,
        credential: Credential | None = None,
        *,
        name: str = "memory",
        description: str = "memory",
        lock_identities: Sequence[LockIdentity] = (),
    ) -> None:
        self.name = name
        self.description = description
        self.commits: list[Credential] = []
        """What was committed here, oldest first; the owner's own writes are not."""
        self._guard = threading.RLock()
        self._reading: Reading = Absent() if credential is None else Found(credential)
        self._changes = 0
        self._prepare_failures: deque[OSError] = deque()
        self._commit_failures: deque[OSError] = deque()
        self._identities = tuple(lock_identities)
        self._busy: LocksBusy | None = None
        self._holder: _MemoryLocks | None = None

    # What ports.Place promises.

    def signature(self) -> Hashable | None:
        """A count of the changes; None where nothing is."""
        with self._guard:
            return None if isinstance(self._reading, Absent) else self._changes

    def read(self) -> Reading:
        """What is there."""
        with self._guard:
            return self._reading

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        """Take the locks, unless somebody has them; never waits."""
        with self._guard:
            if self._busy is not None:
                return self._busy
            if self._identities and self._holder is not None:
                return LocksBusy("held by another holder in this process")
            self._holder = _MemoryLocks(self, self._identities)
            return self._holder

    def prepare_write(self) -> PlaceWriter:
        """A writer; FileNotFoundError where nothing is, since no place is created by a refresh.

        Raises:
            OSError: the next scripted failure.
        """
        with self._guard:
            if self._prepare_failures:
                raise self._prepare_failures.popleft()
            if isinstance(self._reading, Absent):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.description)
            return _MemoryWriter(self)

    # What tests do to it.

    def overwrite(self, credential: Credential) -> None:
        """Another program writes a credential."""
        self._become(Found(credential))

    def blank(self, *, login_ended: bool = False) -> None:
        """Another program leaves a stub."""
        self._become(Blanked(login_ended))

    def tear(self, reason: str = "not JSON") -> None:
        """Another program leaves something that cannot be read."""
        self._become(Unreadable(reason))

    def vanish(self) -> None:
        """Another program removes it."""
        self._become(Absent())

    def fail_prepares(self, times: int, error: OSError) -> None:
        """Let the next proofs of writability fail."""
        with self._guard:
            self._prepare_failures.extend([error] * times)

    def fail_commits(self, times: int, error: OSError) -> None:
        """Let the next writes fail."""
        with self._guard:
            self._commit_failures.extend([error] * times)

    def make_busy(self, reason: str = "held by another program", *, refused: bool = False) -> None:
        """Let the locks be somebody else's until ``make_free``."""
        with self._guard:
            self._busy = LocksBusy(reason, refused)

    def make_free(self) -> None:
        """Let the locks be had again."""
        with self._guard:
            self._busy = None

    def steal_locks(self) -> None:
        """Another program takes the locks out of our hands."""
        with self._guard:
            self._holder = None

    @property
    def locked(self) -> bool:
        """Whether we hold the locks now."""
        with self._guard:
            return self._holder is not None

    # What its parts and its store do.

    def put(self, credential: Credential) -> None:
        """Write without a comparison, unless a failure is scripted.

        Raises:
            OSError: the scripted one.
        """
        with self._guard:
            if self._commit_failures:
                raise self._commit_failures.popleft()
            self._become(Found(credential))
            self.commits.append(credential)

    def compare_and_put(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        """Write if the generation expected is there, or already the one to be written.

        Raises:
            OSError: the scripted one.
        """
        with self._guard:
            match self._reading:
                case Found(there) if there.generation in {expected_generation, credential.generation}:
                    self.put(credential)
                    return Stored()
                case other:
                    return Superseded(other)

    def owned_by(self, holder: _MemoryLocks) -> bool:
        """Whether these are the locks' holder; where there are no locks, nobody can take them away."""
        with self._guard:
            return not self._identities or self._holder is holder

    def let_go(self, holder: _MemoryLocks) -> None:
        """Free the locks if these hold them."""
        with self._guard:
            if self._holder is holder:
                self._holder = None

    def _become(self, reading: Reading) -> None:
        with self._guard:
            self._reading = reading
            self._changes += 1


class _MemoryLocks:
    def __init__(self, place: MemoryPlace, identities: tuple[LockIdentity, ...]) -> None:
        self._place = place
        self.identities: Sequence[LockIdentity] = identities

    def still_owned(self) -> bool:
        return self._place.owned_by(self)

    def release(self) -> None:
        self._place.let_go(self)


class _MemoryWriter:
    def __init__(self, place: MemoryPlace) -> None:
        self._place = place

    def commit(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        return self._place.compare_and_put(expected_generation, credential)

    def discard(self) -> None:
        """Nothing was prepared that would have to be taken back."""


class MemoryCredentialStore:
    """A store in memory. ``place`` gives one object a profile, so that a test can script it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._places: dict[str, MemoryPlace] = {}

    def profiles(self) -> Sequence[str]:
        """The ids of all records, sorted."""
        with self._guard:
            return sorted(id_ for id_, place in self._places.items() if place.signature() is not None)

    def place(self, profile: str) -> MemoryPlace:
        """The place of one record, present or not."""
        with self._guard:
            if profile not in self._places:
                self._places[profile] = MemoryPlace(name="store", description=f"memory of {profile}")
            return self._places[profile]

    def add(self, profile: str, credential: Credential) -> None:
        """Create or replace a record.

        Raises:
            OSError: one scripted at its place.
        """
        self.place(profile).put(credential)

    def remove(self, profile: str) -> bool:
        """Delete a record."""
        place = self.place(profile)
        present = place.signature() is not None
        place.vanish()
        return present
