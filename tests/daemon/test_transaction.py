"""The refresh transaction: what is sent, what is kept, and what a successor finds, line by line."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.refreshing import (
    ENDPOINT,
    LIFE,
    HookedPlace,
    Killed,
    RotatingServer,
    credential_at,
    family_name,
    journal,
    records,
    sealer,
    transaction,
)
from fakes.machine import FakeClock
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Ambiguous, Condemned, Granted, NotSent, Unavailable
from tokenward.core.reading import Found
from tokenward.core.record import from_record
from tokenward.daemon.flight_results import Adopted, Cause, Failed, Refreshed, Rejected, SaveFailed
from tokenward.daemon.machine import SystemClock
from tokenward.daemon.transaction import LOCK_PATIENCE_SECONDS, Transaction
from tokenward.disk import durability, family_file
from tokenward.disk.family_file import FamilyFile, Mark, Outcome, try_family
from tokenward.disk.flock import KERNEL_TABLE
from tokenward.disk.foreign_lock import ForeignLock
from tokenward.errors import StoreUnavailable
from tokenward.ports import LockIdentity, Place
from tokenward.stores.credential_store import EncryptedCredentialStore

LOCK = LockIdentity("/nowhere/lock", 1, 2)


class Scene:
    """A value that is due, its place, its server, and the transaction under test.

    Args:
        directory: where the families are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.held = credential_at(self.clock)
        self.place = HookedPlace(self.held, locks=(LOCK,))
        self.server = RotatingServer()
        self.refresher = self.transaction()

    def transaction(self, **different: Any) -> Transaction:
        """A transaction over the same place, as a successor makes one."""
        place = different.pop("place", self.place)
        return transaction(self.directory, place, self.clock, self.server.post, **different)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """The scene of every test."""
    return Scene(tmp_path)


def there(place: Place) -> Credential:
    """What a place holds."""
    reading = place.read()
    assert isinstance(reading, Found)
    return reading.credential


# The straight line


def test_a_grant_is_durable_in_its_place_before_it_is_returned(scene: Scene) -> None:
    """The new value is in the place, with the life granted counted from the request's start."""
    scene.server.during = lambda: scene.clock.advance(7)
    started = scene.clock.now
    result = scene.refresher.refresh(scene.held)
    assert result == Refreshed(there(scene.place))
    assert isinstance(result, Refreshed)
    assert result.credential.expires_at == started + timedelta(seconds=LIFE)
    assert result.credential.granted_life == LIFE
    assert scene.server.sent == ["sk-ant-ort01-refresh-0"]


def test_nothing_is_sent_before_the_mark_is_on_the_disk(scene: Scene) -> None:
    """Under way: the journal names what is sent, from where, when and under which locks, and has room for more."""
    seen: list[list[dict[str, object]]] = []
    path = scene.directory / "families" / f"{family_name(scene.held)}.journal"

    def look() -> None:
        seen.append(journal(scene.directory, scene.held))
        assert path.stat().st_size >= family_file.RESERVED_BYTES
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert scene.place.locked

    scene.server.during = look
    scene.refresher.refresh(scene.held)
    [[mark]] = seen
    assert mark["record"] == "mark"
    assert mark["profile"] == "acme:me"
    assert mark["place"] == scene.place.description
    assert mark["sent"] == scene.held.generation
    assert mark["started_at_ms"] == round(scene.clock.now.timestamp() * 1000)
    assert mark["locks"] == [{"path": LOCK.path, "dev": LOCK.dev, "ino": LOCK.ino}]
    assert b"refresh-0" not in path.read_bytes()


