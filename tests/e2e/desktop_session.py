"""A D-Bus session with Debian's gnome-keyring, for one command: the system keyring as a desktop has it.

Rules: home and runtime directory are the test's own, nothing reaches the session of the person who runs the tests,
and the keyring's daemon ends with the session's bus.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon", "secret-tool")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
"""What a machine lacks for a keyring of its own."""
PASSWORD = b"the keyring's password"
_SEARCHED = "/usr/local/bin:/usr/bin:/bin"


class DesktopSession:
    """A bus and, on it, a keyring; use it as a context manager.

    Args:
        home: the user's home directory, which keeps the keyring between sessions.
        unlocked: whether the person has logged in, so that the keyring is open.
    """

    def __init__(self, home: Path, *, unlocked: bool) -> None:
        self._home = home
        self._unlocked = unlocked
        self._runtime = home / "session"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._runtime.mkdir(mode=0o700, exist_ok=True)
        bus = self._start(["dbus-daemon", "--session", "--nofork", "--print-address=1"], self._base())
        assert bus.stdout is not None
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": bus.stdout.readline().decode().strip()}
        if self._unlocked:
            self.unlock()
        return self

    def unlock(self) -> None:
        """The person logs in: the keyring's daemon gets the password, and says when it listens."""
        environment = {**self._base(), **self.environment}
        command = ["gnome-keyring-daemon", "--unlock", "--replace", "--foreground", "--components=secrets"]
        daemon = self._start(command, environment, stdin=PASSWORD)
        assert daemon.stdout is not None
        daemon.stdout.readline()  # its control directory: it has its name on the bus then

    def secret_tool(self, *words: str) -> str:
        """Ask the keyring by another program than ours."""
        environment = {**self._base(), **self.environment}
        ran = subprocess.run(
            ["secret-tool", *words], env=environment, check=False, capture_output=True, text=True, timeout=30
        )
        return ran.stdout + ran.stderr

    def _base(self) -> dict[str, str]:
        return {
            "HOME": str(self._home), "XDG_RUNTIME_DIR": str(self._runtime), "PATH": _SEARCHED, "LANG": "C.UTF-8"
        }  # fmt: skip

    def _start(
        self, command: Sequence[str], environment: dict[str, str], stdin: bytes | None = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes.append(process)
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        return process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # a group of its own: what the bus activated is in it
            process.wait(30)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
