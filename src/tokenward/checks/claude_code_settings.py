"""What Claude Code reads before it sends anything: four settings files, its own state file, its login.

The problem: each of them may hold a credential, and the nearer one wins over the farther: managed, local, project,
user. Whoever looks at one file alone blames the wrong one.

Rule: a file that is absent is empty, and one that cannot be read is said and skipped, as Claude Code does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenward.checks.finding import CheckContext
from tokenward.claude_settings import PROJECT_FILES, USER_FILE

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Settings and logins are small; what is larger is something else."""


@dataclass(frozen=True, slots=True)
class Said:
    """A value, and the file that it stands in.

    Args:
        value: what stands there.
        path: the file.
    """

    value: str
    path: Path


def settings_files(context: CheckContext) -> list[Path]:
    """Every settings file there may be, the one that wins first."""
    nearest = [context.managed_settings]
    if context.project is not None:
        nearest += [context.project / name for name in PROJECT_FILES]
    user = context.claude_config / USER_FILE
    return list(dict.fromkeys([*nearest, user]))


def said_in_settings(context: CheckContext, name: str) -> Said | None:
    """A text of the settings themselves, such as ``apiKeyHelper``."""
    for path in settings_files(context):
        value = (json_object(path) or {}).get(name)
        if isinstance(value, str) and value.strip():
            return Said(value, path)
    return None


def environment_in_settings(context: CheckContext) -> dict[str, Said]:
    """The variables that the settings lay over the environment; an empty one hides the shell's."""
    found: dict[str, Said] = {}
    for path in reversed(settings_files(context)):
        block = (json_object(path) or {}).get("env")
        if isinstance(block, dict):
            found |= {name: Said(value, path) for name, value in block.items() if isinstance(value, str)}
    return found


def variables_of_claude_code(context: CheckContext) -> dict[str, str]:
    """The environment that Claude Code sees: this one, with what its settings lay over it."""
    return {
        **context.environ,
        **{name: said.value for name, said in environment_in_settings(context).items()},
    }


def state_file(context: CheckContext) -> Path:
    """Where Claude Code keeps what it notes by itself, a key of the Console among it."""
    moved = context.environ.get("CLAUDE_CONFIG_DIR", "").startswith("/")
    return (context.claude_config if moved else context.home) / ".claude.json"


def stored_login(context: CheckContext) -> Mapping[str, Any]:
    """The login in Claude Code's file; empty where there is none."""
    login = (json_object(context.claude_credentials) or {}).get("claudeAiOauth")
    return login if isinstance(login, dict) else {}


def json_object(path: Path) -> dict[str, Any] | None:
    """The file's object; empty where there is no file, None where it is not one."""
    try:
        with path.open("rb") as opened:
            document = json.loads(opened.read(MAX_FILE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
