"""A credential that many hosts hold, as the engine between them tells of it.

The problem: a refresh token is good for one use, and the daemons of many hosts hold the same one. They agree in an
engine that teams already run; a daemon may die, be stopped or be cut off at any line, and no two clocks agree.

Rules:
- Every change of a record raises its ``revision``; a claim is a compare-and-swap on it. A commit is fenced by the
  ``generation`` alone: whoever holds the only value that is good now may be late, and is stored if nothing
  replaced what he sent, else kept as an orphan.
- All times are ages in seconds, measured by the engine's clock; none is compared with a clock of ours.
- What is sealed is opaque to the engine. The key is never there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one daemon to spend the refresh token of one value.

    Args:
        holder: names the daemon that took it; stable over its restarts.
        age: seconds since it was taken.
        left: seconds until it ends; not above zero = it lapsed, and its holder may have spent the token and told
            nobody.
    """

    holder: str
    age: float
    left: float


@dataclass(frozen=True, slots=True)
class SealedValue:
    """One value of a credential, sealed by us.

    Args:
        generation: names the value; public.
        key_id: names the key that sealed it; public.
        sealed: the record of the credential, bound to profile and generation.
    """

    generation: str
    key_id: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class SharedRecord:
    """What the engine holds of one profile.

    Args:
        profile: the profile's key.
        revision: counts every change, leases included.
        value: the newest value.
        lease: the claim on it, lapsed or not; None = nobody is at work and nobody left it in doubt.
        condemned: what the authorization server said of this value's refresh token, if it is dead.
    """

    profile: str
    revision: int
    value: SealedValue
    lease: Lease | None = None
    condemned: str | None = None


@dataclass(frozen=True, slots=True)
class Condemnation:
    """A change: the refresh token of the value expected is dead.

    Args:
        reason: what the authorization server said; no secret.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """A change: the record goes."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The lease is ours, durably.

    Args:
        record: the record as it is now.
    """

    record: SharedRecord


@dataclass(frozen=True, slots=True)
class Committed:
    """The change is durable, and the lease on the value replaced is over.

    Args:
        record: the record as it is now; None after a removal.
    """

    record: SharedRecord | None


@dataclass(frozen=True, slots=True)
class Outdated:
    """The record is not what was expected; nothing was changed.

    Args:
        record: what is there; None = nothing.
        orphan: names the row in which a value that could not be stored is kept; None if there was none to keep.
    """

    record: SharedRecord | None
    orphan: str | None = None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A value that came too late to be stored: it may be good still, and nobody else has it.

    Args:
        name: names the row.
        profile: whose it is.
        value: what came.
        holder: who brought it.
        age: seconds since it came.
    """

    name: str
    profile: str
    value: SealedValue
    holder: str
    age: float
