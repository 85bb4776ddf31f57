"""What the tests of refreshes share: a place with hooks, a server that rotates, and a transaction over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from fakes.machine import CountingEntropy, FakeClock
from tokenward.core.credential import Credential, Kind, Secret, family_of
from tokenward.core.grants import Condemned, Granted, RefreshOutcome
from tokenward.core.reading import Reading
from tokenward.daemon.transaction import Transaction
from tokenward.ports import HeldLocks, LockIdentity, LocksBusy, Place, PlaceWriter, Sealer, Stored, Superseded
from tokenward.stores.key_ring import AesGcmSealer
from tokenward.stores.memory import MemoryPlace

ENDPOINT = "https://auth.invalid/oauth/token"
LIFE = 3600.0


class Killed(BaseException):
    """Stands for the end of the process at one line."""


def nothing() -> None:
    """The hook that does nothing."""


def sealer(key: bytes = b"k" * 32) -> AesGcmSealer:
    """Real encryption under a known key."""
    return AesGcmSealer(key, CountingEntropy())


def credential_at(
    clock: FakeClock, number: int = 0, *, left: float = 60.0, granted_life: float | None = None
) -> Credential:
    """An OAuth credential with so many seconds left; every number makes another value."""
    return Credential(
        kind=Kind.OAUTH,
        access=Secret(f"sk-ant-oat01-access-{number}"),
        refresh=Secret(f"sk-ant-ort01-refresh-{number}"),
        expires_at=clock.now + timedelta(seconds=left),
        granted_life=granted_life,
        scopes=("user:inference",),
    )


class HookedPlace(MemoryPlace):
    """A place in memory that lets a test in at every step of a transaction."""

    def __init__(self, credential: Credential | None = None, *, locks: tuple[LockIdentity, ...] = ()) -> None:
        super().__init__(credential, description="/home/me/login.json", lock_identities=locks)
        self.before_read: Callable[[], object] = nothing
        self.after_read: Callable[[], object] = nothing
        self.before_lock: Callable[[], object] = nothing
        self.before_prepare: Callable[[], object] = nothing
        self.before_commit: Callable[[], object] = nothing
        self.after_commit: Callable[[], object] = nothing
        self.locks_taken = 0

    def read(self) -> Reading:
        """As in memory, with the hooks around it."""
        self.before_read()
        reading = super().read()
        self.after_read()
        return reading

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:
        """As in memory, with the hook before it."""
        self.before_lock()
        self.locks_taken += 1
        return super().acquire_locks(deadline)

    def prepare_write(self) -> PlaceWriter:
        """As in memory, with the hook before it."""
        self.before_prepare()
        return super().prepare_write()

    def compare_and_put(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        """As in memory, with the hooks around it."""
        self.before_commit()
        swapped = super().compare_and_put(expected_generation, credential)
        self.after_commit()
        return swapped


class RotatingServer:
    """A token endpoint for worker threads: it grants each refresh token once and condemns it after that.

    Args:
        rotate: whether a refresh replaces the refresh token.
    """

    def __init__(self, *, rotate: bool = True) -> None:
        self.rotate = rotate
        self.sent: list[str] = []
        self.reuse_detected = 0
        self.during: Callable[[], object] = nothing
        """Called while a request is under way, before it is performed."""
        self.script: list[RefreshOutcome] = []
        """What the next requests are answered with, without being performed."""

    def post(self, refresh: Secret) -> RefreshOutcome:
        """Answer one request."""
        known = refresh.reveal() in self.sent
        self.sent.append(refresh.reveal())
        self.during()
        if self.script:
            return self.script.pop(0)
        if known and self.rotate:
            self.reuse_detected += 1
            return Condemned("invalid_grant", "it was spent before")
        number = len(self.sent)
        return Granted(
            access=Secret(f"granted-access-{number}"),
            refresh=Secret(f"granted-refresh-{number}") if self.rotate else None,
            expires_in=LIFE,
            scopes=None,
            token_type="Bearer",
        )


def transaction(
    directory: Path,
    place: Place,
    clock: FakeClock,
    post: Callable[[Secret], RefreshOutcome],
    *,
    reuse_grace: float = 0.0,
    sealed_with: Sealer | None = None,
    profile: str = "acme:me",
) -> Transaction:
    """A transaction whose waiting moves the clock."""
    return Transaction(
        profile=profile,
        place=place,
        token_endpoint=ENDPOINT,
        reuse_grace=reuse_grace,
        families=directory / "families",
        sealer=sealed_with or sealer(),
        clock=clock,
        wait=clock.advance,
        post=post,
    )


def family_name(held: Credential) -> str:
    """The family of a credential's refresh token."""
    assert held.refresh is not None
    return family_of(ENDPOINT, held.refresh)


def journal(directory: Path, held: Credential) -> list[dict[str, Any]]:
    """What is on the disk of a credential's family, a record each; empty if there is no file."""
    path = directory / "families" / f"{family_name(held)}.journal"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\0", 1)[0].splitlines()]


def records(directory: Path, held: Credential) -> list[str]:
    """The journal in short: the kinds of its records, and for an outcome which."""
    return [record.get("outcome", record["record"]) for record in journal(directory, held)]
