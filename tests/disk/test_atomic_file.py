"""Whether a file is replaced whole, durably, privately, or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tokenward.disk import atomic_file, durability
from tokenward.disk.atomic_file import (
    DirectorySyncFailed,
    NotRegularFile,
    TargetMoved,
    prepare_write,
    remove_stale_temporaries,
    replace_file,
    signature_of,
)

NOBODY = 65534
NOW = 1_795_000_000.0
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can make files of other users")


def mode_of(path: Path) -> int:
    """The permission bits of what is there."""
    return stat.S_IMODE(path.lstat().st_mode)


def names_in(directory: Path) -> set[str]:
    """What a directory holds."""
    return {entry.name for entry in directory.iterdir()}


def open_descriptors() -> int:
    """How many descriptors this process has; the look itself counts each time."""
    return len(list(Path("/dev/fd").iterdir()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A private file with something in it, alone in its directory."""
    path = tmp_path / "home" / "credentials.json"
    path.parent.mkdir()
    path.write_bytes(b"old")
    path.chmod(0o600)
    return path


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Run under this umask."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """Be an ordinary user, with a directory of one's own that root made the files in."""
    if not ROOT:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(prefix="tokenward-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        home = directory / "home"
        home.mkdir(mode=0o700)
        os.chown(home, NOBODY, NOBODY)
        theirs = home / "credentials.json"
        theirs.write_bytes(b"old")
        theirs.chmod(0o600)
        os.seteuid(NOBODY)
        try:
            yield theirs
        finally:
            os.seteuid(0)


class Watch:
    """Looks at every file of a directory before and after each system call that could change one."""

    CALLS = ("open", "pwrite", "posix_fallocate", "ftruncate", "fchmod", "fchown", "fsync", "rename", "unlink")

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.calls: list[str] = []
        self.modes: list[dict[int, int]] = []
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._look()
            try:
                return call(*args, **kwargs)
            finally:
                self.calls.append(name)
                self._look()

        return watched

    def _look(self) -> None:
        entries = [entry.lstat() for entry in self.directory.iterdir()]
        self.modes.append({entry.st_ino: stat.S_IMODE(entry.st_mode) for entry in entries})


class TestMode:
    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o777], ids=oct)
    @pytest.mark.parametrize("before", [None, 0o600, 0o644, 0o400], ids=str)
    @pytest.mark.covers("N33")
    def test_never_open_to_others_at_any_instant(
        self, path: Path, before: int | None, mask: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the umask and the old mode, no file that we make is ever open to group or other."""
        old = path.stat().st_ino
        if before is None:
            path.unlink()
        else:
            path.chmod(before)
        with umask(mask), monkeypatch.context() as patched:
            watch = Watch(path.parent, patched)
            replace_file(path, b"new")
        assert {"open", "pwrite", "fsync", "rename"} <= set(watch.calls)
        ours = [mode for modes in watch.modes for inode, mode in modes.items() if inode != old or before is None]
        assert ours
        assert all(mode & 0o077 == 0 for mode in ours)
        assert mode_of(path) == (0o400 if before == 0o400 else 0o600)
        assert path.read_bytes() == b"new"

    @pytest.mark.parametrize(
        ("before", "after"),
        [(0o644, 0o600), (0o600, 0o600), (0o400, 0o400), (0o700, 0o700), (0o4755, 0o700), (0o666, 0o600)],
        ids=oct,
    )
    def test_keeps_the_mode_without_widening(self, path: Path, before: int, after: int) -> None:
        """The owner's bits stay; group's, other's and set-user-id go."""
        path.chmod(before)
        replace_file(path, b"new")
        assert mode_of(path) == after

    def test_a_new_file_has_the_mode_asked_for(self, tmp_path: Path) -> None:
        """0600 unless the caller says less."""
        replace_file(tmp_path / "usual", b"new")
        replace_file(tmp_path / "less", b"new", mode=0o400)
        assert (mode_of(tmp_path / "usual"), mode_of(tmp_path / "less")) == (0o600, 0o400)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o4600], ids=oct)
    def test_a_mode_for_others_is_a_mistake(self, tmp_path: Path, mode: int) -> None:
        """Nobody asks for a secret that others can read."""
        with pytest.raises(ValueError, match="secret"):
            replace_file(tmp_path / "new", b"new", mode=mode)
        assert names_in(tmp_path) == set()

    @needs_root
    def test_keeps_the_owner(self, path: Path) -> None:
        """Root gives the new file to the old one's owner and group."""
        os.chown(path, NOBODY, 12)
        replace_file(path, b"new")
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, 12)
        assert mode_of(path) == 0o600

    def test_a_user_keeps_what_a_user_may(self, as_nobody: Path) -> None:
        """Who may not give files away replaces root's file by one of one's own."""
        replace_file(as_nobody, b"new")
        assert as_nobody.read_bytes() == b"new"
        assert (as_nobody.stat().st_uid, mode_of(as_nobody)) == (NOBODY, 0o600)

    def test_a_read_only_file_is_replaced_and_stays_read_only(self, as_nobody: Path) -> None:
        """Mode 0400 does not protect a file from its owner's rename."""
        replace_file(as_nobody, b"mine")
        as_nobody.chmod(0o400)
        replace_file(as_nobody, b"new")
        assert (as_nobody.read_bytes(), mode_of(as_nobody)) == (b"new", 0o400)


