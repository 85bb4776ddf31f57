"""What dead processes left in the families' directory is ended where their place has moved on."""

from __future__ import annotations

from pathlib import Path

from tokenward.disk.family_file import Mark, Outcome, clear_left_marks, try_family
from tokenward.disk.foreign_lock import ForeignLock
from tokenward.ports import LockIdentity

FAMILY = "a" * 64
SENT = "0123456789ab"
NEWER = "ba9876543210"
PLACE = "/home/me/login.json"


def _left_by_the_dead(families: Path, *locks: LockIdentity) -> None:
    with try_family(families, FAMILY) as file:
        assert file is not None
        file.begin(Mark("acme:me", PLACE, SENT, 1, locks))


def _outcome(families: Path) -> Outcome | None:
    with try_family(families, FAMILY) as file:
        assert file is not None
        return file.state.outcome


def _abandoned_lock(path: Path) -> LockIdentity:
    """A lock that a process of ours made and never gave back."""
    lock = ForeignLock(path, stale_seconds=60.0, heartbeat_seconds=5.0)
    lock.try_acquire(1000.0)
    return lock.identity


def test_a_place_that_moved_on_ends_the_attempt_and_frees_its_locks(tmp_path: Path) -> None:
    """Killed between the rename and the release: the next start removes the locks and closes the journal."""
    families = tmp_path / "families"
    _left_by_the_dead(families, _abandoned_lock(tmp_path / "owner.lock"))
    assert clear_left_marks(families, lambda *_: NEWER) == 1
    assert not (tmp_path / "owner.lock").exists()
    assert _outcome(families) is Outcome.ADOPTED
    assert clear_left_marks(families, lambda *_: NEWER) == 0


def test_a_place_that_still_holds_what_was_sent_is_left_to_the_refresh(tmp_path: Path) -> None:
    """The token may be spent: only the transaction's ambiguous rule may decide, and its locks are its own."""
    families = tmp_path / "families"
    _left_by_the_dead(families, _abandoned_lock(tmp_path / "owner.lock"))
    assert clear_left_marks(families, lambda *_: SENT) == 0
    assert (tmp_path / "owner.lock").is_dir()
    assert _outcome(families) is None


def test_a_place_whose_owner_logged_out_ends_the_attempt(tmp_path: Path) -> None:
    """While no daemon ran: nobody would ever end it otherwise, and it could never be pruned."""
    families = tmp_path / "families"
    _left_by_the_dead(families, _abandoned_lock(tmp_path / "owner.lock"))
    assert clear_left_marks(families, lambda *_: "") == 1
    assert not (tmp_path / "owner.lock").exists()
    assert _outcome(families) is Outcome.LOGGED_OUT


def test_what_nobody_knows_is_left_alone(tmp_path: Path) -> None:
    """A profile that is not kept, or lives elsewhere now, says nothing about the token that was sent."""
    families = tmp_path / "families"
    _left_by_the_dead(families)
    asked = []

    def generation_at(profile: str, place: str) -> str | None:
        asked.append((profile, place))
        return None

    assert clear_left_marks(families, generation_at) == 0
    assert asked == [("acme:me", PLACE)]
    assert _outcome(families) is None


def test_a_living_attempt_is_not_touched(tmp_path: Path) -> None:
    """Whoever holds the family is at work."""
    families = tmp_path / "families"
    with try_family(families, FAMILY) as file:
        assert file is not None
        file.begin(Mark("acme:me", PLACE, SENT, 1))
        assert clear_left_marks(families, lambda *_: NEWER) == 0
        assert file.state.outcome is None