def test_the_mark_is_synced_before_the_request(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and its directory are synced before the token leaves."""
    steps: list[str] = []
    synced_file, synced_directory = durability.sync_file, durability.sync_directory

    def sync_file(fd: int) -> None:
        steps.append("file")
        synced_file(fd)

    def sync_directory(fd: int) -> None:
        steps.append("directory")
        synced_directory(fd)

    monkeypatch.setattr(family_file, "sync_file", sync_file)
    monkeypatch.setattr(family_file, "sync_directory", sync_directory)
    scene.server.during = lambda: steps.append("request")
    scene.refresher.refresh(scene.held)
    assert steps[:3] == ["file", "directory", "request"]


def test_the_answer_is_sealed_and_synced_before_the_place_is_written(scene: Scene) -> None:
    """At the write the journal holds the new value, encrypted and bound to the family."""
    seen: list[dict[str, str]] = []
    scene.place.before_commit = lambda: seen.append(journal(scene.directory, scene.held)[-1])
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Refreshed)
    [answer] = seen
    assert answer["record"] == "answer"
    assert answer["generation"] == result.credential.generation
    assert "granted" not in json.dumps(answer)
    with try_family(scene.directory / "families", family_name(scene.held)) as family:
        assert family is not None
        plain = sealer().unseal(family.state.sealed or b"", family.name.encode())
        assert from_record(plain) == result.credential


def test_afterwards_the_journal_says_stored_and_all_locks_are_given_back(scene: Scene) -> None:
    """What is over leaves a small finished journal, and neither the owner's locks nor ours are held."""
    scene.place.after_commit = lambda: (
        records(scene.directory, scene.held) == ["mark", "answer"] or pytest.fail("too early")
    )
    scene.refresher.refresh(scene.held)
    assert records(scene.directory, scene.held) == ["mark", "answer", "stored"]
    assert not scene.place.locked
    with try_family(scene.directory / "families", family_name(scene.held)) as family:
        assert family is not None
        assert family.state.finished
        assert family.path.stat().st_size < 4096


def test_the_outcome_is_noted_before_the_owners_locks_are_given_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor never takes a lock for orphaned that its owner is about to give back."""
    noted: list[bool] = []
    record_outcome = FamilyFile.record_outcome

    def record(family: FamilyFile, outcome: Outcome) -> None:
        noted.append(scene.place.locked)
        record_outcome(family, outcome)

    monkeypatch.setattr(FamilyFile, "record_outcome", record)
    scene.refresher.refresh(scene.held)
    assert noted == [True]


@pytest.mark.covers("L24")
def test_a_grant_is_saved_back_to_our_own_store(scene: Scene) -> None:
    """A profile of the encrypted store: another process that opens the store finds the new value."""
    store = EncryptedCredentialStore(scene.directory / "store", sealer())
    store.add("acme:me", scene.held)
    result = transaction(scene.directory, store.place("acme:me"), scene.clock, scene.server.post).refresh(
        scene.held
    )
    assert isinstance(result, Refreshed)
    reopened = EncryptedCredentialStore(scene.directory / "store", sealer()).place("acme:me").read()
    assert isinstance(reopened, Found)
    assert reopened.credential == result.credential
    assert reopened.credential.refresh == Secret("granted-refresh-1")


def test_a_value_without_a_refresh_token_is_a_defect_of_the_caller(scene: Scene) -> None:
    """It could never be due."""
    with pytest.raises(ValueError, match="never due"):
        scene.refresher.refresh(Credential(Kind.API_KEY, Secret("k")))


# Newer values are adopted


def test_a_newer_value_is_adopted_before_the_owners_locks_are_asked_for(scene: Scene) -> None:
    """What the owner rotated is taken at once."""
    newer = credential_at(scene.clock, 1)
    scene.place.overwrite(newer)
    assert scene.refresher.refresh(scene.held) == Adopted(newer)
    assert scene.server.sent == []
    assert scene.place.locks_taken == 0


def test_a_newer_value_is_adopted_under_the_owners_locks(scene: Scene) -> None:
    """What the owner rotated while we waited for its locks is seen by the reading under them."""
    newer = credential_at(scene.clock, 1)
    scene.place.before_lock = lambda: scene.place.overwrite(newer)
    assert scene.refresher.refresh(scene.held) == Adopted(newer)
    assert scene.server.sent == []
    assert not scene.place.locked


@pytest.mark.parametrize("answer", [Condemned("invalid_grant", ""), Ambiguous("cut off")])
def test_a_newer_value_is_adopted_after_a_bad_answer(scene: Scene, answer: Condemned | Ambiguous) -> None:
    """A verdict, or a silence, about a value that was replaced meanwhile has no effect."""
    newer = credential_at(scene.clock, 1)
    scene.server.script = [answer]
    scene.server.during = lambda: scene.place.overwrite(newer)
    assert scene.refresher.refresh(scene.held) == Adopted(newer)
    assert records(scene.directory, scene.held) == ["mark", "adopted"]


def test_adopting_needs_no_room_on_the_disk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A predecessor's open mark that cannot be closed on a full disk does not keep the newer value from us."""
    leave_mark(scene.directory, scene.held, scene.clock)
    newer = credential_at(scene.clock, 1)
    scene.place.overwrite(newer)
    monkeypatch.setattr(family_file, "write_at", no_space)
    assert scene.refresher.refresh(scene.held) == Adopted(newer)


def no_space(*_: object, **__: object) -> None:
    """A full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# What is not sent


@pytest.mark.parametrize(
    ("happens", "cause"),
    [
        (lambda place: place.vanish(), Cause.SOURCE_GONE),
        (lambda place: place.blank(), Cause.SOURCE_GONE),
        (lambda place: place.blank(login_ended=True), Cause.SOURCE_GONE),
        (lambda place: place.tear("not whole JSON"), Cause.SOURCE_UNREADABLE),
        (
            lambda place: place.overwrite(Credential(Kind.SETUP_TOKEN, Secret("static"))),
            Cause.SOURCE_GONE,
        ),
    ],
    ids=["absent", "blanked", "login ended", "torn", "refreshToken null"],
)
@pytest.mark.parametrize("moment", ["before", "under the locks"])
def test_a_degraded_place_never_has_its_token_spent(
    scene: Scene, happens: Callable[[HookedPlace], None], cause: Cause, moment: str
) -> None:
    """Absent, blanked, torn or static: no request, and the place stays as its owner left it."""
    if moment == "before":
        happens(scene.place)
    else:
        scene.place.before_lock = lambda: happens(scene.place)
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is cause
    assert scene.server.sent == []
    assert scene.place.commits == []
    assert not scene.place.locked


def test_a_place_that_cannot_be_written_keeps_its_token(scene: Scene) -> None:
    """The proof fails: nothing is sent and no mark is left."""
    scene.place.fail_prepares(1, OSError(errno.EROFS, "Read-only file system"))
    assert scene.refresher.refresh(scene.held) == Failed(
        Cause.UNWRITABLE, "/home/me/login.json: Read-only file system"
    )
    assert scene.server.sent == []
    assert journal(scene.directory, scene.held) == []
    assert isinstance(scene.refresher.refresh(scene.held), Refreshed)


@pytest.mark.parametrize("refused", [True, False])
def test_the_owners_locks_held_by_another_mean_no_refresh(scene: Scene, *, refused: bool) -> None:
    """Busy or refused: not sent, and the reason is the owner's lock."""
    scene.place.make_busy("held since an hour", refused=refused)
    assert scene.refresher.refresh(scene.held) == Failed(Cause.LOCKED, "held since an hour")
    assert scene.server.sent == []


def test_a_family_held_by_another_process_means_no_refresh(scene: Scene) -> None:
    """The family's lock is waited for, then given up; nothing is sent."""
    started = scene.clock.monotonic()
    with try_family(scene.directory / "families", family_name(scene.held)) as family:
        assert family is not None
        result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.LOCKED
    assert scene.clock.monotonic() - started >= LOCK_PATIENCE_SECONDS
    assert scene.server.sent == []


def test_a_wait_for_the_family_is_told_with_its_holder(scene: Scene) -> None:
    """Once, while it lasts; its end is told too, and where nobody holds it there is no wait to be told."""
    told: list[str | None] = []
    telling = replace(scene.refresher, waiting=told.append)
    with try_family(scene.directory / "families", family_name(scene.held)) as family:
        assert family is not None
        holder = f" ({os.getpid()})" if KERNEL_TABLE.exists() else ""
        words = f"another process{holder} is refreshing this login"
        assert telling.refresh(scene.held) == Failed(Cause.LOCKED, words)
    assert told == [words, None]
    assert isinstance(telling.refresh(scene.held), Refreshed)
    assert told == [words, None, None]


def test_no_room_for_the_answer_means_no_refresh(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk nothing is sent; when there is room again the token is still unspent."""
    with monkeypatch.context() as full:
        full.setattr(family_file, "reserve", no_space)
        result = scene.refresher.refresh(scene.held)
        assert result == Failed(Cause.UNWRITABLE, "the family file: No space left on device")
        assert scene.server.sent == []
        assert journal(scene.directory, scene.held) == []
    assert isinstance(scene.refresher.refresh(scene.held), Refreshed)


@pytest.mark.parametrize("step", ["sync_file", "sync_directory"])
def test_a_mark_that_was_not_synced_neither_sends_nor_blocks(
    scene: Scene, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync of the mark: nothing is sent, and the next attempt takes the token for unspent."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(family_file, step, broken)
        result = scene.refresher.refresh(scene.held)
        assert isinstance(result, Failed)
        assert result.cause is Cause.UNWRITABLE
        assert scene.server.sent == []
    assert isinstance(scene.refresher.refresh(scene.held), Refreshed)


def test_families_that_cannot_be_had_mean_no_refresh(scene: Scene) -> None:
    """No directory for the families, no request."""
    (scene.directory / "families").write_text("a file is in the way")
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.UNWRITABLE
    assert scene.server.sent == []


# What the server says


def test_a_condemned_token_is_rejected_with_the_generation_that_was_sent(scene: Scene) -> None:
    """The verdict names what it is about, and the place keeps what it had."""
    scene.server.script = [Condemned("invalid_grant", "Refresh token expired")]
    assert scene.refresher.refresh(scene.held) == Rejected(
        scene.held.generation, "invalid_grant: Refresh token expired"
    )
    assert there(scene.place) == scene.held
    assert records(scene.directory, scene.held) == ["mark", "answered"]


def test_a_verdict_counts_only_after_the_place_was_read_again(scene: Scene) -> None:
    """Torn after the verdict: somebody is writing, so the login is not given up; the new value counts."""
    scene.server.script = [Condemned("invalid_grant", "")]
    scene.server.during = lambda: scene.place.tear("half a file")
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.SOURCE_UNREADABLE
    newer = credential_at(scene.clock, 1)
    scene.place.overwrite(newer)
    assert scene.refresher.refresh(scene.held) == Adopted(newer)


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (Unavailable("HTTP 503", 17.0), Failed(Cause.UNAVAILABLE, "HTTP 503", 17.0)),
        (
            Unavailable("HTTP 401 invalid_client", None, configuration=True),
            Failed(Cause.MISCONFIGURED, "HTTP 401 invalid_client"),
        ),
        (NotSent("no route"), Failed(Cause.NOT_SENT, "no route")),
    ],
)
def test_trouble_leaves_the_token_unspent(scene: Scene, answer: Unavailable | NotSent, failed: Failed) -> None:
    """Answered without a grant, or never sent: the place is as it was, and the next attempt is made."""
    scene.server.script = [answer]
    assert scene.refresher.refresh(scene.held) == failed
    assert there(scene.place) == scene.held
    scene.server.sent.clear()
    assert isinstance(scene.refresher.refresh(scene.held), Refreshed)


def test_a_stolen_lock_discards_nothing(scene: Scene) -> None:
    """Whoever took the owner's locks from us meanwhile: compare and swap decides, and the result tells."""
    scene.server.during = scene.place.steal_locks
    result = scene.refresher.refresh(scene.held)
    assert result == Refreshed(there(scene.place), locks_lost=True)


def test_a_place_that_moved_on_is_left_alone_and_ours_lies_sealed(scene: Scene) -> None:
    """Somebody wrote another value while we asked: theirs is served, ours is in the family file."""
    theirs = credential_at(scene.clock, 9)
    scene.server.during = lambda: scene.place.overwrite(theirs)
    assert scene.refresher.refresh(scene.held) == Adopted(theirs)
    assert there(scene.place) == theirs
    assert records(scene.directory, scene.held) == ["mark", "answer", "superseded"]
    with try_family(scene.directory / "families", family_name(scene.held)) as family:
        assert family is not None
        ours = from_record(sealer().unseal(family.state.sealed or b"", family.name.encode()))
        assert ours.access == Secret("granted-access-1")


@pytest.mark.parametrize("happens", ["vanish", "blank", "tear"])
def test_a_place_that_degrades_during_the_request_costs_no_value(scene: Scene, happens: str) -> None:
    """The owner removes, blanks or tears its file meanwhile: nothing is written there, and the value is kept."""
    scene.server.during = getattr(scene.place, happens)
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, SaveFailed)
    assert result.credential.access == Secret("granted-access-1")
    assert result.sealed
    assert scene.place.commits == []
    assert records(scene.directory, scene.held) == ["mark", "answer", "unsaved"]


# The write fails


def test_a_failed_write_keeps_the_value_and_a_later_one_saves_it(scene: Scene) -> None:
    """Full disk after the answer: the value is returned, sealed; ``save`` writes it when there is room."""
    scene.place.fail_commits(2, OSError(errno.ENOSPC, "No space left on device"))
    pending = scene.refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    assert pending.sealed
    assert pending.sent == scene.held.generation
    assert pending.reason == "/home/me/login.json: No space left on device"
    assert there(scene.place) == scene.held
    assert records(scene.directory, scene.held) == ["mark", "answer", "unsaved"]
    assert isinstance(scene.refresher.save(pending), SaveFailed)
    assert scene.refresher.save(pending) == Refreshed(pending.credential)
    assert there(scene.place) == pending.credential
    assert records(scene.directory, scene.held)[-1] == "stored"
    assert len(scene.server.sent) == 1
    assert not scene.place.locked


def test_a_write_that_fails_by_a_defect_keeps_the_value_too(scene: Scene) -> None:
    """Whatever the write raises, the value goes on living, and no text of the error is repeated."""

    def broken() -> None:
        raise RuntimeError("granted-refresh-1 in an error")

    scene.place.before_commit = broken
    pending = scene.refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    assert pending.sealed
    assert pending.reason == "/home/me/login.json: RuntimeError"
    again = scene.refresher.save(pending)
    assert isinstance(again, SaveFailed)
    assert again.credential == pending.credential
    assert "granted" not in again.reason


class BrokenSealer:
    """Cannot seal until it is mended."""

    key_id = "broken"

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Fail, or seal."""
        if self.error is not None:
            raise self.error
        return sealer().seal(plain, associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """As the real one."""
        return sealer().unseal(sealed, associated)


SEALING_ERRORS = [StoreUnavailable("locked"), OSError(errno.EIO, "broken"), RuntimeError("a defect")]


@pytest.mark.parametrize("error", SEALING_ERRORS, ids=lambda error: type(error).__name__)
def test_an_answer_that_cannot_be_sealed_is_still_written(scene: Scene, error: Exception) -> None:
    """Sealing is the second line: where it fails, the place is tried all the same."""
    refresher = transaction(
        scene.directory, scene.place, scene.clock, scene.server.post, sealed_with=BrokenSealer(error)
    )
    result = refresher.refresh(scene.held)
    assert result == Refreshed(there(scene.place))
    assert there(scene.place).access == Secret("granted-access-1")


@pytest.mark.parametrize("error", SEALING_ERRORS, ids=lambda error: type(error).__name__)
def test_neither_sealed_nor_written_the_value_still_lives(scene: Scene, error: Exception) -> None:
    """Both lines fail: the value is returned as unsealed, and ``save`` seals it first, then writes it."""
    broken = BrokenSealer(error)
    refresher = transaction(scene.directory, scene.place, scene.clock, scene.server.post, sealed_with=broken)
    scene.place.fail_commits(2, OSError(errno.ENOSPC, "full"))
    pending = refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    assert not pending.sealed
    assert pending.credential.access == Secret("granted-access-1")
    broken.error = None
    again = refresher.save(pending)
    assert isinstance(again, SaveFailed)
    assert again.sealed
    assert "answer" in records(scene.directory, scene.held)
    assert refresher.save(again) == Refreshed(pending.credential)


@pytest.mark.parametrize("what", ["discard", "release", "still_owned", "close"])
def test_no_error_while_tidying_up_costs_the_value(
    scene: Scene, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the answer whatever fails, the new value is in the result."""

    def broken(*_: object) -> bool:
        raise OSError(errno.EIO, "broken")

    from tokenward.disk.flock import FileLock
    from tokenward.stores import memory

    owner = {"discard": memory._MemoryWriter, "close": FileLock}.get(what, memory._MemoryLocks)
    release = FileLock.release

    def close(lock: FileLock) -> None:
        release(lock)
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(owner, "release" if what == "close" else what, close if what == "close" else broken)
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Refreshed)
    assert result.credential == there(scene.place)


