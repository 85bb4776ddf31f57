"""Every seam to the outside, as small protocols: the map of our I/O.

The problem: what the daemon decides must be testable without a disk, a network or a clock, and what touches
them must be replaceable one by one. Each port has one contract test class in ``tests/contracts``, which every
adapter, the in-memory ones included, must pass.

Rules:
- Each module says which of its ports block and are called in worker threads, and which are coroutines.
- ``leases`` and ``sharing`` are not repeated here: whoever shares nothing with other hosts loads neither.
"""

from __future__ import annotations

from tokenward.ports.authorization import Delegate, IdentitySource, Login, LoginServer, MintEndpoint, TokenEndpoint
from tokenward.ports.keys import Archive, Custody, KeyPlace, KeyStatus, Sealer
from tokenward.ports.machine import Clock, Entropy, Processes
from tokenward.ports.places import (
    CredentialStore,
    HeldLocks,
    LockedPlace,
    LockIdentity,
    LocksBusy,
    NoLocks,
    Place,
    PlaceWriter,
    RenewingPlace,
    Stored,
    Superseded,
)
from tokenward.ports.sinks import Published, Sink

__all__ = [
    "Archive",
    "Clock",
    "CredentialStore",
    "Custody",
    "Delegate",
    "Entropy",
    "HeldLocks",
    "IdentitySource",
    "KeyPlace",
    "KeyStatus",
    "LockIdentity",
    "LockedPlace",
    "LocksBusy",
    "Login",
    "LoginServer",
    "MintEndpoint",
    "NoLocks",
    "Place",
    "PlaceWriter",
    "Processes",
    "Published",
    "RenewingPlace",
    "Sealer",
    "Sink",
    "Stored",
    "Superseded",
    "TokenEndpoint",
]