class TestLinks:
    @pytest.mark.parametrize("relative", [True, False])
    def test_a_link_stays_and_its_target_is_replaced(self, path: Path, tmp_path: Path, relative: bool) -> None:  # noqa: FBT001 - a parameter of the test
        """The new file is where the link leads, and the temporary file was there too."""
        link = tmp_path / "link.json"
        link.symlink_to(Path("home/credentials.json") if relative else path)
        before = link.readlink()
        with prepare_write(link, 100, create=False) as prepared:
            assert prepared.real_path == path.resolve()
            assert len(names_in(path.parent)) == 2
            prepared.commit(b"new")
        assert link.readlink() == before
        assert path.read_bytes() == b"new"
        assert not path.is_symlink()

    def test_a_dangling_link_is_filled_if_we_may_create(self, tmp_path: Path) -> None:
        """The file is made where the link leads."""
        link = tmp_path / "link"
        link.symlink_to("target")
        replace_file(link, b"new")
        assert link.is_symlink()
        assert (tmp_path / "target").read_bytes() == b"new"

    def test_a_dangling_link_into_nowhere_is_refused(self, tmp_path: Path) -> None:
        """Directories are not made."""
        (tmp_path / "link").symlink_to("none/target")
        with pytest.raises(FileNotFoundError):
            replace_file(tmp_path / "link", b"new")

    def test_a_dangling_link_is_absent_if_we_may_not_create(self, tmp_path: Path) -> None:
        """Another program's file is never made, through a link or not."""
        (tmp_path / "link").symlink_to("target")
        for name in ("link", "target"):
            with pytest.raises(FileNotFoundError):
                prepare_write(tmp_path / name, 100, create=False)
        assert names_in(tmp_path) == {"link"}


