"""A command on a terminal of its own: what it shows, and what a person types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from e2e.daemon_process import PATIENCE, DaemonProcess

_ON_A_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)  # the first that a session leader opens is its controlling terminal
for number in (0, 1, 2):
    os.dup2(terminal, number)
os.execv(sys.executable, [sys.executable, "-m", "tokenward", *sys.argv[2:]])
"""


class Terminal:
    """One command on a terminal; a context manager that ends it.

    Args:
        daemon: whose environment and home it has; it need not run.
        words: the command line after ``tokenward``.
        env: further environment variables.
    """

    def __init__(self, daemon: DaemonProcess, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.shown = ""
        self._seen = 0
        environment = {name: value for name, value in daemon.environment().items() if name != "NOTIFY_SOCKET"}
        self._ours, theirs = pty.openpty()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ON_A_TERMINAL, os.ttyname(theirs), *words],
                env={**environment, "TERM": "dumb", **(env or {})},
                cwd=daemon.home,
                start_new_session=True,
            )
            self._read(time.monotonic() + PATIENCE)  # a terminal that nobody has open yet reads as ended
        finally:
            os.close(theirs)

    def wait_for(self, text: str) -> None:
        """Until it shows this, after what was waited for before.

        Raises:
            AssertionError: if it ended, or took too long, without.
        """
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown[self._seen :]:
            if not self._read(deadline):
                raise AssertionError(f"not shown: {text!r} in {self.shown!r}")
        self._seen = self.shown.index(text, self._seen) + len(text)

    def enter(self, line: str) -> None:
        """A line, and Enter."""
        os.write(self._ours, line.encode() + b"\n")

    def end(self) -> int:
        """Take what it still shows, and wait for its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            read = os.read(self._ours, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.shown += read.decode(errors="replace")
        return bool(read)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)
