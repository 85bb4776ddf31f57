"""The file of one stored credential: whose it is, which value, which key, and the sealed inside.

The problem: a record that can be read only with the key must still say whose it is and which key it wants, and
must not be passed off as another's. The inside is ``core.record``.

Rules:
- The outer record is readable without the key and holds no secret: whose it is, which generation, which key.
- Profile and generation are bound to what is sealed, so that a record cannot be passed off as another's or as
  another value.
- A record of a newer version is not guessed at.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from tokenward.core.credential import Credential
from tokenward.core.record import UnknownRecord, from_record, to_record
from tokenward.core.redact import printable
from tokenward.errors import StoreUnavailable
from tokenward.ports import Sealer

VERSION = 1


class BadRecord(Exception):
    """A record that cannot be used; its text is one line for people, without a secret."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The outer record.

    Args:
        profile: whose it is.
        generation: names the value inside.
        key: names the key that sealed it.
        sealed: the inner record.
    """

    profile: str
    generation: str
    key: str
    sealed: bytes


def encode(profile: str, credential: Credential, sealer: Sealer) -> bytes:
    """The record of a credential, as it goes to the disk."""
    sealed = sealer.seal(to_record(credential), _associated(profile, credential.generation))
    outer = {
        "version": VERSION,
        "profile": profile,
        "generation": credential.generation,
        "key": sealer.key_id,
        "sealed": base64.b64encode(sealed).decode(),
    }
    return json.dumps(outer).encode() + b"\n"


def open_envelope(data: bytes) -> Envelope:
    """Read the outer record.

    Raises:
        BadRecord: if it is not one of ours.
    """
    try:
        outer = json.loads(data)
        version = outer["version"]
        if isinstance(version, int) and version > VERSION:
            raise BadRecord(f"a newer tokenward wrote this record (version {version})")
        if version != VERSION:
            raise BadRecord("the record has no version that was ever used")
        profile, generation, key = (outer[name] for name in ("profile", "generation", "key"))
        if not all(isinstance(word, str) for word in (profile, generation, key)):
            raise BadRecord("the record is damaged")
        return Envelope(profile, generation, key, base64.b64decode(outer["sealed"], validate=True))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadRecord("the record is damaged") from None


def decode(data: bytes, profile: str, *sealers: Sealer) -> Credential:
    """Read a record whole.

    Args:
        data: the file's bytes.
        profile: whose it must be.
        sealers: the store's: one, or two while it changes its key.

    Raises:
        BadRecord: if it cannot be used.
    """
    envelope = open_envelope(data)
    if envelope.profile != profile:
        raise BadRecord("the record is another profile's")
    sealer = next((each for each in sealers if each.key_id == envelope.key), None)
    if sealer is None:
        raise BadRecord(f"another key sealed this record ({printable(envelope.key)[:16]})")
    try:
        return from_record(sealer.unseal(envelope.sealed, _associated(profile, envelope.generation)))
    except StoreUnavailable as error:
        raise BadRecord(error.cause) from None
    except UnknownRecord:
        raise BadRecord("the record's inside is not one that this version wrote") from None


def _associated(profile: str, generation: str) -> bytes:
    return json.dumps(["tokenward credential", profile, generation]).encode()
