"""What the endpoints of a login answer, as values: a device authorization, a grant, an API key, or a refusal.

The problem: an answer may be half of one, come from a proxy, or carry text that a terminal would obey, and each
provider words its refusals in its own way.

Rules:
- A device waits as long as the server says, and longer each time that it says so (RFC 8628 section 3.5).
- Who logged in is what the token answer says beside the tokens; an id_token is not read, since nobody here
  verifies it.
- What is shown of an answer is printable and short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Granted, Unavailable, parse_answer, parse_expires_in
from tokenward.core.login import CODE, Refused
from tokenward.core.provider import endpoint_problem
from tokenward.core.redact import printable

DEFAULT_INTERVAL_SECONDS = 5.0
"""RFC 8628 section 3.2: where the server names no interval."""
SLOW_DOWN_SECONDS = 5.0
"""RFC 8628 section 3.5: what each ``slow_down`` adds."""
LONGEST_INTERVAL_SECONDS = 300.0
"""A server that wants more than five minutes between two questions has made a mistake, or means us harm."""
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
_USER_CODE = re.compile(r"[\x20-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What RFC 8628 section 3.2 answers.

    Args:
        device_code: ours, secret.
        user_code: what the person types.
        verification_uri: where.
        complete_uri: the same with the user_code in it; None if the server has none.
        expires_in: seconds of life.
        interval: seconds between two questions.
    """

    device_code: Secret
    user_code: str
    verification_uri: str
    complete_uri: str | None
    expires_in: float
    interval: float


def parse_device_authorization(status: int, body: bytes) -> DeviceAuthorization | Refused:
    """Read a device authorization endpoint's answer.

    Args:
        status: the HTTP status.
        body: the body, whole.
    """
    document = json_object(body)
    if document is None or not 200 <= status < 300:
        return _refused(status, document or {})
    device_code, user_code = document.get("device_code"), document.get("user_code")
    # Some servers spell it with an L (as drafts of the RFC did).
    address = document.get("verification_uri", document.get("verification_url"))
    complete = document.get("verification_uri_complete")
    life = parse_expires_in(document.get("expires_in"))
    if not isinstance(device_code, str) or not CODE.fullmatch(device_code):
        return Refused("no device_code", "the answer of the device authorization endpoint is not whole")
    if not isinstance(user_code, str) or not _USER_CODE.fullmatch(user_code):
        return Refused("no user_code", "the answer of the device authorization endpoint is not whole")
    if not isinstance(address, str) or endpoint_problem(address):
        return Refused("no verification_uri", "the address for the person cannot be used")
    if not isinstance(complete, str) or endpoint_problem(complete):
        complete = None
    interval = parse_expires_in(document.get("interval"))
    return DeviceAuthorization(
        Secret(device_code),
        user_code,
        address,
        complete,
        life if life is not None and life > 0 else 300.0,
        min(max(interval or DEFAULT_INTERVAL_SECONDS, 1.0), LONGEST_INTERVAL_SECONDS),
    )


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The server granted a login.

    Args:
        credential: the credential.
        account: what the server calls its owner; None if it does not say, or says what no name can hold.
    """

    credential: Credential
    account: str | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody has decided yet.

    Args:
        longer_by: seconds by which the interval grows.
    """

    longer_by: float


def read_grant(
    status: int, headers: Mapping[str, str], body: bytes, *, requested_at: datetime
) -> LoggedIn | Wait | Refused | Unavailable:
    """Read a token endpoint's answer to a code or a device_code.

    Args:
        status: the HTTP status.
        headers: the headers, names in lower case.
        body: the body, whole.
        requested_at: the wall clock when the request was begun.
    """
    document = json_object(body)
    outcome = parse_answer(status, headers, body, now=requested_at)
    if isinstance(outcome, Granted):
        return LoggedIn(_credential(outcome, requested_at), account_name(document or {}))
    document = document or {}
    error = document.get("error")
    if error == "authorization_pending":
        return Wait(0.0)
    if error == "slow_down":
        return Wait(SLOW_DOWN_SECONDS)
    if status == 429 or status >= 500:
        return outcome if isinstance(outcome, Unavailable) else Unavailable(f"HTTP {status}")
    return _refused(status, document)


def _credential(granted: Granted, requested_at: datetime) -> Credential:
    life, login_life = granted.expires_in, granted.login_expires_in
    return Credential(
        Kind.OAUTH,
        granted.access,
        refresh=granted.refresh,
        expires_at=None if life is None else requested_at + timedelta(seconds=life),
        granted_life=life if life is not None and life > 0 else None,
        scopes=granted.scopes or (),
        token_type=granted.token_type,
        login_ends_at=None if login_life is None else requested_at + timedelta(seconds=login_life),
    )


def account_name(document: Mapping[str, Any]) -> str | None:
    """The e-mail address beside the tokens, as Anthropic's answer has it: ``account.email_address``."""
    account = document.get("account")
    email = account.get("email_address") if isinstance(account, dict) else None
    return email if isinstance(email, str) and _NAME.fullmatch(email) else None


def _refused(status: int, document: Mapping[str, Any]) -> Refused:
    error, described = document.get("error"), document.get("error_description")
    if isinstance(error, dict):  # as Anthropic's API words it
        described, error = error.get("message"), error.get("type")
    return Refused(
        printable(error)[:60] if isinstance(error, str) and error else f"HTTP {status}",
        printable(described)[:200] if isinstance(described, str) else "",
    )


def parse_refusal(status: int, body: bytes) -> Refused:
    """Read an answer that is no success (RFC 6749 section 5.2), in whatever form it comes.

    Args:
        status: the HTTP status.
        body: the body, whole.
    """
    return _refused(status, json_object(body) or {})


def json_object(body: bytes) -> dict[str, Any] | None:
    """A body as the JSON object that it is; None if it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def parse_api_key(status: int, body: bytes) -> Secret | Refused:
    """Read the answer that exchanges a login for an API key.

    Args:
        status: the HTTP status.
        body: the body, whole.
    """
    document = json_object(body) or {}
    key = document.get("raw_key")
    if 200 <= status < 300 and isinstance(key, str) and CODE.fullmatch(key):
        return Secret(key)
    return _refused(status, document)
