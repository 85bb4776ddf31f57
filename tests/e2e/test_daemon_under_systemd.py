"""The daemon itself, installed by ``tokenward service install``, under a real ``systemd --user``.

``test_user_manager`` shows with a stand-in what the units allow; here the daemon has to live with it. Every test
has an unprivileged user and an authorization server of its own; the network is shared, so that the daemon reaches
the server on loopback. The user talks to the daemon by the command line: the test is root, and root is a stranger
to the daemon.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, PATIENCE, direct
from e2e.stored_login import StoredLogin
from e2e.user_manager import UserManager, why_unavailable
from tokenward.sandbox import HOLD_AFTER, Sandbox

pytestmark = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"NOT TESTED with a real user manager: {why_unavailable()}"
)

SERVICE, SOCKET = "tokenward.service", "tokenward.socket"
INHERITED = 3
"""The descriptor of the first socket that systemd hands over (SD_LISTEN_FDS_START of sd_listen_fds(3))."""
DUE = 30.0
"""Seconds of life left that make a refresh due."""
SHORT_WATCHDOG = "[Service]\nWatchdogSec=3\nRestartSec=100ms\n"
"""A minute and five seconds would be the test's; nothing else of the unit is changed."""


class UsersLogin(StoredLogin):
    """The login that Claude Code keeps in the home directory of an unprivileged user.

    Args:
        user: whose.
    """

    def __init__(self, user: UserManager) -> None:
        super().__init__(user.home)
        self._user = user
        user.place(".claude/settings.json", "{}")

    def replace(self, document: dict[str, Any]) -> None:
        """Replace the file by one of the user's that holds this document."""
        temporary = ".claude/.credentials.json.tmp.0badcafe"
        self._user.place(temporary, json.dumps(document))
        (self._user.home / temporary).rename(self.path)


def tokenward(user: UserManager, *words: str) -> str:
    """Type ``tokenward WORDS`` as the user; stdout."""
    return user.run([user.python, "-I", "-m", "tokenward", *words]).stdout


def configure(user: UserManager, sandbox: Sandbox) -> None:
    """Consent to refreshes of Claude Code's login, at the sandbox."""
    user.place(".config/tokenward/config.toml", direct(sandbox.token_endpoint))


def wait_until(condition: Callable[[], bool], user: UserManager) -> None:
    """Wait for a state of the daemon that neither it nor the manager tells.

    Raises:
        TimeoutError: if it does not come; the message holds the daemon's log.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(user.log(SERVICE))
        time.sleep(0.02)


def may_write(pid: int, folder: str) -> bool:
    """Whether a process' mounts let anybody write into a directory. Root asks, whom no permission stops.

    The file that is tried has no name, and so leaves nothing behind where it may be made.
    """
    try:
        os.close(os.open(f"/proc/{pid}/root{folder}", os.O_TMPFILE | os.O_WRONLY))
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return False
    return True


@pytest.fixture
def user(sandbox: Sandbox) -> Iterator[UserManager]:
    """An unprivileged user who has consented to refreshes, with nothing installed yet."""
    with UserManager() as ready:
        configure(ready, sandbox)
        yield ready


class TestStart:
    """Whoever comes first starts it."""

    def test_a_first_connection_starts_it(self, user: UserManager, sandbox: Sandbox) -> None:
        """The socket alone is up: the first caller waits for the daemon and is served over systemd's socket."""
        login = sandbox.issue()
        UsersLogin(user).write(login)
        tokenward(user, "service", "install")
        user.systemctl("start", SOCKET)
        assert user.property(SERVICE, "ActiveState") == "inactive"
        assert tokenward(user, "token") == login.access_token + "\n"
        assert user.property(SERVICE, "ActiveState") == "active"
        status = json.loads(tokenward(user, "status", "--json"))
        assert str(status["pid"]) == user.property(SERVICE, "MainPID")
        listening = user.run(["stat", "--format=%F %a %U", status["socket"]]).stdout
        assert listening == "socket 600 ward\n"

    def test_the_service_unit_starts_it_and_it_says_when_it_is_ready(
        self, user: UserManager, sandbox: Sandbox
    ) -> None:
        """``service install --now`` returns once the daemon has told the manager READY, and what it keeps."""
        login = sandbox.issue()
        UsersLogin(user).write(login)
        tokenward(user, "service", "install", "--now")
        shown = [user.property(SERVICE, name) for name in ("Type", "ActiveState", "SubState", "NRestarts")]
        assert shown == ["notify", "active", "running", "0"]
        assert user.property(SERVICE, "StatusText") == "keeping 1 profiles"
        assert tokenward(user, "token") == login.access_token + "\n"

    def test_without_user_namespaces_the_drop_in_is_enough(self, sandbox: Sandbox) -> None:
        """Where the host forbids them ``--no-user-namespaces`` is all it takes to start, refresh and serve."""
        with UserManager(user_namespaces=False) as user:
            configure(user, sandbox)
            stored = UsersLogin(user)
            login = sandbox.issue()
            stored.write(login, left=DUE)
            tokenward(user, "service", "install", "--no-user-namespaces", "--now")
            wait_until(lambda: stored.access != login.access_token, user)
            assert tokenward(user, "token") == stored.access + "\n"
            assert sandbox.liveness(stored.access) == "live"

    def test_a_wrong_configuration_is_told_and_mended(self, user: UserManager, sandbox: Sandbox) -> None:
        """Installing says that it did not start and where to read why; the same command starts it when mended."""
        user.place(".config/tokenward/config.toml", "[default]\nrefersh_margin = 90\n")
        with pytest.raises(RuntimeError, match=r"not started: .*\n.*see what it said: journalctl --user --unit"):
            tokenward(user, "service", "install", "--now")
        assert "config.toml:2: default.refersh_margin: is not a known key" in user.log(SERVICE)
        configure(user, sandbox)
        tokenward(user, "service", "install", "--now")
        assert user.property(SERVICE, "ActiveState") == "active"


