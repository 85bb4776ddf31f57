"""What a request and an answer are, once HTTP is out of the way: values that handlers take and return.

Rules:
- A handler sees a `Request` and returns a `Reply`; it never touches a socket.
- Parameters arrive as a form or as JSON and mean the same. A parameter without a value counts as absent, and
  one that comes twice is an error (RFC 6749 section 3.2).
- Nothing with a token in it may be cached (RFC 6749 section 5.1).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tokenward.sandbox.families import RefusedError

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
HTML_TYPE = "text/html; charset=utf-8"
EVENT_STREAM_TYPE = "text/event-stream; charset=utf-8"

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, read to its end. Header names are in lower case; `query` is the raw query string."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def query_parameters(self) -> dict[str, str]:
        """The parameters in the address.

        Raises:
            RefusedError: `invalid_request` when one comes twice.
        """
        return _once(parse_qsl(self.query, keep_blank_values=False))

    def body_parameters(self) -> dict[str, str]:
        """The parameters in the body, form or JSON.

        Raises:
            RefusedError: `invalid_request` for another media type, a broken body or a repeated parameter.
        """
        if self.media_type == FORM_TYPE:
            try:
                text = self.body.decode()
            except UnicodeDecodeError:
                raise RefusedError("invalid_request", "The form is not UTF-8") from None
            return _once(parse_qsl(text, keep_blank_values=False))
        if self.media_type == JSON_TYPE:
            members = self.json_object()
            return {name: str(value) for name, value in members.items() if value not in (None, "")}
        raise RefusedError("invalid_request", f"The body must be {FORM_TYPE} or {JSON_TYPE}")

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RefusedError: `invalid_request` when it is none.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise RefusedError("invalid_request", "The body is not JSON") from None
        if not isinstance(value, dict):
            raise RefusedError("invalid_request", "The body is not a JSON object")
        return value

    def bearer(self) -> str:
        """The token of an `Authorization: Bearer` header (RFC 6750 section 2.1), or an empty string."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `events` are sent chunk by chunk in place of `body`."""

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    events: tuple[bytes, ...] = field(default=(), repr=False)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer whose body is `value` as JSON (with NaN and infinity as Python writes them)."""
    return Reply(status, json.dumps(value).encode(), JSON_TYPE, headers or {})


def html_reply(markup: str, status: int = 200) -> Reply:
    """A page for a person. The caller escapes what it puts in."""
    page = f"<!doctype html><meta charset=utf-8><title>tokenward sandbox</title><p>{markup}</p>\n"
    return Reply(status, page.encode(), HTML_TYPE, NO_STORE)


def refusal_reply(refusal: RefusedError, headers: Mapping[str, str] | None = None) -> Reply:
    """The error body of RFC 6749 section 5.2."""
    body = {"error": refusal.error, "error_description": refusal.description}
    return json_reply(body, refusal.status, {**NO_STORE, **(headers or {})})


def fingerprint(secret: str) -> str:
    """Eight hex digits that name a secret without giving it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise RefusedError("invalid_request", "A parameter is repeated")
    return parameters
