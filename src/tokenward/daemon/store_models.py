"""What is said on the socket about our own store: where its key lies, and what is written out and read back.

Rules, besides those of ``daemon.rpc_types``:
- No result holds a key or a credential; a file is named by its absolute path.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tokenward.daemon.rpc_types import Params, Result


class StoreStatusResult(Result):
    """Where the key of our own store lies."""

    key: Literal["file", "keyring", "systemd", "passphrase"]
    key_id: str = Field(description="Names the key; public.")
    location: str = Field(description="Where exactly, for people.")
    locked: str | None = Field(description="Why the key cannot be used now; null if it can.")
    moving_to: str | None = Field(description="Where a change of the key that has not ended leads.")
    note: str | None = Field(description="What a person should know, with the way out.")
    records: int


class RekeyParams(Params):
    """Where the new key shall lie."""

    to: Literal["file", "keyring", "systemd", "passphrase"]


class ExportParams(Params):
    """What to write, and who may read it."""

    file: str = Field(max_length=4096, description="An absolute path where nothing is yet.")
    recipients: list[str] = Field(min_length=1, max_length=64, description="age recipients, `age1…`.")


class ExportResult(Result):
    """What was written."""

    file: str
    profiles: list[str]
    left_out: list[str] = Field(description="Profiles whose record cannot be read.")


class RestoreParams(Params):
    """What to read, and with which identity."""

    file: str = Field(max_length=4096, description="The absolute path of an exported file.")
    identity_file: str = Field(max_length=4096, description="The absolute path of a file of age identities.")
    force: bool = Field(default=False, description="Replace records that are newer, too.")


class RestoredProfile(Result):
    """What became of one profile."""

    profile: str
    result: Literal["restored", "unchanged", "kept"]
    reason: str | None = Field(description="Why the record that was there is kept.")


class RestoreResult(Result):
    """What became of each profile of the file."""

    profiles: list[RestoredProfile]
