"""Can anybody else read our secrets, or write what decides where they are sent?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding, Level

NAME = "file modes"
_READ = stat.S_IRGRP | stat.S_IROTH
_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check(context: CheckContext) -> list[Finding]:
    """Owner and mode of the state directory, the configuration, the store's key and Claude Code's login."""
    findings = [_directory(context.state, context.uid)]
    if context.config is not None:
        findings.append(_config(context.config, context))
    if context.store_key is not None:
        findings.append(_secret_file(context.store_key, "the store's key", context.uid, "fail"))
    # Claude Code decides its file's mode; what is wrong there is its user's to put right.
    findings.append(_secret_file(context.claude_credentials, "Claude Code's login", context.uid, "warn"))
    return findings


def _directory(path: Path, uid: int) -> Finding:
    status = _stat(path)
    if status is None:
        return Finding(NAME, "ok", f"there is no {path} yet")
    if isinstance(status, str):
        return _unseen(path, status)
    if not stat.S_ISDIR(status.st_mode):
        return Finding(NAME, "fail", f"{path} is not a directory", "move it away")
    if status.st_uid != uid:
        return Finding(
            NAME, "fail", f"{path} belongs to another user", "set TOKENWARD_STATE_DIR to a place of yours"
        )
    if status.st_mode & 0o077:
        return Finding(NAME, "fail", f"others may enter {path}", f"run: chmod 700 {path}")
    return Finding(NAME, "ok", f"{path} is private")


def _config(path: Path, context: CheckContext) -> Finding:
    status = _stat(path)
    if status is None:
        return Finding(NAME, "warn", f"{path} is gone", "restore it; until the next start the old settings hold")
    if isinstance(status, str):
        return _unseen(path, status)
    if status.st_mode & _WRITE:
        return Finding(NAME, "fail", f"others may write {path}", f"run: chmod go-w {path}")
    if context.config_holds_key and status.st_mode & _READ:
        return Finding(NAME, "warn", f"{path} holds a key and others may read it", f"run: chmod 600 {path}")
    return Finding(NAME, "ok", f"{path} is yours to write")


def _secret_file(path: Path, what: str, uid: int, level: Level) -> Finding:
    status = _stat(path)
    if status is None:
        return Finding(NAME, "ok", f"{what}: there is no {path}")
    if isinstance(status, str):
        return _unseen(path, status)
    if status.st_uid != uid:
        return Finding(NAME, level, f"{what}: {path} belongs to another user", f"run: chown {uid} {path}")
    if status.st_mode & 0o077:
        return Finding(NAME, level, f"{what}: others may open {path}", f"run: chmod 600 {path}")
    return Finding(NAME, "ok", f"{what}: {path} is private")


def _stat(path: Path) -> os.stat_result | str | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror or type(error).__name__


def _unseen(path: Path, reason: str) -> Finding:
    return Finding(NAME, "fail", f"{path} cannot be looked at: {reason}", "check the directories above it")
