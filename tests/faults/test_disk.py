"""Disks that fail under a real daemon, most of them between the server's rotation and the write of it (design I3).

What must hold is always the same: the caller gets the token that lives, `unsaved` says where it does not lie yet,
it is on its disk as soon as the fault ends, and the server never sees a spent refresh token.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, RpcError, direct
from e2e.stored_login import StoredLogin
from faults.injected import failing
from tokenward.sandbox import HOLD_AFTER, Issued, Sandbox

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""
ACME = "acme:me"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="mounts and strace are of Linux: NO DISK FAULT IS TESTED"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root: NO MOUNT THAT FAILS IS TESTED")
SERVED_UNSAVED = (
    "`unsaved` in the answer, in status and as an event; in its file as soon as the fault ends; one request"
)


@contextmanager
def mounted(*words: str) -> Iterator[None]:
    """Mount something; off again at the end, lazily, for a daemon may still have a file open there."""
    made = subprocess.run(["mount", *words], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"this root may not mount: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", words[-1]], check=True)


def stored_when_due(home: Path, sandbox: Sandbox) -> tuple[StoredLogin, Issued]:
    """Claude Code's login, of which a refresh is due."""
    login = sandbox.issue(ttl_seconds=DUE)
    stored = StoredLogin(home)
    stored.write(login)
    return stored, login


def is_served_and_saved(daemon: DaemonProcess, sandbox: Sandbox, stored: StoredLogin, *, old: str) -> None:
    """What must hold where a fault that began after the server rotated does no harm; the request is held."""
    sandbox.faults.release()
    token = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)["token"]
    assert sandbox.liveness(token) == "live"
    daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=CLAUDE_PROFILE)
    assert stored.access == token != old
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)


def is_unsaved_and_then_saved(
    daemon: DaemonProcess,
    sandbox: Sandbox,
    end_fault: Callable[[], object],
    *,
    stored: Callable[[], str],
    old: str,
) -> str:
    """What must hold of a fault that began after the server rotated; the request is held when this begins.

    Returns:
        The token that is served and stored in the end.
    """
    with daemon.subscribe() as events:
        sandbox.faults.release()
        answer = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)
        assert (answer["degraded"], sandbox.liveness(answer["token"])) == ("unsaved", "live")
        shown = daemon.call("profile.get", profile=CLAUDE_PROFILE)
        assert (shown["phase"], shown["degraded"]) == ("unsaved", "unsaved")
        end_fault()
        assert events.wait_for("saved")["generation"] == answer["generation"]
        assert "unsaved" in [event["type"] for event in events.seen]
        assert stored() == answer["token"] != old
        assert daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)["degraded"] is None
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)
    return str(answer["token"])


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        pytest.param(
            calls,
            error,
            id=fault,
            marks=pytest.mark.fault(f"disk-{fault}", f"{what} after the server rotated", SERVED_UNSAVED),
        )
        for fault, what, calls, error in [
            ("eio-sync", "EIO from every fsync", "fsync", "EIO"),
            ("eio-write", "EIO from every write of a file", "pwrite64", "EIO"),
            ("eacces-rename", "EACCES from every rename", "/^rename", "EACCES"),
            ("full-after-no-reserve", "ENOSPC from every write, though room was reserved,", "pwrite64", "ENOSPC"),
            ("quota-after", "EDQUOT, a quota set to nothing,", "pwrite64", "EDQUOT"),
            ("files-after", "ENOSPC from every rename", "/^rename", "ENOSPC"),
        ]
    ],
)
def test_a_call_that_fails_after_the_rotation(own_home: Path, sandbox: Sandbox, calls: str, error: str) -> None:
    """Not even the journal can be written in most of these: the answer lives in memory, and is kept at last."""
    stored, before = stored_when_due(own_home, sandbox)
    sandbox.faults.next("token", HOLD_AFTER)
    config = direct(sandbox.token_endpoint)
    with DaemonProcess(own_home, config=config, arguments=["--debuggable"]) as daemon:
        assert sandbox.faults.wait_held()
        with failing(daemon.pid, calls, error) as end:
            is_unsaved_and_then_saved(daemon, sandbox, end, stored=lambda: stored.access, old=before.access_token)


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        pytest.param(
            calls,
            error,
            id=fault,
            marks=pytest.mark.fault(
                f"disk-{fault}",
                f"{what} before a refresh",
                "nothing is sent; the old token is served; the refresh is made when the fault ends",
            ),
        )
        for fault, what, calls, error in [
            ("eio-before", "EIO from every fsync", "fsync", "EIO"),
            ("eacces-before", "EACCES where room is taken for the answer", "fallocate", "EACCES"),
            ("quota-before", "EDQUOT, a quota used up,", "pwrite64,fallocate", "EDQUOT"),
        ]
    ],
)
def test_a_call_that_fails_before_the_request(own_home: Path, sandbox: Sandbox, calls: str, error: str) -> None:
    """The proof comes first: a refresh token whose answer could not be kept is not sent."""
    login = sandbox.issue()
    stored = StoredLogin(own_home)
    stored.write(login)
    config = direct(sandbox.token_endpoint)
    with DaemonProcess(own_home, config=config, arguments=["--debuggable"]) as daemon:
        with failing(daemon.pid, calls, error):
            with pytest.raises(RpcError) as refusal:
                daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            assert refusal.value.data["type"] == "RefreshFailed"
            assert daemon.call("token.get")["token"] == login.access_token
            assert sandbox.requests == ()
        daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
        assert daemon.call("token.get")["token"] == stored.access != login.access_token
    assert sandbox.statistics().token_requests == 1


