"""Is the daemon there, and can nobody else reach it?"""

from __future__ import annotations

import os
import socket
import stat
import sys

from tokenward.checks.finding import CheckContext, Finding

NAME = "socket"
LONGEST_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103
"""``sun_path`` holds 108 bytes on Linux and 104 on macOS, the closing zero among them."""
CONNECT_SECONDS = 2.0
"""A kernel accepts for a living daemon at once."""


def check(context: CheckContext) -> list[Finding]:
    """The socket's path, its privacy, and whether anything answers."""
    path = context.socket
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        hint = "set TOKENWARD_SOCKET to a shorter path"
        return [Finding(NAME, "fail", f"{path} is longer than a socket's path may be", hint)]
    try:
        status = path.lstat()
        directory = path.parent.stat()
    except FileNotFoundError:
        return [Finding(NAME, "warn", f"no daemon: there is no {path}", "start it: tokenward daemon")]
    except OSError as error:
        return [Finding(NAME, "fail", f"{path} cannot be looked at: {error.strerror}", "check its directory")]
    if not stat.S_ISSOCK(status.st_mode):
        return [Finding(NAME, "fail", f"{path} is not a socket", "move it away and start the daemon")]
    findings = []
    if directory.st_uid != context.uid or directory.st_mode & 0o077:
        hint = f"run: chmod 700 {path.parent}"
        findings.append(Finding(NAME, "fail", f"others may enter {path.parent}", hint))
    if status.st_mode & 0o077:
        findings.append(Finding(NAME, "fail", f"others may connect to {path}", f"run: chmod 600 {path}"))
    return [*findings, _answering(path)]


def _answering(path: os.PathLike[str]) -> Finding:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(os.fspath(path))
        except ConnectionRefusedError:
            hint = "start it: tokenward daemon; it replaces a dead socket"
            return Finding(NAME, "fail", f"no daemon: {path} was left by one that ended", hint)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return Finding(NAME, "fail", f"{path} does not answer: {reason}", "restart the daemon")
    return Finding(NAME, "ok", f"a daemon listens on {path}")
