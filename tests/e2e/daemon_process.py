"""What a daemon does with signals, crashes and other processes only a daemon in a process of its own can show.

This is the harness for it: `tokenward daemon` with a home of its own, ready when it says so, and a client of
the test's own, so that no bug of ours hides in both ends of the socket.

Rules:
- Nothing of the person who runs the tests is seen: HOME is the test's, of the environment nothing is passed on,
  PATH leads to an empty directory, and proxies to a closed port.
- No sleeping: readiness is the daemon's own READY=1, its end is the end of a pipe that only it holds.
- It ends its own process only, and never leaves it behind.
- Waits are bounded, and what the daemon logged is in the message of a wait that failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tokenward

PATIENCE = 45.0
"""Seconds for a start, an answer, an event or an end on a machine that is busy with other things: more than
the 30 s that a caller of `token.get` waits by default, so that what the daemon says at their end is seen."""
CLAUDE_PROFILE = "anthropic:claude-cli"

_CLOSED_PORT = "http://127.0.0.1:9"  # "discard", which nobody serves
_POLL_SECONDS = 0.02  # for states of the daemon that it announces to nobody
_DATAGRAM = 4096  # bytes; sd_notify(3) messages of ours are below a hundred


class DidNotStart(Exception):
    """The daemon ended before it was ready.

    Args:
        returncode: its exit status.
        log: what it wrote to standard error.
    """

    def __init__(self, returncode: int, log: str) -> None:
        super().__init__(f"exit status {returncode}: {log}")
        self.returncode = returncode
        self.log = log


class RpcError(Exception):
    """The daemon answered with an error.

    Args:
        error: the JSON-RPC error object.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']} {error.get('data')}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Mapping[str, Any] = error.get("data") or {}


class Connection:
    """One connection to a daemon, for one call after another.

    Args:
        path: the socket.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")

    def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """Call a method and wait for its result.

        Raises:
            RpcError: the daemon refused.
            EOFError: it closed the connection instead of answering.
        """
        self.send(method, params)
        answer = self.receive(PATIENCE)
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def send(self, method: str, params: Mapping[str, Any]) -> None:
        """Ask, and let the answer wait."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def receive(self, timeout: float) -> dict[str, Any]:
        """The next line, waited for so many seconds at most."""
        self._socket.settimeout(timeout)
        line = self._lines.readline()
        if not line:
            raise EOFError("the daemon closed the connection")
        received: dict[str, Any] = json.loads(line)
        return received

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