def take_all_inodes(directory: Path) -> list[Path]:
    """Make files until no more can be."""
    made = []
    with suppress(OSError):
        for number in range(10_000):
            made.append(directory / f"ballast-{number}")
            made[-1].touch()
    return made


@needs_root
@pytest.mark.fault(
    "disk-inodes",
    "ENOSPC: no inode is free, before a refresh",
    "nothing is sent; the old token is served; the refresh is made when there is one",
)
def test_no_inode_is_free(own_home: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    """The new file beside the old one cannot be made, and that is known before the token is spent."""
    home = tmp_path / "small"
    home.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=8m,nr_inodes=64,mode=700", "tmpfs", str(home)):
        login = sandbox.issue()
        stored = StoredLogin(home)
        stored.write(login)
        with DaemonProcess(home, config=direct(sandbox.token_endpoint)) as daemon:
            ballast = take_all_inodes(home)
            with pytest.raises(RpcError, match="No space left"):
                daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == login.access_token
            assert sandbox.requests == ()
            for path in ballast:
                path.unlink(missing_ok=True)
            daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            assert daemon.call("token.get")["token"] == stored.access != login.access_token
        assert sandbox.statistics().token_requests == 1


@needs_root
@pytest.mark.fault(
    "disk-bind-mount",
    "The login is a file that is mounted by itself: a rename onto it is EBUSY",
    "found out before the request; written in place, and the file stays the same one",
)
def test_a_file_that_is_a_mount(own_home: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    """As in a container that is given this one file."""
    stored, before = stored_when_due(own_home, sandbox)
    outside = tmp_path / "outside.json"
    outside.write_bytes(stored.path.read_bytes())
    outside.chmod(0o600)
    with mounted("--bind", str(outside), str(stored.path)):
        inode = stored.path.stat().st_ino
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            answer = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)
            assert (answer["degraded"], stored.access) == (None, answer["token"])
            assert answer["token"] != before.access_token
            assert stored.path.stat().st_ino == inode
            assert stored.document().keys() > {"claudeAiOauth"}
    assert sandbox.statistics().token_requests == 1


@needs_root
@pytest.mark.fault(
    "disk-mounted-over",
    "The file becomes a mount of its own after the server rotated",
    "written all the same; one request",
)
def test_a_file_that_becomes_a_mount(own_home: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    """The rename that was proved possible is EBUSY now; the next write finds out anew."""
    stored, before = stored_when_due(own_home, sandbox)
    sandbox.faults.next("token", HOLD_AFTER)
    outside = tmp_path / "outside.json"
    outside.write_bytes(stored.path.read_bytes())
    outside.chmod(0o600)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        with mounted("--bind", str(outside), str(stored.path)):
            is_served_and_saved(daemon, sandbox, stored, old=before.access_token)


@pytest.mark.fault(
    "disk-replaced",
    "The login's directory is replaced by another with the same login after the server rotated",
    "the new login is in the directory that is there now; one request",
)
def test_a_directory_replaced_under_us(own_home: Path, sandbox: Sandbox) -> None:
    """As a restore from a backup, or a home that is moved: by its path it is found again."""
    stored, before = stored_when_due(own_home, sandbox)
    sandbox.faults.next("token", HOLD_AFTER)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        text = stored.path.read_bytes()
        stored.path.parent.rename(own_home / ".claude-of-yesterday")
        stored.path.parent.mkdir(mode=0o700)
        stored.path.write_bytes(text)
        stored.path.chmod(0o600)
        is_served_and_saved(daemon, sandbox, stored, old=before.access_token)


@pytest.mark.fault(
    "disk-removed",
    "The login's directory is gone after the server rotated, and comes back as it was",
    SERVED_UNSAVED,
)
def test_a_directory_that_goes_and_comes(own_home: Path, sandbox: Sandbox) -> None:
    """A foreign file is never created by us: the answer waits for it."""
    stored, before = stored_when_due(own_home, sandbox)
    sandbox.faults.next("token", HOLD_AFTER)
    away = own_home / ".claude-of-yesterday"
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        assert sandbox.faults.wait_held()
        stored.path.parent.rename(away)

        def come_back() -> None:
            assert not stored.path.exists(), "it is not ours to make"
            with suppress(OSError):
                stored.path.parent.rmdir()
            away.rename(stored.path.parent)

        is_unsaved_and_then_saved(
            daemon, sandbox, come_back, stored=lambda: stored.access, old=before.access_token
        )


def given(login: Issued) -> dict[str, Any]:
    """A login as `profile.add` takes it."""
    expires_at_ms = int(login.expires_at * 1000)
    return {
        "access_token": login.access_token,
        "refresh_token": login.refresh_token,
        "expires_at_ms": expires_at_ms,
    }


@pytest.mark.fault(
    "disk-store-eio",
    "EIO from every fsync after the server rotated, for a login of our own store; then the daemon is killed",
    "`unsaved`; saved when the fault ends; the next daemon serves it",
)
def test_our_own_store_on_a_disk_that_fails(own_home: Path, sandbox: Sandbox) -> None:
    """As for a foreign file, and the record of the store is whole at every moment."""
    config = f'[providers.acme]\nissuer = "{sandbox.issuer}"\nclient_id = "{sandbox.client_id}"\n'
    sandbox.faults.next("token", HOLD_AFTER)
    with DaemonProcess(own_home, config=config, arguments=["--debuggable"]) as daemon, ExitStack() as faults:
        login = sandbox.issue(ttl_seconds=DUE)
        daemon.call("profile.add", profile=ACME, kind="oauth", credential=given(login))
        assert sandbox.faults.wait_held()
        end = faults.enter_context(failing(daemon.pid, "fsync", "EIO"))
        sandbox.faults.release()
        answer = daemon.call("token.get", profile=ACME, min_valid=600)
        assert (answer["degraded"], sandbox.liveness(answer["token"])) == ("unsaved", "live")
        end()
        daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=ACME)
        daemon.kill()
        daemon.start()
        assert daemon.call("token.get", profile=ACME)["token"] == answer["token"]
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            change,
            id=change,
            marks=pytest.mark.fault(
                f"disk-eio-{change}", f"EIO from every write after the server rotated, and {what}", expected
            ),
        )
        for change, what, expected in [
            (
                "reload",
                "a reload that makes the login's keeper anew",
                "the value, which is in memory alone, is served as `unsaved` on; in its file when the fault ends",
            ),
            ("stop", "a stop as soon as the fault has ended", "it is tried once more at the end: in its file"),
        ]
    ],
)
def test_a_value_that_is_nowhere_but_in_memory(own_home: Path, sandbox: Sandbox, change: str) -> None:
    """It could neither be sealed nor written: whatever would end its keeper waits, or tries once more."""
    stored, before = stored_when_due(own_home, sandbox)
    sandbox.faults.next("token", HOLD_AFTER)
    config = direct(sandbox.token_endpoint)
    with DaemonProcess(own_home, config=config, arguments=["--debuggable"]) as daemon:
        assert sandbox.faults.wait_held()
        with failing(daemon.pid, "pwrite64", "EIO") as end:
            sandbox.faults.release()
            token = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)["token"]
            assert not any(b'"answer"' in journal.read_bytes() for journal in daemon.families.glob("*.journal"))
            if change == "reload":
                daemon.configure(f"{config}reuse_grace = 1\n")
                assert daemon.call("daemon.reload")["reloaded"]
                answer = daemon.call("token.get", profile=CLAUDE_PROFILE, min_valid=600)
                assert (answer["token"], answer["degraded"]) == (token, "unsaved")
            end()
            if change == "reload":
                daemon.wait_for("profile.get", lambda shown: shown["phase"] == "ready", profile=CLAUDE_PROFILE)
            assert daemon.terminate() == 0
    assert stored.access == token != before.access_token
    assert sandbox.liveness(token) == "live"
    statistics = sandbox.statistics()
    assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)
