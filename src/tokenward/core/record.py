"""How a credential is written down before it is sealed: a versioned record of its own.

The problem: what lives in memory changes from release to release, and what lies on disk must still be read by
the next one. So the persisted form is a separate, explicit list of members, and a test holds it to the live
one: a member of ``Credential`` about which nobody decided fails it.

Rules: the result holds secrets, and so exists only between a credential and a ``Sealer``. Moments are kept to
the microsecond, so that what comes back equals what went. A record of another version is refused, never guessed
at.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from functools import lru_cache

from tokenward.core.credential import Credential, Kind, Secret

RECORD_VERSION = 1


class UnknownRecord(ValueError):
    """Not a record, or one of a newer version."""


def to_record(credential: Credential) -> bytes:
    """Write a credential down. The result holds its secrets."""
    return json.dumps(
        {
            "version": RECORD_VERSION,
            "kind": credential.kind.value,
            "access": credential.access.reveal(),
            "refresh": credential.refresh.reveal() if credential.refresh is not None else None,
            "expires_at": _text(credential.expires_at),
            "granted_life": credential.granted_life,
            "scopes": list(credential.scopes),
            "token_type": credential.token_type,
            "login_ends_at": _text(credential.login_ends_at),
            "subscription": credential.subscription,
            "tier": credential.tier,
            "account": credential.account,
        },
        separators=(",", ":"),
    ).encode()


def from_record(record: bytes) -> Credential:
    """Read a credential back.

    Raises:
        UnknownRecord: if it is not a record of a version that we know; the message holds nothing of it.
    """
    try:
        members = json.loads(record)
        if members["version"] != RECORD_VERSION:
            raise UnknownRecord("a record of another version")
        return Credential(
            kind=Kind(members["kind"]),
            access=Secret(members["access"]),
            refresh=None if members["refresh"] is None else Secret(members["refresh"]),
            expires_at=_moment(members["expires_at"]),
            granted_life=_one_life(members["granted_life"]),
            scopes=tuple(members["scopes"]),
            token_type=_one_of_many(members["token_type"]),
            login_ends_at=_moment(members["login_ends_at"]),
            subscription=members["subscription"],
            tier=members["tier"],
            account=members.get("account"),  # records from before it was known have none
        )
    except UnknownRecord:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnknownRecord("not a credential's record") from None


def _one_of_many(word: str) -> str:
    """The same text, kept once for all the records that say it."""
    return sys.intern(word) if type(word) is str else word


@lru_cache(maxsize=64, typed=True)
def _one_life(seconds: float | None) -> float | None:
    """The same number, kept once for all the records of logins that live as long."""
    return seconds


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
