"""A daemon of the installation that is measured, in a process of its own."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.stage import Stage

PATIENCE = 120.0
_POLL = 0.0005

Request = bytes


def token_get(params: str = "{}") -> Request:
    """One line that asks for a token."""
    return b'{"jsonrpc":"2.0","id":1,"method":"token.get","params":%b}\n' % params.encode()


def answer_to(connection: socket.socket, request: Request) -> bytes:
    """Ask and wait for one line."""
    connection.sendall(request)
    answer = connection.recv(65_536)
    while not answer.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part:
            raise EOFError("the daemon closed the connection")
        answer += part
    return answer


class Daemon:
    """A daemon that runs; use it as a context manager.

    Args:
        stage: where.
        home: whose.
        config: its configuration.
        environ: further variables.
        cpu: the processor it is pinned to; None = the server's.
    """

    def __init__(
        self,
        stage: Stage,
        home: Path,
        *,
        config: str = "",
        environ: Mapping[str, str] | None = None,
        cpu: int | None = None,
    ) -> None:
        self.home = home
        self.socket = str(home / "run" / "tokenward" / "tokenward.sock")
        self._environ = environment(home) | dict(environ or {})
        self._argv = ["taskset", "-c", str(stage.cpu if cpu is None else cpu), stage.python, "-m", "tokenward"]
        self._process: subprocess.Popen[bytes] | None = None
        directory = home / ".config" / "tokenward"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "config.toml").write_text(config)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None  # noqa: S101 - asked only of one that was started
        return self._process.pid

    def start(self) -> socket.socket:
        """Start it; returns the first connection that it accepted."""
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._argv, "daemon"], env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.socket)
            except OSError:
                connection.close()
                time.sleep(_POLL)
            else:
                connection.settimeout(PATIENCE)
                return connection
        raise RuntimeError(f"the daemon did not start: {(self.home / 'log').read_text()}")

    def connect(self) -> socket.socket:
        """One more connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self.socket)
        return connection

    def resident(self) -> float:
        """Megabytes of memory."""
        return _status(self.pid, "VmRSS:") / 1000

    def voluntary_switches(self) -> dict[int, int]:
        """How often each of its threads has gone to sleep, by the thread's number.

        The kernel drops a thread's count with the thread, so what one did that has ended is missing. An idle
        daemon ends one a minute, watchfiles' reader of events, which has slept once or twice.
        """
        threads = (int(thread.name) for thread in Path(f"/proc/{self.pid}/task").iterdir())
        return {thread: _status(thread, "voluntary_ctxt_switches:") for thread in threads}

    def cpu_seconds(self) -> float:
        """Processor time that it has used, to the nanosecond, with that of its threads that have ended.

        The sum of what ``schedstat`` says of each thread, the ended ones included. ``stat`` counts in steps of
        10 ms, which is half of what an idle daemon may use in a minute.
        """
        clock = ctypes.c_int()
        if ctypes.CDLL(None).clock_getcpuclockid(self.pid, ctypes.byref(clock)):
            raise RuntimeError("the daemon is gone")
        return time.clock_gettime(clock.value)

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(PATIENCE)

    def __enter__(self) -> Self:
        self.start().close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def environment(home: Path) -> dict[str, str]:
    """All that programs of ours are given."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(home / "run"),
        "NO_PROXY": "127.0.0.1",
    }


def _status(process: int, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
