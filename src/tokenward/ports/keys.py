"""What seals credentials, and where the keys for it lie.

The problem: a key lies with a person, a keyring or a service manager, each of which may be locked or silent; and
whoever takes that for "there is no key" makes a new one and can never read the old records again.

Rule: all of it blocks, some of it on a person, and is called in worker threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Sealer(Protocol):
    """Authenticated encryption under one key."""

    @property
    def key_id(self) -> str:
        """Names the key; public."""

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Encrypt, bound to the associated data."""

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Decrypt.

        Raises:
            StoreUnavailable: if the key, the associated data or the bytes do not fit together.
        """


class KeyPlace(Protocol):
    """One of the places where a key of our own store can lie. Its methods block, some on a person."""

    @property
    def name(self) -> str:
        """What ``[store] key`` calls it."""

    @property
    def description(self) -> str:
        """Where exactly, for people."""

    @property
    def opens_later(self) -> bool:
        """Whether a place that is locked now may be unlocked without us, so that it is worth asking again."""

    def find(self, key_id: str | None) -> bytes | None:
        """The key of this id, or with None whichever key is here.

        Returns:
            32 bytes; None only where it is certain that there is no such key.

        Raises:
            StoreUnavailable: if the place is locked or does not answer; the key may well be there.
            ConfigurationFault: if what is there must not be used.
        """

    def make(self) -> bytes:
        """A key to seal with from now on, durable beside any that is here.

        Raises:
            StoreUnavailable: as ``find``.
            ConfigurationFault: if the place cannot have one.
        """

    def retire(self, key_id: str, successor: str | None) -> None:
        """Remove a key that nothing is sealed by any more; a successor that lies here too takes its place.

        Raises:
            StoreUnavailable: as ``find``.
        """


class KeyStatus(NamedTuple):
    """Where the key of our own store lies.

    Args:
        place: the place's name.
        key_id: names the key; public.
        description: where exactly, for people.
        locked: why it cannot be used now; None if it can.
        moving_to: the place to which the records are being sealed anew, if that has not ended.
        note: one line that a person should know.
    """

    place: str
    key_id: str
    description: str
    locked: str | None = None
    moving_to: str | None = None
    note: str | None = None


class Custody(Protocol):
    """The key of our own store, kept for as long as the daemon lives. Its methods block."""

    def status(self) -> KeyStatus:
        """Where the key lies; quick, asks nobody."""

    def unlock(self) -> bool:
        """Ask again for a key that was locked.

        Returns:
            Whether it became usable by this call.
        """

    def rekey(self, place: str) -> int:
        """Seal every record under a new key in a place; what was begun before and not ended goes on.

        Returns:
            How many records there are.

        Raises:
            StoreUnavailable: if a key is locked, or a record could not be sealed anew; nothing is lost.
            ConfigurationFault: if the place cannot have a key.
        """


class Archive(Protocol):
    """Encryption to recipients, for what leaves this machine."""

    def seal(self, plain: bytes, recipients: Sequence[str]) -> bytes:
        """Encrypt so that each of the recipients can decrypt.

        Raises:
            InvalidParams: if one of them is not a recipient.
            ConfigurationFault: if what it needs is not installed.
        """

    def unseal(self, sealed: bytes, identities: str) -> bytes:
        """Decrypt with any of the identities of an identity file.

        Raises:
            InvalidParams: if none of them fits, or there is none.
            ConfigurationFault: if what it needs is not installed.
        """
