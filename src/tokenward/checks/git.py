"""Is a file that holds a key tracked by git?

What is tracked goes where the repository goes, and its history keeps what a later commit takes out (requirement
N70).

Rule: git is asked for one name, with nothing of the repository's own that could run a program.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenward.checks.claude_code_settings import json_object, settings_files
from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "git"
_LOCAL_CREDENTIALS = ".env"
_LARGEST = 256 * 1024
_KEY_MARKS = (b"sk-ant-", b"ANTHROPIC_API_KEY=", b"ANTHROPIC_AUTH_TOKEN=", b"CLAUDE_CODE_OAUTH_TOKEN=")
_CREDENTIAL_NAMES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")


def check(context: CheckContext) -> list[Finding]:
    """Every file that holds a credential and is there; without git nothing can be tracked."""
    git = shutil.which("git", path=context.environ.get("PATH", ""))
    if git is None:
        return []
    command = str(Path(git).absolute())
    holding = list(dict.fromkeys(_holding(context)))
    findings = [_tracked(path) for path in holding if _is_tracked(context, command, path)]
    if findings or not holding:
        return findings
    return [Finding(NAME, "ok", "no file that holds a key is tracked by git")]


def _holding(context: CheckContext) -> Iterator[Path]:
    if context.config is not None and context.config_holds_key:
        yield context.config
    fixed = [context.claude_credentials, *context.secret_files]
    if context.store_key is not None:
        fixed.append(context.store_key)
    yield from (path for path in fixed if path.is_file())
    for path in settings_files(context):
        block = (json_object(path) or {}).get("env")
        if isinstance(block, dict) and any(block.get(name) for name in _CREDENTIAL_NAMES):
            yield path
    if context.project is not None and _holds_key(context.project / _LOCAL_CREDENTIALS):
        yield context.project / _LOCAL_CREDENTIALS


def _holds_key(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as opened:
            text = opened.read(_LARGEST)
    except OSError:
        return False
    return any(mark in text for mark in _KEY_MARKS)


def _is_tracked(context: CheckContext, git: str, path: Path) -> bool:
    # A repository's own configuration may name a program that git would start for its index.
    asked = [git, "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(path.parent)]
    ran = context.run([*asked, "ls-files", "--error-unmatch", "--", path.name])
    return ran is not None and ran.status == 0


def _tracked(path: Path) -> Finding:
    cause = f"{path} holds a key and is tracked by git"
    consequence = "whoever gets the repository gets the key, and its history keeps it: replace the key as well"
    return Finding(NAME, "warn", cause, to_run("git", "-C", path.parent, "rm", "--cached", path.name), consequence)
