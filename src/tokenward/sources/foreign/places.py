"""Files of other programs that are kept in place: adopted, watched, and written so that only the tokens change.

The problem: whoever goes on using the other program must not have two copies of one login. So its file itself
is kept, as Claude Code's is, and a refresh by us is written where the other program will read it.

Rules:
- A layout names one credential of its file; where a file holds many, the person says which.
- Where the owner has a lock, a refresh holds it from before the last reading until after the write. Equabot,
  OpenClaw and clawdbot lock with npm's proper-lockfile, stale after 30 s; the others have none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenward.core.credential import Credential, to_unix_milliseconds
from tokenward.core.imported import Entry, Imported
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.disk.foreign_lock import ForeignLock
from tokenward.disk.foreign_lock_set import Busy, RefusedBy, acquire_in_order
from tokenward.errors import ConfigurationFault
from tokenward.ports import Clock, HeldLocks, LocksBusy
from tokenward.sources.claude_code import ClaudeCodeFile
from tokenward.sources.foreign import codex
from tokenward.sources.foreign.reading import key, login, members
from tokenward.sources.foreign.unknown import unknown
from tokenward.sources.login_file import LoginFile
from tokenward.sources.neurolink import NeuroLinkFile

CLAWDBOT_STALE_SECONDS = 30.0
CLAWDBOT_HEARTBEAT_SECONDS = 5.0
"""proper-lockfile's own default is half the stale time; more often costs nothing and survives a slow disk."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a place is made with.

    Args:
        clock: the machine's clocks.
        wait: sleeps for so many seconds; called in worker threads.
        entropy: a number in [0, 1), for the random waits of a lock protocol.
    """

    clock: Clock
    wait: Callable[[float], None]
    entropy: Callable[[], float]


@dataclass(frozen=True, slots=True)
class ProfileLayout:
    """One of the ``profiles`` of a store of clawdbot's or Polpo's form.

    Args:
        entry: its name there.
    """

    entry: str

    def read(self, document: dict[str, Any]) -> Reading:
        """Say what the entry means."""
        stored = members(document, "profiles").get(self.entry)
        if stored is None:
            return Absent()
        if not isinstance(stored, dict):
            return Unreadable(f"{self.entry} is not an object")
        match stored.get("type"):
            case "oauth":
                return _reading(
                    login("x:x", stored.get("access"), stored.get("refresh"), stored.get("expires")), stored
                )
            case "token":
                return _reading(key("x:x", stored.get("token"), bearer=True, end=stored.get("expires")), stored)
            case "api_key":
                return _reading(key("x:x", stored.get("key") or stored.get("access")), stored)
            case _:
                return Unreadable(f"{self.entry} is of a type that tokenward does not know")

    def updated(self, document: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The document with the entry's new tokens and everything else as it was."""
        stored = dict(document["profiles"][self.entry])
        stored["access"] = credential.access.reveal()
        if credential.refresh is not None:
            stored["refresh"] = credential.refresh.reveal()
        if credential.expires_at is not None:
            stored["expires"] = to_unix_milliseconds(credential.expires_at)
        return {**document, "profiles": {**document["profiles"], self.entry: stored}}


class CodexLayout:
    """The ChatGPT login in Codex's file."""

    def read(self, document: dict[str, Any]) -> Reading:
        """Say what the document means."""
        tokens = members(document, "tokens")
        if not tokens:
            return Absent()
        return _reading(login(codex.LOGIN, tokens.get("access_token"), tokens.get("refresh_token"), None), tokens)

    def updated(self, document: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The document with the new tokens; ``last_refresh`` is Codex's own and stays."""
        tokens = {**document["tokens"], "access_token": credential.access.reveal()}
        if credential.refresh is not None:
            tokens["refresh_token"] = credential.refresh.reveal()
        return {**document, "tokens": tokens}


def _reading(entry: Entry, stored: dict[str, Any]) -> Reading:
    if isinstance(entry, Imported):
        return Found(entry.credential)
    if any(stored.get(name) for name in ("access", "access_token", "token", "key")):
        return Unreadable(entry.reason)
    return Blanked(login_ended=False)


class ClawdbotFile(LoginFile):
    """One profile of clawdbot's store (``ports.Place``), under clawdbot's lock.

    Args:
        path: the store.
        entry: the profile's name there.
        workshop: clocks and waiting.
    """

    def __init__(self, path: Path, entry: str, workshop: Workshop) -> None:
        super().__init__(path, ProfileLayout(entry), name="clawdbot", clock=workshop.clock)
        self._workshop = workshop
        self.waits_for: str | None = None
        """The lock that is waited for now (``ports.LockedPlace``)."""

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:
        """Take ``<store>.lock`` as proper-lockfile does.

        Args:
            deadline: on the monotonic clock, in seconds.
        """
        lock = ForeignLock(
            Path(os.path.realpath(self.path) + ".lock"),
            stale_seconds=CLAWDBOT_STALE_SECONDS,
            heartbeat_seconds=CLAWDBOT_HEARTBEAT_SECONDS,
        )
        try:
            held = acquire_in_order(
                [lock],
                deadline_monotonic=deadline,
                wait=self._workshop.wait,
                monotonic=self._clock.monotonic,
                wall=lambda: self._clock.wall().timestamp(),
                random=self._workshop.entropy,
                waiting=self._note_wait,
            )
        finally:
            self.waits_for = None
        match held:
            case Busy():
                return LocksBusy(_in_words(held))
            case RefusedBy():
                return LocksBusy(f"{held.path.name} cannot be made: {os.strerror(held.errno)}", refused=True)
            case _:
                return held

    def _note_wait(self, busy: Busy) -> None:
        self.waits_for = _in_words(busy)


def _in_words(busy: Busy) -> str:
    return f"{busy.path.name} is held by the program that owns the file"


LAYOUTS = ("claude-code", "neurolink", "equabot", "openclaw", "clawdbot", "polpo", "codex")
WITH_ENTRIES = frozenset({"equabot", "openclaw", "clawdbot", "polpo"})
"""Layouts whose files hold many credentials."""


def place_of(layout: str, path: Path, entry: str | None, workshop: Workshop) -> LoginFile:
    """The place of one adopted credential.

    Args:
        layout: one of ``LAYOUTS``.
        path: the file.
        entry: the credential's name in it, where it holds many.
        workshop: clocks and waiting.

    Raises:
        ConfigurationFault: if there is no such layout, or the entry is not said.
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    if layout in WITH_ENTRIES and entry is None:
        raise ConfigurationFault(
            f"a file of {layout} holds many credentials", hint="say which one with --entry, by its name there"
        )
    match layout:
        case "claude-code":
            clock, wait, entropy = workshop.clock, workshop.wait, workshop.entropy
            return ClaudeCodeFile(path, clock=clock, wait=wait, entropy=entropy)
        case "neurolink":
            return NeuroLinkFile(path, clock=workshop.clock)
        case "polpo":
            return LoginFile(path, ProfileLayout(entry or ""), name=layout, clock=workshop.clock)
        case "codex":
            return LoginFile(path, CodexLayout(), name=layout, clock=workshop.clock)
        case _:
            return ClawdbotFile(path, entry or "", workshop)
