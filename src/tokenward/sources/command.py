"""A command that prints a credential: a password manager, a cloud's CLI, a company's own script.

The problem: such a command is slow, hangs when its vault is locked, prints a prompt or a page of help instead of
a token, and its token ends without anybody saying when to ask again.

Rules:
- An argument list without a shell, unless a shell was asked for; in a clean environment, without standard input,
  in a session of its own that is killed whole when its time is over.
- It runs when first looked at, again before what it printed ends, and again when a caller was refused with it.
  What failed, or printed the refused token again, is run again after 5 s, doubling to 5 min.
- What it prints is a token or the JSON of a login, and nothing else. A refresh token in it is left out: the
  command is how this credential is renewed.
- A failure is no news: what it printed before is served to its end.
- Its standard error is not read: nobody knows what stands in it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Found, Reading, Unreadable
from tokenward.core.written_token import Written, ends_after, read, without_refresh
from tokenward.ports import Clock
from tokenward.sources.fixed import ReadOnlyPlace

NAME = "command"
LARGEST_OUTPUT = 64 * 1024
"""A token or a login is a few KiB; more is a page of something else."""
RENEW_BEFORE_SECONDS = 90.0
RENEW_LIFE_FRACTION = 0.2
"""Seconds before the end at which it runs again, and the largest part of the life that this may be."""
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 300.0
SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run.

    Args:
        argv: the command and its arguments.
        environ: its whole environment.
        timeout: seconds after which it is killed.
        lifetime: seconds that its token lives where it does not say so; None = until a caller is refused.
    """

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    timeout: float
    lifetime: float | None = None


def argv_of(words: Sequence[str], *, through_shell: bool) -> tuple[str, ...]:
    """What is run; through a shell the first word is a line for ``/bin/sh``, and the others its arguments."""
    return (SHELL, "-c", words[0], SHELL, *words[1:]) if through_shell else tuple(words)


class CommandFailed(Exception):
    """The command printed nothing that counts; its text is one line for people.

    Args:
        why: the text.
        status: its exit status, where it ended by itself with one that says failure.
    """

    def __init__(self, why: str, *, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


class CommandPlace(ReadOnlyPlace):
    """What a command prints (``ports.RenewingPlace``).

    Args:
        command: what is run.
        written: what its output is for.
        description: where it is configured, for people.
        clock: the machine's clocks.
    """

    def __init__(self, command: Command, written: Written, *, description: str, clock: Clock) -> None:
        super().__init__(name=NAME, description=description)
        self._command = command
        self._written = written
        self._clock = clock
        self._lock = threading.Lock()
        self._runs = 0
        self._failures = 0
        self._last: Reading = Absent()
        self._next: tuple[datetime, float] | None = None
        self._waits = False
        self._refused: str | None = None

    def signature(self) -> Hashable | None:
        """The last run, and whether it is time for another."""
        return self._runs, self._is_due()

    def read(self) -> Reading:
        """What the last run printed, run again if it is time; blocks as long as the command runs."""
        with self._lock:
            if self._is_due():
                self._last = self._run()
                self._runs += 1
            return self._last

    def reject(self, generation: str) -> None:
        """A caller was refused with this value: run again at the next look, if that was what it printed."""
        if generation != self._refused:
            self._refused = generation
            self._waits = False

    def _is_due(self) -> bool:
        if self._runs == 0:
            return True
        if not self._waits:
            return isinstance(self._last, Found) and self._last.credential.generation == self._refused
        if self._next is None:
            return False
        at, boot = self._next
        return self._clock.wall() >= at or self._clock.boottime() >= boot

    def _run(self) -> Reading:
        try:
            text = output_of(self._command)
        except CommandFailed as failure:
            return self._failed(str(failure))
        now = self._clock.wall()
        reading = read(text, self._written, now=now)
        match reading:
            case Found(credential):
                return self._printed(self._ending(without_refresh(credential, self._written), now), now)
            case Unreadable(reason):
                return self._failed(f"what it printed cannot be used: {reason}")
            case _:
                return self._failed("it printed nothing")

    def _ending(self, credential: Credential, now: datetime) -> Credential:
        if credential.expires_at is not None or self._command.lifetime is None:
            return credential
        return ends_after(credential, self._command.lifetime, now)

    def _printed(self, credential: Credential, now: datetime) -> Reading:
        if credential.generation == self._refused:
            return self._failed("it printed the token that was refused")
        if credential.expires_at is not None and credential.expires_at <= now:
            return self._failed("it printed a token that has ended")
        self._failures, self._refused = 0, None
        self._next, self._waits = None, True
        if credential.expires_at is not None:
            life = (credential.expires_at - now).total_seconds()
            margin = min(RENEW_BEFORE_SECONDS, RENEW_LIFE_FRACTION * life)
            self._wait(max(life - margin, FIRST_RETRY_SECONDS), now)
        return Found(credential)

    def _failed(self, reason: str) -> Unreadable:
        delay = min(FIRST_RETRY_SECONDS * 2.0 ** min(self._failures, 16), LONGEST_RETRY_SECONDS)
        self._failures += 1
        self._wait(delay, self._clock.wall())
        return Unreadable(f"{self.description}: {reason}; it runs again in {delay:.0f} s")

    def _wait(self, seconds: float, now: datetime) -> None:
        self._next = (now + timedelta(seconds=seconds), self._clock.boottime() + seconds)
        self._waits = True


def output_of(command: Command) -> str:
    """Run a command to its end, and read what it prints; blocks.

    Raises:
        CommandFailed: if it cannot be run, fails, takes too long, or prints too much or no text.
    """
    try:
        process = subprocess.Popen(
            list(command.argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(command.environ),
            cwd=os.sep,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"it cannot be run: {error.strerror or error}") from None
    deadline = time.monotonic() + command.timeout
    try:
        printed = _read_all(process, deadline)
        status = process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise CommandFailed(f"it had not ended after {command.timeout:g} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it left running in its session
        process.wait()
        assert process.stdout is not None  # noqa: S101 - it was asked for
        process.stdout.close()
    if status != 0:
        raise CommandFailed(f"it ended with status {status}; run it by hand to see why", status=status)
    try:
        return printed.decode()
    except UnicodeDecodeError:
        raise CommandFailed("it printed something that is no text") from None


def _read_all(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Everything up to the end of its output.

    Raises:
        TimeoutError: if the deadline came first.
        CommandFailed: if it printed more than a credential.
    """
    assert process.stdout is not None  # noqa: S101 - as above
    descriptor = process.stdout.fileno()
    printed = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            part = os.read(descriptor, LARGEST_OUTPUT)
            if not part:
                return bytes(printed)
            printed += part
            if len(printed) > LARGEST_OUTPUT:
                raise CommandFailed(f"it printed more than {LARGEST_OUTPUT} bytes")
