"""What a refused request says about the credential it was made with.

The problem: the same 400 means a malformed request, an empty wallet or a login that may not be used here, and a
broker that mistakes one for another locks a healthy credential away or hammers a dead one. Programs that searched
the text for "402" disabled a profile because somebody wrote about an invoice.

Rules (the complaints behind them: openclaw#12192, #71709, #138161, #13909):
- Only the status and the two members ``error.type`` and ``error.message`` of the parsed body are looked at, and
  of the message only fixed phrases that servers use. A conversation is never searched.
- A phrase says more than the status, the status more than the type. The tables below are read from the top.
- The reporter may be hostile: a member of a wrong type is as good as absent, and nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum


class FailureClass(StrEnum):
    """What failed, seen from the credential."""

    AUTH = "auth"
    """The credential was not accepted; if it can be refreshed, that comes first."""
    AUTH_PERMANENT = "auth_permanent"
    """It was accepted and may not do this: a scope or a permission is missing."""
    AUTH_POLICY = "auth_policy"
    """The provider does not let it be used by this kind of program."""
    RATE_LIMIT = "rate_limit"
    BILLING = "billing"
    OVERLOADED = "overloaded"
    SERVER = "server"
    TIMEOUT = "timeout"
    """No answer, or half of one: the network, or a server that took too long."""
    FORMAT = "format"
    """The request is wrong and would be with any credential."""
    MODEL = "model"
    """This credential does not have this model."""


LONGEST_MESSAGE_READ = 2000
"""Characters of a message that are searched; what a server says of a credential stands at its beginning."""

POLICY = ("only authorized for use with claude code",)
EMPTY_WALLET = ("insufficient balance", "insufficient quota", "insufficient_quota")
"""Said by gateways with any status."""
OUT_OF_CREDIT = ("credit balance is too low", "out of extra usage")
OUT_OF_CREDIT_STATUSES = frozenset({400, 403, 429})
SCOPE = ("scope",)
PERMISSION_TYPE = "permission_error"
OVERLOADED_TYPE = "overloaded_error"
MODEL_TYPES = frozenset({"model_not_found", "model_not_found_error"})
CONSTRUCTION_REJECTED = "error"
"""The whole message of a 429 that counts nothing: the request was not built as the server wants it."""

_MODEL = re.compile(r"\bmodels?\b")
_WITHHELD = re.compile(r"\b(?:access|available|permission|permitted|allowed|group|exist|exists|found|supported)\b")

BY_STATUS: Mapping[int, FailureClass] = {
    401: FailureClass.AUTH,
    402: FailureClass.BILLING,
    403: FailureClass.AUTH,
    408: FailureClass.TIMEOUT,
    429: FailureClass.RATE_LIMIT,
    503: FailureClass.OVERLOADED,
    529: FailureClass.OVERLOADED,
}
"""What a status means by itself; any other 4xx is ``format``, any other 5xx is ``server``."""

STATUS_OF_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status a provider documents for a type: an error inside a stream comes after the 200 and has no other."""


def classify(
    status: object,
    error: object = None,
    headers: object = None,
    *,
    outcome: object = None,
) -> FailureClass | None:
    """Judge one answer.

    Args:
        status: the HTTP status; None, or anything that is none, = the caller saw no answer or a broken one.
        error: the parsed error body, whole (``{"error": {"type": ..., "message": ...}}``) or its ``error`` alone.
        headers: response headers, names in any case; only whether they speak of limits matters here.
        outcome: the caller's own word, ``"ok"`` or ``"failed"``.

    Returns:
        The class; None where nothing failed: a status below 400, unless the caller says that the answer failed
        on the way, and no status without a word of failure.
    """
    kind, message = _type_and_message(error)
    answered = (
        status if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599 else None
    )
    if answered is None or answered < 400:
        if answered is not None and outcome != "failed":
            return None
        documented = STATUS_OF_TYPE.get(kind)
        if documented is None:
            return _without_status(message, failed=outcome == "failed")
        answered = documented
    return _by_phrase(answered, kind, message) or _by_status(answered, kind, message, headers)


def _without_status(message: str, *, failed: bool) -> FailureClass | None:
    if not failed:
        return None
    # Without an answer it was the way to the server: ETIMEDOUT, ECONNRESET and the like.
    return _by_phrase(400, "", message) or FailureClass.TIMEOUT


def _by_phrase(status: int, kind: str, message: str) -> FailureClass | None:
    if _says(message, POLICY):
        return FailureClass.AUTH_POLICY
    if kind in EMPTY_WALLET or _says(message, EMPTY_WALLET):
        return FailureClass.BILLING
    if status in OUT_OF_CREDIT_STATUSES and _says(message, OUT_OF_CREDIT):
        return FailureClass.BILLING
    return None


def _by_status(status: int, kind: str, message: str, headers: object) -> FailureClass:
    if kind == OVERLOADED_TYPE:
        return FailureClass.OVERLOADED
    if status == 429 and message.strip() == CONSTRUCTION_REJECTED and not _speaks_of_limits(headers):
        return FailureClass.FORMAT
    if status in {403, 404} and (kind in MODEL_TYPES or _withholds_a_model(status, message)):
        return FailureClass.MODEL
    if status == 403 and (kind == PERMISSION_TYPE or _says(message, (*SCOPE, PERMISSION_TYPE))):
        return FailureClass.AUTH_PERMANENT
    return BY_STATUS.get(status, FailureClass.FORMAT if status < 500 else FailureClass.SERVER)


def _withholds_a_model(status: int, message: str) -> bool:
    """Whether a refusal is about the model: a 404 that names one, a 403 that also says what about it."""
    if not _MODEL.search(message):
        return False
    return status == 404 or _WITHHELD.search(message) is not None


def _says(message: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in message for phrase in phrases)


def _speaks_of_limits(headers: object) -> bool:
    if not isinstance(headers, Mapping):
        return False
    names = (name.lower() for name in headers if isinstance(name, str))
    return any(name == "retry-after" or "ratelimit" in name for name in names)


def _type_and_message(body: object) -> tuple[str, str]:
    """The two members that are looked at, in lower case; empty where they are absent or of another type."""
    if not isinstance(body, Mapping):
        return "", ""
    inner = body.get("error")
    error = inner if isinstance(inner, Mapping) else body
    kind, message = error.get("type"), error.get("message")
    return (
        kind[:LONGEST_MESSAGE_READ].lower() if isinstance(kind, str) else "",
        message[:LONGEST_MESSAGE_READ].lower() if isinstance(message, str) else "",
    )
