"""What we send to a token endpoint, and how its answer is read.

The problem: a token endpoint is reached through proxies, captive portals and load balancers that all answer
in its place, and a daemon that believes them throws logins away. So exactly one answer condemns a refresh
token, a JSON body whose ``error`` is ``invalid_grant`` (or what the provider file lists as equal), and every
reading rule for a good answer is written down here (design I4, section 4.8, 4.10).

Rules:
- Parameters are those of RFC 6749 section 6; no ``scope`` unless the provider file asks for it.
- ``expires_in``: digit strings parse; missing, boolean, NaN = unknown; zero or less keeps the rotation and
  counts as a failure; more than 366 days is clamped.
- An absent ``refresh_token`` or ``scope`` leaves the old one in force.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from tokenward.core.credential import Credential, Secret
from tokenward.core.redact import printable

LONGEST_LIFE_SECONDS = 366 * 24 * 3600.0
"""A token said to live longer is checked again after a year and a day."""
MAX_TOKEN_LENGTH = 65536
"""Longer strings in an answer are not tokens."""
INVALID_GRANT = "invalid_grant"
_CONFIGURATION_ERRORS = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"}
)


@dataclass(frozen=True, slots=True)
class Granted:
    """The server answered with tokens.

    Args:
        access: the new access token.
        refresh: the new refresh token; None = the old one stays.
        expires_in: seconds of life from the request's start; None = unknown. May be zero or negative.
        scopes: the scopes granted; None = the old ones stay.
        token_type: RFC 6749 5.1.
        login_expires_in: ``refresh_token_expires_in``, seconds; None where the server does not say.
    """

    access: Secret
    refresh: Secret | None
    expires_in: float | None
    scopes: tuple[str, ...] | None
    token_type: str
    login_expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class Condemned:
    """The refresh token that was sent is dead.

    Args:
        error: the ``error`` member.
        description: what the server adds, stripped for terminals.
    """

    error: str
    description: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Answered, but not with a grant: transient, or a fault of configuration. The token was not condemned.

    Args:
        reason: one line without secrets.
        retry_after: the server's word in seconds, if it gave one.
        configuration: whether our registration is at fault, so that retrying soon is of no use.
        limited: whether the server says that it is asked too often (RFC 6585 section 4).
    """

    reason: str
    retry_after: float | None = None
    configuration: bool = False
    limited: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request provably never reached the server: the refresh token is unspent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The request was sent and no answer came: the refresh token may be spent."""

    reason: str


RefreshOutcome = Granted | Condemned | Unavailable | NotSent | Ambiguous


def refresh_parameters(refresh: Secret, *, client_id: str, scope: str | None) -> dict[str, str]:
    """The parameters of a refresh request (RFC 6749 section 6).

    Args:
        refresh: the refresh token to spend.
        client_id: how we are registered.
        scope: sent only if the provider file names one.
    """
    parameters = {"grant_type": "refresh_token", "refresh_token": refresh.reveal(), "client_id": client_id}
    if scope:
        parameters["scope"] = scope
    return parameters


def parse_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    dead_errors: frozenset[str] = frozenset(),
) -> RefreshOutcome:
    """Read a token endpoint's answer.

    Args:
        status: the HTTP status.
        headers: the headers, names in lower case.
        body: the body, whole.
        now: the wall clock, for a Retry-After given as a date.
        dead_errors: values of ``error`` that this provider uses for ``invalid_grant``.
    """
    document = _json_object(body)
    retry_after = parse_retry_after(headers.get("retry-after"), now=now)
    if document is None:
        kind = printable(headers.get("content-type", "nothing"))[:40]
        if 200 <= status < 300 and "json" in kind:
            return Ambiguous(f"HTTP {status} with JSON that is not whole: the tokens in it are lost")
        return Unavailable(f"HTTP {status} with {kind} instead of JSON", retry_after, limited=status == 429)
    succeeded = 200 <= status < 300
    if succeeded and (granted := _grant(document)) is not None:
        # Even beside an ``error``: the refresh token is spent, and what came for it is all that is left.
        return granted
    error = _error_code(document)
    if error is not None:
        return _refusal(status, error, document, retry_after, dead_errors)
    reason = f"HTTP {status} without an access_token" if succeeded else f"HTTP {status}"
    return Unavailable(reason, retry_after, limited=status == 429)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _error_code(document: dict[str, Any]) -> str | None:
    """RFC 6749 5.2 has a string; some servers wrap it into an object with ``type``."""
    error = document.get("error")
    if isinstance(error, str) and error:
        return error
    if isinstance(error, dict) and isinstance(error.get("type"), str):
        return str(error["type"]) or None
    return None


def _refusal(
    status: int, error: str, document: dict[str, Any], retry_after: float | None, dead_errors: frozenset[str]
) -> Condemned | Unavailable:
    shown = printable(error)[:60]
    if status in {400, 401} and (error == INVALID_GRANT or error in dead_errors):
        description = document.get("error_description")
        return Condemned(shown, printable(description)[:200] if isinstance(description, str) else "")
    return Unavailable(
        f"HTTP {status} {shown}",
        retry_after,
        configuration=error in _CONFIGURATION_ERRORS,
        limited=status == 429,
    )


def _grant(document: dict[str, Any]) -> Granted | None:
    access = _token(document.get("access_token"))
    if access is None:
        return None
    scope = document.get("scope")
    token_type = document.get("token_type")
    return Granted(
        access=access,
        refresh=_token(document.get("refresh_token")),
        expires_in=parse_expires_in(document.get("expires_in")),
        scopes=tuple(scope.split()) if isinstance(scope, str) and scope.strip() else None,
        token_type=token_type if isinstance(token_type, str) and token_type else "Bearer",
        login_expires_in=parse_expires_in(document.get("refresh_token_expires_in")),
    )


_TOKEN = re.compile(r"[\x20-\x7e]+")


def _token(value: object) -> Secret | None:
    """RFC 6749 appendix A.12: printable ASCII."""
    if not isinstance(value, str) or len(value) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(value):
        return None
    return Secret(value)


def parse_expires_in(value: object) -> float | None:
    """Read ``expires_in`` (RFC 6749 5.1): seconds, clamped to 366 days; None = unknown."""
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"-?[0-9]{1,18}", value.strip()) else None
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(max(-LONGEST_LIFE_SECONDS, min(value, LONGEST_LIFE_SECONDS)))


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Read ``Retry-After`` (RFC 9110 10.2.3): seconds, or the seconds until an HTTP date; never negative."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,12}\s*", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())


def renewed(old: Credential, granted: Granted, *, requested_at: datetime) -> Credential:
    """The credential after a grant.

    Args:
        old: the value whose refresh token was spent.
        granted: the server's answer.
        requested_at: the wall clock when the request was begun, so that the answer's travel costs no life.
    """
    life = granted.expires_in
    ends = granted.login_expires_in
    return replace(
        old,
        access=granted.access,
        refresh=granted.refresh or old.refresh,
        expires_at=None if life is None else requested_at + timedelta(seconds=life),
        granted_life=life if life is not None and life > 0 else None,
        scopes=old.scopes if granted.scopes is None else granted.scopes,
        token_type=granted.token_type,
        login_ends_at=old.login_ends_at if ends is None else requested_at + timedelta(seconds=ends),
    )
