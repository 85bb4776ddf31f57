"""``store.*``: what a person does with our own store as a whole: look, change its key, carry it elsewhere.

The problem: a backup that is restored too late brings back refresh tokens that were spent since, and a server that
sees one may end the login; and a backup holds everything that must never leave this machine in the clear.

Rules:
- Refresh tokens leave only inside a file encrypted to recipients (design I9); the file is new, 0600 and durable.
- What is exported is the newest value known, also one that could not be saved yet. Credentials of other programs
  are not ours to export.
- A record is replaced by a restore only if it is certain to be older, unless that is forced. What cannot be read
  is not certain.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from anyio import to_thread
from pydantic import BaseModel, ValidationError

from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Found, Reading, Unreadable
from tokenward.core.record import UnknownRecord, from_record, to_record
from tokenward.daemon.household import STORE, UNLOCK
from tokenward.daemon.rpc_types import ProfileId
from tokenward.daemon.store_models import (
    ExportParams,
    ExportResult,
    RekeyParams,
    RestoredProfile,
    RestoreParams,
    RestoreResult,
    StoreStatusResult,
)
from tokenward.disk.atomic_file import read_regular, replace_file
from tokenward.errors import InvalidParams, StoreUnavailable

if TYPE_CHECKING:
    from tokenward.daemon.ward import Ward

LARGEST_ARCHIVE = 64 * 1024 * 1024
"""Hundreds of records of the largest size."""
LARGEST_IDENTITIES = 64 * 1024

Fate = Literal["restored", "unchanged", "kept"]
T = TypeVar("T")


class ArchivedProfile(BaseModel):
    """One profile of an archive.

    Args:
        profile: its id.
        record: its credential (``core.record``).
    """

    profile: ProfileId
    record: str


class Archived(BaseModel):
    """What is inside the age file."""

    tokenward_export: Literal[1]
    profiles: list[ArchivedProfile]


async def status(ward: Ward) -> StoreStatusResult:
    """Where the key lies; a key that was locked is asked for again."""
    household = ward.household
    if await _in_thread(ward, household.custody.unlock):
        await ward.look_everywhere()
    found = household.custody.status()
    return StoreStatusResult(
        key=found.place,
        key_id=found.key_id,
        location=found.description,
        locked=found.locked,
        moving_to=found.moving_to,
        note=found.note,
        records=len(await _in_thread(ward, household.store.profiles)),
    )


async def rekey(ward: Ward, params: RekeyParams) -> StoreStatusResult:
    """Seal everything under a new key."""
    await _in_thread(ward, lambda: ward.household.custody.rekey(params.to))
    await ward.look_everywhere()
    return await status(ward)


async def export(ward: Ward, params: ExportParams) -> ExportResult:
    """Write everything that the store keeps to an age file."""
    household, file = ward.household, _absolute(params.file)
    _refuse_if_locked(ward)
    archived, left_out = [], []
    for profile in await _in_thread(ward, household.store.profiles):
        credential = await _newest(ward, profile)
        if credential is None:
            left_out.append(profile)
        else:
            archived.append(ArchivedProfile(profile=profile, record=to_record(credential).decode()))
    plain = Archived(tokenward_export=1, profiles=archived).model_dump_json().encode()

    def write() -> None:
        if os.path.lexists(file):
            raise InvalidParams(f"{file} exists already", hint="name a new file")
        try:
            replace_file(file, household.archive.seal(plain, params.recipients))
        except OSError as error:
            raise StoreUnavailable(
                f"{file} could not be written: {error.strerror or type(error).__name__}",
                hint="name a file in a directory that the daemon may write",
            ) from None

    await _in_thread(ward, write)
    return ExportResult(file=str(file), profiles=[each.profile for each in archived], left_out=left_out)


async def restore(ward: Ward, params: RestoreParams) -> RestoreResult:
    """Take the profiles of an age file into the store."""
    household = ward.household
    file, identity = _absolute(params.file), _absolute(params.identity_file)

    def read() -> Archived:
        sealed = _read(file, LARGEST_ARCHIVE)
        identities = _read(identity, LARGEST_IDENTITIES).decode("utf-8", "replace")
        try:
            return Archived.model_validate_json(household.archive.unseal(sealed, identities))
        except ValidationError:
            raise InvalidParams(
                f"{file} is no export of tokenward, or one of a newer version", hint="nothing was changed"
            ) from None

    archived = await _in_thread(ward, read)
    _refuse_if_locked(ward)
    brought = [(each.profile, _credential(each)) for each in archived.profiles]
    fates = []
    for profile, credential in brought:
        fate, reason = await _restore_one(ward, profile, credential, force=params.force)
        fates.append(RestoredProfile(profile=profile, result=fate, reason=reason))
    return RestoreResult(profiles=fates)


def _refuse_if_locked(ward: Ward) -> None:
    if (fault := ward.household.custody.status().locked) is not None:
        raise StoreUnavailable(fault, hint=UNLOCK)


async def _restore_one(ward: Ward, profile: str, brought: Credential, *, force: bool) -> tuple[Fate, str | None]:
    keeper = ward.keepers.get(profile)
    if keeper is not None and keeper.profile.source != STORE:
        return "kept", f"this profile lives in {keeper.place.description}"
    reading = await _in_thread(ward, ward.household.store.place(profile).read)
    if keeper is not None and keeper.credential is not None:
        reading = Found(keeper.credential)
    if isinstance(reading, Found) and reading.credential.generation == brought.generation:
        return "unchanged", None
    if not force and (reason := why_kept(reading, brought)) is not None:
        return "kept", reason
    await ward.install(profile, brought)
    return "restored", None


def why_kept(held: Reading, brought: Credential) -> str | None:
    """Why a record must not be replaced by what a backup brings; None if it may be.

    Args:
        held: what is there, of another generation.
        brought: what the backup has.
    """
    if isinstance(held, Absent):
        return None
    if isinstance(held, Unreadable):
        return f"the record there cannot be read ({held.reason})"
    ends, would_end = held.credential.expires_at if isinstance(held, Found) else None, brought.expires_at
    if ends is None or would_end is None:
        return "the record there differs, and which is newer cannot be told"
    return "the record there is newer" if ends >= would_end else None


async def _newest(ward: Ward, profile: str) -> Credential | None:
    keeper = ward.keepers.get(profile)
    if keeper is not None and keeper.credential is not None:
        return keeper.credential
    reading = await _in_thread(ward, ward.household.store.place(profile).read)
    return reading.credential if isinstance(reading, Found) else None


def _credential(archived: ArchivedProfile) -> Credential:
    try:
        return from_record(archived.record.encode())
    except UnknownRecord:
        raise InvalidParams(
            f"the record of {archived.profile} is of a newer version, or damaged", hint="nothing was changed"
        ) from None


def _absolute(path: str) -> Path:
    if not path.startswith("/"):
        raise InvalidParams("a file must be named by its absolute path", hint="begin with a slash")
    return Path(path)


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit=limit).data
    except OSError as error:
        raise InvalidParams(
            f"{path} cannot be read: {error.strerror or type(error).__name__}", hint="check the name"
        ) from None


async def _in_thread(ward: Ward, work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work, limiter=ward.household.writing)
