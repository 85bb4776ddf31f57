"""The installed units under a real ``systemd --user`` of an unprivileged user.

What stands in for the daemon speaks the same protocols (``Type=notify``, the activated socket, the watchdog) and
does what it is told over that socket, so that a test can ask from inside the service what the service may do.
"""

from __future__ import annotations

import http.server
import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.user_manager import HOME, UserManager, why_unavailable

pytestmark = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"NOT TESTED with a real user manager: {why_unavailable()}"
)

SERVICE, SOCKET = "tokenward.service", "tokenward.socket"
TOKEN_FILE = HOME / ".claude/.credentials.json"
STAND_IN = r"""
import json, os, signal, subprocess, urllib.request
from pathlib import Path
from tokenward.daemon import sd

def write(path, text="x"):
    try:
        beside = Path(path + ".new")
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        return error.strerror
    return "written"

def refresh(url, path):
    with urllib.request.urlopen(url, data=b"grant_type=refresh_token") as answer:
        return write(path, answer.read().decode())

def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return f"{done.returncode} {done.stdout}{done.stderr}"

def hang():
    signal.pause()

def pid():
    return str(os.getpid())

acts = {act.__name__: act for act in (write, refresh, run, hang, pid)}
[(name, listener)] = sd.inherited_sockets(os.environ, os.getpid())
listener.settimeout(sd.watchdog_interval(os.environ, os.getpid()))
print("serving on", name, flush=True)
sd.notify("READY=1\nSTATUS=serving", os.environ)
while True:
    sd.notify("WATCHDOG=1", os.environ)
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        continue
    with connection:
        connection.settimeout(None)
        act, *words = json.loads(connection.makefile().readline())
        connection.sendall(acts[act](*words).encode())
"""
# The watchdog's minute and the pause before a restart would be the test's; nothing else of the unit is changed.
DROP_IN = f"""
[Service]
ExecStart=
ExecStart={HOME}/.venv/bin/python -I {HOME}/stand_in.py
WatchdogSec=2
RestartSec=100ms
"""


def tokenward_service(user: UserManager, *words: str) -> str:
    """Type ``tokenward service WORDS`` as the user; stdout."""
    return user.run([user.python, "-I", "-m", "tokenward", "service", *words]).stdout


def furnish(user: UserManager) -> None:
    """Have the installed unit start the stand-in."""
    user.place("stand_in.py", STAND_IN)
    user.drop_in(SERVICE, "stand-in", DROP_IN)


def tell(user: UserManager, *words: str) -> str:
    """Ask the stand-in to do something, over the socket that systemd made; its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(60)
        caller.connect(str(user.runtime_dir / "tokenward/tokenward.sock"))
        caller.sendall(json.dumps(words).encode() + b"\n")
        with caller.makefile() as answer:
            return answer.read()


@pytest.fixture(scope="module")
def user() -> Iterator[UserManager]:
    """An unprivileged user who has installed and started the service."""
    with UserManager() as ready:
        furnish(ready)
        tokenward_service(ready, "install", "--now")
        yield ready


@pytest.fixture
def token_endpoint() -> Iterator[str]:
    """The address of an authorization server on loopback that answers every refresh with a new token."""

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer as RFC 6749 section 5.1 says."""
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"access_token": "new", "token_type": "Bearer"}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class'
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


