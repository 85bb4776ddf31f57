"""Is the daemon there, and can nobody else reach it?"""

from __future__ import annotations

import os
import socket
import stat
import sys

from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "socket"
LONGEST_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103
"""``sun_path`` holds 108 bytes on Linux and 104 on macOS, the closing zero among them."""
_START = "run: tokenward service install --now (or, in a terminal: tokenward daemon)"
_NOBODY = "programs get no token, and nothing is refreshed"
_OTHERS = "whoever reaches the socket is told apart by the kernel alone"
CONNECT_SECONDS = 2.0
"""A kernel accepts for a living daemon at once."""


def check(context: CheckContext) -> list[Finding]:
    """The socket's path, its privacy, and whether anything answers."""
    path = context.socket
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        hint = to_run("export", f"TOKENWARD_SOCKET=/tmp/tokenward-{context.uid}/tokenward.sock")
        cause = f"{path} is longer than a socket's path may be"
        return [Finding(NAME, "fail", cause, hint, "no daemon can listen there")]
    try:
        status = path.lstat()
        directory = path.parent.stat()
    except FileNotFoundError:
        return [Finding(NAME, "warn", f"no daemon: there is no {path}", _START, _NOBODY)]
    except OSError as error:
        cause = f"{path} cannot be looked at: {error.strerror}"
        return [Finding(NAME, "fail", cause, to_run("ls", "-ld", path.parent), _NOBODY)]
    if not stat.S_ISSOCK(status.st_mode):
        return [Finding(NAME, "fail", f"{path} is not a socket", to_run("mv", path, f"{path}.old"), _NOBODY)]
    findings = []
    if directory.st_uid != context.uid or directory.st_mode & 0o077:
        hint = to_run("chmod", "700", path.parent)
        findings.append(Finding(NAME, "fail", f"others may enter {path.parent}", hint, _OTHERS))
    if status.st_mode & 0o077:
        hint = to_run("chmod", "600", path)
        findings.append(Finding(NAME, "fail", f"others may connect to {path}", hint, _OTHERS))
    return [*findings, _answering(path)]


def _answering(path: os.PathLike[str]) -> Finding:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(os.fspath(path))
        except ConnectionRefusedError:
            return Finding(NAME, "fail", f"no daemon: {path} was left by one that ended", _START, _NOBODY)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return Finding(NAME, "fail", f"{path} does not answer: {reason}", _START, _NOBODY)
    return Finding(NAME, "ok", f"a daemon listens on {path}")
