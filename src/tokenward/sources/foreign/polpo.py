"""Polpo's store and its settings (reference/formats.md 2.3.1).

The problem: Polpo documents a key in ``polpo.json`` both as a text and as an object, and its store writes ends
in milliseconds and other times as ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenward.core.imported import Entry, Skipped
from tokenward.sources.foreign.reading import expanded, key, login, members, profile_id, renamed


def read(document: Mapping[str, Any]) -> list[Entry]:
    """What the store holds."""
    entries: list[Entry] = []
    for name, stored in members(document, "profiles").items():
        if not isinstance(stored, dict):
            entries.append(Skipped(name, "it is not an object"))
            continue
        profile = renamed(name, stored.get("provider"))
        match stored.get("type"):
            case "api_key":
                entries.append(key(profile, stored.get("access") or stored.get("key")))
            case "oauth":
                access, refresh, end = stored.get("access"), stored.get("refresh"), stored.get("expires")
                entries.append(login(profile, access, refresh, end))
            case _:
                entries.append(Skipped(name, "it is of a type that tokenward does not know"))
    return entries


def read_settings(document: Mapping[str, Any], environ: Mapping[str, str]) -> list[Entry]:
    """The keys in ``providers``, as a text or as ``{apiKey: …}`` (L3).

    Args:
        document: ``polpo.json``.
        environ: what ``${VAR}`` is looked up in.
    """
    entries: list[Entry] = []
    for name, said in members(document, "providers").items():
        given = said.get("apiKey") if isinstance(said, dict) else said
        if given is None:
            continue
        text = expanded(given, environ)
        if text is None:
            entries.append(Skipped(f"providers.{name}", "it is empty, or names a variable that is not set"))
        else:
            entries.append(key(profile_id(name, "polpo"), text))
    return entries
