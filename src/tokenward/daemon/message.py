"""One line from a peer becomes requests or a refusal, and an error becomes one JSON object.

The problem: the JSON a peer sends is hostile until shown otherwise (broken UTF-8, a nesting that exhausts the
stack, ``NaN``, a thousand digits, an id that is an object), and the lane and the dispatcher must agree on every
byte of it. So both read with the same functions, and nothing that is not a JSON-RPC 2.0 request goes further.

Rules:
- Nothing here raises on what a peer sent, except ``load``, whose one error is ``Unreadable``.
- What is refused is never quoted: a refused line may hold a secret. Only a valid id is given back.
- JSON text is ASCII on the way out, so that one answer is one line whatever it holds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from tokenward import errors
from tokenward.core import protocol


class Unreadable(ValueError):
    """The text is not JSON, or nests too deeply to be read."""


def _refuse_constant(_name: str) -> NoReturn:
    raise Unreadable  # RFC 8259 section 6: NaN and the infinities are not JSON


logger = logging.getLogger(__name__)

_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"))

encode_text = _ENCODER.encode
"""A JSON value as compact ASCII text."""


def load(text: str) -> Any:
    """Read one JSON text (RFC 8259).

    Raises:
        Unreadable: if it is not JSON, nests too deeply, or holds an integer of more digits than Python reads.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Unreadable from None


def error_object(code: int, message: str, data: dict[str, Any], request_id: str | int | None) -> bytes:
    """An error response (JSON-RPC 2.0 section 5.1), without the newline.

    Args:
        code: the error's code.
        message: one line of cause, without a secret.
        data: ``type``, ``class``, ``hint`` and what belongs to the type.
        request_id: the request's id; None where there is none to be had.
    """
    error = {"code": code, "message": message, "data": data}
    return encode_text({"jsonrpc": protocol.JSONRPC, "id": request_id, "error": error}).encode("ascii")


def result_object(result: bytes, request_id: str | int | None) -> bytes:
    """The response to a call that went well, without the newline.

    Args:
        result: its result, encoded.
        request_id: the request's id.
    """
    shown_id = encode_text(request_id).encode("ascii")
    return b'{"jsonrpc":"%b","id":%b,"result":%b}' % (protocol.JSONRPC.encode(), shown_id, result)


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """A notification of ours (JSON-RPC 2.0 section 4.1), newline included."""
    said = {"jsonrpc": protocol.JSONRPC, "method": method, "params": params}
    return encode_text(said).encode("ascii") + b"\n"


def is_too_long(answer: bytes) -> bool:
    """Whether an answer, without its newline, is more than a peer must take; says so in the log."""
    if len(answer) <= protocol.MAX_LINE_BYTES:
        return False
    logger.error("an answer of %d bytes is too long to send", len(answer))
    return True


def refusal(error: errors.TokenwardError, request_id: str | int | None = None) -> bytes:
    """The error response for one of our own errors, without the newline."""
    return error_object(error.code, error.cause, error.data(), request_id)


def parse_error() -> bytes:
    """The error response to what is not JSON in UTF-8, without the newline."""
    data = {"type": "ParseError", "class": errors.CONFIGURATION, "hint": "send one JSON object a line, in UTF-8"}
    return error_object(protocol.PARSE_ERROR, "this line is not JSON", data, None)


INTERNAL_ERROR_DATA: dict[str, Any] = {
    "type": "InternalError",
    "class": errors.PROVIDER,
    "hint": "the daemon's log says where it happened; please report it",
}


def internal_error(request_id: str | int | None = None) -> bytes:
    """The error response to a fault of our own, without the newline: what it was is for the log."""
    return error_object(protocol.INTERNAL_ERROR, "internal error", INTERNAL_ERROR_DATA, request_id)


NOT_LOADED_DATA: dict[str, Any] = {
    "type": "InternalError",
    "class": errors.CONFIGURATION,
    "hint": "restart it: tokenward was probably upgraded or removed while it ran",
}


