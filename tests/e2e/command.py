"""`tokenward …` as a process beside a daemon of the test: what it prints, line by line, and how it ends.

Rule: it has the daemon's own environment and home, and no terminal unless a test gives it one.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from e2e.daemon_process import PATIENCE, DaemonProcess


class Command:
    """One command under way; a context manager that ends it.

    Args:
        daemon: whose environment and home it has; it need not run.
        words: the command line after ``tokenward``.
        env: further environment variables.
    """

    def __init__(self, daemon: DaemonProcess, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.status: int | None = None
        self.said = ""
        self._unread = b""
        environment = {name: value for name, value in daemon.environment().items() if name != "NOTIFY_SOCKET"}
        self._errors = (daemon.home / "command-stderr").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tokenward", *words],
            env={**environment, **(env or {})},
            cwd=daemon.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def line(self, containing: str) -> str:
        """The next line of standard output with this in it.

        Raises:
            AssertionError: if it ended, or took too long, without.
        """
        deadline = time.monotonic() + PATIENCE
        while (line := self._next_line(deadline)) is not None:
            self.lines.append(line)
            if containing in line:
                return line
        raise AssertionError(f"no line with {containing!r}: {self.lines}; {self.errors}")

    def _next_line(self, deadline: float) -> str | None:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                return None
            read = os.read(self._process.stdout.fileno(), 65536)
            if not read:
                return None
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def enter(self, line: str) -> None:
        """A line on its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> int:
        """Close its standard input, take what it still prints, and wait for its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        deadline = time.monotonic() + PATIENCE
        while (line := self._next_line(deadline)) is not None:
            self.lines.append(line)
        return self._process.wait(PATIENCE)

    def wait(self) -> int:
        """Wait for its exit status, with standard input left open."""
        return self._process.wait(PATIENCE)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        self._errors.flush()
        self._errors.seek(0)
        return self._errors.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        self._process.wait()
        self._errors.close()


def finished(daemon: DaemonProcess, *words: str, env: Mapping[str, str] | None = None, typed: str = "") -> Command:
    """A command that was run to its end with this on its standard input; ``status`` is its exit status."""
    with Command(daemon, *words, env=env) as command:
        if typed:
            command.enter(typed)
        command.status = command.end()
        command.said = command.errors
    return command
