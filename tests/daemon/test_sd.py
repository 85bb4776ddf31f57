"""systemd's and launchd's protocols, spoken with real sockets and real child processes."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tokenward.daemon import sd
from tokenward.errors import ConfigurationFault

SOURCES = Path(__file__).resolve().parents[2] / "src"
LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux'")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose name is short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="sd-") as path:
        yield Path(path)


@pytest.fixture
def manager(folder: Path) -> Iterator[socket.socket]:
    """The receiving end of sd_notify, bound to a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(folder / "notify"))
        receiver.setblocking(False)
        yield receiver


class TestNotify:
    def test_a_state_arrives_whole_in_one_datagram(self, manager: socket.socket) -> None:
        """Several assignments are one message, as READY=1 with a STATUS must take effect together."""
        sent = sd.notify("READY=1\nSTATUS=serving", {"NOTIFY_SOCKET": manager.getsockname()})
        assert sent
        assert manager.recv(4096) == b"READY=1\nSTATUS=serving"
        with pytest.raises(BlockingIOError):
            manager.recv(4096)

    @LINUX_ONLY
    def test_an_at_sign_means_the_abstract_namespace(self) -> None:
        """A manager in another mount namespace is reached by an address without a file."""
        name = f"tokenward-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(f"\0{name}")
            receiver.setblocking(False)
            assert sd.notify("WATCHDOG=1", {"NOTIFY_SOCKET": f"@{name}"})
            assert receiver.recv(4096) == b"WATCHDOG=1"

    @pytest.mark.parametrize(
        "environ",
        [
            pytest.param({}, id="no service manager"),
            pytest.param({"NOTIFY_SOCKET": ""}, id="empty"),
            pytest.param({"NOTIFY_SOCKET": "vsock:2:1234"}, id="not a Unix socket"),
            pytest.param({"NOTIFY_SOCKET": "/nowhere/notify"}, id="nobody there"),
            pytest.param({"NOTIFY_SOCKET": "/" + "x" * 200}, id="longer than sun_path"),
            pytest.param({"NOTIFY_SOCKET": "/a\0b"}, id="a zero byte"),
        ],
    )
    def test_what_cannot_be_reached_is_false_and_no_error(self, environ: dict[str, str]) -> None:
        """A daemon that is alive must not die of a supervisor that is not."""
        assert not sd.notify("READY=1", environ)

    def test_a_full_queue_does_not_block(self, manager: socket.socket) -> None:
        """Waiting for a supervisor that does not read would make a hung daemon of a busy one."""
        environ = {"NOTIFY_SOCKET": manager.getsockname()}
        outcomes = [sd.notify("WATCHDOG=1", environ) for _ in range(10_000)]
        assert outcomes[0]
        assert not outcomes[-1]


class TestWatchdogInterval:
    def test_it_is_half_of_what_the_manager_waits(self) -> None:
        """WATCHDOG_USEC is microseconds; half of it is what sd_watchdog_enabled(3) recommends."""
        assert sd.watchdog_interval({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 7) == 30.0

    def test_without_a_process_id_it_is_for_whoever_reads_it(self) -> None:
        """WATCHDOG_PID is optional in the protocol."""
        assert sd.watchdog_interval({"WATCHDOG_USEC": "3000000"}, 7) == 1.5

    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "-5"},
            {"WATCHDOG_USEC": "a minute"},
            {"WATCHDOG_USEC": "²"},
        ],
    )
    def test_no_watchdog_of_ours_is_none(self, environ: dict[str, str]) -> None:
        """Unset, another process', zero or unreadable: nothing to feed."""
        assert sd.watchdog_interval(environ, 7) is None


