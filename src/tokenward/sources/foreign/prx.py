"""PRX's store, ``~/.openprx/auth-profiles.json`` (reference/formats.md 2.5).

The problem: any field may be plain or sealed under a key file beside the store, and a sealed text that is taken
for a token would be sent to a server as one. ``enc2:`` is ChaCha20-Poly1305 (RFC 8439); ``enc:``, which PRX
wrote before and still reads, is an exclusive or with the key's bytes over and over. Both are in hexadecimal.

Rules:
- What cannot be opened is ``Skipped``, and its sealed text goes nowhere.
- ``enc:`` has no tag that says whether the key was the right one: what it opens to must look like a token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

from tokenward.core.imported import Entry, Skipped
from tokenward.sources.foreign.reading import key, login, members, renamed

SEALED = "enc2:"
SEALED_THE_OLD_WAY = "enc:"
_NONCE = 12
_KEY = 32
_LIKE_A_TOKEN = re.compile(r"[\x21-\x7e]+")
_SECRETS = ("access_token", "refresh_token", "id_token", "token")


class _Closed(Exception):
    """A field cannot be opened; why is its text."""


def read(document: Mapping[str, Any], secret_key: bytes | None) -> list[Entry]:
    """What the store holds.

    Args:
        document: the file.
        secret_key: the content of ``.secret_key``, in hex; None if there is none.
    """
    opened = _opener(secret_key)
    return [_entry(name, stored, opened) for name, stored in members(document, "profiles").items()]


def _entry(name: str, stored: object, opened: Callable[[object], object]) -> Entry:
    if not isinstance(stored, dict):
        return Skipped(name, "it is not an object")
    try:
        plain = {each: opened(stored.get(each)) for each in _SECRETS}
    except _Closed as why:
        return Skipped(name, str(why))
    profile = renamed(name, stored.get("provider"))
    match stored.get("kind"):
        case "oauth":
            return login(
                profile,
                plain["access_token"],
                plain["refresh_token"],
                stored.get("expires_at"),
                scope=stored.get("scope"),
                token_type=stored.get("token_type"),
            )
        case "token":
            said, token = members(stored, "metadata").get("auth_kind"), plain["token"]
            bearer = said == "authorization" or (said is None and str(token).count(".") > 1)
            return key(profile, token, bearer=bearer, end=stored.get("expires_at"))
        case _:
            return Skipped(name, "it is of a kind that tokenward does not know")


def _opener(secret_key: bytes | None) -> Callable[[object], object]:
    def opened(value: object) -> object:
        if not isinstance(value, str) or not value.startswith((SEALED, SEALED_THE_OLD_WAY)):
            return value
        if secret_key is None:
            raise _Closed("it is sealed, and there is no .secret_key beside the store")
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        try:
            raw = bytes.fromhex(secret_key.decode().strip())
            if value.startswith(SEALED_THE_OLD_WAY):
                return _opened_the_old_way(bytes.fromhex(value.removeprefix(SEALED_THE_OLD_WAY)), raw)
            sealed = bytes.fromhex(value.removeprefix(SEALED))
            if len(raw) != _KEY or len(sealed) <= _NONCE:
                raise ValueError
            return ChaCha20Poly1305(raw).decrypt(sealed[:_NONCE], sealed[_NONCE:], None).decode()
        except (ValueError, InvalidTag):
            raise _Closed(
                "it is sealed, and .secret_key does not open it: start PRX once, or log in there again"
            ) from None

    return opened


def _opened_the_old_way(sealed: bytes, key: bytes) -> str:
    """What an exclusive or with the key gives.

    Raises:
        ValueError: if that is no token, so that the key was another one.
    """
    text = bytes(one ^ other for one, other in zip(sealed, cycle(key), strict=False)).decode()
    if len(text) != len(sealed) or _LIKE_A_TOKEN.fullmatch(text) is None:
        raise ValueError("not a token")
    return text
