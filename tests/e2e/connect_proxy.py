"""Claude Code talks to addresses that no setting can redirect, and a test must never reach the real ones.

This proxy stands between it and the network: it ends the TLS of the two hosts we play ourselves, with a CA
made for the occasion, and hands what it hears to a loopback server; whatever else is asked for is refused.

Rules:
- Nothing leaves loopback: the only address ever connected to is the loopback server's.
- A tunnel carries one request. The answer is passed on byte for byte, and so are its ends (a plain end, a
  reset), so that the faults of the server behind are seen as they are.
- What is recorded is method, host and path without query; never a header or a body.
- The CA's key never touches the disk.
"""

import contextlib
import io
import ipaddress
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from fakes.authority import Authority

PLAYED_HOSTS = ("api.anthropic.com", "platform.claude.com")

_HEAD_LINE_LIMIT = 65536  # bytes in one line of a request head; http.server has the same
_CHUNK = 65536  # bytes passed on at a time
_IDLE_SECONDS = 120.0  # a tunnel without a byte; longer than any test may take
_STOP_SECONDS = 5.0  # for tunnels to end; they are woken, so this is never spent in full
_POLL_SECONDS = 0.02  # how soon the acceptor sees that it has to stop
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """One request that came to the proxy.

    `method` is CONNECT, and `path` empty, for a refused tunnel. `refused` says that it went nowhere.
    """

    method: str
    host: str
    path: str
    refused: bool = False


class ConnectProxy:
    """An HTTP proxy for `HTTPS_PROXY` and `HTTP_PROXY`, in background threads; use it as a context manager.

    Args:
        base_url: the loopback HTTP server that plays the hosts, as `http://127.0.0.1:port`.
        played_hosts: the hosts whose TLS ends here; every other host is refused with 502.

    Raises:
        ValueError: `base_url` is not on loopback.
    """

    def __init__(self, base_url: str, *, played_hosts: tuple[str, ...] = PLAYED_HOSTS) -> None:
        target = urlsplit(base_url)
        if not target.hostname or not target.port or not ipaddress.ip_address(target.hostname).is_loopback:
            raise ValueError(f"the proxy forwards to loopback only, not to {base_url}")
        self.upstream = (target.hostname, target.port)
        self.played_hosts = played_hosts
        self._lock = threading.Lock()
        self._requests: list[ProxiedRequest] = []
        self._directory = tempfile.TemporaryDirectory(prefix="connect-proxy-")
        self.ca_file = Path(self._directory.name) / "ca.pem"
        self.tls = _server_context(played_hosts, self.ca_file)
        self._server = _TunnelServer(self)
        self._acceptor = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="connect-proxy", daemon=True
        )

    @property
    def url(self) -> str:
        """What `HTTPS_PROXY` is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> tuple[ProxiedRequest, ...]:
        """Everything asked for so far, in the order of arrival."""
        with self._lock:
            return tuple(self._requests)

    @property
    def refused_hosts(self) -> frozenset[str]:
        """Hosts that were asked for and are not played."""
        return frozenset(each.host for each in self.requests if each.refused)

    def record(self, request: ProxiedRequest) -> None:
        """Put a request on record."""
        with self._lock:
            self._requests.append(request)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._acceptor.join(_STOP_SECONDS)
        self._server.end_tunnels()
        self._server.server_close()
        self._directory.cleanup()


class _TunnelServer(socketserver.ThreadingTCPServer):
    """Accepts tunnels and knows every socket of theirs, so that none outlives the proxy."""

    daemon_threads = True
    request_queue_size = 128  # several Claude Codes may start at once

    def __init__(self, proxy: ConnectProxy) -> None:
        self.proxy = proxy
        self._sockets: set[socket.socket] = set()
        self._emptied = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Tunnel)

    def track(self, opened: socket.socket) -> None:
        with self._emptied:
            self._sockets.add(opened)

    def forget(self, closed: socket.socket) -> None:
        with self._emptied:
            self._sockets.discard(closed)
            self._emptied.notify_all()

    def end_tunnels(self) -> None:
        """Wake every tunnel and wait until all of them are gone."""
        with self._emptied:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._emptied.wait_for(lambda: not self._sockets, _STOP_SECONDS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.track(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        if request.fileno() >= 0 and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)  # a connection that is to be reset must not say goodbye first
        else:
            super().shutdown_request(request)
        self.forget(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or does not trust our CA, is its own affair; the record shows what it asked."""


class _Tunnel(socketserver.BaseRequestHandler):
    """One connection of a client: CONNECT, TLS, one request, its answer."""

    request: socket.socket
    server: _TunnelServer

    def handle(self) -> None:
        self.request.settimeout(_IDLE_SECONDS)
        # Unbuffered: a byte read too far would be a byte of the TLS handshake lost.
        with self.request.makefile("rb", buffering=0) as plain:
            method, target = _request_line(_read_head(plain))
        proxy = self.server.proxy
        if method != "CONNECT":
            address = urlsplit(target)
            self._refuse(ProxiedRequest(method, address.hostname or "", address.path, refused=True))
            return
        host, _, port = target.rpartition(":")
        if host not in proxy.played_hosts or port != "443":
            self._refuse(ProxiedRequest(method, host, "", refused=True))
            return
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        # A duplicate: the original stays with the server, which closes it.
        with proxy.tls.wrap_socket(self.request.dup(), server_side=True) as client:
            self._serve(client, host)

    def _serve(self, client: ssl.SSLSocket, host: str) -> None:
        with client.makefile("rb") as plain:
            head = _read_head(plain)
            body = plain.read(_content_length(head))
        method, target = _request_line(head)
        self.server.proxy.record(ProxiedRequest(method, host, urlsplit(target).path))
        with socket.create_connection(self.server.proxy.upstream, timeout=_IDLE_SECONDS) as upstream:
            self.server.track(upstream)
            try:
                upstream.sendall(_without_keep_alive(head) + body)
                while chunk := upstream.recv(_CHUNK):
                    client.sendall(chunk)
                client.unwrap()
            except ConnectionResetError:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            finally:
                self.server.forget(upstream)

    def _refuse(self, request: ProxiedRequest) -> None:
        self.server.proxy.record(request)
        self.request.sendall(b"HTTP/1.1 502 Not played here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _read_head(stream: io.IOBase) -> list[bytes]:
    lines: list[bytes] = []
    while (line := stream.readline(_HEAD_LINE_LIMIT)) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n"):
            raise ConnectionAbortedError("the request ends within its head")
        lines.append(line)
    if not lines:
        raise ConnectionAbortedError("no request")
    return lines


def _request_line(head: list[bytes]) -> tuple[str, str]:
    method, target, _version = head[0].decode("ascii").split()
    return method, target


def _content_length(head: list[bytes]) -> int:
    for line in head[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _without_keep_alive(head: list[bytes]) -> bytes:
    kept = [line for line in head[1:] if line.partition(b":")[0].strip().lower() != b"connection"]
    return b"".join([head[0], *kept, b"Connection: close\r\n\r\n"])


def _server_context(hosts: tuple[str, ...], ca_file: Path) -> ssl.SSLContext:
    """A context that shows a fresh certificate for `hosts`; the CA to trust is written to `ca_file`."""
    authority = Authority()
    authority.write(ca_file)
    issued = authority.issue(hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(prefix="leaf-", suffix=".pem") as chain:  # ssl loads from files only
        chain.write(issued.key + issued.certificate)
        chain.flush()
        context.load_cert_chain(chain.name)
    return context