ADOPT_AND_SHOW = """
import os, socket, sys
from tokenward.daemon import sd
try:
    adopted = sd.inherited_sockets(os.environ, int(os.environ.get("CLAIM", os.getpid())))
except Exception as error:
    print(type(error).__name__, error)
    sys.exit(9)
for name, listener in adopted:
    print(name, listener.fileno(), listener.get_inheritable(), listener.getsockname())
print([name for name in os.environ if name.startswith("LISTEN")])
"""
START = """
import os, sys
descriptors = [int(word) for word in sys.argv[1].split(",")]
for wanted, given in enumerate(descriptors, 3):
    os.dup2(given, wanted, inheritable=True)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""


def started_with(*given: socket.socket, **environ: str) -> subprocess.CompletedProcess[str]:
    """A process started as systemd starts one: sockets from descriptor 3 on, its own id in LISTEN_PID."""
    high = [os.dup(one.fileno()) for one in given]
    raised = [_above(fd) for fd in high]
    try:
        return subprocess.run(
            [sys.executable, "-c", START, ",".join(map(str, raised)), ADOPT_AND_SHOW],
            env={"PYTHONPATH": str(SOURCES), "LISTEN_FDS": str(len(given)), **environ},
            pass_fds=raised,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        for fd in {*high, *raised}:
            os.close(fd)


def _above(fd: int) -> int:
    """A copy out of the way of the descriptors that START fills."""
    wanted = 50 + fd
    os.dup2(fd, wanted)
    return wanted


def listener_at(path: Path) -> socket.socket:
    """A listening Unix stream socket."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen()
    return made


