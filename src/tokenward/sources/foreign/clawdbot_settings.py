"""The settings of Equabot, OpenClaw and clawdbot: JSON5 with keys in an ``env`` block and modes of profiles.

The problem: a key in ``env`` counts only where the process environment has none of that name, and settings of
older versions give Claude Code's profile a mode under which its login would not be used.

Rules:
- The environment is read and never changed.
- ``token`` becomes ``oauth`` for ``anthropic:claude-cli``, in memory, with one line in the log; nothing else is
  touched, and settings that were changed before are not changed again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenward.core.imported import Entry, Skipped
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign.clawdbot import CLAUDE_CLI
from tokenward.sources.foreign.reading import expanded, key, members, profile_id

LARGEST_SETTINGS = 128 * 1024
"""Several times what people write; a grammar for people is slow to parse: this takes two seconds."""
_BEARER = {"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"}
_ENDINGS = ("_API_KEY", "_AUTH_TOKEN", "_OAUTH_TOKEN")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClawdbotSettings:
    """What the settings say of credentials.

    Args:
        modes: the mode of every profile they name.
        entries: the keys that stand in them.
    """

    modes: Mapping[str, str]
    entries: tuple[Entry, ...]


def parse(data: bytes, what: str) -> dict[str, Any]:
    """Read JSON5: comments, unquoted names, trailing commas.

    Args:
        data: the file.
        what: the file, for the message.

    Raises:
        ConfigurationFault: if it is not whole.
    """
    if len(data) > LARGEST_SETTINGS:
        raise ConfigurationFault(f"{what} is too large for settings", hint="is it the right file?")
    try:
        text = data.decode("utf-8-sig")
        try:
            document = json.loads(text)
        except ValueError:
            import json5  # for people's grammar only: files that programs write are JSON

            document = json5.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationFault(
            f"{what} is not whole JSON5", hint="correct it, or name another file with --path"
        ) from None
    if not isinstance(document, dict):
        raise ConfigurationFault(f"{what} holds no object", hint="is it the right file?")
    return document


def read(document: Mapping[str, Any], environ: Mapping[str, str], *, owner: str) -> ClawdbotSettings:
    """What settings say, migrated.

    Args:
        document: the settings.
        environ: the process environment, which goes before the ``env`` block.
        owner: the program's name, which the profiles made of its keys get.
    """
    profiles = members(members(migrated(document), "auth"), "profiles")
    modes = {
        name: said["mode"]
        for name, said in profiles.items()
        if isinstance(said, dict) and isinstance(said.get("mode"), str)
    }
    entries = [*_of_env(members(document, "env"), environ, owner), *_of_models(document, environ, owner)]
    return ClawdbotSettings(modes, tuple(entries))


def migrated(document: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the mode of Claude Code's profile as it has to be (E20); what was given stays as it is."""
    auth = members(document, "auth")
    profiles = members(auth, "profiles")
    said = members(profiles, CLAUDE_CLI)
    if said.get("mode") != "token":
        return dict(document)
    log.info('Updated auth.profiles["%s"].mode → "oauth".', CLAUDE_CLI)
    profiles = {**profiles, CLAUDE_CLI: {**said, "mode": "oauth"}}
    return {**document, "auth": {**auth, "profiles": profiles}}


def _of_env(block: Mapping[str, Any], environ: Mapping[str, str], owner: str) -> list[Entry]:
    given = {**block, **members(block, "vars")}
    entries: list[Entry] = []
    for name, value in given.items():
        ending = next((each for each in _ENDINGS if name.endswith(each)), None)
        if ending is None or not isinstance(value, str):
            continue
        if environ.get(name, "").strip():
            entries.append(Skipped(f"env.{name}", f"the environment has {name}, which goes first"))
            continue
        profile = profile_id(name.removesuffix(ending).lower().replace("_", "-"), owner)
        entries.append(_key_or_why(f"env.{name}", profile, value, environ, bearer=name in _BEARER))
    return entries


def _of_models(document: Mapping[str, Any], environ: Mapping[str, str], owner: str) -> list[Entry]:
    providers = members(members(document, "models"), "providers")
    return [
        _key_or_why(
            f"models.providers.{name}.apiKey", profile_id(name, f"{owner}-config"), said["apiKey"], environ
        )
        for name, said in providers.items()
        if isinstance(said, dict) and "apiKey" in said
    ]


def _key_or_why(
    where: str, profile: str, value: object, environ: Mapping[str, str], *, bearer: bool = False
) -> Entry:
    text = expanded(value, environ)
    if text is None:
        return Skipped(where, "it is empty, or names a variable that is not set")
    return key(profile, text, bearer=bearer)
