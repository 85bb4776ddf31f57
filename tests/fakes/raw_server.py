"""A loopback server made of bare sockets, for what no HTTP server would do."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Handler = Callable[["Peer"], None]

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER without time: close sends RST
_PATIENCE = 30.0  # seconds; a test is over long before


class Peer:
    """One connection, as the server sees it.

    Args:
        connection: the socket.
        ended: set when the server stops.
    """

    def __init__(self, connection: socket.socket, ended: threading.Event) -> None:
        self.socket = connection
        self.received = b""
        self._ended = ended

    def read_request(self) -> bytes:
        """Read up to the end of a request, by its Content-Length."""
        while b"\r\n\r\n" not in self.received and self._more():
            pass
        head, _, body = self.received.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(body) < length and self._more():
            body = self.received.partition(b"\r\n\r\n")[2]
        return self.received

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def answer(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        """Send a whole answer."""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.send(head.encode() + body)

    def reset(self) -> None:
        """End the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()

    def wait_until_gone(self) -> None:
        """Say nothing until the other side has left or the server stops."""
        while not self._ended.is_set() and self._more():
            pass

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self.received += data
        return bool(data)


class RawServer:
    """Serves every connection with a function, in threads; use it as a context manager.

    Args:
        handler: what to do with a connection; it is closed afterwards.
        tls: to speak TLS; None for plain TCP.
    """

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    @property
    def received(self) -> bytes:
        """Everything that ever arrived."""
        return b"".join(peer.received for peer in self.peers)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(_PATIENCE)
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(connection, self._ended)
            self.peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        with contextlib.suppress(OSError), contextlib.closing(peer.socket):
            peer.socket.settimeout(_PATIENCE)
            if self._tls is not None:
                peer.socket = self._tls.wrap_socket(peer.socket, server_side=True)
            self._handler(peer)
        with contextlib.suppress(OSError):
            peer.socket.close()
