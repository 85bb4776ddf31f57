"""Codex's login, ``$CODEX_HOME/auth.json``: a key, a ChatGPT login, or both.

The problem: the file has no member for the end of the login; it stands in the access token, which is a JWT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenward.core.imported import Entry
from tokenward.sources.foreign.reading import key, login, members

LOGIN = "openai:codex"
KEY = "openai:codex-key"


def read(document: Mapping[str, Any]) -> list[Entry]:
    """What the file holds."""
    entries: list[Entry] = []
    if isinstance(document.get("OPENAI_API_KEY"), str):
        entries.append(key(KEY, document["OPENAI_API_KEY"]))
    if tokens := members(document, "tokens"):
        entries.append(login(LOGIN, tokens.get("access_token"), tokens.get("refresh_token"), None))
    return entries
