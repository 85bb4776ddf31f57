"""Loopback servers that the real programs talk to with what `tokenward` gave them."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATIENCE = 30.0


class TokenDemandingServer:
    """An API and a git host that lets in who presents a token that it knows; a context manager.

    `/version/` is a Kubernetes API, `/repo.git` a repository with one branch, everything else an empty answer.
    """

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.presented: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def host(self) -> str:
        """Its name and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)

    def knows(self, authorization: str) -> bool:
        """Whether the header carries a token that is accepted, as Bearer or as the password of Basic."""
        scheme, _, value = authorization.partition(" ")
        if scheme == "Basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        if value:
            self.presented.append(value)
        return value in self.accepted


def _handler(server: TokenDemandingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            if not server.knows(self.headers.get("Authorization", "")):
                self._answer(401, b"", challenge='Basic realm="git"')
            elif self.path.startswith("/version"):
                self._answer(200, json.dumps(_VERSION).encode(), content_type="application/json")
            elif self.path.startswith("/repo.git/info/refs"):
                self._answer(200, f"{COMMIT}\trefs/heads/main\n".encode())
            elif self.path == "/repo.git/HEAD":
                self._answer(200, b"ref: refs/heads/main\n")
            else:
                self._answer(200, b"welcome\n")

        def _answer(
            self, status: int, body: bytes, *, content_type: str = "text/plain", challenge: str | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if challenge is not None:
                self.send_header("WWW-Authenticate", challenge)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.0",
    "gitCommit": "0",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1",
    "compiler": "gc",
    "platform": "linux/amd64",
}
