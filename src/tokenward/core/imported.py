"""What a reader of another program's store found there: credentials to keep, and what cannot be kept and why.

Rule: everything that stands in a store is in the result, once: what is not taken over is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenward.core.credential import Credential


@dataclass(frozen=True, slots=True)
class Imported:
    """One credential, and the profile it would be.

    Args:
        profile: ``provider:name``, as its owner named it.
        credential: a copy of it.
        note: one line that a person should know.
    """

    profile: str
    credential: Credential
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was seen and not taken.

    Args:
        name: what its owner calls it.
        reason: one line for people.
    """

    name: str
    reason: str


Entry = Imported | Skipped


@dataclass(frozen=True, slots=True)
class Gathered:
    """What all the files of one program hold.

    Args:
        files: those that were there.
        entries: what they hold.
    """

    files: tuple[str, ...]
    entries: tuple[Entry, ...]
