"""One connection to the daemon: lines out, lines in, each within a deadline.

The problem: a request that failed may be asked again only if nothing of it can have been done, and a bare
socket does not say so. So the failures of a connection are two: ``NotSent``, after which asking again is always
safe, and ``Unanswered``, after which it is safe only for questions that change nothing.

Rules: deadlines are on the monotonic clock, in seconds; None waits for ever. No line is logged.
"""

from __future__ import annotations

import socket
import struct
import time
import weakref

from tokenward.core import protocol
from tokenward.errors import DaemonUnreachable

START_HINT = "start one: tokenward daemon, or for good: tokenward service install --now"
_CHUNK = 65_536


class NotSent(Exception):
    """The peer was gone before the whole request was written, so that it cannot have been read."""


class Unanswered(Exception):
    """The request was written, and the connection ended before an answer came."""


class Connection:
    """A connected socket and what was read from it too far.

    Args:
        path: the daemon's socket.
        deadline: until when it must be connected.

    Raises:
        DaemonUnreachable: if nothing accepts connections there.
    """

    def __init__(self, path: str, deadline: float | None) -> None:
        self._unread = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A blocking connect() with a send timeout waits for room in the listener's queue; with a Python
            # timeout it would fail at once when many clients come together.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(_remaining(deadline)))
            self._socket.connect(path)
        except (OSError, ValueError) as error:
            self._socket.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise DaemonUnreachable(f"no daemon answers on {path} ({reason})", hint=START_HINT) from None
        # Programs hand an authentication to their HTTP client and have nobody who would close it. This is not
        # __del__, because in a cycle the socket's own may come first, and warn of a socket that was not closed.
        weakref.finalize(self, self._socket.close).atexit = False

    def close(self) -> None:
        """Close it; may be called more than once."""
        self._socket.close()

    def ended(self) -> bool:
        """Whether the peer has closed the connection; costs one system call and never waits."""
        if self._unread:
            return False
        try:
            self._socket.settimeout(0)
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, line: bytes, deadline: float | None) -> None:
        """Write one line.

        Raises:
            NotSent: if the peer is gone.
            TimeoutError: if the peer does not read.
        """
        self._socket.settimeout(_remaining(deadline))
        try:
            self._socket.sendall(line)
        except TimeoutError:
            raise
        except OSError as error:
            raise NotSent from error

    def receive(self, deadline: float | None) -> bytes:
        """Read one line, without its end.

        Raises:
            Unanswered: if the connection ended, or the line is longer than the protocol allows.
            TimeoutError: at the deadline.
        """
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > protocol.MAX_LINE_BYTES:
                raise Unanswered
            self._socket.settimeout(_remaining(deadline))
            try:
                part = self._socket.recv(_CHUNK)
            except TimeoutError:
                raise
            except OSError as error:
                raise Unanswered from error
            if not part:
                raise Unanswered
            self._unread += part
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    # Not zero, which would mean "do not wait" and look like a full buffer instead of a deadline.
    return max(0.001, deadline - time.monotonic())


def _timeval(seconds: float | None) -> bytes:
    """A ``struct timeval``; zero means for ever."""
    whole = seconds or 0.0
    return struct.pack("@ll", int(whole), int(whole % 1 * 1_000_000))
