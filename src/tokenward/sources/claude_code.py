"""Claude Code's own login: its file, its format and its locks.

The problem: Claude Code keeps one login in one file, refreshes it from any of its processes, and rewrites,
blanks or removes the file at any time. Whoever else touches it must read what it means and not what it
happens to hold, must queue at the locks that Claude Code queues at, and must leave everything else in the
file as it was.

Rules (measured on 2.1.329; reference/claude_code.md 2.1 to 2.4):
- Only ``claudeAiOauth`` is ours to read, and of it only the members named here are ours to write. Everything
  else, siblings and unknown members alike, survives with its value and its order (design I10).
- A refresh holds ``.oauth_refresh.lock`` and then the legacy ``<directory>.lock``; a write holds
  ``.storage-write.lock`` from its last reading to its rename.
- We never create the file, and never give it to more people than it was given to.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenward.core.credential import (
    Credential,
    Kind,
    Secret,
    from_unix_milliseconds,
    to_unix_milliseconds,
)
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.disk.atomic_file import (
    PreparedWrite,
    prepare_write,
    read_regular,
    remove_stale_temporaries,
    signature_of,
)
from tokenward.disk.foreign_lock import Busy, ForeignLock, HeldForeignLocks, RefusedBy, acquire_in_order
from tokenward.ports import Clock, HeldLocks, LocksBusy, PlaceWriter, Stored, Superseded

FILE_NAME = ".credentials.json"
ROOT = "claudeAiOauth"
LOGIN_ENDED = "loginEnded"
"""The member that Claude Code adds when the login itself is over, beside the blanked tokens."""
SECONDS_BELOW = 1e11
"""A Unix time below this is in seconds: in milliseconds it would lie in March 1973."""
SCOPE_FOR_INFERENCE = "user:inference"
"""Claude Code treats a login without it as none."""

REFRESH_STALE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0
WRITE_STALE_SECONDS = 15.0
WRITE_HEARTBEAT_SECONDS = 3.0
WRITE_PATIENCE_SECONDS = 5.0
"""Claude Code holds its write lock for one file write; past this it is orphaned and soon stale."""
GROWTH_BYTES = 4096
"""What a write may add to the file's size: new tokens may be longer than old ones."""


def credentials_path(environ: Mapping[str, str], home: Path) -> Path:
    """Where Claude Code keeps its login (reference/claude_code.md 2.1).

    Args:
        environ: the environment.
        home: the user's home directory.
    """
    directory = environ.get("CLAUDE_SECURESTORAGE_CONFIG_DIR") or environ.get("CLAUDE_CONFIG_DIR")
    return (Path(directory) if directory else home / ".claude") / FILE_NAME


def read_document(document: object) -> Reading:
    """Say what Claude Code's file means.

    Args:
        document: the parsed file.
    """
    if not isinstance(document, dict):
        return Unreadable("not a JSON object")
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
            expires_at=_moment(login.get("expiresAt")),
            scopes=tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else (),
            login_ends_at=_moment(login.get("refreshTokenExpiresAt")),
            subscription=_text(login.get("subscriptionType")),
            tier=_text(login.get("rateLimitTier")),
        )
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> Any:
    """Milliseconds as Claude Code writes them, or seconds as others do; zero and nonsense = unknown."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return from_unix_milliseconds(value * 1000 if value < SECONDS_BELOW else value)


def updated_document(document: dict[str, Any], credential: Credential) -> dict[str, Any]:
    """The document with the login's new values and everything else as it was.

    Args:
        document: the parsed file, as just read.
        credential: the new value.
    """
    login = dict(document[ROOT])
    login["accessToken"] = credential.access.reveal()
    login["refreshToken"] = credential.refresh.reveal() if credential.refresh else None
    login["expiresAt"] = to_unix_milliseconds(credential.expires_at) if credential.expires_at else 0
    if credential.login_ends_at is not None:
        login["refreshTokenExpiresAt"] = to_unix_milliseconds(credential.login_ends_at)
    if credential.scopes and login.get("scopes") != list(credential.scopes):
        login["scopes"] = list(credential.scopes)
    return {**document, ROOT: login}


def encode_document(document: dict[str, Any]) -> bytes:
    """The document as Claude Code writes it: one line, characters unescaped (lone surrogates cannot be)."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Image:
    reading: Reading
    document: dict[str, Any] | None
    size: int


