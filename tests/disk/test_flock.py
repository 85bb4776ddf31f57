"""Whether ``FileLock`` excludes, ends with its holder, and survives pruning."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tokenward
from tokenward.disk.flock import KERNEL_TABLE, POLL_SECONDS, REOPENS, FileLock, holder_of

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tokenward.disk.flock import FileLock
lock = FileLock(Path(sys.argv[2]))
print(lock.try_acquire(), flush=True)
sys.stdin.read()
"""


class Patience:
    """A monotonic clock that moves only when it is waited on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        """Pass the time."""
        self.waits.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lock file that does not exist yet."""
    return tmp_path / "daemon.lock"


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
def test_makes_a_private_file(path: Path, umask: int) -> None:
    """The file is 0600 whatever the umask, and not inherited by other programs."""
    before = os.umask(umask)
    try:
        lock = FileLock(path)
        assert lock.try_acquire()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not os.get_inheritable(lock.fd)
    lock.release()


def test_excludes_a_second_holder_in_the_same_process(path: Path) -> None:
    """Two objects are two holders, also within one process; a release lets the other in."""
    first, second = FileLock(path), FileLock(path)
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_a_killed_process_frees_its_lock(path: Path) -> None:
    """Another process excludes us while it lives, and no longer once it was killed."""
    source = str(Path(tokenward.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLDER, source, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "True\n"
            lock = FileLock(path)
            assert not lock.try_acquire()
        finally:
            holder.kill()
    assert lock.try_acquire()
    lock.release()


def test_acquire_polls_until_the_deadline(path: Path) -> None:
    """A held lock is asked for every 20 ms, never past the deadline."""
    holder, patience = FileLock(path), Patience()
    holder.try_acquire()
    assert not FileLock(path).acquire(100.05, patience.wait, patience.monotonic)
    assert patience.waits == pytest.approx([POLL_SECONDS, POLL_SECONDS, 0.01])
    holder.release()


def test_acquire_tries_once_even_past_the_deadline(path: Path) -> None:
    """A free lock is had without waiting, however late it is."""
    lock, patience = FileLock(path), Patience()
    assert lock.acquire(0.0, patience.wait, patience.monotonic)
    assert patience.waits == []
    lock.release()


def test_acquire_gets_a_lock_that_comes_free(path: Path) -> None:
    """The lock is had at the first poll after it was given back."""
    holder, lock, patience = FileLock(path), FileLock(path), Patience()
    holder.try_acquire()

    def wait(seconds: float) -> None:
        patience.wait(seconds)
        if len(patience.waits) == 3:
            holder.release()

    assert lock.acquire(200.0, wait, patience.monotonic)
    assert len(patience.waits) == 3
    lock.release()


def test_a_file_pruned_under_our_hands_is_opened_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file lost its name between our open and our lock, the lock is taken on the file that has it now."""
    flock = fcntl.flock
    pruned: list[int] = []

    def prune_once(fd: int, operation: int) -> None:
        if not pruned:
            pruned.append(os.fstat(fd).st_ino)
            path.rename(path.with_suffix(".pruned"))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", prune_once)
    lock = FileLock(path)
    assert lock.try_acquire()
    assert os.fstat(lock.fd).st_ino == path.stat().st_ino != pruned[0]
    assert not FileLock(path).try_acquire()
    lock.release()


def test_a_file_replaced_under_our_hands_may_be_anothers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file was replaced by one that somebody else locks, we do not have the lock."""
    flock = fcntl.flock
    other = FileLock(path)

    def replace_once(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        assert other.try_acquire()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", replace_once)
    assert not FileLock(path).try_acquire()
    other.release()


def test_a_file_that_is_pruned_for_ever_is_not_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of reopens is bounded, and no descriptor is left open."""
    opened: list[int] = []

    def prune(fd: int, operation: int) -> None:
        opened.append(fd)
        path.unlink()

    monkeypatch.setattr(fcntl, "flock", prune)
    assert not FileLock(path).try_acquire()
    assert len(opened) == REOPENS
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[-1])


def test_never_follows_a_symbolic_link(path: Path, tmp_path: Path) -> None:
    """A link planted in the lock's place makes no file elsewhere."""
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(path).try_acquire()
    assert not (tmp_path / "victim").exists()


def test_refuses_what_is_not_a_file(path: Path) -> None:
    """A FIFO in the lock's place is refused without waiting for its other end."""
    os.mkfifo(path)
    with pytest.raises(OSError, match="regular file"):
        FileLock(path).try_acquire()


def test_with_block_gives_the_lock_back(path: Path) -> None:
    """Leaving the block releases, also by an exception; entering needs the lock."""
    lock = FileLock(path)
    with pytest.raises(RuntimeError, match="not held"):
        lock.__enter__()
    lock.try_acquire()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert FileLock(path).try_acquire()


def test_release_is_idempotent_and_acquire_is_not(path: Path) -> None:
    """Releasing twice is fine; taking a lock one holds is a programming error."""
    lock = FileLock(path)
    lock.release()
    lock.try_acquire()
    with pytest.raises(RuntimeError, match="already held"):
        lock.try_acquire()
    lock.release()
    lock.release()
    with pytest.raises(RuntimeError, match="not held"):
        _ = lock.fd


@pytest.mark.skipif(not KERNEL_TABLE.exists(), reason="NOT TESTED: this kernel has no table of locks")
def test_the_kernel_names_the_holder(path: Path) -> None:
    """While it is held, and only then."""
    lock = FileLock(path)
    assert lock.try_acquire()
    assert holder_of(path) == os.getpid()
    assert holder_of(path.parent) is None
    lock.release()
    assert holder_of(path) is None


def test_a_holder_is_named_only_where_the_table_names_one(tmp_path: Path, path: Path) -> None:
    """Another kind of lock, another file, or a process that this one cannot see: nobody."""
    path.touch()
    found, table = path.stat(), tmp_path / "locks"
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    table.write_text(f"1: POSIX  ADVISORY  WRITE 7 {where} 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 00:00:1 0 EOF\n")
    assert holder_of(path, table) is None
    table.write_text(f"1: FLOCK  ADVISORY  WRITE 0 {where} 0 EOF\n")
    assert holder_of(path, table) is None
    table.write_text(f"9: FLOCK  ADVISORY  READ  6 {where} 0 EOF\n12: FLOCK  ADVISORY  WRITE 4711 {where} 0 EOF\n")
    assert holder_of(path, table) == 4711
    assert holder_of(path, tmp_path / "absent") is None
    assert holder_of(tmp_path / "absent", table) is None
