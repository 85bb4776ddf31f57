"""NeuroLink's token store, ``tokens.json`` (reference/formats.md 2.4.2).

The problem: it is XOR-ed with a key that follows from the path of the home directory, which keeps nobody out
and has to be undone to read it. NeuroLink itself cannot read a store whose labels have characters beyond
Latin-1; what that leaves is not whole JSON, and is said to be.

Rule: this form is read and never written.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from itertools import cycle
from typing import Any

from tokenward.core.imported import Entry, Skipped
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign.reading import key, login, members, object_in, renamed

_OBFUSCATED_BY = "-neurolink-token-store"


def open_store(data: bytes, home: str) -> dict[str, Any]:
    """Undo the obfuscation; a store that was written plain is taken as it is.

    Args:
        data: the file.
        home: the home directory of its owner, as Node's ``os.homedir()`` gives it.

    Raises:
        ConfigurationFault: if it is not whole, or was made under another home directory.
    """
    if data.lstrip().startswith(b"{"):
        return object_in(data, "tokens.json")
    pad = hashlib.sha256(f"{home}{_OBFUSCATED_BY}".encode()).hexdigest().encode()
    try:
        hidden = base64.b64decode(data.strip(), validate=True)
    except binascii.Error:
        raise ConfigurationFault(
            "tokens.json is not whole", hint="try again when NeuroLink has finished writing"
        ) from None
    # NeuroLink takes characters for bytes (latin1), so what it hid as text above 0x7f is not UTF-8.
    plain = bytes(byte ^ mask for byte, mask in zip(hidden, cycle(pad), strict=False)).decode("latin-1")
    return object_in(plain.encode(), "tokens.json (is it of this home directory?)")


def read(document: dict[str, Any]) -> list[Entry]:
    """What the store holds; a key stands in it as a token of type ``api-key``."""
    return [_entry(name, stored) for name, stored in members(document, "providers").items()]


def _entry(name: str, stored: object) -> Entry:
    if not isinstance(stored, dict) or not isinstance(stored.get("tokens"), dict):
        return Skipped(name, "it is not an object")
    tokens = stored["tokens"]
    if stored.get("disabled"):
        return Skipped(name, "NeuroLink has disabled it: log in again")
    profile = renamed(name if ":" in name else f"{name}:default", None)
    if tokens.get("tokenType") == "api-key":
        return key(profile, tokens.get("accessToken"))
    scope = " ".join(part for part in str(tokens.get("scope") or "").split() if not _is_smuggled(part))
    return login(
        profile,
        tokens.get("accessToken"),
        tokens.get("refreshToken"),
        tokens.get("expiresAt"),
        scope=scope,
        token_type=tokens.get("tokenType"),
    )


def _is_smuggled(part: str) -> bool:
    """NeuroLink keeps the tier and the e-mail among the scopes."""
    return part.startswith(("tier:", "email:"))
