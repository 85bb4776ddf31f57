"""The socket before anybody is served: where it comes from, and who may have it.

The problem: binding a Unix socket the usual way (unlink, bind, chmod) steals the path of a daemon that is
alive, leaves a moment in which the socket is open to others, and leaves the file behind at the end.

Rules:
- The directory is private before the socket exists, and the socket is 0600 from its first moment.
- A path that answers a connect is never touched. Only a dead *socket* is replaced; any other file is refused.
- We unlink at the end what we bound (same device and inode), never what was handed to us.
- The caller holds the daemon lock: two daemons never look at one path at the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenward.core import protocol
from tokenward.disk.private_dir import ensure_private_dir
from tokenward.errors import AlreadyServed, ConfigurationFault

MAX_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""``sun_path`` (unix(7)) less its closing NUL."""
BACKLOG = 1024
"""Connects waiting to be accepted: as many as we would serve; the kernel may cap it lower."""
PROBE_SECONDS = 1.0
"""How long another daemon may take to say who it is; it is refused its path either way."""
WANTED_DESCRIPTORS = 4 * protocol.MAX_CONNECTIONS
"""Every connection needs one; the rest is for files, locks, watches and HTTP."""
_NOBODY_ELSE = 0o177
"""The umask that makes a socket 0600."""
OWNER_ONLY = 0o600
ANYBODY = 0o666
"""For a socket with callers of other uids: the kernel says who they are, and the mode cannot name them."""


class BoundSocket(socket.socket):
    """A listening socket that we bound ourselves, and whose file goes when it closes.

    Args:
        path: where to bind it.
        mode: who may connect, set before anybody can; None = 0600 from its first moment. With a mode the umask,
            which is the whole process's, stays as it is, so that other threads may run.
    """

    __slots__ = ("_identity", "_path")

    def __init__(self, path: Path, *, mode: int | None = None) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = path
        self._identity: tuple[int, int] | None = None
        try:
            if mode is None:
                with _umask(_NOBODY_ELSE):
                    self.bind(os.fspath(path))
            else:
                self.bind(os.fspath(path))
                path.chmod(mode)
            found = path.lstat()
            self._identity = (found.st_dev, found.st_ino)
            self.listen(BACKLOG)
            self.setblocking(False)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unlink the file if it is still the one we bound, then close."""
        identity, self._identity = self._identity, None
        if identity is not None:
            with contextlib.suppress(OSError):
                found = self._path.lstat()
                if (found.st_dev, found.st_ino) == identity:
                    self._path.unlink()
        super().close()


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def bind_socket(path: str) -> socket.socket:
    """Bind and listen, with the directory made private first and a dead predecessor's socket replaced.

    Blocks up to ``PROBE_SECONDS`` if somebody else has the path. Closing the socket unlinks its file.

    Args:
        path: absolute; the caller holds the daemon lock.

    Raises:
        ConfigurationFault: if the path is too long, or something else than a socket has it.
        AlreadyServed: if the path answers a connect.
        OSError: if the directory or the socket cannot be made.
    """
    _refuse_too_long(path, hint="set TOKENWARD_SOCKET to a shorter path in a directory of your own")
    place = Path(path)
    ensure_private_dir(place.parent)
    _make_way(place, hint="move it away, or set TOKENWARD_SOCKET")
    return BoundSocket(place)


def bind_second_socket(path: str, *, mode: int) -> socket.socket:
    """Bind and listen beside the daemon's own socket, in a directory that a person made for it.

    The directory is neither made nor changed: others must get into it, and only its maker knows who.

    Args:
        path: absolute; the caller holds the daemon lock.
        mode: ``OWNER_ONLY`` or ``ANYBODY``.

    Raises:
        ConfigurationFault: if the path is too long, something else than a socket has it, or others could put
            a socket of their own in its place.
        AlreadyServed: if the path answers a connect.
        OSError: if the directory is missing, or the socket cannot be made.
    """
    _refuse_too_long(path, hint="choose a shorter path under [[sockets]]")
    place = Path(path)
    directory = place.parent.stat()
    if directory.st_uid not in {os.geteuid(), 0} or directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationFault(
            f"others may write {place.parent}, and could put a socket of theirs in the place of {place.name}",
            hint=f"make the directory yours: chmod go-w {place.parent}",
        )
    _make_way(place, hint="move it away, or choose another path under [[sockets]]")
    return BoundSocket(place, mode=mode)


def _refuse_too_long(path: str, *, hint: str) -> None:
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise ConfigurationFault(
            f"the socket's path has {length} bytes, the system takes {MAX_PATH_BYTES}", hint=hint
        )


def _make_way(path: Path, *, hint: str) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationFault(f"{path} exists and is not a socket", hint=hint)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except FileNotFoundError:
            return
        except (BlockingIOError, TimeoutError):
            who = "somebody who is too busy to answer"  # a full backlog is a sign of life
        else:
            who = _who_answers(probe)
    raise AlreadyServed(
        f"{path} is served by {who}", hint="stop it first, or set TOKENWARD_SOCKET to another path"
    )


def _who_answers(connected: socket.socket) -> str:
    hello = {"jsonrpc": protocol.JSONRPC, "id": 1, "method": "daemon.hello"}
    received = b""
    try:
        connected.sendall(json.dumps(hello).encode() + b"\n")
        while b"\n" not in received and len(received) < protocol.MAX_LINE_BYTES:
            more = connected.recv(4096)
            if not more:
                break
            received += more
        result = json.loads(received)["result"]
        return f"tokenward {str(result['version'])[:32]!r}, process {int(result['pid'])}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "a program that does not say who it is"


def raise_nofile_limit() -> int:
    """Raise the soft limit of open files as far as we need it and may; never fails.

    Returns:
        The soft limit in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft  # Darwin refuses more than kern.maxfilesperproc; fewer connections is not a reason to stop
    return wanted
