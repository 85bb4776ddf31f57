"""Claude Code's own login: its format and its locks.

The problem: Claude Code keeps one login in one file and refreshes it from any of its processes. Whoever else
touches it must read what it means and not what it happens to hold, and must queue at the locks that Claude
Code queues at.

Rules (measured on 2.1.329; reference/claude_code.md 2.1 to 2.4):
- Only ``claudeAiOauth`` is ours to read, and of it only the members named here are ours to write.
- A refresh holds ``.oauth_refresh.lock`` and then the legacy ``<directory>.lock``; a write holds
  ``.storage-write.lock`` from its last reading to its rename.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenward.core.credential import Credential, Kind, Secret, to_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.disk.foreign_lock import ForeignLock
from tokenward.disk.foreign_lock_set import Busy, HeldForeignLocks, RefusedBy, acquire_in_order
from tokenward.disk.regular_file import read_regular
from tokenward.ports import Clock, HeldLocks, LocksBusy
from tokenward.sources.login_file import LoginFile, moment_or_none, text_or_none

ROOT = "claudeAiOauth"
LOGIN_ENDED = "loginEnded"
"""The member that Claude Code adds when the login itself is over, beside the blanked tokens."""

OWNER_RECORD = ".oauth_refresh.lock.owner"
MAX_OWNER_BYTES = 4096
"""The record is a few numbers."""
WRITE_LOCK = ".storage-write.lock"

REFRESH_STALE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0
WRITE_STALE_SECONDS = 15.0
WRITE_HEARTBEAT_SECONDS = 3.0
WRITE_PATIENCE_SECONDS = 5.0
"""Claude Code holds its write lock for one file write; past this it is orphaned and soon stale."""


class ClaudeCodeLayout:
    """Where in Claude Code's document the login stands."""

    def read(self, document: dict[str, Any]) -> Reading:
        """Say what the document means; ``refreshToken: null`` is a static token, ``""`` a dead one."""
        login = document.get(ROOT)
        if login is None:
            return Absent()
        if not isinstance(login, dict):
            return Unreadable(f"{ROOT} is not an object")
        access, refresh = login.get("accessToken"), login.get("refreshToken")
        if not access or refresh == "":
            return Blanked(login_ended=bool(login.get(LOGIN_ENDED)))
        if not isinstance(access, str) or not isinstance(refresh, str | None):
            return Unreadable(f"{ROOT} has tokens that are not strings")
        scopes = login.get("scopes")
        return Found(
            Credential(
                kind=Kind.OAUTH if refresh else Kind.SETUP_TOKEN,
                access=Secret(access),
                refresh=Secret(refresh) if refresh else None,
                expires_at=moment_or_none(login.get("expiresAt")),
                scopes=tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else (),
                login_ends_at=moment_or_none(login.get("refreshTokenExpiresAt")),
                subscription=text_or_none(login.get("subscriptionType")),
                tier=text_or_none(login.get("rateLimitTier")),
                account=text_or_none(login.get("accountUuid")),
            )
        )

    def updated(self, document: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The document with the login's new values and everything else as it was."""
        login = dict(document[ROOT])
        login["accessToken"] = credential.access.reveal()
        login["refreshToken"] = credential.refresh.reveal() if credential.refresh else None
        login["expiresAt"] = to_unix_milliseconds(credential.expires_at) if credential.expires_at else 0
        if credential.login_ends_at is not None:
            login["refreshTokenExpiresAt"] = to_unix_milliseconds(credential.login_ends_at)
        if credential.scopes and login.get("scopes") != list(credential.scopes):
            login["scopes"] = list(credential.scopes)
        return {**document, ROOT: login}


class ClaudeCodeFile(LoginFile):
    """Claude Code's login as a place (``ports.Place``).

    Args:
        path: the credentials file; its directory is where the locks lie.
        clock: the machine's clocks.
        wait: sleeps for so many seconds; called in worker threads.
        entropy: a number in [0, 1) for the random waits of the lock protocol.
    """

    def __init__(
        self, path: Path, *, clock: Clock, wait: Callable[[float], None], entropy: Callable[[], float]
    ) -> None:
        super().__init__(path, ClaudeCodeLayout(), name="claude-code", clock=clock)
        self._wait = wait
        self._entropy = entropy
        self.waits_for: str | None = None
        """The lock that is waited for now, and its holder (``ports.LockedPlace``)."""

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:
        """Take both refresh locks in Claude Code's order, waiting as it does (reference/claude_code.md 2.4).

        Args:
            deadline: on the monotonic clock, in seconds.
        """
        legacy = Path(os.path.realpath(self.path.parent) + ".lock")
        paths = (self.path.parent / ".oauth_refresh.lock", legacy)
        return self._acquire(
            [
                ForeignLock(path, stale_seconds=REFRESH_STALE_SECONDS, heartbeat_seconds=HEARTBEAT_SECONDS)
                for path in paths
            ],
            deadline,
        )

    def _acquire(self, locks: list[ForeignLock], deadline: float) -> HeldForeignLocks | LocksBusy:
        try:
            held = acquire_in_order(
                locks,
                deadline_monotonic=deadline,
                wait=self._wait,
                monotonic=self._clock.monotonic,
                wall=lambda: self._clock.wall().timestamp(),
                random=self._entropy,
                waiting=self._note_wait,
            )
        finally:
            self.waits_for = None
        match held:
            case Busy():
                return LocksBusy(self._in_words(held))
            case RefusedBy():
                why = os.strerror(held.errno)
                return LocksBusy(f"Claude Code's lock {held.path.name} cannot be made: {why}", refused=True)
            case _:
                return held

    def _note_wait(self, busy: Busy) -> None:
        self.waits_for = self._in_words(busy)

    def _in_words(self, busy: Busy) -> str:
        when = "in the future" if busy.future else f"{max(busy.age, 0.0):.0f} s ago"
        return f"Claude Code's lock {busy.path.name} is held{self._by_whom(busy.path)} (last touched {when})"

    def _by_whom(self, lock: Path) -> str:
        """The process that the holder's record names; only holders of the refresh locks write one."""
        if lock.name == WRITE_LOCK:
            return ""
        try:
            record = json.loads(read_regular(self.path.parent / OWNER_RECORD, MAX_OWNER_BYTES).data)
        except (OSError, ValueError, RecursionError):
            return ""
        pid = record.get("pid") if isinstance(record, dict) else None
        return f" by process {pid}" if type(pid) is int and pid > 0 else ""

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Claude Code's ``.storage-write.lock``.

        Raises:
            OSError: if it cannot be had in time.
        """
        lock = ForeignLock(
            self.path.parent / WRITE_LOCK,
            stale_seconds=WRITE_STALE_SECONDS,
            heartbeat_seconds=WRITE_HEARTBEAT_SECONDS,
        )
        held = self._acquire([lock], self._clock.monotonic() + WRITE_PATIENCE_SECONDS)
        if isinstance(held, LocksBusy):
            raise OSError(held.reason)
        try:
            yield
        finally:
            held.release()
