"""An AWS access key as one credential: an id, a secret, often a session's token, often an end.

The problem: programs that print AWS credentials (``credential_process`` of the AWS SDKs) print four values, good
only together, and everything here hands out one text. So the values are one text, the JSON that was printed,
reduced to its known members; the end is the credential's, as everywhere.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

MEMBERS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
"""The last one belongs to temporary credentials only."""


class AccessKey(NamedTuple):
    """An access key.

    Args:
        text: the JSON of its members, without the end; a secret.
        expires_at: when it ends; None = it says nothing of it.
    """

    text: str
    expires_at: datetime | None


def members(text: str) -> dict[str, str] | None:
    """The members of an access key in its JSON; None if the text is no access key."""
    document = _document(text)
    if document is None:
        return None
    found = {name: value for name in MEMBERS if isinstance(value := document.get(name), str) and value}
    return found if all(name in found for name in MEMBERS[:2]) else None


def read(text: str) -> AccessKey | None:
    """Read what ``credential_process`` would read; None if it is no access key.

    An end that cannot be read is none: the caller's 401 then says that it came.
    """
    found = members(text)
    if found is None:
        return None
    return AccessKey(json.dumps(found, separators=(",", ":")), _end((_document(text) or {}).get("Expiration")))


def _document(text: str) -> dict[str, object] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _end(value: object) -> datetime | None:
    """The moment of an ``Expiration``, in ISO 8601; without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
