"""The family file: a lock and a journal that say after any death what is true, and never more."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tokenward.disk import family_file
from tokenward.disk.family_file import (
    KEEP_FINISHED,
    LARGEST_JOURNAL_BYTES,
    RESERVED_BYTES,
    FamilyFile,
    FamilyState,
    Mark,
    Outcome,
    end_unfinished,
    families_in,
    prune,
    try_family,
)
from tokenward.ports import LockIdentity

NAME = "f" * 64
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
LOCK = LockIdentity("/home/me/.claude.lock", 7, 8)


def mark(started_at_ms: int = NOON_MS) -> Mark:
    """A mark with a lock in it."""
    return Mark("acme:me", "/home/me/login.json", "0123456789ab", started_at_ms, (LOCK,))


@pytest.fixture
def families(tmp_path: Path) -> Path:
    """Where the families are; made by whoever comes first."""
    return tmp_path / "state" / "families"


@pytest.fixture
def family(families: Path) -> Iterator[FamilyFile]:
    """One of them, locked."""
    with try_family(families, NAME) as file:
        assert file is not None
        yield file


def reread(family: FamilyFile) -> FamilyState:
    """What a successor finds."""
    family.release()
    assert take(family)
    return family.state


def take(family: FamilyFile) -> bool:
    """One try."""
    return family.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0)


def test_a_new_family_says_nothing(family: FamilyFile) -> None:
    """Nobody was ever about to send this token."""
    assert family.state == FamilyState()
    assert family.state.finished
    assert not family.state.spent
    assert not family.state.in_flight
    assert family.state.uncertain_since_ms is None
    assert family.state.orphaned_locks == ()


def test_file_and_directory_are_private_whatever_the_umask(families: Path) -> None:
    """0700 and 0600 from the first instant."""
    before = os.umask(0)
    try:
        with try_family(families, NAME) as file:
            assert file is not None
            assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
            assert stat.S_IMODE(families.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_of_two_holders_the_second_waits_until_its_deadline(families: Path, family: FamilyFile) -> None:
    """The lock is exclusive; waiting is polling, and ends."""
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    second = FamilyFile(families, NAME)
    assert not second.acquire(1.0, wait=wait, monotonic=lambda: now)
    assert now == pytest.approx(1.0)
    with try_family(families, NAME) as third:
        assert third is None
    family.release()
    assert second.acquire(1.0, wait=wait, monotonic=lambda: now)
    second.release()


def test_a_mark_is_found_by_the_next_holder(family: FamilyFile) -> None:
    """With everything it said; its locks are orphaned, and its token perhaps spent."""
    family.begin(mark())
    state = reread(family)
    assert state.mark == mark()
    assert state.in_flight
    assert not state.finished
    assert not state.spent
    assert state.uncertain_since_ms == NOON_MS
    assert state.orphaned_locks == (LOCK,)
    assert not state.replayed


def test_a_mark_comes_with_room_for_the_largest_answer(family: FamilyFile) -> None:
    """The room is on the disk before the mark is returned, and given back with the outcome."""
    family.begin(mark())
    found = family.path.stat()
    assert found.st_size >= RESERVED_BYTES
    assert found.st_blocks * 512 >= RESERVED_BYTES
    family.record_answer(b"x" * (RESERVED_BYTES // 2), generation="new")
    assert family.path.stat().st_size == found.st_size
    family.record_outcome(Outcome.STORED)
    assert family.path.stat().st_size == len(family.path.read_bytes().rstrip(b"\0"))


def test_an_answer_makes_the_token_spent(family: FamilyFile) -> None:
    """The next holder finds the sealed answer and the new generation, whatever came after."""
    family.begin(mark())
    family.record_answer(b"sealed\0bytes", generation="abcdefabcdef")
    for state in (family.state, reread(family)):
        assert state.spent
        assert not state.in_flight
        assert state.sealed == b"sealed\0bytes"
        assert state.generation == "abcdefabcdef"
        assert state.uncertain_since_ms is None
    family.record_outcome(Outcome.STORED)
    assert reread(family).spent
    assert family.state.sealed == b"sealed\0bytes"


FINISHED = {
    Outcome.NOT_SENT,
    Outcome.ANSWERED,
    Outcome.ADOPTED,
    Outcome.STORED,
    Outcome.SUPERSEDED,
    Outcome.LOGGED_OUT,
}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_is_found_by_the_next_holder(outcome: Outcome, family: FamilyFile) -> None:
    """What is finished, and what leaves something to do."""
    family.begin(mark())
    family.record_outcome(outcome)
    state = reread(family)
    assert state.outcome is outcome
    assert state.finished is (outcome in FINISHED)
    assert not state.in_flight
    uncertain = outcome in {Outcome.AMBIGUOUS, Outcome.LOGGED_OUT}
    assert state.uncertain_since_ms == (NOON_MS if uncertain else None)


def test_a_second_attempt_begins_with_an_empty_journal(family: FamilyFile) -> None:
    """What was finished is of no use any more."""
    family.begin(mark())
    family.record_outcome(Outcome.ANSWERED)
    family.begin(mark(NOON_MS + 5))
    assert reread(family) == FamilyState(mark=mark(NOON_MS + 5))
    assert family.path.read_bytes().rstrip(b"\0").count(b"\n") == 1


def test_an_attempt_after_an_answer_forgets_it(family: FamilyFile) -> None:
    """A kept refresh token is sent again: what an earlier attempt received says nothing of this one."""
    family.begin(mark())
    family.record_answer(b"sealed", generation="abcdefabcdef")
    family.record_outcome(Outcome.STORED)
    family.begin(mark(NOON_MS + 5))
    assert not family.state.spent
    assert reread(family) == FamilyState(mark=mark(NOON_MS + 5))


@pytest.mark.parametrize("outcome", [None, Outcome.AMBIGUOUS])
def test_since_when_a_token_is_perhaps_spent_outlives_further_attempts(
    outcome: Outcome | None, family: FamilyFile
) -> None:
    """A silence is counted from the first request, through replays, refusals and requests that never left."""
    family.begin(mark())
    if outcome is not None:
        family.record_outcome(outcome)
    for later, end in ((1, Outcome.NOT_SENT), (2, Outcome.ANSWERED), (3, Outcome.AMBIGUOUS), (4, Outcome.ADOPTED)):
        family.begin(mark(NOON_MS + later))
        assert reread(family).uncertain_since_ms == NOON_MS
        assert family.state.replayed
        family.record_outcome(end)
        assert reread(family).uncertain_since_ms == NOON_MS


def test_a_replay_that_never_left_was_none(family: FamilyFile) -> None:
    """Only what may have arrived counts as the one replay."""
    family.begin(mark())
    family.begin(mark(NOON_MS + 1))
    family.record_outcome(Outcome.NOT_SENT)
    assert not reread(family).replayed


def test_a_journal_does_not_grow_for_ever(family: FamilyFile) -> None:
    """A server that swallows every request for months: the journal stays small and keeps since when."""
    for attempt in range(3000):
        family.begin(mark(NOON_MS + attempt))
        family.record_outcome(Outcome.AMBIGUOUS)
        assert family.path.stat().st_size < 2 * RESERVED_BYTES < LARGEST_JOURNAL_BYTES
    assert reread(family).uncertain_since_ms == NOON_MS


@pytest.mark.parametrize("keep", range(0, 400, 23))
def test_a_torn_last_line_counts_as_never_written(keep: int, family: FamilyFile) -> None:
    """A power cut in a write: what was written before it stands, and the next line follows it."""
    family.begin(mark())
    whole = family.path.read_bytes().split(b"\0", 1)[0]
    family.record_answer(b"s" * 300, generation="abcdefabcdef")
    after = family.path.read_bytes().split(b"\0", 1)[0]
    family.path.write_bytes((after[: len(whole) + keep]).ljust(RESERVED_BYTES, b"\0"))
    assert reread(family) == FamilyState(mark=mark())
    family.record_outcome(Outcome.NOT_SENT)
    assert reread(family).outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[]",
        b"7",
        b"null",
        b'"record"',
        b"{}",
        b'{"record":"unheard of"}',
        b'{"record":"mark"}',
        b'{"record":"outcome","outcome":"unheard of"}',
        b'{"record":"answer","sealed":"*","generation":"x"}',
        b'{"record":"answer","sealed":7,"generation":"x"}',
        b"[" * 200_000,
    ],
    ids=range(12),
)
def test_a_line_that_nobody_wrote_is_passed_over(line: bytes, family: FamilyFile) -> None:
    """Whatever a disk makes of a line, the others count and nothing is raised."""
    family.begin(mark())
    first = family.path.read_bytes().split(b"\0", 1)[0]
    outcome = json.dumps({"record": "outcome", "outcome": "ambiguous"}).encode()
    family.path.write_bytes(first + line + b"\n" + outcome + b"\n")
    assert reread(family).outcome is Outcome.AMBIGUOUS


def test_of_a_huge_file_only_the_beginning_is_read(family: FamilyFile) -> None:
    """What is no journal of ours takes no memory and blocks no refresh."""
    family.path.write_bytes(b"x" * (LARGEST_JOURNAL_BYTES * 2))
    assert reread(family) == FamilyState()
    family.begin(mark())
    assert reread(family).mark == mark()


@pytest.mark.parametrize("step", ["reserve", "sync_file", "sync_directory", "write_at"])
def test_a_mark_that_failed_is_no_mark(step: str, family: FamilyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room, or no sync: the error is the caller's, and no successor takes the token for perhaps spent."""

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(family_file, step, broken)
        with pytest.raises(OSError, match="No space"):
            family.begin(mark())
        assert family.state == FamilyState()
    assert reread(family) == FamilyState()


