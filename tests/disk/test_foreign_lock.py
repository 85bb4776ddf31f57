"""Whether ``ForeignLock`` speaks proper-lockfile's protocol, and notices when it lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from disk.lock_directories import NOW, STALE, lock_at, make_held
from tokenward.disk.foreign_lock import Acquired, ForeignLock, Held, Refused, remove_if_unchanged
from tokenward.ports import LockIdentity

NOBODY = 65534


class TestOneLock:
    def test_a_free_lock_is_a_directory_dated_now(self, lock: ForeignLock, path: Path) -> None:
        """Taking a lock makes the directory, dated by our wall clock, closed to others."""
        assert lock.try_acquire(NOW) == Acquired(stolen=False)
        assert path.is_dir()
        assert path.stat().st_mtime == NOW
        assert path.stat().st_mode & 0o077 == 0
        assert lock.still_owned()

    def test_a_fresh_lock_is_held(self, lock: ForeignLock, path: Path) -> None:
        """A lock that was touched lately is somebody's, and stays as it is."""
        seen = make_held(path, age=59.0)
        assert lock.try_acquire(NOW) == Held(59.0)
        assert path.stat() == seen
        assert not lock.still_owned()

    def test_an_orphan_is_held_until_it_is_stale_and_then_stolen(self, lock: ForeignLock, path: Path) -> None:
        """A dead holder's lock excludes us for exactly the stale time."""
        make_held(path, age=0.0)
        assert lock.try_acquire(NOW + STALE) == Held(STALE)
        assert lock.try_acquire(NOW + STALE + 0.001) == Acquired(stolen=True)
        assert path.stat().st_mtime == pytest.approx(NOW + STALE, abs=0.01)

    def test_a_future_date_is_never_stolen(self, lock: ForeignLock, path: Path) -> None:
        """A lock dated further ahead than the stale time is held, and said to be in the future."""
        seen = make_held(path, age=-3600.0)
        assert lock.try_acquire(NOW) == Held(-3600.0, future=True)
        assert path.stat() == seen

    def test_a_date_slightly_ahead_is_only_held(self, lock: ForeignLock, path: Path) -> None:
        """Clocks that differ by less than the stale time are nothing to speak of."""
        make_held(path, age=-2.0)
        assert lock.try_acquire(NOW) == Held(-2.0, future=False)

    @pytest.mark.parametrize("event", ["touched", "replaced", "replaced by one as old", "given back"])
    def test_a_stale_lock_that_moves_is_not_stolen(
        self, lock: ForeignLock, path: Path, event: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the first look and the theft the holder may wake up, or another thief be faster."""
        make_held(path, age=61.0)
        lstat = Path.lstat
        looks: list[Path] = []

        def lstat_then_move(self: Path) -> os.stat_result:
            found = lstat(self)
            looks.append(self)
            if len(looks) == 1:
                if event == "touched":
                    os.utime(path, (NOW, NOW))
                else:
                    path.rename(path.with_suffix(".old"))
                if event.startswith("replaced"):
                    path.mkdir()
                if event == "replaced by one as old":
                    os.utime(path, (NOW - 61, NOW - 61))
            return found

        monkeypatch.setattr(Path, "lstat", lstat_then_move)
        expected = Acquired(stolen=False) if event == "given back" else Held(0.0)
        assert lock.try_acquire(NOW) == expected
        assert path.is_dir()

    def test_a_lock_given_back_just_now_is_ours(
        self, lock: ForeignLock, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the directory vanishes between mkdir and the look at it, it is made."""
        make_held(path)
        lstat = Path.lstat

        def gone(self: Path) -> os.stat_result:
            monkeypatch.setattr(Path, "lstat", lstat)
            path.rmdir()
            return lstat(self)

        monkeypatch.setattr(Path, "lstat", gone)
        assert lock.try_acquire(NOW) == Acquired()

    def test_no_directory_to_make_it_in(self, tmp_path: Path) -> None:
        """A missing parent refuses; we do not make it."""
        assert lock_at(tmp_path / "none" / "lock").try_acquire(NOW) == Refused(errno.ENOENT)
        assert not (tmp_path / "none").exists()

    def test_a_file_in_the_parents_place_refuses(self, tmp_path: Path) -> None:
        """A file where the directory should be refuses."""
        (tmp_path / "file").touch()
        assert lock_at(tmp_path / "file" / "lock").try_acquire(NOW) == Refused(errno.ENOTDIR)

    def test_a_file_in_the_locks_place_refuses(self, lock: ForeignLock, path: Path) -> None:
        """What is not a directory is nobody's lock; it is neither waited for nor removed."""
        path.write_text("what")
        os.utime(path, (0, 0))
        assert lock.try_acquire(NOW) == Refused(errno.ENOTDIR)
        assert path.read_text() == "what"

    def test_a_stale_lock_with_content_refuses(self, lock: ForeignLock, path: Path) -> None:
        """A directory that is not empty is not removed."""
        path.mkdir()
        (path / "note").touch()
        os.utime(path, (0, 0))
        assert lock.try_acquire(NOW) == Refused(errno.ENOTEMPTY)
        assert (path / "note").exists()

    @pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC])
    def test_what_mkdir_refuses_is_said(
        self, lock: ForeignLock, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Any other error of mkdir goes out as it came."""

        def refuse(path: object, mode: int = 0o777) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "mkdir", refuse)
        assert lock.try_acquire(NOW) == Refused(number)

    @pytest.mark.skipif(os.geteuid() != 0, reason="as root we can look as nobody; nobody cannot become root")
    def test_a_directory_we_may_not_write_refuses(self, lock: ForeignLock, tmp_path: Path) -> None:
        """The kernel's own refusal of an unwritable directory is reported."""
        os.seteuid(NOBODY)
        try:
            assert lock_at(Path("/etc/tokenward-test.lock")).try_acquire(NOW) == Refused(errno.EACCES)
        finally:
            os.seteuid(0)

    def test_a_lock_that_cannot_be_touched_is_not_kept(
        self, lock: ForeignLock, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where mtimes cannot be set the protocol cannot be kept, so the directory is taken away again."""

        def refuse(target: object, **_: object) -> None:
            raise PermissionError(errno.EPERM, "no utime here")

        monkeypatch.setattr(os, "utime", refuse)
        assert lock.try_acquire(NOW) == Refused(errno.EPERM)
        assert not path.exists()

    def test_release_removes_it_once(self, lock: ForeignLock, path: Path) -> None:
        """Giving back removes the directory; giving back again does nothing."""
        assert not lock.release()
        lock.try_acquire(NOW)
        assert lock.release()
        assert not path.exists()
        assert not lock.release()
        assert not lock.still_owned()

    def test_release_leaves_a_foreign_lock_alone(self, lock: ForeignLock, path: Path) -> None:
        """A directory that another made in our lock's place stays, also where inode numbers are used again."""
        lock.try_acquire(NOW)
        path.rmdir()
        path.mkdir()
        assert not lock.still_owned()
        assert not lock.release()
        assert path.is_dir()

    def test_release_is_quiet_about_a_vanished_lock(self, lock: ForeignLock, path: Path) -> None:
        """A lock that somebody removed is not ours to give back."""
        lock.try_acquire(NOW)
        path.rmdir()
        assert not lock.release()

    def test_release_removes_our_directory_even_if_another_touched_it(self, lock: ForeignLock, path: Path) -> None:
        """Touching makes it suspect, not theirs: it is still the directory we made."""
        lock.try_acquire(NOW)
        os.utime(path, (NOW + 1, NOW + 1))
        assert not lock.still_owned()
        assert lock.release()

    def test_taking_a_lock_twice_is_a_mistake(self, lock: ForeignLock) -> None:
        """One object holds a lock once, and has an identity only then."""
        with pytest.raises(RuntimeError, match="not held"):
            _ = lock.identity
        lock.try_acquire(NOW)
        with pytest.raises(RuntimeError, match="already held"):
            lock.try_acquire(NOW)

    def test_a_lock_can_be_taken_again_after_it_was_compromised(self, lock: ForeignLock, path: Path) -> None:
        """A new directory is a new lock."""
        lock.try_acquire(NOW)
        path.rmdir()
        assert not lock.beat(NOW + 5)
        lock.release()
        assert lock.try_acquire(NOW + 6) == Acquired()
        assert not lock.compromised
        assert lock.still_owned()


class TestBeat:
    def test_touches(self, lock: ForeignLock, path: Path) -> None:
        """A beat moves the mtime to now, and the lock stays ours."""
        lock.try_acquire(NOW)
        assert lock.beat(NOW + 5.25)
        assert path.stat().st_mtime == pytest.approx(NOW + 5.25, abs=0.001)
        assert lock.still_owned()

    def test_a_wall_clock_set_back_is_no_thief(self, lock: ForeignLock, path: Path) -> None:
        """A beat may date the lock earlier than the last."""
        lock.try_acquire(NOW)
        assert lock.beat(NOW - 3600)
        assert lock.still_owned()

    @pytest.mark.parametrize("thief", ["vanished", "replaced", "touched"])
    def test_notices_a_thief(self, lock: ForeignLock, path: Path, thief: str) -> None:
        """A lock that vanished, was replaced or was touched is compromised, and is not touched again."""
        lock.try_acquire(NOW)
        if thief == "touched":
            os.utime(path, (NOW + 1, NOW + 1))
        else:
            path.rmdir()
        if thief == "replaced":
            path.mkdir()
        left = path.stat().st_mtime_ns if path.exists() else None
        assert not lock.beat(NOW + 5)
        assert lock.compromised
        assert not lock.still_owned()
        assert not lock.beat(NOW + 10)
        assert (path.stat().st_mtime_ns if path.exists() else None) == left

    def test_a_compromised_lock_stays_compromised(self, lock: ForeignLock, path: Path) -> None:
        """If the mtime is put back, somebody was there all the same."""
        lock.try_acquire(NOW)
        ours = path.stat()
        os.utime(path, (NOW + 1, NOW + 1))
        lock.beat(NOW + 5)
        os.utime(path, ns=(ours.st_atime_ns, ours.st_mtime_ns))
        assert not lock.still_owned()

    def test_a_disk_that_does_not_answer_is_no_thief_until_the_lock_is_stale(
        self, lock: ForeignLock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An I/O error is tried again at the next beat, up to the stale time."""
        lock.try_acquire(NOW)

        def fail(self: Path) -> os.stat_result:
            raise OSError(errno.EIO, "no answer")

        monkeypatch.setattr(Path, "lstat", fail)
        assert not lock.still_owned()
        assert lock.beat(NOW + STALE)
        assert not lock.beat(NOW + STALE + 1)
        assert lock.compromised

    def test_nothing_to_touch(self, lock: ForeignLock) -> None:
        """A lock that is not held has no beat."""
        assert not lock.beat(NOW)


class TestAfterACrash:
    def test_our_orphan_is_removed(self, lock: ForeignLock, path: Path) -> None:
        """The directory that the journal names is removed, however often it was touched."""
        lock.try_acquire(NOW)
        lock.beat(NOW + 5)
        found = path.stat()
        assert lock.identity == LockIdentity(str(path), found.st_dev, found.st_ino)
        assert remove_if_unchanged(lock.identity)
        assert not path.exists()
        assert not remove_if_unchanged(lock.identity)

    def test_another_inode_is_left_alone(self, path: Path) -> None:
        """A directory with another number is another's."""
        found = make_held(path)
        assert not remove_if_unchanged(LockIdentity(str(path), found.st_dev, found.st_ino + 1))
        assert path.is_dir()

    def test_a_successor_with_the_same_inode_number_is_left_alone(self, lock: ForeignLock, path: Path) -> None:
        """The number alone proves nothing once its directory is gone: the file system may have used it again."""
        lock.try_acquire(NOW)
        lock.release()
        found = make_held(path)
        assert not remove_if_unchanged(LockIdentity(str(path), found.st_dev, found.st_ino))
        assert path.is_dir()

    def test_looking_into_the_lock_does_not_unmark_it(self, lock: ForeignLock, path: Path) -> None:
        """A backup or a person that lists the directory leaves it recognisable."""
        lock.try_acquire(NOW)
        assert list(path.iterdir()) == []
        assert remove_if_unchanged(lock.identity)

    def test_a_file_in_its_place_is_left_alone(self, path: Path) -> None:
        """Only directories are locks."""
        path.write_text("mine")
        found = path.stat()
        assert not remove_if_unchanged(LockIdentity(str(path), found.st_dev, found.st_ino))
        assert path.read_text() == "mine"