def test_saving_gives_way_to_a_newer_value(scene: Scene) -> None:
    """What is unsaved is not written over what the owner wrote since."""
    scene.place.fail_commits(1, OSError(errno.EIO, "broken"))
    pending = scene.refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    theirs = credential_at(scene.clock, 9)
    scene.place.overwrite(theirs)
    assert scene.refresher.save(pending) == Adopted(theirs)
    assert there(scene.place) == theirs
    assert records(scene.directory, scene.held)[-1] == "superseded"


def test_saving_waits_for_the_family_and_for_the_owners_locks(scene: Scene) -> None:
    """While another holds one of the locks the value stays pending."""
    scene.place.fail_commits(1, OSError(errno.EIO, "broken"))
    pending = scene.refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    with try_family(scene.directory / "families", pending.family):
        assert scene.refresher.save(pending) == pending
    scene.place.make_busy("held by Claude Code")
    busy = scene.refresher.save(pending)
    assert isinstance(busy, SaveFailed)
    assert busy.reason == "held by Claude Code"
    scene.place.make_free()
    assert scene.refresher.save(busy) == Refreshed(pending.credential)


def test_saving_survives_families_that_cannot_be_had(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable family directory keeps the value pending."""
    scene.place.fail_commits(1, OSError(errno.EIO, "broken"))
    pending = scene.refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)

    def broken(_: Path) -> Path:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(family_file, "ensure_private_dir", broken)
    again = scene.refresher.save(pending)
    assert isinstance(again, SaveFailed)
    assert again.credential == pending.credential


# A process dies


def leave_mark(
    directory: Path, held: Credential, clock: FakeClock, *, locks: tuple[LockIdentity, ...] = ()
) -> None:
    """What a process leaves that died after its mark."""
    with try_family(directory / "families", family_name(held)) as family:
        assert family is not None
        started = round(clock.now.timestamp() * 1000)
        family.begin(Mark("acme:me", "/home/me/login.json", held.generation, started, locks))


def die() -> None:
    """The process ends here."""
    raise Killed


def test_dying_before_the_mark_leaves_an_unchanged_place(scene: Scene) -> None:
    """Killed with the locks in hand: nothing was sent, no mark is left, and the successor refreshes."""
    scene.place.before_prepare = die
    with pytest.raises(Killed):
        scene.refresher.refresh(scene.held)
    assert journal(scene.directory, scene.held) == []
    scene.place.before_prepare = lambda: None
    assert isinstance(scene.refresher.refresh(scene.held), Refreshed)
    assert len(scene.server.sent) == 1


def test_dying_after_the_mark_makes_the_token_perhaps_spent(scene: Scene) -> None:
    """Killed in the request: the successor sends nothing while the access token lives, and once after."""
    scene.server.during = die
    with pytest.raises(Killed):
        scene.refresher.refresh(scene.held)
    assert records(scene.directory, scene.held) == ["mark"]
    successor = RotatingServer()
    later = transaction(scene.directory, scene.place, scene.clock, successor.post)
    scene.clock.advance(10)
    result = later.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.AMBIGUOUS
    assert result.retry_after == pytest.approx(50)
    assert successor.sent == []
    scene.clock.advance(49.999)
    assert isinstance(later.refresh(scene.held), Failed)
    assert successor.sent == []
    scene.clock.advance(0.001)
    assert isinstance(later.refresh(scene.held), Refreshed)
    assert successor.sent == ["sk-ant-ort01-refresh-0"]


def test_dying_between_answer_and_seal_is_the_same_as_dying_in_the_request(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one loss that no client can prevent: it is recognised, and the token is not sent again at once."""
    monkeypatch.setattr(FamilyFile, "record_answer", lambda *_, **__: die())
    with pytest.raises(Killed):
        scene.refresher.refresh(scene.held)
    monkeypatch.undo()
    result = scene.refresher.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.AMBIGUOUS


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_dying_after_the_seal_loses_nothing(scene: Scene, moment: str) -> None:
    """Killed before or after the write: a successor writes the sealed value, and sends nothing."""
    setattr(scene.place, moment, die)
    with pytest.raises(Killed):
        scene.refresher.refresh(scene.held)
    setattr(scene.place, moment, lambda: None)
    scene.place.overwrite(scene.held) if moment == "before_commit" else None
    assert records(scene.directory, scene.held) == ["mark", "answer"]
    successor = RotatingServer()
    result = transaction(scene.directory, scene.place, scene.clock, successor.post).refresh(scene.held)
    assert isinstance(result, Refreshed | Adopted)
    assert result.credential.access == Secret("granted-access-1")
    assert there(scene.place).refresh == Secret("granted-refresh-1")
    assert successor.sent == []


def test_a_successor_writes_what_its_predecessor_could_not(scene: Scene) -> None:
    """The place was full and the process ended: the successor finds the sealed value and writes it."""
    scene.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    pending = scene.refresher.refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    successor = RotatingServer()
    later = transaction(scene.directory, scene.place, scene.clock, successor.post)
    assert later.refresh(scene.held) == Refreshed(pending.credential)
    assert there(scene.place) == pending.credential
    assert successor.sent == []
    assert records(scene.directory, scene.held)[-1] == "stored"


def test_a_successor_that_cannot_write_either_has_the_value(scene: Scene) -> None:
    """The place is still full: the sealed value is served as unsaved, and nothing is sent."""
    scene.place.fail_commits(2, OSError(errno.ENOSPC, "full"))
    pending = scene.refresher.refresh(scene.held)
    successor = RotatingServer()
    result = transaction(scene.directory, scene.place, scene.clock, successor.post).refresh(scene.held)
    assert isinstance(pending, SaveFailed)
    assert isinstance(result, SaveFailed)
    assert result.credential == pending.credential
    assert successor.sent == []


def test_a_predecessors_answer_gives_way_to_what_the_place_holds_now(scene: Scene) -> None:
    """A person logged in again meanwhile: the sealed value is not written over that."""
    scene.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    scene.refresher.refresh(scene.held)
    theirs = credential_at(scene.clock, 9)
    scene.place.overwrite(theirs)
    assert transaction(scene.directory, scene.place, scene.clock, RotatingServer().post).refresh(
        scene.held
    ) == Adopted(theirs)
    assert there(scene.place) == theirs


def test_an_answer_that_cannot_be_opened_is_not_asked_for_again(scene: Scene) -> None:
    """Sealed under another key: the token is spent, so nothing is sent, and it says by whom."""
    scene.place.fail_commits(1, OSError(errno.ENOSPC, "full"))
    scene.refresher.refresh(scene.held)
    successor = RotatingServer()
    later = transaction(scene.directory, scene.place, scene.clock, successor.post, sealed_with=sealer(b"x" * 32))
    result = later.refresh(scene.held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.SPENT_ELSEWHERE
    assert "acme:me at /home/me/login.json" in result.reason
    assert successor.sent == []
    assert there(scene.place) == scene.held


# The ambiguous rule


def test_silence_without_grace_is_not_broken_while_the_token_lives(scene: Scene) -> None:
    """Sent and not answered: once is all, until the access token ends; then once more."""
    scene.server.script = [Ambiguous("cut off")]
    assert scene.refresher.refresh(scene.held) == Failed(Cause.AMBIGUOUS, "cut off")
    assert records(scene.directory, scene.held) == ["mark", "ambiguous"]
    for _ in range(3):
        assert isinstance(scene.refresher.refresh(scene.held), Failed)
        scene.clock.advance(10)
    assert len(scene.server.sent) == 1
    scene.clock.advance(30)
    scene.server.sent.clear()
    assert isinstance(scene.refresher.refresh(scene.held), Refreshed)
    assert len(scene.server.sent) == 1


@pytest.mark.parametrize(("step", "grace"), [(0.0, 0.0), (-3600.0, 0.0), (-3600.0, 60.0)])
def test_no_step_of_the_clock_allows_a_replay(scene: Scene, step: float, grace: float) -> None:
    """Without a grace nothing is inside it; and with one, a clock that was set back cannot tell."""
    leave_mark(scene.directory, scene.held, scene.clock)
    scene.clock.step(step)
    result = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=grace).refresh(
        scene.held
    )
    assert isinstance(result, Failed)
    assert result.cause is Cause.AMBIGUOUS
    assert scene.server.sent == []


def test_inside_the_grace_a_silence_is_broken_at_once_and_once(scene: Scene) -> None:
    """A provider that honours a spent token for a minute is asked again in the same flight."""
    scene.server.script = [Ambiguous("cut off")]
    scene.server.rotate = False
    result = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=60).refresh(
        scene.held
    )
    assert isinstance(result, Refreshed)
    assert scene.server.sent == ["sk-ant-ort01-refresh-0"] * 2
    assert records(scene.directory, scene.held)[-1] == "stored"


