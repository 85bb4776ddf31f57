"""A journal of systemd's own making, for one test: what a daemon says to it can be asked of `journalctl`.

The problem: priorities are a prefix that journald takes off again, and only if the stream said at its beginning
that lines have one. Whether they arrive, only the real journald can show, and build machines run none.

How: `systemd-journald NAME` serves a journal of its own, which neither reads the kernel's log nor touches the
machine's. In a private mount namespace its /run and /var/log are directories of the test. A program gets its
stream as from a service manager (systemd.exec(5)): connected, introduced in seven lines, and named in
`JOURNAL_STREAM`.

Rules: it needs root for the namespace, and nothing of the machine's journal is read or written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 30.0
_NAME = "ward"
_JOURNALD = next(
    (
        path
        for path in ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald")
        if Path(path).exists()
    ),
    None,
)
_TOOLS = ("unshare", "mount", "journalctl")
_FURNISH = (
    'mount --make-rprivate / && mount --bind "$1/run" /run && mount --bind "$1/log" /var/log && exec "$2" "$3"'
)
_INTO_THE_JOURNAL = r"""
import os, socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.connect(sys.argv[1])
stream.sendall(b"tokenward\n\n6\n1\n0\n0\n0\n")  # identifier, unit, priority, has prefixes, and three forwards
os.dup2(stream.fileno(), 2)
found = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
os.execv(sys.argv[2], sys.argv[2:])
"""


def why_unavailable() -> str | None:
    """Why this machine cannot run a journal of its own, or None if it can."""
    if not sys.platform.startswith("linux"):
        return "not Linux"
    if os.geteuid() != 0:
        return "not root: a mount namespace is needed"
    if _JOURNALD is None or not Path("/etc/machine-id").exists():
        return "systemd-journald is not installed"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "no mount namespace can be made"


class RealJournal:
    """A running journald with a journal of its own; use it as a context manager."""

    def __enter__(self) -> Self:
        """Start it, and wait until it listens.

        Raises:
            TimeoutError: if it does not.
        """
        self._base = Path(tempfile.mkdtemp(prefix="journal-"))
        for name in ("run", "log"):
            (self._base / name).mkdir()
        self._stream = self._base / "run" / "systemd" / f"journal.{_NAME}" / "stdout"
        command = ["unshare", "--mount", "sh", "-c", _FURNISH, "sh", str(self._base), str(_JOURNALD), _NAME]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            _wait_until(self._stream.exists, lambda: f"journald does not listen at {self._stream}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    @property
    def wrapper(self) -> Sequence[str]:
        """What stands before a command so that its standard error is this journal's."""
        return [sys.executable, "-c", _INTO_THE_JOURNAL, str(self._stream)]

    def entries(self) -> list[Mapping[str, Any]]:
        """All that the journal holds of us, oldest first, as `journalctl` tells it."""
        (directory,) = (self._base / "log" / "journal").iterdir()
        command = ["journalctl", f"--directory={directory}", "--output=json", "--no-pager"]
        asked = subprocess.run([*command, "SYSLOG_IDENTIFIER=tokenward"], capture_output=True, check=True)
        return [json.loads(line) for line in asked.stdout.splitlines()]

    def wait_for(self, message: str) -> Mapping[str, Any]:
        """The first entry that has these words.

        Raises:
            TimeoutError: if none comes.
        """
        found: list[Mapping[str, Any]] = []

        def is_there() -> bool:
            found[:] = [each for each in self.entries() if message in each["MESSAGE"]]
            return bool(found)

        _wait_until(is_there, lambda: f"no entry has {message!r}: {[each['MESSAGE'] for each in self.entries()]}")
        return found[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        shutil.rmtree(self._base)


def _wait_until(condition: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(why())
        time.sleep(0.02)
