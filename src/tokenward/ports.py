"""Every seam to the outside, as small protocols: the map of our I/O on one page.

The problem: what the daemon decides must be testable without a disk, a network or a clock, and what touches
them must be replaceable one by one. Each port has one contract test class in ``tests/contracts``, which every
adapter, the in-memory ones included, must pass.

Rules: the methods of ``Place``, ``PlaceWriter``, ``HeldLocks``, ``Sink`` and ``Sealer`` block and are called in
worker threads; those of ``TokenEndpoint``, ``Delegate``, ``Login`` and ``LoginServer`` are coroutines; a ``Clock``
never blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from errno import EHOSTUNREACH
from pathlib import Path
from typing import Protocol, runtime_checkable

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.federation import NoIdentity
from tokenward.core.grants import RefreshOutcome, Unavailable
from tokenward.core.key_check import KeyCheck
from tokenward.core.login import LoginMethod, LoginTerms, NotOurs, Refused
from tokenward.core.login_answers import LoggedIn, Wait
from tokenward.core.reading import Reading
from tokenward.core.sharing import Claimed, Committed, Condemnation, Outdated, Removal, SealedValue, SharedRecord


class Clock(Protocol):
    """The three clocks of a machine."""

    def wall(self) -> datetime:
        """Aware UTC; may step in either direction."""

    def monotonic(self) -> float:
        """Seconds; never steps, stops in suspend."""

    def boottime(self) -> float:
        """Seconds; never steps, runs on in suspend."""


class Entropy(Protocol):
    """The source of unpredictable values."""

    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""

    def token(self, size: int) -> bytes:
        """Bytes fit for keys and nonces."""


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


@dataclass(frozen=True, slots=True)
class KeyStatus:
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


@dataclass(frozen=True, slots=True)
class LocksBusy:
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


@dataclass(frozen=True, slots=True)
class Superseded:
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


class TokenEndpoint(Protocol):
    """One authorization server's token endpoint, as we are registered there."""

    @property
    def url(self) -> str:
        """Its address: the name under which families and limits are kept."""

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """Spend a refresh token (RFC 6749 section 6), once, within its own deadline. Never raises."""


class IdentitySource(Protocol):
    """Where the identity tokens of one workload come from."""

    @property
    def description(self) -> str:
        """Where exactly, for people; an absolute path is watched."""

    def signature(self) -> Hashable | None:
        """One stat: a value that changes when another identity token may be there. Never raises."""

    async def token(self) -> Secret | NoIdentity:
        """The identity token as it is now. Never raises."""


class MintEndpoint(Protocol):
    """A token endpoint that gives access tokens for identity tokens."""

    async def mint(self, identity: Secret) -> RefreshOutcome:
        """Present an identity token (RFC 7523 section 2.1), once, within its own deadline. Never raises."""


class Delegate(Protocol):
    """The credential's owner, asked to refresh it by itself."""

    async def refresh(self) -> str | None:
        """Ask, and wait until the owner's program has ended or our patience has.

        Returns:
            None if it ran; else one line that says why it could not.
        """


class Login(Protocol):
    """One login of a person, under way."""

    @property
    def url(self) -> str:
        """The address that the person opens."""

    @property
    def user_code(self) -> str | None:
        """What the person types there (RFC 8628 section 3.2); None where nothing is to be typed."""

    @property
    def expires_in(self) -> float | None:
        """Seconds from its beginning after which the server forgets it; None = it does not say."""

    async def ready(self, pasted: str | None, *, patience: float) -> bool | Refused | NotOurs:
        """Wait for the person.

        Args:
            pasted: what the person copied; None = the answer comes by itself.
            patience: seconds.

        Returns:
            Whether ``redeem`` may be called now; False if our patience ended before.
        """

    async def redeem(self) -> LoggedIn | Wait | Refused | Unavailable:
        """Ask the server for the tokens, once ``ready`` said so. Never raises, never to be cancelled."""

    async def aclose(self) -> None:
        """Let go of what it holds."""


class LoginServer(Protocol):
    """An authorization server, as a person's login needs it."""

    @property
    def title(self) -> str:
        """The provider's name for people."""

    async def begin(self, method: LoginMethod, terms: LoginTerms) -> Login | Refused | Unavailable:
        """Begin a login. Never raises."""

    async def create_api_key(self, login: Credential) -> Credential | Refused | Unavailable:
        """Exchange a login for an API key, and end the login. Never raises."""

    async def revoke(self, credential: Credential) -> Refused | Unavailable | None:
        """End a login at the server (RFC 7009); None if that was done. Never raises."""

    async def check_key(self, credential: Credential, *, model: str | None = None) -> KeyCheck:
        """Ask the API, by one request, whether it takes a credential. Never raises.

        Args:
            credential: what is shown to it.
            model: send this model a short message, which costs tokens; None = a request that costs nothing.
        """


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


class Processes(Protocol):
    """Other programs."""

    async def run(
        self, argv: Sequence[str], *, environ: dict[str, str], patience: float, on_exit: Callable[[], None]
    ) -> int | None:
        """Run a program to its end; our patience ends our waiting, never the program.

        Args:
            argv: the command, its first word an absolute path.
            environ: its whole environment.
            patience: seconds.
            on_exit: called when the program has ended, also long after we stopped waiting.

        Returns:
            Its exit status, or None if it still runs.

        Raises:
            OSError: if it could not be started.
        """


@dataclass(frozen=True, slots=True)
class Published:
    """What a sink is given of a credential: enough to use it, and never a refresh token (design I9).

    Args:
        profile: whose it is.
        provider: the provider's name.
        kind: which of the five kinds.
        token: the access token or key.
        generation: names the value; public.
        expires_at: when it ends, aware UTC; None = unknown.
        base_url: the API's root, where it is not the provider's usual one.
        headers: further headers that every request needs, names in lower case.
    """

    profile: str
    provider: str
    kind: Kind
    token: Secret
    generation: str
    expires_at: datetime | None = None
    base_url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Sink(Protocol):
    """A file, or a few, that we publish for programs that cannot ask a socket. Its methods block."""

    @property
    def paths(self) -> Sequence[Path]:
        """What it writes."""

    def publish(self, published: Published) -> bool:
        """Have the files say this, each whole and durable; what somebody else wrote there is left alone.

        Returns:
            Whether anything was written; files that say so already are left as they are.

        Raises:
            ConfigurationFault: if it must not be written there, or cannot say this; what was there before stands.
            OSError: if it could not be written; what was there before stands.
        """

    def withdraw(self) -> bool:
        """Take away what we published; what somebody else wrote there stays.

        Returns:
            Whether anything was removed.

        Raises:
            OSError: if it could not be removed.
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
