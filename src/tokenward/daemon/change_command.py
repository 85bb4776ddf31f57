"""What is run when a published file has changed, to reload who reads it, and when a person is to be told.

The problem: such a command is anybody's script; it hangs, it forks, and it must learn nothing that it could leak.

Rules:
- An argument list without a shell, in a clean environment that says what happened and never holds a token, without
  standard input, in a session of its own that is killed whole when its time is over, also at our own stop.
- Its output is not read: nobody knows what stands in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

import anyio

LONGEST_SECONDS = 30.0
"""After which it is killed."""


async def run_change_command(
    argv: Sequence[str], environ: Mapping[str, str], *, patience: float = LONGEST_SECONDS
) -> str | None:
    """Run a command to its end.

    Args:
        argv: the command and its arguments.
        environ: its whole environment.
        patience: seconds after which it is killed.

    Returns:
        Why it failed, in one line; None if it did not.
    """
    try:
        process = await anyio.open_process(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            cwd=os.sep,
            start_new_session=True,
        )
    except OSError as error:
        return f"it cannot be run: {error.strerror or type(error).__name__}"
    status: int | None = None
    try:
        with anyio.move_on_after(patience):
            status = await process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it left running in its session
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()
    if status is None:
        return f"it had not ended after {patience:g} s"
    return f"it ended with status {status}" if status else None
