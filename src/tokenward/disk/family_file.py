"""The family file: where every holder of one refresh token meets, and what it leaves for its successor.

The problem: a refresh token can be spent once. Between the moment it is sent and the moment its successor is
durable, a process can die, and whoever comes next must know: was it sent? was it answered? is the answer
anywhere? So one file a family is the lock that all holders take, and the journal of the one who spends.

Rules (design section 4.3, I1, I3):
- The directory is one a user, and no setting moves it, so that two daemons with different settings meet here.
- The file is appended to and synced, a JSON object a line; a torn last line counts as never written. What a
  line says is true from its sync on, so a mark is written *before* what it announces.
- Room for the answer is reserved before the token is sent, so that a full disk cannot come between.
- The answer is sealed. A file that is done is kept for a while, so that a second place which holds the same
  refresh token finds it ``spent`` and adopts the answer, and is then pruned.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from pathlib import Path
from typing import Any

from tokenward.core.credential import from_unix_milliseconds
from tokenward.disk.durability import reserve, sync_directory, sync_file, write_at
from tokenward.disk.flock import FileLock, holder_of
from tokenward.disk.foreign_lock import remove_if_unchanged
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.ports import LockIdentity

RESERVED_BYTES = 256 * 1024
"""Room for one sealed answer of the largest tokens we accept (two of 64 KiB, encoded twice)."""
LARGEST_JOURNAL_BYTES = 4 * RESERVED_BYTES
"""No journal of ours grows past half of this (``begin`` starts long ones anew); more is never read."""
KEEP_FINISHED = timedelta(hours=24)
"""How long a finished family stays, for a second holder of the same refresh token to find it spent."""


class Outcome(StrEnum):
    """How an attempt ended."""

    NOT_SENT = auto()
    """The refresh token never left; it is unspent."""
    ANSWERED = auto()
    """The server answered without a grant."""
    AMBIGUOUS = auto()
    """Sent, and no answer: it may be spent."""
    ADOPTED = auto()
    """The place held a newer value."""
    STORED = auto()
    """Granted, and the new value is durable in its place."""
    UNSAVED = auto()
    """Granted and sealed here, but the place could not be written."""
    SUPERSEDED = auto()
    """Granted and sealed here; the place held a newer value, which was left alone."""
    LOGGED_OUT = auto()
    """The login was ended by its owner or forgotten by us; what was uncertain or unsaved concerns nobody."""


_FINISHED = frozenset(Outcome) - {Outcome.AMBIGUOUS, Outcome.UNSAVED}


@dataclass(frozen=True, slots=True)
class Mark:
    """What is written before a refresh token is sent.

    Args:
        profile: whose flight it is.
        place: where the credential lives, as shown to people.
        sent: the generation whose refresh token is about to be sent.
        started_at_ms: Unix milliseconds.
        locks: the foreign locks we hold meanwhile.
    """

    profile: str
    place: str
    sent: str
    started_at_ms: int
    locks: tuple[LockIdentity, ...] = ()


@dataclass(frozen=True, slots=True)
class FamilyState:
    """What the journal says.

    Args:
        mark: the last mark, None if this refresh token was never about to be sent.
        outcome: how the attempt after it ended; None = it never ended, its process died.
        ambiguous_since_ms: when the token was first sent without an answer, Unix milliseconds.
        replayed: whether the last mark is that of a token sent again after a silence.
        sealed: the sealed answer, if one was received.
        generation: the new generation, if an answer was received.
    """

    mark: Mark | None = None
    outcome: Outcome | None = None
    ambiguous_since_ms: int | None = None
    replayed: bool = False
    sealed: bytes | None = None
    generation: str | None = None

    @property
    def spent(self) -> bool:
        """Whether an answer to this refresh token was received."""
        return self.generation is not None

    @property
    def in_flight(self) -> bool:
        """Whether an attempt was begun and never ended: its process died."""
        return self.mark is not None and self.outcome is None and not self.spent

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.mark is None or self.outcome in _FINISHED

    @property
    def uncertain_since_ms(self) -> int | None:
        """When the token was first sent without our seeing an answer, Unix milliseconds; None = never."""
        if self.spent:
            return None
        if self.ambiguous_since_ms is not None:
            return self.ambiguous_since_ms
        return self.mark.started_at_ms if self.in_flight and self.mark is not None else None

    @property
    def orphaned_locks(self) -> tuple[LockIdentity, ...]:
        """Foreign locks that outlived their attempt: its process died, or its place could not be written."""
        return self.mark.locks if self.mark is not None and self.outcome in {None, Outcome.UNSAVED} else ()


class FamilyFile:
    """One family, locked.

    Args:
        directory: the families' directory.
        family: 64 hex digits (``core.credential.family_of``).
    """

    def __init__(self, directory: Path, family: str) -> None:
        self.name = family
        self.path = directory / f"{family}.journal"
        self._lock = FileLock(self.path)
        self._end = 0
        self.state = FamilyState()

    def acquire(self, deadline: float, *, wait: Callable[[float], None], monotonic: Callable[[], float]) -> bool:
        """Lock the family and read what its last holder left.

        Args:
            deadline: on the monotonic clock, in seconds.
            wait: sleeps for so many seconds.
            monotonic: the monotonic clock.

        Returns:
            Whether the lock was had in time.

        Raises:
            OSError: if the file cannot be made or read.
        """
        ensure_private_dir(self.path.parent)
        if not self._lock.acquire(deadline, wait, monotonic):
            return False
        try:
            self._read()
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Unlock; the file stays."""
        self._lock.release()

    def held_elsewhere(self) -> str:
        """Why it could not be locked, in words, with the holder where the kernel names it."""
        pid = holder_of(self.path)
        return f"another process{'' if pid is None else f' ({pid})'} is refreshing this login"

    def _read(self) -> None:
        image = os.pread(self._lock.fd, LARGEST_JOURNAL_BYTES, 0).split(b"\0", 1)[0]
        self._end = image.rfind(b"\n") + 1
        state = FamilyState()
        for line in image[: self._end].splitlines():
            try:
                state = _after(state, json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
        self.state = state

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        write_at(self._lock.fd, line, self._end)
        sync_file(self._lock.fd)
        self._end += len(line)
        self.state = _after(self.state, record)

    def begin(self, mark: Mark) -> None:
        """Write the mark, with room for the answer behind it; the refresh token may be sent after this.

        What was noted of earlier attempts goes, except since when it is uncertain whether the token is spent.

        Raises:
            OSError: if the mark or the room could not be had; nothing may be sent then.
        """
        since = self.state.uncertain_since_ms
        if since is None or self._end > RESERVED_BYTES:
            os.ftruncate(self._lock.fd, 0)
            self._end = 0
            self.state = FamilyState()
        before, end = self.state, self._end
        try:
            reserve(self._lock.fd, RESERVED_BYTES, start=end)
            self._append({"record": "mark", **asdict(mark), "uncertain_since_ms": since})
            self._sync_directory()
        except OSError:
            self.state, self._end = before, end
            with suppress(OSError):  # else a successor takes the token for perhaps spent, and waits
                os.ftruncate(self._lock.fd, end)
            raise

    def record_answer(self, sealed: bytes, *, generation: str) -> None:
        """Keep the sealed answer, durably, before anything else is done with it.

        Raises:
            OSError: if it could not be kept.
        """
        encoded = base64.b64encode(sealed).decode()
        self._append({"record": "answer", "sealed": encoded, "generation": generation})

    def record_outcome(self, outcome: Outcome) -> None:
        """Note how the attempt ended; foreign locks are given back only after this.

        Raises:
            OSError: if it could not be noted; the journal then says less than is true, never more.
        """
        self._append({"record": "outcome", "outcome": outcome})
        os.ftruncate(self._lock.fd, self._end)

    def _sync_directory(self) -> None:
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(fd)
        finally:
            os.close(fd)


def _after(state: FamilyState, record: dict[str, Any]) -> FamilyState:
    match record["record"]:
        case "mark":
            locks = tuple(LockIdentity(**lock) for lock in record["locks"])
            mark = Mark(record["profile"], record["place"], record["sent"], record["started_at_ms"], locks)
            since = record["uncertain_since_ms"]
            return FamilyState(mark=mark, ambiguous_since_ms=since, replayed=since is not None)
        case "answer":
            sealed = base64.b64decode(record["sealed"], validate=True)
            return replace(state, sealed=sealed, generation=record["generation"])
        case "outcome":
            outcome = Outcome(record["outcome"])
            stays_uncertain = outcome in {Outcome.AMBIGUOUS, Outcome.LOGGED_OUT}  # who comes back must know it
            since = state.uncertain_since_ms if stays_uncertain else state.ambiguous_since_ms
            replayed = state.replayed and outcome is not Outcome.NOT_SENT
            return replace(state, outcome=outcome, ambiguous_since_ms=since, replayed=replayed)
        case other:
            raise ValueError(other)


def families_in(directory: Path) -> Sequence[str]:
    """The families that have a file, sorted."""
    return sorted(path.stem for path in directory.glob("*.journal"))


@contextmanager
def try_family(directory: Path, family: str) -> Iterator[FamilyFile | None]:
    """Lock a family if nobody has it; None if somebody has, and so is alive and at work."""
    file = FamilyFile(directory, family)
    if not file.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0):
        yield None
        return
    try:
        yield file
    finally:
        file.release()