def test_a_failed_replay_mark_leaves_the_first(family: FamilyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The silence before it is not forgotten."""
    family.begin(mark())

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(family_file, "sync_file", broken)
        with pytest.raises(OSError, match="Input/output"):
            family.begin(mark(NOON_MS + 1))
    assert reread(family) == FamilyState(mark=mark())


def test_a_lock_that_was_not_had_leaves_no_descriptor(families: Path, family: FamilyFile) -> None:
    """A try that fails costs nothing, however often it is made."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        with try_family(families, NAME) as second:
            assert second is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def finished(families: Path, name: str, outcome: Outcome | None, at: datetime) -> None:
    """A family of some age."""
    with try_family(families, name) as file:
        assert file is not None
        if outcome is not None:
            file.begin(mark(round(at.timestamp() * 1000)))
            file.record_outcome(outcome)
        os.utime(file.path, (at.timestamp(), at.timestamp()))


def test_what_is_finished_is_pruned_after_a_day(families: Path) -> None:
    """Finished ones and never used ones go after a day; younger ones stay for a second holder of the token."""
    old, young = NOON - KEEP_FINISHED - timedelta(seconds=1), NOON - KEEP_FINISHED + timedelta(seconds=1)
    finished(families, "a" * 64, Outcome.STORED, old)
    finished(families, "b" * 64, Outcome.STORED, young)
    finished(families, "c" * 64, None, old)
    finished(families, "d" * 64, None, young)
    assert prune(families, now=NOON) == 2
    assert families_in(families) == ["b" * 64, "d" * 64]


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - FINISHED))
def test_what_is_not_finished_is_never_pruned(outcome: Outcome, families: Path) -> None:
    """An unsaved answer and a silence wait for whoever comes."""
    finished(families, NAME, outcome, NOON - timedelta(days=400))
    assert prune(families, now=NOON) == 0
    assert families_in(families) == [NAME]


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - FINISHED))
def test_what_was_not_finished_at_a_logout_is_pruned_after_a_day(outcome: Outcome, families: Path) -> None:
    """It concerns nobody any more; who brings the login back within the day still finds what is known of it."""
    finished(families, NAME, outcome, NOON)
    assert end_unfinished(FamilyFile(families, NAME))
    assert not end_unfinished(FamilyFile(families, NAME)), "it is ended"
    with try_family(families, NAME) as again:
        assert again is not None
        assert again.state.uncertain_since_ms == (NOON_MS if outcome is Outcome.AMBIGUOUS else None)
    assert prune(families, now=NOON + KEEP_FINISHED) == 0
    assert prune(families, now=NOON + KEEP_FINISHED + timedelta(seconds=1)) == 1


def test_a_logout_ends_nothing_that_is_at_work_or_not_there(families: Path) -> None:
    """A family that was never used is not made, and one that is held has a living holder."""
    assert not end_unfinished(FamilyFile(families, NAME))
    assert families_in(families) == []
    finished(families, NAME, Outcome.UNSAVED, NOON)
    with try_family(families, NAME) as held:
        assert held is not None
        assert not end_unfinished(FamilyFile(families, NAME))
        assert held.state.outcome is Outcome.UNSAVED


def test_what_is_in_use_is_not_pruned(families: Path) -> None:
    """A locked family has a living holder."""
    finished(families, NAME, Outcome.STORED, NOON - timedelta(days=2))
    with try_family(families, NAME) as held:
        assert held is not None
        assert prune(families, now=NOON) == 0
    assert prune(families, now=NOON) == 1


def test_a_directory_that_is_not_there_has_no_families(families: Path) -> None:
    """Nothing was ever refreshed."""
    assert families_in(families) == []
    assert prune(families, now=NOON) == 0
