"""The machine we run on: its clocks, its randomness, its processes.

The problem: everything else takes these as arguments so that it can be tested; here is where they are real.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import anyio
from anyio.abc import Process, TaskGroup

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clocks (``ports.Clock``)."""

    def wall(self) -> datetime:
        """The wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that stop in suspend."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds that run on in suspend; macOS's monotonic clock does so by another name."""
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class SystemEntropy:
    """The operating system's randomness (``ports.Entropy``)."""

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return secrets.randbelow(2**53) / 2**53

    def token(self, size: int) -> bytes:
        """Bytes fit for keys and nonces."""
        return secrets.token_bytes(size)


class SystemProcesses:
    """Other programs (``ports.Processes``).

    A program that outlives our patience runs on; its end is awaited in the daemon's task group, in a shielded
    scope, so that a stop of the daemon waits for it too.

    Args:
        group: the daemon's task group.
    """

    def __init__(self, group: TaskGroup) -> None:
        self._group = group

    async def run(
        self, argv: Sequence[str], *, environ: dict[str, str], patience: float, on_exit: Callable[[], None]
    ) -> int | None:
        """Run a program to its end; see ``ports.Processes``."""
        process = await anyio.open_process(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
            cwd=os.sep,
            start_new_session=True,
        )
        ended = anyio.Event()
        self._group.start_soon(self._await_end, process, ended, on_exit)
        with anyio.move_on_after(patience):
            await ended.wait()
        return process.returncode

    async def _await_end(self, process: Process, ended: anyio.Event, on_exit: Callable[[], None]) -> None:
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()
        on_exit()
        ended.set()
