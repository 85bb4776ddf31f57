"""Where credentials live: looked at, locked by their owner's protocol, and written by compare-and-swap.

The problem: most places belong to another program, which reads, writes and locks them as it likes.

Rules:
- All of it but ``reject`` and ``waits_for`` blocks, and is called in worker threads.
- To look never raises; to write raises, and leaves what was there.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from tokenward.core.credential import Credential
from tokenward.core.reading import Reading


@dataclass(frozen=True, slots=True)
class LockIdentity:
    """One foreign lock that we hold, named so that a successor can tell it is ours.

    Args:
        path: the lock directory.
        dev: its device number.
        ino: its inode number.
    """

    path: str
    dev: int
    ino: int


class HeldLocks(Protocol):
    """Foreign locks in our hands."""

    @property
    def identities(self) -> Sequence[LockIdentity]:
        """What to write into the journal."""

    def still_owned(self) -> bool:
        """Whether every one of them is still ours, asked of the disk."""

    def release(self) -> None:
        """Give them back, last first; what is no longer ours is left alone."""


class NoLocks:
    """The locks of a place that has no owner but us (``HeldLocks``)."""

    identities: Sequence[LockIdentity] = ()

    def still_owned(self) -> bool:
        """Nobody can take what is not there."""
        return True

    def release(self) -> None:
        """There is nothing to give back."""


class LocksBusy(NamedTuple):
    """The locks could not be had in time, or not at all.

    Args:
        reason: one line for people: which lock, how old, held by whom if known.
        refused: whether the file system refuses to make the lock, so that waiting does not help.
    """

    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """The write is durable."""


class Superseded(NamedTuple):
    """The place holds another generation than the one expected; nothing was written.

    Args:
        reading: what is there.
    """

    reading: Reading


class PlaceWriter(Protocol):
    """The proof that a place can be written, and the write itself."""

    def commit(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        """Compare and swap, durably: file and directory are synced when it returns ``Stored``.

        Raises:
            OSError: if it could not be written; what was there before is still there, whole.
        """

    def discard(self) -> None:
        """Leave the place as it is; may be called at any time, also after ``commit``."""


class Place(Protocol):
    """Where one credential lives: a file of another program, or a record of our own store."""

    @property
    def name(self) -> str:
        """The source's name as people see it: ``claude-code``, ``store``."""

    @property
    def description(self) -> str:
        """Where exactly, for people and for the journal: a path."""

    def signature(self) -> Hashable | None:
        """One stat: a value that changes when the place does; None where nothing is. Never raises."""

    def read(self) -> Reading:
        """Look. Never raises: what cannot be read is ``Unreadable``."""

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:
        """Take the owner's refresh locks by the owner's protocol; a place of our own has none.

        Args:
            deadline: on the monotonic clock, in seconds.
        """

    def prepare_write(self) -> PlaceWriter:
        """Prove that the place can be written, before a refresh token is spent.

        Raises:
            OSError: if it cannot.
        """


@runtime_checkable
class LockedPlace(Place, Protocol):
    """A place whose owner locks it: while a flight waits for such a lock, people can see for which."""

    @property
    def waits_for(self) -> str | None:
        """The lock and its holder in one line; None while nothing is waited for. Asked from any thread."""


@runtime_checkable
class RenewingPlace(Place, Protocol):
    """A place that can make another value by itself when it is looked at: a command that is run again."""

    def reject(self, generation: str) -> None:
        """A caller was refused with this value; the next look may find another. Never blocks."""


class CredentialStore(Protocol):
    """The place we own: one record a profile."""

    def profiles(self) -> Sequence[str]:
        """The ids of all records, sorted, whether or not they can be read."""

    def place(self, profile: str) -> Place:
        """The place of one record, present or not."""

    def add(self, profile: str, credential: Credential) -> None:
        """Create or replace a record, durably.

        Raises:
            OSError: if it could not be written.
        """

    def remove(self, profile: str) -> bool:
        """Delete a record, durably; the only deletion there is (design I5).

        Returns:
            Whether there was one.
        """