class TestInstalledService:
    def test_it_runs_as_an_unprivileged_user_from_the_installed_unit(self, user: UserManager) -> None:
        """The promise of the harness: no root, no unit but the one that was installed."""
        assert user.property(SERVICE, "ActiveState") == "active"
        assert user.property(SERVICE, "FragmentPath") == f"{HOME}/.config/systemd/user/{SERVICE}"
        assert tell(user, "run", "id", "--user") == f"0 {user.uid}\n"
        assert "CapEff:\t0000000000000000" in tell(user, "run", "cat", "/proc/self/status")
        assert "serving on rpc" in user.log(SERVICE)

    def test_status_agrees_with_the_manager(self, user: UserManager) -> None:
        """Asked of the real systemctl, not of a fake."""
        shown = json.loads(tokenward_service(user, "status", "--json"))
        assert shown["installed"] is shown["ours"] is shown["active"] is shown["enabled"] is True
        assert shown["program"] == str(user.python)

    def test_the_socket_is_for_the_user_alone(self, user: UserManager) -> None:
        """Made by systemd, with the modes of the unit, and not by the daemon."""
        path = user.runtime_dir / "tokenward/tokenward.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.stat().st_uid == user.uid

    @pytest.mark.parametrize("folder", ["/usr", "/etc", "/var/lib", "/usr/local/bin"])
    def test_the_system_is_read_only_to_it(self, user: UserManager, folder: str) -> None:
        """Read-only, not merely forbidden: without the sandbox the same user meets its permissions instead."""
        assert tell(user, "write", f"{folder}/tokenward-was-here") == "Read-only file system"
        outside = user.run(["touch", f"{folder}/tokenward-was-here"], check=False)
        assert "Permission denied" in outside.stderr

    def test_its_home_is_writable_and_its_tmp_is_its_own(self, user: UserManager) -> None:
        """Claude Code's lock is made in the home directory itself."""
        assert tell(user, "write", f"{HOME}/.claude.lock") == "written"
        assert tell(user, "write", "/tmp/tokenward-was-here") == "written"
        assert not Path("/tmp/tokenward-was-here").exists()

    def test_it_may_not_do_what_it_need_not(self, user: UserManager) -> None:
        """No new namespaces, no other user's memory, no core dump with tokens in it."""
        assert "Operation not permitted" in tell(user, "run", "unshare", "--user", "true")
        assert tell(user, "run", "sh", "-c", "ulimit -c") == "0 0\n"
        assert "NoNewPrivs:\t1" in tell(user, "run", "cat", "/proc/self/status")

    def test_a_refresh_is_done(self, user: UserManager, token_endpoint: str) -> None:
        """Network, name resolution and an atomic write into the home directory, from inside the sandbox."""
        user.place(".claude/.credentials.json", "{}")
        assert (
            tell(user, "refresh", token_endpoint.replace("127.0.0.1", "localhost"), str(TOKEN_FILE)) == "written"
        )
        written = user.home / TOKEN_FILE.relative_to(HOME)
        assert json.loads(written.read_text())["access_token"] == "new"
        assert (written.stat().st_uid, stat.S_IMODE(written.stat().st_mode)) == (user.uid, 0o600)

    def test_a_hung_service_is_started_again_by_the_watchdog(self, user: UserManager) -> None:
        """It stops to feed the watchdog, is killed, and answers again in a new process."""
        before = tell(user, "pid")
        restarts = int(user.property(SERVICE, "NRestarts"))
        assert tell(user, "hang") == ""  # the connection ends with the process
        user.wait_for(SERVICE, "NRestarts", str(restarts + 1))
        assert tell(user, "pid") != before
        assert user.property(SERVICE, "ActiveState") == "active"

    def test_a_connection_starts_a_stopped_daemon(self, user: UserManager) -> None:
        """The socket is there before the daemon is."""
        user.systemctl("stop", SERVICE)
        assert user.property(SERVICE, "ActiveState") == "inactive"
        assert int(tell(user, "pid"))
        assert user.property(SERVICE, "ActiveState") == "active"


def test_a_stopped_socket_leaves_no_file_and_uninstalling_no_unit() -> None:
    """Nothing that a client could mistake for a daemon, nothing that a login would start."""
    with UserManager() as user:
        furnish(user)
        tokenward_service(user, "install", "--now")
        assert (user.runtime_dir / "tokenward/tokenward.sock").exists()
        tokenward_service(user, "uninstall")
        assert not (user.runtime_dir / "tokenward/tokenward.sock").exists()
        units = user.home / ".config/systemd/user"
        assert [str(path.relative_to(units)) for path in units.rglob("tokenward*")] == [f"{SERVICE}.d"]
        assert user.property(SERVICE, "ActiveState") == "inactive"


def test_without_user_namespaces_the_drop_in_is_needed_and_enough(token_endpoint: str) -> None:
    """On a host that forbids them the unit alone ends with 217/USER, as the drop-in's comment says."""
    with UserManager(user_namespaces=False) as user:
        furnish(user)
        with pytest.raises(RuntimeError, match="was not started"):
            tokenward_service(user, "install", "--now")
        # Between two of its attempts: while the next one starts, the manager shows no status.
        user.wait_for(SERVICE, "ExecMainStatus", "217")
        tokenward_service(user, "install", "--no-user-namespaces", "--now")
        assert tell(user, "refresh", token_endpoint, f"{HOME}/token.json") == "written"
        assert "Operation not permitted" in tell(user, "run", "unshare", "--user", "true")


def test_claude_code_runs_in_the_sandbox(claude_binary: Path) -> None:
    """The daemon asks ``claude auth status`` to refresh its own login: the sandbox must let that program live."""
    binary = claude_binary.resolve()
    offline = "".join(f"Environment={name}=http://127.0.0.1:9\n" for name in ("HTTPS_PROXY", "HTTP_PROXY"))
    with UserManager(readable=[binary.parent]) as user:
        furnish(user)
        user.drop_in(SERVICE, "offline", f"[Service]\n{offline}Environment=DISABLE_AUTOUPDATER=1\n")
        tokenward_service(user, "install", "--now")
        status, _, said = tell(user, "run", str(user.seen(binary)), "auth", "status", "--json").partition(" ")
        assert (status, json.loads(said)["loggedIn"]) == ("1", False)
