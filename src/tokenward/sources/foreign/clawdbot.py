"""The store of Equabot, OpenClaw and clawdbot (reference/formats.md 2.2.1), and of pi, which lies under it (2.6).

The problem: one program under three names keeps profiles per agent, and its older versions kept a login per
provider in ``auth.json`` and in ``credentials/oauth.json``.

Rules:
- A profile whose mode in the settings is not the type that is stored is one its owner does not use either;
  ``oauth`` in the settings fits a stored ``token`` as well.
- ``anthropic:claude-cli`` is the owner's copy of Claude Code's login, which is kept where Claude Code keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenward.core.imported import Entry, Skipped
from tokenward.sources.foreign.reading import key, login, members, profile_id, renamed

CLAUDE_CLI = "anthropic:claude-cli"
_WHERE_IT_IS_KEPT = "it is a copy of Claude Code's login, which tokenward keeps where Claude Code does"


def read(document: Mapping[str, Any], modes: Mapping[str, str] | None = None) -> list[Entry]:
    """What a store holds, of today's form or of an older one.

    Args:
        document: the file.
        modes: the settings' ``auth.profiles`` with their modes.
    """
    if "profiles" not in document:
        return read_by_provider(document)
    entries: list[Entry] = []
    for name, stored in members(document, "profiles").items():
        if not isinstance(stored, dict):
            entries.append(Skipped(name, "it is not an object"))
        elif name == CLAUDE_CLI:
            entries.append(Skipped(name, _WHERE_IT_IS_KEPT))
        elif not fits((modes or {}).get(name), stored.get("type")):
            entries.append(Skipped(name, "its owner does not use it: the settings name another mode"))
        else:
            entries.append(_entry(renamed(name, stored.get("provider")), stored))
    return entries


def fits(mode: str | None, stored_type: object) -> bool:
    """Whether a profile of this mode in the settings may be served from a credential of this type (E19)."""
    return mode is None or mode == stored_type or (mode == "oauth" and stored_type == "token")


def read_by_provider(document: Mapping[str, Any]) -> list[Entry]:
    """What a file with one credential a provider holds."""
    return [
        _entry(profile_id(provider, "default"), stored)
        if isinstance(stored, dict)
        else Skipped(provider, "it is not a credential")
        for provider, stored in document.items()
    ]


def _entry(profile: str, stored: Mapping[str, Any]) -> Entry:
    match stored.get("type", "oauth"):
        case "api_key":
            return key(profile, stored.get("key"))
        case "token":
            return key(profile, stored.get("token"), bearer=True, end=stored.get("expires"))
        case "oauth":
            return login(profile, stored.get("access"), stored.get("refresh"), stored.get("expires"))
        case _:
            return Skipped(profile, "it is of a type that tokenward does not know")