class TestSandboxed:
    """What the unit takes away, and what must work nevertheless."""

    def test_the_system_is_read_only_to_the_daemon(self, user: UserManager) -> None:
        """By the mounts that its process has; those of the manager that started it let the same write through."""
        tokenward(user, "service", "install", "--now")
        daemon, manager = user.main_pid(SERVICE), user.pid
        system = ("/usr", "/usr/local/bin", "/etc", "/var/lib")
        assert [folder for folder in system if may_write(daemon, folder)] == []
        assert [folder for folder in system if may_write(manager, folder)] == list(system)
        assert may_write(daemon, "/home/ward")

    def test_a_refresh_is_done(self, user: UserManager, sandbox: Sandbox) -> None:
        """A login that becomes due is refreshed under Claude Code's locks, and replaced in Claude Code's file."""
        stored = UsersLogin(user)
        login = sandbox.issue()
        stored.write(login)
        tokenward(user, "service", "install", "--now")
        assert tokenward(user, "token") == login.access_token + "\n"
        stored.age(DUE)
        wait_until(lambda: stored.access != login.access_token, user)
        found = stored.path.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (user.uid, 0o600)
        assert sandbox.liveness(stored.access) == "live"
        assert tokenward(user, "token", CLAUDE_PROFILE) == stored.access + "\n"
        assert sandbox.statistics().refreshes_granted == 1
        assert list(user.home.glob(".claude*.lock")) == []


class TestWatchdog:
    """A daemon that hangs is no daemon."""

    def test_one_that_is_shorter_than_the_beat_is_fed(self, user: UserManager) -> None:
        """The daemon beats as often as the manager wants, which is more often than it would by itself."""
        user.drop_in(SERVICE, "short-watchdog", SHORT_WATCHDOG)
        tokenward(user, "service", "install", "--now")
        first = user.property(SERVICE, "MainPID")
        fed = set[str]()

        def fed_three_times() -> bool:
            fed.add(user.property(SERVICE, "WatchdogTimestampMonotonic"))
            return len(fed) > 3  # the first is the start's

        wait_until(fed_three_times, user)
        assert (user.property(SERVICE, "NRestarts"), user.property(SERVICE, "MainPID")) == ("0", first)

    def test_a_hung_daemon_is_replaced(self, user: UserManager, sandbox: Sandbox) -> None:
        """The manager kills it and starts another, which takes over the locks and the socket and serves."""
        login = sandbox.issue()
        UsersLogin(user).write(login)
        user.drop_in(SERVICE, "short-watchdog", SHORT_WATCHDOG)
        tokenward(user, "service", "install", "--now")
        first = user.property(SERVICE, "MainPID")
        os.kill(user.main_pid(SERVICE), signal.SIGSTOP)
        user.wait_for(SERVICE, "NRestarts", "1")
        assert tokenward(user, "token") == login.access_token + "\n"
        assert user.property(SERVICE, "ActiveState") == "active"
        assert user.property(SERVICE, "MainPID") != first


class TestStop:
    """Nothing that was rotated is lost."""

    def test_it_ends_by_itself(self, user: UserManager) -> None:
        """Exit status 0 after SIGTERM; the manager had to do no more, and its socket waits for the next caller."""
        tokenward(user, "service", "install", "--now")
        user.systemctl("stop", SERVICE)
        names = ("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
        assert [user.property(SERVICE, name) for name in names] == ["inactive", "success", "1", "0"]
        assert user.property(SOCKET, "ActiveState") == "active"
        assert user.log(SERVICE).rstrip().endswith("stopped")

    def test_an_answer_that_comes_during_the_stop_is_kept(self, user: UserManager, sandbox: Sandbox) -> None:
        """The refresh token is spent and its answer held back: the unit is inactive only after it is on disk."""
        stored = UsersLogin(user)
        login = sandbox.issue()
        stored.write(login, left=DUE)
        sandbox.faults.next("token", HOLD_AFTER)
        tokenward(user, "service", "install", "--now")
        assert sandbox.faults.wait_held(timeout=PATIENCE)
        inherited = Path(f"/proc/{user.main_pid(SERVICE)}/fd/{INHERITED}")
        socket = inherited.readlink()
        user.systemctl("stop", "--no-block", SERVICE)
        wait_until(lambda: not inherited.is_symlink() or inherited.readlink() != socket, user)
        assert user.property(SERVICE, "SubState") == "stop-sigterm"
        assert stored.access == login.access_token
        assert sandbox.faults.release() == 1
        user.wait_for(SERVICE, "ActiveState", "inactive")
        kept = stored.access
        assert kept != login.access_token
        assert sandbox.liveness(kept) == "live"
        names = ("Result", "ExecMainCode", "ExecMainStatus")
        assert [user.property(SERVICE, name) for name in names] == ["success", "1", "0"]
        assert tokenward(user, "token") == kept + "\n"
        assert sandbox.statistics().token_requests == 1
