"""The daemon on disks that are full or read-only, for real: nothing is spent that could not be replaced."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, RpcError, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import HOLD_AFTER, Sandbox

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""
HOUR = 3600.0
SMALL_DISK = "2m"  # two reservations of the journal fit

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0,
    reason="mounts need root: NO DAEMON IS TESTED ON A FULL OR READ-ONLY DISK",
)


@contextmanager
def mounted(target: Path, *words: str) -> Iterator[Callable[[], None]]:
    """Mount something on a directory; what is yielded takes it off again, at the latest at the end."""
    made = subprocess.run(["mount", *words, str(target)], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"this root may not mount: {made.stderr.strip()}")
    with ExitStack() as mounts:
        # Lazily: a daemon that is on its way out may still have a file open there.
        mounts.callback(subprocess.run, ["umount", "--lazy", str(target)], check=True)
        yield mounts.close


@pytest.fixture
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home directory that is a disk of its own, and a small one."""
    home = tmp_path_factory.mktemp("small")
    with mounted(home, "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs"):
        yield home


def read_only(directory: Path) -> AbstractContextManager[Callable[[], None]]:
    """Make a directory read-only for whoever enters it by its path from now on."""
    return mounted(directory, "--bind", "-o", "ro", str(directory))


def fill(directory: Path) -> Path:
    """Take all room that is left on a disk, and return the file that has it."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


class TestFullDisk:
    """Home, journal and login on one disk that is full."""

    @pytest.mark.fault(
        "disk-full-before",
        "ENOSPC before a refresh: no block is free",
        "nothing is sent, the old token is served, and the refresh is made when there is room",
    )
    def test_nothing_is_spent_without_room_for_the_answer(self, small_home: Path, sandbox: Sandbox) -> None:
        """No request goes out, the old token is served, and with room again the refresh is made."""
        login = sandbox.issue(ttl_seconds=HOUR)
        stored = StoredLogin(small_home)
        stored.write(login)
        with DaemonProcess(small_home, config=direct(sandbox.token_endpoint)) as daemon:
            ballast = fill(small_home)
            with pytest.raises(RpcError, match="No space left") as refusal:
                daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            assert refusal.value.data["type"] == "RefreshFailed"
            answer = daemon.call("token.get")
            assert answer["token"] == login.access_token
            assert sandbox.requests == ()
            assert stored.access == login.access_token
            ballast.unlink()
            daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == stored.access != login.access_token
        assert sandbox.statistics().token_requests == 1

    @pytest.mark.fault(
        "disk-full-after",
        "ENOSPC after the request went out",
        "what the answer needs was reserved before: it is written",
    )
    def test_room_taken_while_the_request_is_out_does_no_harm(self, small_home: Path, sandbox: Sandbox) -> None:
        """What the answer needs was reserved before the token was sent."""
        stored = StoredLogin(small_home)
        stored.write(sandbox.issue(ttl_seconds=DUE))
        sandbox.faults.next("token", HOLD_AFTER)
        with DaemonProcess(small_home, config=direct(sandbox.token_endpoint)) as daemon:
            assert sandbox.faults.wait_held()
            fill(small_home)
            sandbox.faults.release()
            answer = daemon.call("token.get", min_valid=600)
            assert (answer["token"], answer["degraded"]) == (stored.access, None)
        assert sandbox.liveness(stored.access) == "live"


class TestReadOnlyDirectory:
    """The directory of Claude Code's login cannot be written."""

    @pytest.mark.fault(
        "disk-read-only-before",
        "EROFS before a refresh",
        "nothing is sent, the old token is served, and the refresh is made when it is writable",
    )
    def test_nothing_is_spent_that_could_not_be_replaced(self, own_home: Path, sandbox: Sandbox) -> None:
        """Read-only before: no request, the old token with the reason, and a refresh when it is writable again."""
        login = sandbox.issue(ttl_seconds=DUE)
        stored = StoredLogin(own_home)
        stored.write(login)
        with (
            read_only(stored.path.parent) as end_it,
            DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon,
        ):
            answer = daemon.call("token.get", min_valid=600)
            assert (answer["token"], answer["degraded"]) == (login.access_token, "refresh_failing")
            shown = daemon.call("profile.get", profile=CLAUDE_PROFILE)
            assert "Read-only file system" in shown["last_failure"]["reason"]
            assert sandbox.requests == ()
            end_it()
            daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == stored.access != login.access_token
        assert sandbox.statistics().token_requests == 1

    @pytest.mark.fault(
        "disk-read-only-after",
        "EROFS after the server rotated",
        "`unsaved` in the answer, in status and as an event; written when it is writable",
    )
    def test_an_answer_that_cannot_be_written_is_served_and_written_later(
        self, own_home: Path, sandbox: Sandbox
    ) -> None:
        """Read-only since the request: `unsaved`, and `saved` by itself when the fault ends."""
        before = sandbox.issue(ttl_seconds=DUE)
        stored = StoredLogin(own_home)
        stored.write(before)
        sandbox.faults.next("token", HOLD_AFTER)
        daemon = DaemonProcess(own_home, config=direct(sandbox.token_endpoint))
        with daemon, daemon.subscribe() as events, ExitStack() as mounts:
            assert sandbox.faults.wait_held()
            end_it = mounts.enter_context(read_only(stored.path.parent))
            sandbox.faults.release()
            answer = daemon.call("token.get", min_valid=600)
            assert answer["degraded"] == "unsaved"
            assert sandbox.liveness(answer["token"]) == "live"
            assert daemon.call("profile.get", profile=CLAUDE_PROFILE)["degraded"] == "unsaved"
            assert stored.access == before.access_token
            end_it()
            assert events.wait_for("saved")["generation"] == answer["generation"]
            assert "unsaved" in [event["type"] for event in events.seen]
            assert stored.access == answer["token"]
            assert daemon.call("token.get", min_valid=600)["degraded"] is None
        assert sandbox.statistics().token_requests == 1
