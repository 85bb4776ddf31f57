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
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: NO DAEMON IS TESTED WITH CALLS THAT FAIL")
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", os.devnull, *inject, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )

    def end() -> None:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)  # upon which it detaches
            tracer.wait(PATIENCE_SECONDS)

    try:
        _wait_until_attached(tracer)
        yield end
    finally:
        end()
        if tracer.stderr is not None:
            tracer.stderr.close()


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