def is_id(value: Any) -> bool:
    """Whether a value may be an id: a string or an integer (design section 6); a boolean is neither."""
    return type(value) is str or type(value) is int


def _invalid(cause: str, request_id: str | int | None = None) -> bytes:
    return refusal(errors.InvalidRequest(cause, hint="see JSON-RPC 2.0, section 4"), request_id)


def fault_of(message: Any) -> bytes | None:
    """What keeps a JSON value from being a request (JSON-RPC 2.0 section 4).

    Returns:
        The error response, without the newline, or None if it is a request.
    """
    if not isinstance(message, dict):
        return _invalid("a request is a JSON object")
    request_id = message.get("id")
    if "id" in message and not is_id(request_id):
        return _invalid("an id is a string or an integer")
    if message.get("jsonrpc") != protocol.JSONRPC:
        return _invalid('the member "jsonrpc" must be "2.0"', request_id)
    if not isinstance(message.get("method"), str):
        return _invalid('the member "method" must be a string', request_id)
    if not isinstance(message.get("params", {}), dict | list):
        return _invalid('the member "params" must be an object', request_id)
    return None


class Work(NamedTuple):
    """What one line asks for.

    Args:
        requests: the JSON texts of the requests to call, each a valid request by itself.
        refusals: the error responses that are settled already, without newlines.
        is_batch: whether the answer is an array.
    """

    requests: tuple[str, ...]
    refusals: tuple[bytes, ...] = ()
    is_batch: bool = False

    def settled(self) -> bytes | None:
        """The whole answer, newline included, if nothing has to be called for it and there is something to say."""
        answer = None if self.requests else join(self.refusals, is_batch=self.is_batch)
        return None if answer is None else answer + b"\n"

    def refused(self, code: int, cause: str, data: dict[str, Any]) -> Work:
        """What is left if none of the requests is carried out: each that wants an answer gets this error.

        Args:
            code: as in ``error_object``.
            cause: likewise.
            data: likewise.
        """
        try:
            asked = [load(text) for text in self.requests]
        except Unreadable:
            return Work((), (parse_error(),))  # read once already, with a little more room on the stack
        errors_said = tuple(error_object(code, cause, data, each["id"]) for each in asked if "id" in each)
        return Work((), (*self.refusals, *errors_said), is_batch=self.is_batch)


def join(responses: tuple[bytes, ...], *, is_batch: bool) -> bytes | None:
    """One answer of all responses to a line, without the newline; None if there is nothing to say."""
    if not responses:
        return None  # JSON-RPC 2.0 section 6: nothing, not even an empty array
    return b"[" + b",".join(responses) + b"]" if is_batch else responses[0]


def not_loaded(work: Work) -> bytes | None:
    """The answer to what only code answers that could not be imported, without the newline."""
    cause = "this daemon cannot load what answers this"
    refused = work.refused(protocol.INTERNAL_ERROR, cause, NOT_LOADED_DATA)
    return join(refused.refusals, is_batch=refused.is_batch)


def read_line(line: bytes) -> Work:
    """Read one line: a request, a batch, or neither.

    Args:
        line: without its newline; a carriage return at its end is white space.
    """
    try:
        text = str(line, "utf-8")
        message = load(text)
        if not isinstance(message, list):
            fault = fault_of(message)
            return Work((text,)) if fault is None else Work((), (fault,))
        return _read_batch(message)
    except (Unreadable, UnicodeDecodeError, RecursionError):
        return Work((), (parse_error(),))


def _read_batch(messages: list[Any]) -> Work:
    if not messages:
        return Work((), (_invalid("a batch holds at least one request"),))
    if len(messages) > protocol.MAX_BATCH:
        return Work((), (_invalid(f"a batch holds at most {protocol.MAX_BATCH} requests"),))
    faults = [fault_of(message) for message in messages]
    return Work(
        requests=tuple(encode_text(m) for m, fault in zip(messages, faults, strict=True) if fault is None),
        refusals=tuple(fault for fault in faults if fault is not None),
        is_batch=True,
    )
