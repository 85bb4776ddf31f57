"""Where identity tokens come from: a file, a command, or the environment (``ports.IdentitySource``).

The problem: an identity token lives for minutes and is replaced by somebody else, at a moment nobody announces.
So it is fetched anew for each mint, and what the fetching meets (no file, half a file, a command that hangs or
prints a page of text) is a reason in words and never an exception.

Rules:
- Nothing is decoded: what is taken is judged by its size and its characters only.
- A command is an argument list; it gets no standard input, a clean environment and a bounded time, and is ended
  with everything it started when that time is over. Its standard error is not read: it could show the token.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import Process

from tokenward.core.credential import Secret
from tokenward.core.federation import LARGEST_IDENTITY_BYTES, NoIdentity, identity_in
from tokenward.disk.regular_file import read_regular, signature_of


class IdentityFile:
    """A file that holds the identity token, as Kubernetes projects one.

    Args:
        path: the file; symbolic links are followed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.description = str(path)

    def signature(self) -> Hashable | None:
        """One stat; None where nothing is, the error's number where it cannot be looked at."""
        try:
            return signature_of(self._path)
        except OSError as error:
            return error.errno

    async def token(self) -> Secret | NoIdentity:
        """Read it; see ``ports.IdentitySource``."""
        return await to_thread.run_sync(self._read)

    def _read(self) -> Secret | NoIdentity:
        try:
            found = identity_in(read_regular(self._path, LARGEST_IDENTITY_BYTES).data)
        except OSError as error:
            return NoIdentity(f"the identity token in {self._path}: {error.strerror or 'cannot be read'}")
        if isinstance(found, NoIdentity):
            return NoIdentity(f"the identity token in {self._path}: {found.reason}")
        return found


class IdentityCommand:
    """A command that prints the identity token.

    Args:
        argv: the command and its arguments.
        environ: its whole environment; its PATH finds the command.
        timeout: seconds it may take.
    """

    def __init__(self, argv: Sequence[str], *, environ: Mapping[str, str], timeout: float) -> None:
        self._argv = list(argv)
        self._environ = dict(environ)
        self._timeout = timeout
        self.description = f"the command {argv[0]}"

    def signature(self) -> Hashable | None:
        """None: what it prints next cannot be seen from outside."""
        return None

    async def token(self) -> Secret | NoIdentity:
        """Run it and take what it prints; see ``ports.IdentitySource``."""
        try:
            process = await anyio.open_process(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                cwd=os.sep,
                start_new_session=True,
            )
        except OSError as error:
            return self._none(error.strerror or "cannot be run")
        status = None
        try:
            with anyio.move_on_after(self._timeout):
                printed = await _printed(process)
                status = await process.wait()
        finally:
            await _end(process, killed=status is None)
        if status is None:
            return self._none(f"has not ended after {self._timeout:g} s")
        found = identity_in(printed)
        if isinstance(found, NoIdentity) and len(printed) > LARGEST_IDENTITY_BYTES:
            return self._none(f"was ended, what it prints is no identity token: {found.reason}")
        if status != 0:
            return self._none(f"ended with exit status {status}")
        return self._none(f"printed no identity token: {found.reason}") if isinstance(found, NoIdentity) else found

    def _none(self, reason: str) -> NoIdentity:
        return NoIdentity(f"{self.description} {reason}")


async def _printed(process: Process) -> bytes:
    """What it prints, whole or one byte beyond the limit."""
    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
    printed = b""
    with contextlib.suppress(anyio.EndOfStream):
        while len(printed) <= LARGEST_IDENTITY_BYTES:
            printed += await process.stdout.receive()
    if len(printed) > LARGEST_IDENTITY_BYTES:
        _kill(process)  # else it would wait for somebody to read on
    return printed


async def _end(process: Process, *, killed: bool) -> None:
    """Let go of it; one that has not ended is ended, with what it started."""
    with anyio.CancelScope(shield=True):
        if killed:
            _kill(process)
        await process.aclose()


def _kill(process: Process) -> None:
    """End it, and what it started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class GivenIdentity:
    """An identity token that stands in the environment and stays as it is.

    Args:
        identity: the identity token.
        description: where it stands, for people.
    """

    def __init__(self, identity: Secret, *, description: str) -> None:
        self._identity = identity
        self.description = description

    def signature(self) -> Hashable | None:
        """Always the same."""
        return None

    async def token(self) -> Secret | NoIdentity:
        """What stands there; see ``ports.IdentitySource``."""
        found = identity_in(self._identity.reveal().encode("utf-8", "replace"))
        return NoIdentity(f"{self.description}: {found.reason}") if isinstance(found, NoIdentity) else found