def test_the_replay_is_counted_from_its_own_request(scene: Scene) -> None:
    """The life granted to the replay begins when the replay was sent."""
    scene.server.script = [Ambiguous("cut off")]
    scene.server.rotate = False
    scene.server.during = lambda: scene.clock.advance(10)
    started = scene.clock.now
    result = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=60).refresh(
        scene.held
    )
    assert isinstance(result, Refreshed)
    assert result.credential.expires_at == started + timedelta(seconds=10 + LIFE)


def test_a_silence_after_the_replay_is_not_broken_again(scene: Scene) -> None:
    """Two silences: even inside the grace no third request is made while the access token lives."""
    held = credential_at(scene.clock, left=600)
    scene.place.overwrite(held)
    scene.server.script = [Ambiguous("cut off"), Ambiguous("cut off")]
    refresher = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=300)
    assert refresher.refresh(held) == Failed(Cause.AMBIGUOUS, "cut off")
    assert len(scene.server.sent) == 2
    for _ in range(3):
        scene.clock.advance(5)
        result = refresher.refresh(held)
        assert isinstance(result, Failed)
        assert result.cause is Cause.AMBIGUOUS
    assert len(scene.server.sent) == 2


def test_a_silence_longer_than_the_grace_is_not_broken(scene: Scene) -> None:
    """The request itself took longer than the grace: no replay."""
    scene.server.script = [Ambiguous("timed out")]
    scene.server.during = lambda: scene.clock.advance(25)
    refresher = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=20)
    assert refresher.refresh(scene.held) == Failed(Cause.AMBIGUOUS, "timed out")
    assert len(scene.server.sent) == 1


