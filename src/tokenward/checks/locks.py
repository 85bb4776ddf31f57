"""Does a lock of Claude Code's keep every refresh waiting?

Its locks are directories whose holder touches them (npm proper-lockfile): a refresh waits for one that is
fresh, and takes over one that has not been touched for a while. One that is dated in the future is never
taken over, and one whose holder is gone costs everybody the wait.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "locks"
REFRESH_STALE_SECONDS = 60.0
WRITE_STALE_SECONDS = 15.0
FUTURE_SECONDS = 5.0
"""A holder's clock may be a little ahead where the directory is on another machine."""
MAX_OWNER_BYTES = 4096
"""An owner record is a few numbers."""


@dataclass(frozen=True, slots=True)
class _Lock:
    path: Path
    stale_after: float
    owner: Path | None = None


def check(context: CheckContext) -> list[Finding]:
    """Both refresh locks and the write lock of Claude Code's stored login."""
    now = context.clock.wall().timestamp()
    findings = [finding for lock in _locks(context.claude_credentials.parent) for finding in _look(lock, now)]
    return findings or [Finding(NAME, "ok", "nobody holds Claude Code's locks")]


def _locks(directory: Path) -> list[_Lock]:
    """``reference`` order: the refresh lock, the legacy one beside the real directory, the write lock."""
    refresh = directory / ".oauth_refresh.lock"
    real = Path(os.path.realpath(directory))
    return [
        _Lock(refresh, REFRESH_STALE_SECONDS, refresh.with_name(f"{refresh.name}.owner")),
        _Lock(real.with_name(f"{real.name}.lock"), REFRESH_STALE_SECONDS),
        _Lock(directory / ".storage-write.lock", WRITE_STALE_SECONDS),
    ]


def _look(lock: _Lock, now: float) -> Iterator[Finding]:
    try:
        status = lock.path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        cause = f"{lock.path} cannot be looked at: {error.strerror}"
        yield Finding(NAME, "fail", cause, to_run("ls", "-ld", lock.path.parent), "no login there is refreshed")
        return
    remove = f"if no claude is running, {to_run('rmdir', lock.path)}"
    age = now - status.st_mtime
    if not stat.S_ISDIR(status.st_mode):
        cause = f"{lock.path} is not a lock: it is no directory"
        yield Finding(
            NAME, "fail", cause, to_run("rm", lock.path), "nobody can take the lock, and nothing is refreshed"
        )
    elif age < -FUTURE_SECONDS:
        cause = f"{lock.path} is dated {-age:.0f} s in the future"
        yield Finding(NAME, "fail", cause, remove, "it is never taken over, and keeps every refresh waiting")
    elif age > lock.stale_after:
        cause = f"{lock.path} was left behind {age:.0f} s ago"
        yield Finding(NAME, "warn", cause, remove, "the next refresh waits, then takes it over")
    elif (holder := _holder(lock.owner)) is not None and not _alive(holder):
        cause = f"{lock.path} is held by process {holder}, which is gone"
        left = lock.stale_after - max(age, 0.0)
        consequence = f"refreshes wait for it; it can be taken over in {left:.0f} s"
        yield Finding(NAME, "warn", cause, remove, consequence)
    else:
        by = f" by process {holder}" if holder is not None else ""
        yield Finding(NAME, "ok", f"{lock.path} is held{by}, and was touched {max(age, 0.0):.0f} s ago")


def _holder(owner: Path | None) -> int | None:
    if owner is None:
        return None
    try:
        with owner.open("rb") as opened:
            record = json.loads(opened.read(MAX_OWNER_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    pid = record.get("pid") if isinstance(record, dict) else None
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and 0 < pid < 2**31 else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 is asked for and not sent
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
