"""HTTP/1.1 on loopback, including the ways in which a connection can fail its client.

Rules:
- Only loopback addresses are bound.
- A client that goes away is no event: nothing is printed, nothing is left behind.
- `stop` ends at once and leaves no thread and no socket: connections are shut down and their threads awaited.
- The framing of a reply is decided here alone, so that a fault can break it in one place.
"""

import contextlib
import ipaddress
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tokenward.sandbox.faults import Fault
from tokenward.sandbox.wire import Reply, Request

MAX_BODY_BYTES = 32 * 1024 * 1024  # what the Messages API itself accepts
IDLE_SECONDS = 300  # a kept-alive connection without a request; past it the client is taken for gone
BACKLOG = 128  # a test may start a hundred clients at once
STOP_SECONDS = 5.0  # to let connections end; they are woken, so this is never spent in full

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of a request: a reply, sent as the fault says, or no reply at all.

    `reset` only matters without a reply: TCP reset instead of a plain end.
    """

    reply: Reply | None
    fault: Fault | None = None
    reset: bool = False


class LoopbackServer(ThreadingHTTPServer):
    """Accepts connections in one thread and serves each in another.

    Args:
        host: a loopback address.
        port: 0 for a free one.
        serve: turns a request into a delivery; called from many threads.
        ended: set when the server stops; interrupts slow deliveries.

    Raises:
        ValueError: the host is not a loopback address.
    """

    daemon_threads = True
    allow_reuse_port = False  # two sandboxes on one port would share its clients at random
    request_queue_size = BACKLOG

    def __init__(self, host: str, port: int, serve: Callable[[Request], Delivery], ended: threading.Event) -> None:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        if not address.is_loopback:
            raise ValueError(f"the sandbox listens on loopback only, not on {host}")
        self.address_family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        self.serve = serve
        self.ended = ended
        self._connections: set[socket.socket] = set()
        self._emptied = threading.Condition()
        super().__init__((str(address), port), Handler)
        self._acceptor = threading.Thread(target=self._accept, name="sandbox-accept", daemon=True)

    @property
    def base_url(self) -> str:
        """`http://host:port`, without a final slash."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Accept from now on."""
        self._acceptor.start()

    def stop(self) -> None:
        """Accept no more, shut every connection and wait for the threads behind them."""
        self.ended.set()
        if self._acceptor.is_alive():
            # The acceptor waits for a connection and for nothing else, so it gets one.
            with contextlib.suppress(OSError):
                socket.create_connection((self.server_name, self.server_port), timeout=1).close()
            self._acceptor.join(STOP_SECONDS)
        self.server_close()
        with self._emptied:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._emptied.wait_for(lambda: not self._connections, STOP_SECONDS)

    def server_bind(self) -> None:
        """Bind without the reverse lookup of the standard class, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection before its thread starts, so that `stop` misses none."""
        with self._emptied:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that is to be reset must not say goodbye first."""
        if request.fileno() >= 0 and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)
        with self._emptied:
            self._connections.discard(request)
            self._emptied.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; anything else is a bug of ours and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def _accept(self) -> None:
        while not self.ended.is_set():
            self.handle_request()


class Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection and writes what becomes of them."""

    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    server_version = "tokenward-sandbox"
    sys_version = ""
    timeout = IDLE_SECONDS
    wbufsize = -1  # a reply leaves in one piece
    disable_nagle_algorithm = True
    _bodiless: ClassVar[frozenset[int]] = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

    def serve_one(self) -> None:
        """Read the rest of one request and deliver."""
        body = self._read_body()
        if body is None:
            return
        try:
            address = urlsplit(self.path)
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, address.path, address.query, headers, body)
        delivery = self.server.serve(request)
        if delivery.reply is None:
            self.close_connection = True
            if delivery.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            return
        self._write(delivery.reply, delivery.fault or Fault())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = serve_one  # noqa: N815 - names set by http.server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parameter's name is inherited
        """Say nothing: the journal has it, without secrets."""

    def _read_body(self) -> bytes | None:
        if "transfer-encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        declared = self.headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return None
        if len(declared) > len(str(MAX_BODY_BYTES)) or int(declared) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        body = self.rfile.read(int(declared))
        if len(body) < int(declared):
            self.close_connection = True
            return None
        return body

    def _refuse(self, status: HTTPStatus) -> None:
        # Part of the request may be unread, so what follows on this connection would make no sense.
        self.close_connection = True
        self._write(Reply(status, status.phrase.encode(), "text/plain"), Fault())

    def _write(self, reply: Reply, fault: Fault) -> None:
        chunked = bool(reply.events) and self.request_version == "HTTP/1.1"
        body = b"" if chunked else reply.body + b"".join(reply.events)
        if fault.truncate_at is not None:
            body = body[: fault.truncate_at]
        self.send_response(reply.status)
        if body or chunked:
            self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.status not in self._bodiless:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection or fault.cut_at is not None:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD" or reply.status in self._bodiless:
            return
        if chunked:
            self._write_chunks(reply.events)
        else:
            self._write_body(body, fault)

    def _write_chunks(self, events: tuple[bytes, ...]) -> None:
        for event in events:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _write_body(self, body: bytes, fault: Fault) -> None:
        if fault.cut_at is not None:
            self.close_connection = True
            body = body[: fault.cut_at]
        if fault.pause_per_byte is None:
            self.wfile.write(body)
            return
        for index in range(len(body)):
            self.wfile.write(body[index : index + 1])
            self.wfile.flush()
            if self.server.ended.wait(fault.pause_per_byte):
                self.close_connection = True
                return