def left_unfinished(family: FamilyFile | None, held: str) -> bool:
    """Whether a process that died left work for the one who holds this value; blocks on the disk.

    Args:
        family: the value's family, None if it has none.
        held: the value's generation.

    Returns:
        False also if somebody is at work on the family now.
    """
    if family is None or not family.path.exists():
        return False
    if not family.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0):
        return False
    try:
        return not family.state.finished or family.state.generation not in {None, held}
    finally:
        family.release()


def end_unfinished(family: FamilyFile) -> bool:
    """A login is over: nothing is left to do for this family, and it may be pruned in time; blocks on the disk.

    Returns:
        Whether it was ended; not if it was finished, or if somebody is at work on it.

    Raises:
        OSError: if it could not be noted.
    """
    if not family.path.exists():
        return False
    if not family.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0):
        return False
    try:
        if family.state.finished:
            return False
        _end(family, Outcome.LOGGED_OUT)
        return True
    finally:
        family.release()


def _end(family: FamilyFile, outcome: Outcome) -> None:
    for lock in family.state.orphaned_locks:
        remove_if_unchanged(lock)
    family.record_outcome(outcome)


def clear_left_marks(directory: Path, generation_at: Callable[[str, str], str | None]) -> int:
    """End the attempts of dead processes whose place has moved on since, and give back the locks they held.

    An attempt whose place still holds the generation that was sent is left to the next refresh, which knows what
    to do with it (design section 4, "a mark found at start").

    Args:
        directory: the families' directory.
        generation_at: the generation held by a profile at a place; empty if its owner says there that the login
            is over, None if nothing is known of it.

    Returns:
        How many were ended.
    """
    ended = 0
    for family in families_in(directory):
        with try_family(directory, family) as file:
            mark = file.state.mark if file is not None else None
            if file is None or mark is None or file.state.finished:
                continue
            present = generation_at(mark.profile, mark.place)
            if present is not None and present != mark.sent:
                _end(file, Outcome.ADOPTED if present else Outcome.LOGGED_OUT)
                ended += 1
    return ended


def prune(directory: Path, *, now: datetime) -> int:
    """Remove families that have been finished for a day.

    Returns:
        How many were removed.
    """
    removed = 0
    for family in families_in(directory):
        with try_family(directory, family) as file:
            if file is not None and file.state.finished and _age(file, now) > KEEP_FINISHED:
                file.path.unlink(missing_ok=True)
                removed += 1
    return removed


def _age(file: FamilyFile, now: datetime) -> timedelta:
    if file.state.mark is not None:
        started = from_unix_milliseconds(file.state.mark.started_at_ms)
    else:
        started = from_unix_milliseconds(file.path.stat().st_mtime * 1000)
    return now - started if started is not None else timedelta(0)