class TestInheritedSockets:
    def test_names_and_sockets_come_in_the_units_order(self, folder: Path) -> None:
        """FileDescriptorName tells several sockets of one service apart."""
        with listener_at(folder / "a") as one, listener_at(folder / "b") as two:
            done = started_with(one, two, LISTEN_FDNAMES="rpc:restricted")
        assert done.stdout.splitlines() == [f"rpc 3 False {folder}/a", f"restricted 4 False {folder}/b", "[]"]

    def test_an_unnamed_socket_is_called_unknown(self, folder: Path) -> None:
        """As sd_listen_fds_with_names(3) does."""
        with listener_at(folder / "a") as one:
            done = started_with(one)
        assert done.stdout.splitlines() == [f"unknown 3 False {folder}/a", "[]"]

    def test_sockets_for_another_process_are_not_touched(self, folder: Path) -> None:
        """A child of an activated process inherits variables that do not mean it; they are cleared for its own."""
        with listener_at(folder / "a") as one:
            done = started_with(one, LISTEN_PID="1", LISTEN_FDNAMES="rpc")
        assert done.stdout.splitlines() == ["[]"]

    def test_what_does_not_listen_is_refused(self) -> None:
        """A connected stream is no socket to serve on."""
        one, other = socket.socketpair()
        with one, other:
            done = started_with(one)
        assert (done.returncode, done.stdout.split()[0]) == (9, "ConfigurationFault")

    def test_a_tcp_socket_is_refused(self) -> None:
        """ListenStream=8080 in an edited unit must not put tokens on a network port."""
        with socket.create_server(("127.0.0.1", 0)) as one:
            done = started_with(one)
        assert (done.returncode, done.stdout.split()[0]) == (9, "ConfigurationFault")

    def test_a_datagram_socket_is_refused(self, folder: Path) -> None:
        """ListenDatagram in an edited unit is no stream."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.bind(str(folder / "a"))
            done = started_with(one)
        assert (done.returncode, done.stdout.split()[0]) == (9, "ConfigurationFault")

    def test_a_descriptor_that_is_no_socket_is_refused_with_a_hint(self, folder: Path) -> None:
        """LISTEN_FDS counts more than there is, or a file came along."""
        with pytest.raises(ConfigurationFault, match="descriptor 3 ") as caught, closed_from_3():
            sd.inherited_sockets({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, 7)
        assert caught.value.hint

    @pytest.mark.parametrize("count", ["", "0", "-1", "many"])
    def test_no_count_is_no_socket(self, count: str) -> None:
        """Nonsense in the environment is no activation, and is cleared."""
        environ = {"LISTEN_PID": "7", "LISTEN_FDS": count, "LISTEN_FDNAMES": "rpc", "HOME": "/x"}
        assert sd.inherited_sockets(environ, 7) == []
        assert environ == {"HOME": "/x"}

    @pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
    def test_systemds_own_activation_is_understood(self, folder: Path) -> None:
        """Not only our reading of the protocol: systemd's tool opens the socket, and a connection starts us."""
        with (folder / "out").open("w") as out:
            activator = subprocess.Popen(
                [
                    *("systemd-socket-activate", f"--listen={folder}/rpc", "--fdname=rpc"),
                    f"--setenv=PYTHONPATH={SOURCES}",
                    *(sys.executable, "-c", ADOPT_AND_SHOW),
                ],
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert activator.stderr is not None
        with activator, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            assert "Listening on" in activator.stderr.readline()
            caller.connect(f"{folder}/rpc")
            activator.wait(timeout=30)
        assert (folder / "out").read_text().splitlines() == [f"rpc 3 False {folder}/rpc", "[]"]


class closed_from_3:  # noqa: N801 - used as a phrase in a with statement
    """Descriptor 3 is closed inside, whatever pytest has there."""

    def __enter__(self) -> None:
        try:
            self._kept: int | None = os.dup(3)
        except OSError:
            self._kept = None
        else:
            os.close(3)

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            os.dup2(self._kept, 3)
            os.close(self._kept)


ACTIVATE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.POINTER(ctypes.c_int)),
    ctypes.POINTER(ctypes.c_size_t),
)
"""``int launch_activate_socket(const char *name, int **fds, size_t *cnt)``"""
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class FakeLaunchd:
    """A C library with launchd's function, called through ctypes as the real one is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, descriptors: list[int], status: int = 0) -> None:
        self.asked: list[bytes] = []
        self.freed: list[int] = []
        self.array = (ctypes.c_int * len(descriptors))(*descriptors)

        def activate(name: bytes, out: Any, count: Any) -> int:
            self.asked.append(name)
            if status == 0:
                out[0] = ctypes.cast(self.array, ctypes.POINTER(ctypes.c_int))
                count[0] = len(descriptors)
            return status

        library = SimpleNamespace(launch_activate_socket=ACTIVATE(activate), free=FREE(self.freed.append))
        monkeypatch.setattr(ctypes, "CDLL", lambda _: library)


class TestLaunchdSockets:
    def test_the_sockets_are_adopted_and_the_array_is_freed(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        """The C function hands over an array that the caller must free, once."""
        original = listener_at(folder / "a")
        launchd = FakeLaunchd(monkeypatch, descriptors=[original.detach()])
        (adopted,) = sd.launchd_sockets("rpc")
        with adopted:
            assert adopted.getsockname() == f"{folder}/a"
            assert not adopted.get_inheritable()
        assert launchd.asked == [b"rpc"]
        assert launchd.freed == [ctypes.addressof(launchd.array)]

    def test_a_process_that_launchd_did_not_start_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """ESRCH, and ENOENT for a name that the property list lacks, mean: make your own."""
        launchd = FakeLaunchd(monkeypatch, descriptors=[], status=3)
        assert sd.launchd_sockets("rpc") == []
        assert launchd.freed == []

    @pytest.mark.skipif(sys.platform == "darwin", reason="there launchd is there")
    def test_without_launchd_there_are_none(self) -> None:
        """The daemon asks on every system."""
        assert sd.launchd_sockets("rpc") == []

    def test_a_socket_of_another_kind_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As with systemd: tokens go out over Unix stream sockets only."""
        tcp = socket.create_server(("127.0.0.1", 0))
        FakeLaunchd(monkeypatch, descriptors=[tcp.detach()])
        with pytest.raises(ConfigurationFault):
            sd.launchd_sockets("rpc")
