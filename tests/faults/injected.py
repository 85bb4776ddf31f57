"""System calls of a running daemon that fail on demand, and end to fail when the test says so.

The problem: a disk that answers EIO or EACCES cannot be had, and a fault that was there from the start is not the
one that matters: the one after the request went out is. So strace is attached to the daemon when it waits for its
answer, and detached when the fault is to end.

Rules: needs ptrace, and a daemon that is started `--debuggable`. It ends its own strace only.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_SECONDS = 20.0


@contextmanager
def failing(pid: int, calls: str, error: str) -> Iterator[Callable[[], None]]:
    """Have system calls of a process fail, in all its threads.

    Args:
        pid: the process.
        calls: strace's name for the calls, as `fsync` or `/^rename`.
        error: what they fail with, as `EIO`.

    Yields:
        What ends the fault; it ends at the latest with the context.
    """
    with _injecting(pid, calls, f"error={error}") as tracer:
        yield lambda: _detach(tracer)


@contextmanager
def deadly(pid: int, calls: str, *, at: Path | None = None) -> Iterator[None]:
    """Have a process killed on entering the next of some system calls, in whichever of its threads it is made.

    Args:
        pid: the process; at the end of the context it is dead.
        calls: strace's name for the calls.
        at: only calls that concern this path, by name or by descriptor; None = any.
    """
    with _injecting(pid, calls, "signal=KILL", *(() if at is None else ("-P", str(at)))) as tracer:
        yield
        tracer.wait(PATIENCE_SECONDS)  # asked to detach from threads that are dying, it would wait for ever


@contextmanager
def _injecting(pid: int, calls: str, what: str, *watched: str) -> Iterator[subprocess.Popen[str]]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: NO DAEMON IS TESTED WITH CALLS THAT FAIL")
    inject = [*watched, "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", os.devnull, *inject, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    try:
        _wait_until_attached(tracer)
        yield tracer
    finally:
        _detach(tracer)
        if tracer.stderr is not None:
            tracer.stderr.close()


def _detach(tracer: subprocess.Popen[str]) -> None:
    if tracer.poll() is None:
        tracer.send_signal(signal.SIGINT)  # upon which it detaches
        tracer.wait(PATIENCE_SECONDS)


def _wait_until_attached(tracer: subprocess.Popen[str]) -> None:
    assert tracer.stderr is not None
    said = ""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "attached" not in said:
        ready, _, _ = select.select([tracer.stderr], [], [], max(0.0, deadline - time.monotonic()))
        line = tracer.stderr.readline() if ready else ""
        if not line:
            if "not permitted" in said:
                pytest.skip("tracing is not permitted: NO DAEMON IS TESTED WITH CALLS THAT FAIL")
            raise TimeoutError(f"strace did not attach: {said}")
        said += line