class Subscription:
    """The events of a daemon, from its making on; use it as a context manager.

    Args:
        connection: a connection of its own.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.seen: list[dict[str, Any]] = []
        connection.call("events.subscribe", {})

    def wait_for(
        self, kind: str, *, profile: str | None = None, not_generation: str | None = None
    ) -> dict[str, Any]:
        """Wait for the next event of a type.

        Args:
            kind: the event's type.
            profile: only events of this profile.
            not_generation: events of this generation do not count.

        Raises:
            TimeoutError: there was none within `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            try:
                event: dict[str, Any] = self._connection.receive(left)["params"]
            except TimeoutError:
                break
            self.seen.append(event)
            is_new = not_generation is None or event["generation"] != not_generation
            if event["type"] == kind and profile in {None, event["profile"]} and is_new:
                return event
        raise TimeoutError(f"no {kind} event; seen: {self.seen}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


class DaemonProcess:
    """A daemon in a process of its own; use it as a context manager, which starts it and ends it.

    Args:
        home: the user's home directory.
        config: the text of the configuration; None leaves what is there.
        env: further environment variables, which win.
        arguments: further words of the command line.
        wrapper: words before the command line: a program, by its path, that becomes it.
        runtime_dir: what XDG_RUNTIME_DIR names, and so where the socket lies; two daemons of one home need two.
    """

    def __init__(
        self,
        home: Path,
        *,
        config: str | None = None,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        runtime_dir: Path | None = None,
    ) -> None:
        self.home = home
        self.config_file = home / ".config" / "tokenward" / "config.toml"
        self.state = home / ".local" / "state" / "tokenward"
        self.families = self.state / "families"
        self.bin = home / "bin"
        self.bin.mkdir(exist_ok=True)
        runtime = runtime_dir or home / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.socket_file = runtime / "tokenward" / "tokenward.sock"
        self._notify_file = runtime / "notify"
        self._stdout_file = runtime / "stdout"
        self._log_file = runtime / "stderr"
        self._argv = [*wrapper, sys.executable, "-m", "tokenward", "daemon", *arguments]
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._manager: socket.socket | None = None
        self._lifeline = -1
        if config is not None:
            self.configure(config)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def log(self) -> str:
        """What it has written to standard error, over all its starts."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    @property
    def stdout(self) -> str:
        """What it has written to standard output, over all its starts."""
        return self._stdout_file.read_text(errors="replace") if self._stdout_file.exists() else ""

    def configure(self, text: str) -> None:
        """Write the configuration file; a running daemon is not told."""
        self.config_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config_file.write_text(text)
        self.config_file.chmod(0o600)

    def environment(self) -> dict[str, str]:
        """All that it is given as its environment."""
        return {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self._notify_file.parent),
            "NOTIFY_SOCKET": str(self._notify_file),
            "PYTHONPATH": str(Path(tokenward.__file__).parents[1]),
            "HTTPS_PROXY": _CLOSED_PORT,
            "HTTP_PROXY": _CLOSED_PORT,
            "NO_PROXY": "127.0.0.1",
            **self._env,
        }

    def start(self) -> None:
        """Start it and wait until it says that it is ready.

        Raises:
            DidNotStart: it ended instead.
            TimeoutError: it did neither within `PATIENCE` seconds; it is ended then.
        """
        self.close()
        self._notify_file.unlink(missing_ok=True)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(self._notify_file))
        self._lifeline, held_by_child = os.pipe()
        said_before = len(self.log)
        try:
            self._spawn(held_by_child)
            os.close(held_by_child)
            if not self.wait_until_told("READY=1"):
                raise DidNotStart(self.wait(), self.log[said_before:])
        except BaseException:
            self.close()
            raise

    def _spawn(self, lifeline: int) -> None:
        with self._stdout_file.open("ab") as stdout, self._log_file.open("ab") as stderr:
            self._process = subprocess.Popen(
                self._argv,
                env=self.environment(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[lifeline],
                start_new_session=True,
            )

    def wait_until_told(self, assignment: str) -> bool:
        """Wait until it tells its service manager something, or ends.

        Args:
            assignment: a line of sd_notify(3), as `READY=1`.

        Returns:
            Whether it did; False if it ended without.

        Raises:
            TimeoutError: it did neither within `PATIENCE` seconds.
        """
        manager = self._manager
        if manager is None:
            raise RuntimeError("the daemon was not started")
        deadline = time.monotonic() + PATIENCE
        while True:
            watched = [manager.fileno(), self._lifeline]
            ready, _, _ = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))
            if manager.fileno() in ready:  # before the end: what it said last counts
                if assignment in manager.recv(_DATAGRAM).decode().splitlines():
                    return True
            elif ready:
                return False
            else:
                raise TimeoutError(f"it did not say {assignment}; {self.log}")

    def connect(self) -> Connection:
        """A connection to it; the caller closes it."""
        return Connection(self.socket_file)

    def call(self, method: str, **params: Any) -> Any:
        """Call a method over a connection of its own and wait for the result.

        Raises:
            RpcError: the daemon refused.
        """
        with contextlib.closing(self.connect()) as connection:
            return connection.call(method, params)

    def subscribe(self) -> Subscription:
        """A subscription to its events."""
        return Subscription(self.connect())

    def wait_for(self, method: str, condition: Callable[[Any], bool], **params: Any) -> Any:
        """Call a method again and again until its result is as wanted, for what no event announces.

        Args:
            method: the method.
            condition: whether a result is as wanted.
            params: the method's params.

        Returns:
            The result that is.

        Raises:
            TimeoutError: none was within `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        with contextlib.closing(self.connect()) as connection:
            while not condition(result := connection.call(method, params)):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{method} says {result}; {self.log}")
                time.sleep(_POLL_SECONDS)
        return result

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._running().send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return its exit status, negative for a signal.

        Raises:
            TimeoutError: it did not end within `PATIENCE` seconds.
        """
        try:
            return self._running().wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the daemon does not end; {self.log}") from None

    def terminate(self) -> int:
        """Ask it to end, and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it if it still runs, and let go of what watched it."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        if self._manager is not None:
            self._manager.close()
            os.close(self._lifeline)
            self._manager = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the daemon was not started")
        return self._process


def direct(token_endpoint: str) -> str:
    """The configuration of somebody who lets us refresh Claude Code's login, at this token endpoint."""
    consent = '[sources.claude-code]\nrefresh = "direct"\n'
    return f'{consent}\n[providers.anthropic]\ntoken_endpoint = "{token_endpoint}"\n'
