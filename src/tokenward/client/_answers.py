"""Requests as lines, and answers as results or errors.

The problem: what the daemon raised must be raised here, so that a program catches ``LoginRequired`` and not a
number; and a daemon of a newer version may know errors that this client does not.

Rules: an error's type is ``data.type``; one that is not known here is a plain ``TokenwardError`` with the code
of the wire. Members of ``data`` that are not known become ``details``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenward.core import protocol
from tokenward.errors import TokenwardError, by_name

_NAMED_MEMBERS = frozenset({"type", "class", "hint", "cause", "error_class"})


def request(identifier: int, method: str, params: Mapping[str, Any]) -> bytes:
    """A request as a line; members of ``params`` that are None are left out."""
    given = {name: value for name, value in params.items() if value is not None}
    message = {"jsonrpc": protocol.JSONRPC, "id": identifier, "method": method, "params": given}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """A request that gets no answer, as a line; members of ``params`` that are None are left out."""
    given = {name: value for name, value in params.items() if value is not None}
    message = {"jsonrpc": protocol.JSONRPC, "method": method, "params": given}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def parsed(line: bytes) -> dict[str, Any]:
    """One message.

    Raises:
        TokenwardError: if it is none.
    """
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise TokenwardError(
            "what answers on the socket does not speak JSON-RPC", hint="see which program listens there"
        )
    return message


def result_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The result that an answer holds.

    Raises:
        TokenwardError: the error that it holds instead.
    """
    if isinstance(error := answer.get("error"), dict):
        raise error_of(error)
    if not isinstance(result := answer.get("result"), dict):
        raise TokenwardError("the daemon's answer has no result", hint="restart the daemon")
    return result


def error_of(error: Mapping[str, Any]) -> TokenwardError:
    """The exception for a wire error (JSON-RPC 2.0 section 5.1)."""
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    code = error.get("code")
    leaves = by_name()
    leaf = leaves.get(str(data.get("type")))
    if leaf is None and "type" not in data:
        leaf = next((each for each in leaves.values() if each.code == code != TokenwardError.code), None)
    raised = (leaf or TokenwardError)(
        str(error.get("message", "the daemon refused")),
        hint=str(data.get("hint", "")),
        error_class=data.get("class"),
        **{name: value for name, value in data.items() if name not in _NAMED_MEMBERS},
    )
    if leaf is None and isinstance(code, int):
        # A class variable of the leaves; an error without a leaf has only what the wire said.
        vars(raised)["code"] = code
    return raised
