"""What the readers of foreign stores share: text to values, names to profiles, and moments in three spellings.

The problem: the same few facts (a key, a token pair, an end) stand in each program's file in another spelling,
and any of them may be missing, blanked, torn or from a version that nobody here has seen.

Rules:
- A file that is not whole is an error that names the file; an entry that is not whole is ``Skipped``, and the
  others are read.
- An unknown member is no reason to refuse an entry. No message shows a value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.imported import Entry, Imported, Skipped
from tokenward.errors import ConfigurationFault
from tokenward.sources.fixed import SETUP_TOKEN_PREFIX
from tokenward.sources.login_file import moment_or_none, text_or_none

LONGEST_TOKEN = 65_536
"""What the sealed record of our own store has room for."""
SHARED_LOGIN = "the other program holds the same refresh token: log out there, or use `tokenward adopt` instead"

_NOT_IN_A_PROVIDER = re.compile(r"[^a-z0-9_-]+")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._@+-]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def object_in(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object that a file holds.

    Args:
        data: the file.
        what: the file, for the message.

    Raises:
        ConfigurationFault: if it holds none.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise ConfigurationFault(
            f"{what} is not whole JSON", hint="try again when its program has finished writing"
        ) from None
    if not isinstance(document, dict):
        raise ConfigurationFault(f"{what} holds no JSON object", hint="is it the right file?")
    return document


def members(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object inside an object; empty if it is missing or something else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def profile_id(provider: object, name: object) -> str:
    """A name in our form; what may not stand in one becomes ``-``."""
    by = _NOT_IN_A_PROVIDER.sub("-", str(provider).strip().lower()).strip("-_")[:64] or "unknown"
    return f"{by}:{_NOT_IN_A_NAME.sub('-', str(name).strip())[:128] or 'default'}"


def renamed(given: str, provider: object) -> str:
    """The id of a profile that its owner already calls ``provider:name``, or only ``name``."""
    before, colon, after = given.partition(":")
    return profile_id(provider or before, after if colon else given)


def moment(value: object) -> datetime | None:
    """An end in Unix milliseconds, in seconds where it can be nothing else, or as an ISO 8601 text (else UTC)."""
    if isinstance(value, str) and not value.strip().isdigit():
        try:
            read = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        return read.astimezone(UTC) if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return moment_or_none(value.strip() if isinstance(value, str) else value)


def end_in_jwt(token: str) -> datetime | None:
    """The ``exp`` of a JWT (RFC 7519 4.1.4), not verified: only when to renew follows from it."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return moment_or_none(claims.get("exp")) if isinstance(claims, dict) else None


def expanded(value: object, environ: Mapping[str, str]) -> str | None:
    """A setting's text with every ``${VAR}`` replaced; None if it is none, or a variable is not set."""
    if not isinstance(value, str):
        return None
    if any(not environ.get(name) for name in _VARIABLE.findall(value)):
        return None
    return _VARIABLE.sub(lambda match: environ[match[1]], value).strip() or None


def key(profile: str, value: object, *, bearer: bool = False, end: object = None) -> Entry:
    """A static credential, of the kind that its text or else its owner says.

    Args:
        profile: whose.
        value: the secret.
        bearer: whether its owner sends it as ``Authorization: Bearer``.
        end: when it ends.
    """
    text = value.strip() if isinstance(value, str) else ""
    if (reason := _unfit(text)) is not None:
        return Skipped(profile, reason)
    if text.startswith(SETUP_TOKEN_PREFIX):
        kind = Kind.SETUP_TOKEN
    else:
        kind = Kind.AUTH_TOKEN if bearer and not text.startswith("sk-ant-api") else Kind.API_KEY
    return Imported(profile, Credential(kind, Secret(text), expires_at=moment(end)))


def login(
    profile: str, access: object, refresh: object, end: object, *, scope: object = None, token_type: object = None
) -> Entry:
    """An OAuth login; without a refresh token it is what its access token is."""
    token = text_or_none(access)
    if token is None:
        return Skipped(profile, "it was blanked: log in again there, or here")
    if not text_or_none(refresh):
        return key(profile, token, bearer=True, end=end)
    for part in (token, str(refresh)):
        if (reason := _unfit(part)) is not None:
            return Skipped(profile, reason)
    return Imported(
        profile,
        Credential(
            Kind.OAUTH,
            Secret(token),
            Secret(str(refresh)),
            expires_at=moment(end) or end_in_jwt(token),
            scopes=tuple((text_or_none(scope) or "").split()),
            token_type=text_or_none(token_type) or "Bearer",
        ),
        note=SHARED_LOGIN,
    )


def _unfit(text: str) -> str | None:
    if not text:
        return "it is empty"
    if len(text) > LONGEST_TOKEN:
        return "it is too long for a token"
    if not text.isascii() or not text.isprintable():
        return "it has characters that no token has"
    return None
