"""What became of a token, told to the daemon without a moment's delay to whoever made the request.

The problem: the daemon cannot see that an API refused, throttled or charged a request; the program can, and has
better things to do than to tell it.

Rules:
- A report is a notification (JSON-RPC 2.0 section 4.1) on a connection of its own: written, and not waited for. It
  raises nothing, and one that cannot be written at once is dropped.
- It holds the status, the rate-limit headers, the model, and of an error its type and message; never another
  header, never the rest of a body, and never the token.
- Answers that went well are told at most every ``USAGE_SECONDS`` for a profile, and only if they have rate-limit
  headers; refusals always. A 404 is a refusal where the request named a model and the error says something: it may
  be that the credential does not have the model. A missing page is the program's own.
- The model is what the request names (``"model"`` in its JSON), for a credential without a model refuses by that
  name. A limit is told of the model that tokens are asked for and no other: a program that asks for none would be
  handed a profile that is closed for one model again and again.
"""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from tokenward.client._answers import notification
from tokenward.client._connection import Connection, NotSent
from tokenward.client._shapes import Token
from tokenward.errors import TokenwardError

USAGE_SECONDS = 10.0
"""How often the rate-limit headers of a profile are passed on."""
MAX_ERROR_BYTES = 64 * 1024
"""What an error body may have to be looked at."""
MAX_REQUEST_BYTES = 1024 * 1024
"""What a request's body may have to be searched for its model: more takes longer than a report may."""

_WORTH_TELLING = frozenset({400, 401, 402, 403, 429})
_NOT_FOUND = 404
_WITHHOLDING = frozenset({403, _NOT_FOUND})
"""Said of a model that a credential does not have."""
_MODEL_CHARACTERS = 128
_RATE_LIMIT_HEADERS = ("anthropic-ratelimit-", "x-ratelimit-", "ratelimit", "retry-after")
_MESSAGE_CHARACTERS = 500
_WRITE_SECONDS = 0.02
"""More than a socket that has room ever needs; an overloaded daemon does without the report."""


class Reporter:
    """Tells one daemon.

    Args:
        socket_path: where it listens.
        agent: the namespace that tokens are asked of; None = "main".
        model: the model that tokens are asked for; None = any.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        socket_path: str,
        agent: str | None = None,
        model: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = socket_path
        self._agent = agent
        self._model = model
        self._clock = clock
        self._connection: Connection | None = None
        self._told_at: dict[str, float] = {}
        self._turn = threading.Lock()
        self._owner = os.getpid()

    def wants_body(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether the body of an answer says something worth telling, and is short enough to be read for it."""
        length = headers.get("content-length", "")
        return (
            (is_worth_telling(status) or status == _NOT_FOUND)
            and "json" in headers.get("content-type", "")
            and length.isdecimal()
            and int(length) <= MAX_ERROR_BYTES
        )

    def tell(
        self,
        token: Token,
        status: int,
        headers: Mapping[str, str],
        *,
        error_body: bytes | None = None,
        request_body: bytes | None = None,
    ) -> bool:
        """Tell how a request with a token went, if that is worth telling.

        Args:
            token: the token.
            status: the HTTP status.
            headers: the answer's headers; names in any case.
            error_body: the answer's body, decoded, if it was read.
            request_body: the request's body, if it is in memory.

        Returns:
            Whether it was a refusal that was told: the daemon may choose another token from now on.
        """
        limits = {
            name.lower(): value for name, value in headers.items() if name.lower().startswith(_RATE_LIMIT_HEADERS)
        }
        refused = is_worth_telling(status) or status == _NOT_FOUND
        if not refused and not (200 <= status < 300 and limits and self._is_due(token.profile)):
            return False
        error = _error_in(error_body, token.token)
        is_of_request = status in _WITHHOLDING or not refused
        model = (_model_in(request_body) if is_of_request else None) or self._model
        if status == _NOT_FOUND and (error is None or model is None):
            return False
        told = {
            "profile": token.profile,
            "agent": self._agent,
            "generation": token.generation,
            "status": status,
            "error": error,
            "headers": limits or None,
            "model": model,
        }
        self._write(notification("token.report", told))
        return refused

    def close(self) -> None:
        """Close the connection; the next report would open another."""
        with self._turn:
            self._disconnect()

    def _is_due(self, profile: str) -> bool:
        now = self._clock()
        last = self._told_at.get(profile)
        if last is not None and now - last < USAGE_SECONDS:
            return False
        self._told_at[profile] = now
        return True

    def _write(self, line: bytes) -> None:
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._turn = threading.Lock()
            self._disconnect()
        with self._turn:
            deadline = time.monotonic() + _WRITE_SECONDS
            try:
                if self._connection is None or self._connection.ended():
                    self._disconnect()
                    self._connection = Connection(self._path, deadline)
                self._connection.send(line, deadline)
            except (NotSent, TimeoutError, TokenwardError):
                # Half a line may have been written: the daemon drops it with the connection.
                self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_worth_telling(status: int) -> bool:
    """Whether a status says something of the credential, the account or the provider's health."""
    return status in _WORTH_TELLING or status >= 500


def decoded(body: bytes, encoding: str) -> bytes | None:
    """The body of an error as it was before it was compressed; None if that cannot be told.

    Args:
        body: as it was received.
        encoding: the answer's ``content-encoding``; "" if it has none.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "deflate"}:
        return None
    try:
        # 32: a zlib or a gzip header, whichever is there.
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_ERROR_BYTES)
    except zlib.error:
        return None


def _model_in(body: bytes | None) -> str | None:
    """The model that a request in JSON names."""
    if body is None or len(body) > MAX_REQUEST_BYTES:
        return None
    model = _members(body).get("model")
    return model if isinstance(model, str) and 0 < len(model) <= _MODEL_CHARACTERS else None


def _members(body: bytes | None) -> dict[str, Any]:
    """What a body in JSON holds; nothing if it is no object."""
    try:
        document = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _error_in(body: bytes | None, secret: str) -> dict[str, Any] | None:
    """Type and message of an error body, in the shape that they came in."""
    error = _members(body).get("error")
    if isinstance(error, str):
        return {"error": _shown(error, secret)}
    if not isinstance(error, dict):
        return None
    said = {name: error[name] for name in ("type", "message") if isinstance(error.get(name), str)}
    return {"error": {name: _shown(value, secret) for name, value in said.items()}} if said else None


def _shown(text: str, secret: str) -> str:
    return text.replace(secret, "[token]")[:_MESSAGE_CHARACTERS]