class ClaudeCodeFile:
    """Claude Code's login as a place (``ports.Place``).

    Args:
        path: the credentials file; its directory is where the locks lie.
        clock: the machine's clocks.
        wait: sleeps for so many seconds; called in worker threads.
        entropy: a number in [0, 1) for the random waits of the lock protocol.
    """

    name = "claude-code"

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        wait: Callable[[float], None],
        entropy: Callable[[], float],
    ) -> None:
        self.path = path
        self._clock = clock
        self._wait = wait
        self._entropy = entropy

    @property
    def description(self) -> str:
        """The file's path."""
        return str(self.path)

    def signature(self) -> Hashable | None:
        """One stat of the file, links followed; what cannot be looked at has not changed as long as it cannot."""
        try:
            return signature_of(self.path)
        except OSError as error:
            return error.errno

    def tidy(self) -> None:
        """Remove temporary files that a process of ours left when it died."""
        with suppress(OSError):
            remove_stale_temporaries(
                Path(os.path.realpath(self.path)).parent, self.path.name, now=self._clock.wall().timestamp()
            )

    def read(self) -> Reading:
        """Look at the file; torn, huge, foreign or strange content is ``Unreadable``, never an error."""
        return self._image().reading

    def _image(self) -> _Image:
        try:
            image = read_regular(self.path)
        except FileNotFoundError:
            return _Image(Absent(), None, 0)
        except OSError as error:
            return _Image(Unreadable(f"{self.path.name}: {error.strerror or error}"), None, 0)
        try:
            document = json.loads(image.data)
        except (ValueError, RecursionError):
            return _Image(Unreadable(f"{self.path.name} is not whole JSON"), None, len(image.data))
        reading = read_document(document)
        return _Image(reading, document if isinstance(document, dict) else None, len(image.data))

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:
        """Take both refresh locks in Claude Code's order, waiting as it does (reference/claude_code.md 2.4).

        Args:
            deadline: on the monotonic clock, in seconds.
        """
        legacy = Path(os.path.realpath(self.path.parent) + ".lock")
        return self._acquire(
            [
                ForeignLock(path, stale_seconds=REFRESH_STALE_SECONDS, heartbeat_seconds=HEARTBEAT_SECONDS)
                for path in (self.path.parent / ".oauth_refresh.lock", legacy)
            ],
            deadline,
        )

    def _acquire(self, locks: list[ForeignLock], deadline: float) -> HeldForeignLocks | LocksBusy:
        held = acquire_in_order(
            locks,
            deadline_monotonic=deadline,
            wait=self._wait,
            monotonic=self._clock.monotonic,
            wall=lambda: self._clock.wall().timestamp(),
            random=self._entropy,
        )
        match held:
            case Busy():
                when = "in the future" if held.future else f"{max(held.age, 0.0):.0f} s ago"
                return LocksBusy(f"Claude Code's lock {held.path.name} is held (last touched {when})")
            case RefusedBy():
                why = os.strerror(held.errno)
                return LocksBusy(f"Claude Code's lock {held.path.name} cannot be made: {why}", refused=True)
            case _:
                return held

    def prepare_write(self) -> PlaceWriter:
        """Prove that the file can be replaced, by making the temporary file that will replace it.

        Raises:
            OSError: if it cannot, or if there is no file: we never create it.
        """
        return _ClaudeCodeWriter(self, self._prepare())

    def _prepare(self) -> PreparedWrite:
        size = self._image().size
        return prepare_write(self.path, size + GROWTH_BYTES, create=False)

    def _swap(
        self, prepared: PreparedWrite, expected_generation: str, credential: Credential
    ) -> Stored | Superseded:
        """The new value's own generation is written again: an earlier write may have missed its last sync."""
        image = self._image()
        match image.reading:
            case Found(credential=present) if present.generation not in {
                expected_generation,
                credential.generation,
            }:
                return Superseded(image.reading)
            case Absent() | Blanked(login_ended=True):
                return Superseded(image.reading)
            case Unreadable(reason):
                raise OSError(reason)
            case _:
                pass
        if image.document is None:
            raise OSError(f"{self.path.name} holds no object")
        prepared.commit(encode_document(updated_document(image.document, credential)))
        return Stored()


class _ClaudeCodeWriter:
    """A write of the login, made under Claude Code's write lock."""

    def __init__(self, place: ClaudeCodeFile, prepared: PreparedWrite) -> None:
        self._place = place
        self._prepared = prepared

    def commit(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        """Compare and swap under ``.storage-write.lock``; see ``ports.PlaceWriter``."""
        place = self._place
        lock = ForeignLock(
            place.path.parent / ".storage-write.lock",
            stale_seconds=WRITE_STALE_SECONDS,
            heartbeat_seconds=WRITE_HEARTBEAT_SECONDS,
        )
        held = place._acquire([lock], place._clock.monotonic() + WRITE_PATIENCE_SECONDS)  # noqa: SLF001 - one module
        if isinstance(held, LocksBusy):
            raise OSError(held.reason)
        try:
            return place._swap(self._fresh(), expected_generation, credential)  # noqa: SLF001 - one module
        finally:
            held.release()

    def _fresh(self) -> PreparedWrite:
        """What was prepared, or a new one where the file was replaced by a link to elsewhere since."""
        if Path(os.path.realpath(self._place.path)) != self._prepared.real_path:
            self._prepared.discard()
            self._prepared = self._place._prepare()  # noqa: SLF001 - one module
        return self._prepared

    def discard(self) -> None:
        """Remove the temporary file, if it was not used."""
        self._prepared.discard()
