"""``tokenward-helper --spawn``: a daemon is started where none answers.

The problem: Claude Code runs the helper with a session's environment, directory and pipes. A daemon that
inherited them would keep the session's keys for good, hold a project's directory, and keep Claude Code waiting
for the end of a pipe. So it gets none of the three.

Rules:
- Loaded by ``helper`` from beside it, and only where no daemon answers; standard library only.
- Helpers that come together may each start one: the daemon's own lock lets one of them live, and all are answered
  by that one.
"""

import sys
from collections.abc import Callable
from os import O_RDWR, WNOHANG, _exit, chdir, dup2, environb, execve, fork, open, setsid, waitpid  # noqa: A004
from socket import socket
from time import monotonic, sleep
from typing import NoReturn

RIVAL_SECONDS = 2
"""Seconds in which the daemon that another helper spawned, and whose lock ended ours, has its socket ready."""
PASSED_ON = frozenset(
    b"HOME PATH LANG USER LOGNAME TMPDIR DBUS_SESSION_BUS_ADDRESS CLAUDE_CONFIG_DIR ANTHROPIC_CONFIG_DIR "
    b"CLAUDE_SECURESTORAGE_CONFIG_DIR SSL_CERT_FILE SSL_CERT_DIR "
    b"HTTPS_PROXY HTTP_PROXY NO_PROXY https_proxy http_proxy no_proxy".split()
)
"""What the daemon is given, with ``XDG_*``, ``LC_*`` and ``TOKENWARD_*``: nothing that belongs to the session."""
_PREFIXES = (b"XDG_", b"LC_", b"TOKENWARD_")
_POLL_SECONDS = 0.02
_NOT_EXECUTED = 127
"""As a shell says it of a program that could not be run."""


def connected(connect: Callable[[], socket], deadline: float) -> socket | str:
    """Start a daemon, and connect as soon as one answers.

    Args:
        connect: makes a connection, or raises OSError.
        deadline: until when, by ``time.monotonic``.

    Returns:
        The connection, or why there is none.
    """
    daemon, has_ended = _spawned(), False
    while monotonic() < deadline:
        try:
            return connect()
        except OSError:
            sleep(_POLL_SECONDS)
        if not has_ended and waitpid(daemon, WNOHANG)[0]:
            has_ended, deadline = True, min(deadline, monotonic() + RIVAL_SECONDS)
    return (
        "the tokenward daemon that was started ended again" if has_ended else "the tokenward daemon starts slowly"
    )


def _spawned() -> int:
    """The process id of a daemon that was just started."""
    child = fork()
    if child == 0:
        _become_daemon()
    return child


def _become_daemon() -> NoReturn:
    variables = {
        name: value for name, value in environb.items() if name in PASSED_ON or name.startswith(_PREFIXES)
    }
    try:
        setsid()
        chdir("/")
        nothing = open("/dev/null", O_RDWR)
        for descriptor in (0, 1, 2):
            dup2(nothing, descriptor)
        execve(sys.executable, [sys.executable, "-I", "-m", "tokenward", "daemon"], variables)  # noqa: S606 - no shell is the point
    finally:
        _exit(_NOT_EXECUTED)