@pytest.mark.parametrize(("age", "sends"), [(30.0, 1), (60.0, 1), (60.001, 0)])
def test_a_predecessors_silence_is_broken_inside_the_grace_only(scene: Scene, age: float, sends: int) -> None:
    """A mark without an answer: inside the grace replayed at once and once, later not while the token lives."""
    held = credential_at(scene.clock, left=600)
    scene.place.overwrite(held)
    leave_mark(scene.directory, held, scene.clock)
    scene.clock.advance(age)
    scene.server.script = [Ambiguous("cut off")] * 5
    refresher = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=60)
    assert isinstance(refresher.refresh(held), Failed)
    assert len(scene.server.sent) == sends
    assert isinstance(refresher.refresh(held), Failed)
    assert len(scene.server.sent) == sends


def test_dying_in_the_replay_counts_as_a_replay(scene: Scene) -> None:
    """The replay has its own mark: whoever dies in it leaves nothing for its successor to send."""
    held = credential_at(scene.clock, left=600)
    scene.place.overwrite(held)
    scene.server.script = [Ambiguous("cut off")]
    scene.server.during = lambda: die() if len(scene.server.sent) == 2 else None
    refresher = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=60)
    with pytest.raises(Killed):
        refresher.refresh(held)
    scene.server.during = lambda: None
    result = refresher.refresh(held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.AMBIGUOUS
    assert len(scene.server.sent) == 2


def test_a_replay_that_never_left_does_not_make_the_silence_forgotten(scene: Scene) -> None:
    """Offline at the replay: the grace still counts from the first request, and the replay is still to be made."""
    held = credential_at(scene.clock, left=600)
    scene.place.overwrite(held)
    leave_mark(scene.directory, held, scene.clock)
    scene.server.script = [NotSent("no route"), NotSent("no route")]
    refresher = transaction(scene.directory, scene.place, scene.clock, scene.server.post, reuse_grace=60)
    for seconds in (40, 15):
        scene.clock.advance(seconds)
        assert refresher.refresh(held) == Failed(Cause.NOT_SENT, "no route")
    assert len(scene.server.sent) == 2
    scene.clock.advance(15)
    result = refresher.refresh(held)
    assert isinstance(result, Failed)
    assert result.cause is Cause.AMBIGUOUS
    assert len(scene.server.sent) == 2


def test_a_value_without_a_known_end_may_be_sent_again(scene: Scene) -> None:
    """It is refreshed only because somebody was refused with it: there is no end to wait for."""
    held = Credential(Kind.OAUTH, Secret("a"), Secret("r"))
    place = HookedPlace(held)
    leave_mark(scene.directory, held, scene.clock)
    assert isinstance(transaction(scene.directory, place, scene.clock, scene.server.post).refresh(held), Refreshed)


# A second holder of one refresh token


def test_a_second_place_adopts_the_answer_of_the_first(scene: Scene) -> None:
    """Two places hold one refresh token: the second is given the first one's answer, and nothing is sent."""
    first = scene.refresher.refresh(scene.held)
    assert isinstance(first, Refreshed)
    other = HookedPlace(scene.held)
    second = transaction(scene.directory, other, scene.clock, scene.server.post, profile="acme:copy").refresh(
        scene.held
    )
    assert second == Refreshed(first.credential)
    assert there(other) == first.credential
    assert len(scene.server.sent) == 1


def test_a_server_that_keeps_the_refresh_token_is_asked_every_time(scene: Scene) -> None:
    """Without rotation the family stays the same: each refresh is a request, with an answer of its own."""
    server = RotatingServer(rotate=False)
    refresher = transaction(scene.directory, scene.place, scene.clock, server.post)
    value = scene.held
    for number in (1, 2, 3):
        result = refresher.refresh(value)
        assert isinstance(result, Refreshed)
        assert result.credential.access == Secret(f"granted-access-{number}")
        assert result.credential.refresh == scene.held.refresh
        assert there(scene.place) == result.credential
        value = result.credential
        scene.clock.advance(LIFE)
    assert len(server.sent) == 3


def test_a_second_place_adopts_a_kept_refresh_tokens_newest_value(scene: Scene) -> None:
    """Without rotation too: a second place that is behind takes what is there, and asks only for more."""
    scene.server.rotate = False
    first = scene.refresher.refresh(scene.held)
    assert isinstance(first, Refreshed)
    other = HookedPlace(scene.held)
    second = transaction(scene.directory, other, scene.clock, scene.server.post)
    assert second.refresh(scene.held) == Refreshed(first.credential)
    assert len(scene.server.sent) == 1
    scene.clock.advance(LIFE)
    assert isinstance(second.refresh(first.credential), Refreshed)
    assert len(scene.server.sent) == 2


def test_an_older_sealed_value_is_not_written_over_a_newer_one(scene: Scene) -> None:
    """Another program refreshed with the same, kept token: its value lives longer than our answer."""
    server = RotatingServer(rotate=False)
    refresher = transaction(scene.directory, scene.place, scene.clock, server.post)
    first = refresher.refresh(scene.held)
    assert isinstance(first, Refreshed)
    scene.clock.advance(LIFE - 100)
    theirs = Credential(
        Kind.OAUTH, Secret("theirs"), scene.held.refresh, expires_at=scene.clock.now + timedelta(seconds=LIFE)
    )
    scene.place.overwrite(theirs)
    scene.clock.advance(LIFE - 60)
    result = refresher.refresh(theirs)
    assert isinstance(result, Refreshed)
    assert result.credential.access == Secret("granted-access-2")


def test_a_kept_refresh_token_is_sent_again_even_if_its_answer_cannot_be_opened(scene: Scene) -> None:
    """The value we hold is that very answer, so its refresh token is not spent, whatever the key."""
    server = RotatingServer(rotate=False)
    first = transaction(scene.directory, scene.place, scene.clock, server.post).refresh(scene.held)
    assert isinstance(first, Refreshed)
    scene.clock.advance(LIFE)
    later = transaction(scene.directory, scene.place, scene.clock, server.post, sealed_with=sealer(b"x" * 32))
    assert isinstance(later.refresh(first.credential), Refreshed)
    assert len(server.sent) == 2


# Foreign locks that a dead process left


def orphan(path: Path, clock: FakeClock) -> LockIdentity:
    """A lock directory as a killed process leaves it."""
    lock = ForeignLock(path, stale_seconds=60, heartbeat_seconds=5)
    lock.try_acquire(clock.now.timestamp())
    identity = lock.identity
    assert lock._fd is not None
    os.close(lock._fd)
    return identity


def test_an_orphaned_lock_of_ours_is_removed(scene: Scene) -> None:
    """The lock that a dead process of ours held does not keep its successor waiting."""
    path = scene.directory / "x.lock"
    leave_mark(scene.directory, scene.held, scene.clock, locks=(orphan(path, scene.clock),))
    scene.refresher.refresh(scene.held)
    assert not path.exists()


@pytest.mark.parametrize("taken_over", ["touched", "made anew"])
def test_a_lock_that_somebody_took_over_is_left_alone(scene: Scene, taken_over: str) -> None:
    """Not the directory we made any more: whoever holds it goes on holding it."""
    path = scene.directory / "x.lock"
    identity = orphan(path, scene.clock)
    leave_mark(scene.directory, scene.held, scene.clock, locks=(identity,))
    if taken_over == "touched":
        os.utime(path)
    else:
        path.rename(scene.directory / "kept, so that the inode number is not used again")
        path.mkdir()
    scene.refresher.refresh(scene.held)
    assert path.is_dir()


def test_a_lock_of_an_attempt_that_ended_is_not_orphaned(scene: Scene) -> None:
    """An attempt that noted its end gave its locks back: what has their name now is another's."""
    path = scene.directory / "x.lock"
    leave_mark(scene.directory, scene.held, scene.clock, locks=(orphan(path, scene.clock),))
    with try_family(scene.directory / "families", family_name(scene.held)) as family:
        assert family is not None
        family.record_outcome(Outcome.NOT_SENT)
    scene.refresher.refresh(scene.held)
    assert path.is_dir()


# Two at once


def test_two_transactions_in_two_threads_send_once(scene: Scene) -> None:
    """Whoever comes second waits for the family and adopts; both end with the same value."""
    held = credential_at(scene.clock)
    store = EncryptedCredentialStore(scene.directory / "store", sealer())
    store.add("acme:me", held)
    second_waits = threading.Event()
    first_posts = threading.Event()
    server = RotatingServer()

    def during() -> None:
        first_posts.set()
        assert second_waits.wait(30)

    server.during = during

    def waited(seconds: float) -> None:
        second_waits.set()
        time.sleep(seconds)

    def one(wait: Callable[[float], None]) -> Transaction:
        return Transaction(
            profile="acme:me",
            place=store.place("acme:me"),
            token_endpoint=ENDPOINT,
            reuse_grace=0,
            families=scene.directory / "families",
            sealer=sealer(),
            clock=SystemClock(),
            wait=wait,
            post=server.post,
        )

    results: list[object] = []
    first = threading.Thread(target=lambda: results.append(one(time.sleep).refresh(held)))
    second = threading.Thread(target=lambda: results.append(one(waited).refresh(held)))
    first.start()
    assert first_posts.wait(30)
    second.start()
    first.join()
    second.join()
    assert len(server.sent) == 1
    kinds = {type(result) for result in results}
    assert kinds == {Refreshed, Adopted}
    assert {result.credential.generation for result in results if isinstance(result, Refreshed | Adopted)} == {
        there(store.place("acme:me")).generation
    }


def test_a_grant_without_more_life_is_still_kept(scene: Scene) -> None:
    """``expires_in`` of zero: the rotation counts, because the old refresh token is spent."""
    scene.server.script = [Granted(Secret("a"), Secret("r"), 0.0, None, "Bearer")]
    result = scene.refresher.refresh(scene.held)
    assert result == Refreshed(there(scene.place))
    assert there(scene.place).refresh == Secret("r")
