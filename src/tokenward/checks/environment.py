"""Do two credentials compete for one request of Claude Code's?

It fills ``Authorization`` and ``x-api-key`` independently, so that two configured credentials go out together,
or one is used that nobody meant (requirements A22, A23).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenward.checks.finding import CheckContext, Finding

NAME = "environment"
VARIABLES = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
API_KEY_HELPER = "apiKeyHelper"
LOGIN = "/login"
MAX_FILE_BYTES = 4 * 1024 * 1024
"""Settings and logins are small; what is larger is something else."""
_PRECEDENCE = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", API_KEY_HELPER, "CLAUDE_CODE_OAUTH_TOKEN", LOGIN)
"""Which one wins, as Claude Code documents it."""


def check(context: CheckContext) -> list[Finding]:
    """Every place a credential for Claude Code stands in, and whether there is more than one."""
    path = context.claude_config / "settings.json"
    settings = _json_object(path)
    found = _places(context, settings or {}, path)
    findings = []
    if settings is None:
        findings.append(
            Finding(NAME, "warn", f"{path} cannot be read as JSON", "Claude Code ignores it; correct it")
        )
    if len(found) > 1:
        named = ", ".join(f"{name} ({where})" for name, where in found.items())
        hint = f"Claude Code prefers {next(iter(found))} and may send two at once; keep the one you mean"
        findings.append(Finding(NAME, "warn", f"several credentials compete: {named}", hint))
    elif found:
        name, where = next(iter(found.items()))
        findings.append(Finding(NAME, "ok", f"one credential for Claude Code: {name} ({where})"))
    else:
        findings.append(Finding(NAME, "ok", "no credential for Claude Code in the environment or its files"))
    return findings


def variables_of_claude_code(context: CheckContext) -> dict[str, str]:
    """The environment that Claude Code sees: this one, with what its settings lay over it."""
    block = (_json_object(context.claude_config / "settings.json") or {}).get("env")
    set_there = block if isinstance(block, dict) else {}
    return {**context.environ, **{name: value for name, value in set_there.items() if isinstance(value, str)}}


def _places(context: CheckContext, settings: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Where each credential stands, the preferred one first."""
    block = settings.get("env")
    set_there = block if isinstance(block, dict) else {}
    places: dict[str, str] = {}
    for name in VARIABLES:
        if set_there.get(name):
            places[name] = f"env in {path}"
        elif context.environ.get(name, "").strip():
            places[name] = "set in the environment"
    if settings.get(API_KEY_HELPER):
        places[API_KEY_HELPER] = str(path)
    login = (_json_object(context.claude_credentials) or {}).get("claudeAiOauth")
    if isinstance(login, dict) and login.get("accessToken"):
        places[LOGIN] = str(context.claude_credentials)
    return {name: places[name] for name in _PRECEDENCE if name in places}


def _json_object(path: Path) -> dict[str, Any] | None:
    """The file's object; empty where there is no file, None where it is not one."""
    try:
        with path.open("rb") as opened:
            document = json.loads(opened.read(MAX_FILE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
