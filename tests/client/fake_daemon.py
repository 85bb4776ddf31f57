"""A daemon of threads and canned answers, for tests of what talks to it. It shares no code with the real one."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]
Answer = Callable[[Json], Json]

GENERATION = "0123456789ab"

TOKEN: Json = {
    "token": "sk-ant-api03-fake",
    "kind": "api_key",
    "token_type": "Bearer",
    "profile": "anthropic:work",
    "provider": "anthropic",
    "source": "store",
    "generation": GENERATION,
    "expires_at_ms": None,
    "valid_for": None,
    "headers": {"x-api-key": "sk-ant-api03-fake", "anthropic-version": "2023-06-01"},
    "base_url": "https://api.anthropic.com",
    "billing": "api",
    "tier": None,
    "degraded": None,
    "model": "claude-opus-5-5",
    "model_note": None,
}


def profile(name: str = "anthropic:work", **members: Any) -> Json:
    """A profile as `profile.get` answers."""
    return {
        "profile": name,
        "provider": name.partition(":")[0],
        "agent": "main",
        "kind": "api_key",
        "source": "store",
        "location": "the store",
        "phase": "fixed",
        "enabled": True,
        "generation": GENERATION,
        "expires_at_ms": None,
        "valid_for": None,
        "login_ends_at_ms": None,
        "refresh": "none",
        "next_refresh_at_ms": None,
        "last_refresh_at_ms": None,
        "last_failure": None,
        "unusable": None,
        "degraded": None,
        "note": None,
        "billing": "api",
        "tier": None,
        "insufficient_access": None,
        "cooling": [],
        "last_report": None,
        "last_used_at_ms": None,
        "granted_life": None,
        "waits_for": None,
        **members,
    }


def status(*profiles: Json, **members: Any) -> Json:
    """The result of `daemon.status`."""
    return {
        "version": "0.1.0",
        "pid": 4711,
        "protocol": 1,
        "started_at_ms": 1_700_000_000_000,
        "uptime": 3700.0,
        "socket": "/run/tokenward.sock",
        "state_directory": "/state",
        "config": None,
        "config_error": None,
        "store_key": "file",
        "store_trouble": None,
        "sink_troubles": [],
        "connections": 1,
        "subscribers": 0,
        "profiles": list(profiles),
        **members,
    }


def event(kind: str = "rotated", **members: Any) -> Json:
    """An event's params."""
    return {
        "type": kind,
        "profile": "anthropic:work",
        "generation": GENERATION,
        "at_ms": 1_700_000_000_000,
        "detail": "",
        **members,
    }


class Refusal(Exception):
    """Raised by an answer: the error to send.

    Args:
        type_name: goes out as ``data.type``; None = no data at all.
        message: the cause.
        code: the wire's code.
        data: further members of ``data``.
    """

    def __init__(
        self, type_name: str | None, message: str = "it failed", *, code: int = -32000, **data: Any
    ) -> None:
        super().__init__(message)
        self.error: Json = {"code": code, "message": message}
        if type_name is not None:
            self.error["data"] = {"type": type_name, "class": "ProviderError", "hint": "do this", **data}


class Hang(Exception):
    """Raised by an answer: never answer, keep the connection."""


class HangUp(Exception):
    """Raised by an answer: close the connection instead."""


class FakeDaemon:
    """Answers from ``answers``, method by method, until closed.

    Args:
        path: where to listen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {
            "daemon.hello": lambda _: {"name": "tokenward", "version": "0.1.0", "protocol": 1, "pid": 4711},
            "token.get": lambda _: TOKEN,
            "events.subscribe": lambda _: {"subscribed": True},
        }
        self.requests: list[Json] = []
        self.accepted = 0
        self.raw_answer: bytes | None = None
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._subscribers: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and hang up on everybody."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)
        self.path.unlink(missing_ok=True)

    def hang_up(self) -> None:
        """Close every connection, as an idle one is closed, and return when it is done."""
        with self._changed:
            connections, self._connections, self._subscribers = self._connections, [], []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def methods(self) -> list[str]:
        """The methods asked for, in order."""
        return [request["method"] for request in self.requests]

    def params(self, method: str) -> Json:
        """The params of the last request of a method."""
        params: Json = [each for each in self.requests if each["method"] == method][-1]["params"]
        return params

    def publish(self, params: Json) -> None:
        """Send an event to every subscriber."""
        line = json.dumps({"jsonrpc": "2.0", "method": "event", "params": params}).encode() + b"\n"
        with self._changed:
            for subscriber in self._subscribers:
                subscriber.sendall(line)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when something is so; checked after each request."""
        with self._changed:
            assert self._changed.wait_for(condition, 20)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.accepted += 1
                self._connections.append(connection)
                self._changed.notify_all()
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            for line in lines:
                request = json.loads(line)
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                if "id" not in request:
                    continue
                try:
                    reply = self._reply(request)
                except HangUp:
                    return
                except Hang:
                    continue
                connection.sendall(reply)
                if request["method"] == "events.subscribe":
                    with self._changed:
                        self._subscribers.append(connection)
                        self._changed.notify_all()

    def subscribed(self) -> bool:
        """Whether somebody listens to events."""
        return bool(self._subscribers)

    def _reply(self, request: Json) -> bytes:
        if self.raw_answer is not None:
            return self.raw_answer
        message: Json = {"jsonrpc": "2.0", "id": request["id"]}
        answer = self.answers.get(request["method"])
        try:
            if answer is None:
                raise Refusal("MethodNotFound", f"no method {request['method']}", code=-32601)
            message["result"] = answer(request["params"])
        except Refusal as refusal:
            message["error"] = refusal.error
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"