class TestProof:
    def test_reserves_room_beside_the_target(self, path: Path) -> None:
        """The proof is a file with its room, in the target's directory, and the target is as it was."""
        with prepare_write(path, 5000, create=False) as prepared:
            (temporary,) = names_in(path.parent) - {path.name}
            made = (path.parent / temporary).stat()
            assert temporary.startswith(f".{path.name}.tokenward-")
            assert made.st_size == 5000
            assert made.st_blocks * 512 >= 5000
            assert not prepared.in_place
        assert names_in(path.parent) == {path.name}
        assert path.read_bytes() == b"old"

    @pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
    def test_reserves_by_writing_where_allocation_is_unknown(
        self, path: Path, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file system without allocation is written to instead."""

        def refuse(fd: int, offset: int, length: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with prepare_write(path, 5000, create=False) as prepared:
            (temporary,) = names_in(path.parent) - {path.name}
            assert (path.parent / temporary).stat().st_size == 5000
            prepared.commit(b"new")
        assert path.read_bytes() == b"new"

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_no_room_shows_before_anything_is_spent(
        self, path: Path, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk or quota fails the proof and leaves nothing behind."""

        def refuse(fd: int, offset: int, length: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            prepare_write(path, 5000, create=False)
        assert names_in(path.parent) == {path.name}

    @pytest.mark.parametrize("kind", ["directory", "fifo"])
    def test_what_is_not_a_file_is_not_replaced(self, tmp_path: Path, kind: str) -> None:
        """A directory or a FIFO in the target's place is refused."""
        target = tmp_path / "target"
        if kind == "directory":
            target.mkdir()
        else:
            os.mkfifo(target)
        with pytest.raises(NotRegularFile):
            prepare_write(target, 100, create=True)
        assert names_in(tmp_path) == {"target"}

    def test_a_directory_that_a_user_may_not_write_is_refused(self, as_nobody: Path) -> None:
        """Permission is asked for before the token is spent."""
        as_nobody.parent.chmod(0o500)
        with pytest.raises(PermissionError):
            prepare_write(as_nobody, 100, create=False)

    @needs_root
    def test_anothers_file_in_a_sticky_directory_is_refused(self, as_nobody: Path) -> None:
        """The rename would fail though a file can be made, so the proof says it."""
        os.seteuid(0)
        os.chown(as_nobody.parent, 0, 0)
        as_nobody.parent.chmod(0o1777)
        os.seteuid(NOBODY)
        with pytest.raises(PermissionError, match="sticky"):
            prepare_write(as_nobody, 100, create=False)
        assert names_in(as_nobody.parent) == {as_nobody.name}

    @needs_root
    def test_an_immutable_file_is_refused(self, path: Path) -> None:
        """The rename would fail though a file can be made, so the proof says it."""
        made = subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True)
        if made.returncode:
            pytest.skip("this file system has no immutable files")
        try:
            with pytest.raises(PermissionError, match="immutable"):
                prepare_write(path, 100, create=False)
            assert names_in(path.parent) == {path.name}
        finally:
            subprocess.run(["chattr", "-i", str(path)], check=True)


class TestCommit:
    @pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 100_000])
    def test_writes_exactly_the_bytes(self, path: Path, size: int) -> None:
        """Less than was reserved is cut, more extends; the signature is the new file's."""
        data = os.urandom(size)
        with prepare_write(path, 100, create=False) as prepared:
            assert prepared.commit(data) == signature_of(path)
        assert path.read_bytes() == data
        assert names_in(path.parent) == {path.name}

    def test_short_writes_are_continued(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A kernel that takes three bytes at a time gets them all."""
        pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data[:3]), offset))
        replace_file(path, b"a longer new state")
        assert path.read_bytes() == b"a longer new state"

    def test_syncs_the_file_then_renames_then_syncs_the_directory(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The order is what makes it durable."""
        order: list[str] = []
        fsync, rename = os.fsync, os.rename

        def noted_fsync(fd: int) -> None:
            order.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
            fsync(fd)

        def noted_rename(*args: Any, **kwargs: Any) -> None:
            order.append("rename")
            rename(*args, **kwargs)

        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "rename", noted_rename)
        replace_file(path, b"new")
        assert order == ["file", "rename", "directory"]

    @pytest.mark.parametrize("call", ["pwrite", "ftruncate", "fchmod", "fsync", "rename"])
    def test_a_failure_before_the_rename_changes_nothing(
        self, path: Path, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old file is untouched, and the temporary file is gone."""
        before = signature_of(path)

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        prepared = prepare_write(path, 100, create=False)
        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            with pytest.raises(OSError, match="Input/output"):
                prepared.commit(b"new")
        assert signature_of(path) == before
        assert names_in(path.parent) == {path.name}

    def test_a_failed_directory_sync_says_that_the_rename_happened(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The new state is there, and the error carries that and its signature."""
        fsync = os.fsync

        def fail_on_directories(fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(fd)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail_on_directories)
            with pytest.raises(DirectorySyncFailed) as failed:
                replace_file(path, b"new")
        assert failed.value.renamed
        assert failed.value.errno == errno.EIO
        assert failed.value.signature == signature_of(path)
        assert path.read_bytes() == b"new"
        assert names_in(path.parent) == {path.name}

    def test_a_file_system_without_directory_sync_is_good_enough(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where directories cannot be synced at all, the rename is the most there is."""
        fsync = os.fsync

        def refuse_directories(fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            fsync(fd)

        monkeypatch.setattr(os, "fsync", refuse_directories)
        replace_file(path, b"new")
        assert path.read_bytes() == b"new"

    def test_a_file_that_is_gone_is_not_brought_back(self, path: Path) -> None:
        """If its owner deleted it between proof and write, we do not create it."""
        prepared = prepare_write(path, 100, create=False)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            prepared.commit(b"new")
        assert names_in(path.parent) == set()

    def test_a_link_that_leads_elsewhere_now_is_not_followed_to_the_old_place(
        self, path: Path, tmp_path: Path
    ) -> None:
        """A link repointed between proof and write stops the write, even within one directory."""
        other = path.with_name("other")
        other.write_bytes(b"other")
        link = tmp_path / "link"
        link.symlink_to(path)
        prepared = prepare_write(link, 100, create=False)
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(TargetMoved):
            prepared.commit(b"new")
        assert (path.read_bytes(), other.read_bytes()) == (b"old", b"other")
        assert names_in(path.parent) == {path.name, other.name}

    def test_a_directory_that_was_replaced_is_not_written_to(self, path: Path) -> None:
        """A write into the directory that was moved away would be lost, so it is an error."""
        prepared = prepare_write(path, 100, create=False)
        moved = path.parent.rename(path.parent.with_name("moved"))
        path.parent.mkdir()
        path.write_bytes(b"restored")
        with pytest.raises(TargetMoved):
            prepared.commit(b"new")
        assert path.read_bytes() == b"restored"
        assert names_in(moved) == {path.name}

    def test_keeps_the_mode_that_the_target_has_now(self, path: Path) -> None:
        """A mode changed between proof and write is respected."""
        prepared = prepare_write(path, 100, create=False)
        path.chmod(0o400)
        prepared.commit(b"new")
        assert mode_of(path) == 0o400

    def test_ends_the_write(self, path: Path) -> None:
        """A write is committed or discarded once; discarding again is fine, and nothing stays open."""
        opened = open_descriptors()
        prepared = prepare_write(path, 100, create=False)
        prepared.commit(b"new")
        prepared.discard()
        with pytest.raises(ValueError, match="over"):
            prepared.commit(b"newer")
        discarded = prepare_write(path, 100, create=False)
        discarded.discard()
        discarded.discard()
        with pytest.raises(ValueError, match="over"):
            discarded.commit(b"newer")
        with pytest.raises(ZeroDivisionError), prepare_write(path, 100, create=False):
            raise ZeroDivisionError
        assert path.read_bytes() == b"new"
        assert names_in(path.parent) == {path.name}
        assert open_descriptors() == opened


class TestInPlace:
    @pytest.fixture
    def busy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A kernel that does not rename over the target."""

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

        monkeypatch.setattr(os, "rename", refuse)

    @pytest.mark.parametrize("data", [b"a longer new state", b"n", b""])
    def test_a_busy_target_is_written_in_place(self, path: Path, busy: None, data: bytes) -> None:
        """The same file has the new state, private, and the write says how it was done."""
        path.chmod(0o644)
        inode = path.stat().st_ino
        prepared = prepare_write(path, 100, create=False)
        assert prepared.commit(data) == signature_of(path)
        assert prepared.in_place
        assert path.read_bytes() == data
        assert (path.stat().st_ino, mode_of(path)) == (inode, 0o600)
        assert names_in(path.parent) == {path.name}

    @pytest.mark.parametrize("failing", [1, 2])
    def test_a_failure_puts_the_old_state_back(
        self, path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without room for what is new, or with an error in the middle, the old state is there again."""
        monkeypatch.setattr(atomic_file, "is_mount_point", lambda _: True)
        pwrite = os.pwrite
        writes: list[int] = []

        def fail_once(fd: int, data: memoryview, offset: int) -> int:
            writes.append(offset)
            if len(writes) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return pwrite(fd, data, offset)

        monkeypatch.setattr(os, "pwrite", fail_once)
        prepared = prepare_write(path, 100, create=False)
        assert prepared.in_place
        with pytest.raises(OSError, match="No space"):
            prepared.commit(b"a longer new state")
        assert path.read_bytes() == b"old"
        assert writes[0] == 3

    def test_anothers_open_file_is_refused_in_the_proof(
        self, as_nobody: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that others can read and that we cannot close is no place for a secret."""
        monkeypatch.setattr(atomic_file, "is_mount_point", lambda _: True)
        os.seteuid(0)
        as_nobody.chmod(0o666)
        os.seteuid(NOBODY)
        with pytest.raises(PermissionError, match="not ours to close"):
            prepare_write(as_nobody, 100, create=False)


class TestReplaceFile:
    def test_makes_a_private_file(self, tmp_path: Path) -> None:
        """An absent file is made, 0600."""
        assert replace_file(tmp_path / "new", b"new") == signature_of(tmp_path / "new")
        assert mode_of(tmp_path / "new") == 0o600

    def test_does_not_make_one_unasked(self, tmp_path: Path) -> None:
        """``create=False`` refuses."""
        with pytest.raises(FileNotFoundError):
            replace_file(tmp_path / "new", b"new", create=False)
        assert names_in(tmp_path) == set()

    def test_equal_bytes_are_not_written_but_synced(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A watcher sees nothing, and what an interrupted write left is durable all the same."""
        before = signature_of(path)
        watch = Watch(path.parent, monkeypatch)
        assert replace_file(path, b"old") == before == signature_of(path)
        assert watch.calls == ["open", "open", "fsync", "open", "fsync"]
        assert all(len(modes) == 1 for modes in watch.modes)

    def test_equal_bytes_that_others_can_read_are_written(self, path: Path) -> None:
        """An open file is closed even if nothing else changes."""
        path.chmod(0o644)
        replace_file(path, b"old")
        assert mode_of(path) == 0o600

    def test_a_state_whose_sync_failed_is_not_taken_for_durable(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Repeating a write whose directory could not be synced fails again, as long as it cannot."""
        fsync = os.fsync

        def fail_on_directories(fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(fd)

        monkeypatch.setattr(os, "fsync", fail_on_directories)
        for _ in range(2):
            with pytest.raises(DirectorySyncFailed):
                replace_file(path, b"new")


class TestStaleTemporaries:
    NAME = ".credentials.json.tokenward-0123456789abcdef"

    def leave(self, path: Path, name: str = NAME, *, age: float = 3601.0) -> Path:
        """A temporary file of so many seconds ago."""
        left = path.parent / name
        left.touch()
        os.utime(left, (NOW - age, NOW - age))
        return left

    def test_an_old_one_is_removed(self, path: Path) -> None:
        """After an hour nobody writes any more."""
        self.leave(path)
        self.leave(path, self.NAME.replace("0123", "aaaa"), age=3599.0)
        assert remove_stale_temporaries(path.parent, path.name, now=NOW) == 1
        assert names_in(path.parent) == {path.name, self.NAME.replace("0123", "aaaa")}

    def test_one_from_before_the_boot_is_removed(self, path: Path) -> None:
        """Its writer did not survive the boot."""
        self.leave(path, age=100.0)
        assert remove_stale_temporaries(path.parent, path.name, now=NOW, booted_at=NOW - 101) == 0
        assert remove_stale_temporaries(path.parent, path.name, now=NOW, booted_at=NOW - 99) == 1
        assert names_in(path.parent) == {path.name}

    @pytest.mark.parametrize(
        "name",
        [
            "credentials.json",
            ".credentials.json.tmp.0123abcd",
            ".credentials.json.tokenward-0123456789abcde",
            ".credentials.json.tokenward-0123456789abcdef0",
            ".credentials.json.tokenward-0123456789abcdeg",
            ".credentialsXjson.tokenward-0123456789abcdef",
            ".other.json.tokenward-0123456789abcdef",
        ],
    )
    def test_other_names_are_left_alone(self, path: Path, name: str) -> None:
        """Only the exact pattern is ours."""
        self.leave(path, name)
        assert remove_stale_temporaries(path.parent, path.name, now=NOW) == 0
        assert (path.parent / name).exists()

    def test_links_and_directories_are_left_alone(self, path: Path) -> None:
        """Only a regular file is a temporary file."""
        (path.parent / self.NAME).symlink_to(path)
        (path.parent / self.NAME.replace("0123", "aaaa")).mkdir()
        assert remove_stale_temporaries(path.parent, path.name, now=NOW * 2) == 0

    @needs_root
    def test_another_users_are_left_alone(self, path: Path) -> None:
        """What another user left is that user's."""
        os.chown(self.leave(path), NOBODY, NOBODY)
        assert remove_stale_temporaries(path.parent, path.name, now=NOW) == 0

    def test_an_absent_directory_holds_none(self, tmp_path: Path) -> None:
        """Nothing to look at is nothing to remove."""
        assert remove_stale_temporaries(tmp_path / "none", "file", now=NOW) == 0

    def test_matches_what_a_write_makes(self, path: Path) -> None:
        """The pattern is that of the real temporary files."""
        with prepare_write(path, 100, create=False) as prepared:
            later = path.stat().st_mtime + 2 * 3600
            assert remove_stale_temporaries(path.parent, path.name, now=later) == 1
            with pytest.raises(FileNotFoundError):
                prepared.commit(b"new")
        assert path.read_bytes() == b"old"


def test_mount_points_are_found_by_their_exact_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with a space, tab, line feed or backslash are compared as the kernel writes them."""
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 1 254:0 / / rw - ext4 /dev/vda rw\n"
        rb"36 22 0:32 /x /home/a\040b\011c\012d\134e.json rw,relatime master:1 - tmpfs tmpfs rw" + b"\n"
    )
    monkeypatch.setattr(durability, "_MOUNTS", table)
    assert durability.is_mount_point(Path("/home/a b\tc\nd\\e.json"))
    assert not durability.is_mount_point(Path("/home/a b\tc\nd\\e.jso"))
    assert not durability.is_mount_point(Path("/x"))
    monkeypatch.setattr(durability, "_MOUNTS", tmp_path / "none")
    assert not durability.is_mount_point(Path("/"))
