"""Can anybody else read our secrets, or write what decides where they are sent?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding, Level, to_run

NAME = "file modes"
_READ = stat.S_IRGRP | stat.S_IROTH
_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NO_START = "the daemon does not start with it"
_KEY_IS_OUT = "every user of this machine that it is open to can use what is in it, as you"


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
        return Finding(NAME, "fail", f"{path} is not a directory", to_run("mv", path, f"{path}.old"), _NO_START)
    if status.st_uid != uid:
        hint = 'run: export TOKENWARD_STATE_DIR="$HOME/.local/state/tokenward-mine"'
        return Finding(NAME, "fail", f"{path} belongs to another user", hint, _NO_START)
    if status.st_mode & 0o077:
        return Finding(NAME, "fail", f"others may enter {path}", to_run("chmod", "700", path), _NO_START)
    return Finding(NAME, "ok", f"{path} is private")


def _config(path: Path, context: CheckContext) -> Finding:
    status = _stat(path)
    if status is None:
        hint = "restore it, then run: tokenward doctor"
        return Finding(NAME, "warn", f"{path} is gone", hint, "from the next start on the defaults hold")
    if isinstance(status, str):
        return _unseen(path, status)
    if status.st_mode & _WRITE:
        consequence = "they decide where your tokens are sent"
        return Finding(NAME, "fail", f"others may write {path}", to_run("chmod", "go-w", path), consequence)
    if context.config_holds_key and status.st_mode & _READ:
        cause = f"{path} holds a key and others may read it"
        return Finding(NAME, "warn", cause, to_run("chmod", "600", path), _KEY_IS_OUT)
    return Finding(NAME, "ok", f"{path} is yours to write")


def _secret_file(path: Path, what: str, uid: int, level: Level) -> Finding:
    status = _stat(path)
    if status is None:
        return Finding(NAME, "ok", f"{what}: there is no {path}")
    if isinstance(status, str):
        return _unseen(path, status)
    if status.st_uid != uid:
        cause = f"{what}: {path} belongs to another user"
        return Finding(
            NAME, level, cause, to_run("sudo", "chown", str(uid), path), "that user can read and change it"
        )
    if status.st_mode & 0o077:
        cause = f"{what}: others may open {path}"
        return Finding(NAME, level, cause, to_run("chmod", "600", path), _KEY_IS_OUT)
    return Finding(NAME, "ok", f"{what}: {path} is private")


def _stat(path: Path) -> os.stat_result | str | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return error.strerror or type(error).__name__


def _unseen(path: Path, reason: str) -> Finding:
    hint = to_run("ls", "-ld", path.parent)
    return Finding(NAME, "fail", f"{path} cannot be looked at: {reason}", hint, "nor can the daemon look at it")
