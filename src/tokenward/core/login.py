"""How a person logs in, as values: what we ask for, what comes back, and what of it is believed.

The problem: a login's answer arrives by way of a browser, a clipboard or another person's link, so it can belong
to a login that somebody else began (and then the account that is stored is theirs), come from another server
than the one that was asked, or be half of what was copied. Only what provably answers our own question counts.

Rules:
- The code_verifier is S256 or nothing (RFC 7636 section 4.2).
- A ``state`` that differs is refused, always; a missing one too, unless the caller allows it.
- An ``iss`` that names another issuer is refused; where the server promises one (RFC 9207), a redirect without
  is refused too. A code that was copied off a page carries none.
- A device waits as long as the server says, and longer each time that it says so (RFC 8628 section 3.5).
- Who logged in is what the token answer says beside the tokens; an id_token is not read, since nobody here
  verifies it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Granted, Unavailable, parse_answer, parse_expires_in
from tokenward.core.provider import endpoint_problem
from tokenward.core.redact import printable

LoginMethod = Literal["oauth", "paste", "device", "create-api-key"]
"""``create-api-key`` is a login that is not kept: it only makes an API key."""
AUTHORIZATION_CODE_GRANT = "authorization_code"
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEFAULT_INTERVAL_SECONDS = 5.0
"""RFC 8628 section 3.2: where the server names no interval."""
SLOW_DOWN_SECONDS = 5.0
"""RFC 8628 section 3.5: what each ``slow_down`` adds."""
LONGEST_INTERVAL_SECONDS = 300.0
"""A server that wants more than five minutes between two questions has made a mistake, or means us harm."""
MAX_CODE_LENGTH = 8192
"""Codes are hundreds of characters, JWTs among them thousands."""
DEFAULT_NAME = "default"
"""The name of a profile whose account has none."""

_CODE = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.11, without the blank that pasting adds
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
_USER_CODE = re.compile(r"[\x20-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class LoginRules:
    """What a login at one provider needs besides the registration.

    Args:
        title: the provider's name for people.
        scope: what is asked for; None = the registration's.
        redirect_uri: where the browser is sent, if it must be a registered address; None = a free port of
            loopback (RFC 8252 section 7.3).
        parameters: further parameters of the authorization request.
        api_key_endpoint: where a login is exchanged for an API key; None = nowhere.
        api_key_scope: what is asked for then.
        key_check_endpoint: what is read to see whether the API takes a key; None = nothing is known.
        message_endpoint: where a model is sent a message; None = nothing is known.
        state_in_exchange: whether the token endpoint wants the ``state`` beside the code.
    """

    title: str
    scope: str | None = None
    redirect_uri: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    api_key_endpoint: str | None = None
    api_key_scope: str | None = None
    key_check_endpoint: str | None = None
    message_endpoint: str | None = None
    state_in_exchange: bool = False


@dataclass(frozen=True, slots=True)
class LoginTerms:
    """How the answer to an authorization request comes back.

    Args:
        pasted: a person copies it, and nothing listens for it.
        allows_missing_state: a code without its state is taken too.
    """

    pasted: bool = False
    allows_missing_state: bool = False


def s256(verifier: str) -> str:
    """The code_challenge of a code_verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    endpoint: str,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    challenge: str,
    scope: str | None,
    parameters: Mapping[str, str],
) -> str:
    """The address that a person opens (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

    Args:
        endpoint: the authorization endpoint; its own query is kept.
        client_id: how we are registered.
        redirect_uri: where the browser is sent afterwards.
        state: binds the answer to this login.
        challenge: the S256 of the code_verifier.
        scope: what is asked for; None = what the server gives by itself.
        parameters: further ones of the provider.
    """
    query = {
        **parameters,
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        **({"scope": scope} if scope else {}),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code that answers our question."""

    code: Secret


@dataclass(frozen=True, slots=True)
class NotOurs:
    """An answer that does not belong to this login, or is none; the login waits on.

    Args:
        reason: one line without what was pasted.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server, or the person at it, said no.

    Args:
        error: the ``error`` member, fit to be shown.
        description: what the server adds, fit to be shown.
    """

    error: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer must match.

    Args:
        state: the one we sent.
        issuer: the server we asked; None where it has no name.
        promises_issuer: whether the server's metadata promise an ``iss`` in every redirect (RFC 9207 section 3).
        allows_missing_state: whether a code without a state is taken.
    """

    state: str
    issuer: str | None = None
    promises_issuer: bool = False
    allows_missing_state: bool = False


def read_redirect(query: str, expected: Expectation) -> Code | Refused | NotOurs:
    """Read what a browser brought to the redirect_uri (RFC 6749 section 4.1.2).

    Args:
        query: the query of the address.
        expected: what it must match.
    """
    try:
        pairs = parse_qsl(query, max_num_fields=32, keep_blank_values=True)
    except ValueError:
        return NotOurs("the address has too many parts")
    members = dict(pairs)
    if len(members) != len(pairs):
        return NotOurs("a parameter of the address comes twice")
    if problem := _mismatch(members.get("state"), members.get("iss"), expected, is_redirect=True):
        return NotOurs(problem)
    if (error := members.get("error")) is not None:
        return Refused(printable(error)[:60], printable(members.get("error_description", ""))[:200])
    return _code(members.get("code", ""))


def read_pasted(text: str, expected: Expectation) -> Code | Refused | NotOurs:
    """Read what a person copied: ``code#state``, a whole redirect URL, its query, or a bare code.

    Args:
        text: as pasted; a terminal's line breaks in it do no harm.
        expected: what it must match.
    """
    pasted = "".join(text.split())
    if not pasted:
        return NotOurs("nothing was pasted")
    if "://" in pasted:
        query = urlsplit(pasted).query
        return read_redirect(query, expected) if query else NotOurs("the address holds no code")
    if re.match(r"\??(?:code|state|error|iss|scope)=", pasted):
        return read_redirect(pasted.removeprefix("?"), expected)
    code, hash_sign, state = pasted.partition("#")
    if problem := _mismatch(state if hash_sign else None, None, expected, is_redirect=False):
        return NotOurs(problem)
    return _code(code)


def _mismatch(state: str | None, iss: str | None, expected: Expectation, *, is_redirect: bool) -> str | None:
    if not state:
        if not expected.allows_missing_state:
            return "the state is missing: copy everything, code#state"
    elif not hmac.compare_digest(state.encode(), expected.state.encode()):
        return "the state is another one: this answers a login that was not begun here"
    if expected.issuer is not None:
        if iss is not None and iss != expected.issuer:
            return "it comes from another issuer than the one that was asked"
        if iss is None and is_redirect and expected.promises_issuer:
            return "it does not name its issuer, and this server always does"
    return None


def _code(code: str) -> Code | NotOurs:
    if not code or len(code) > MAX_CODE_LENGTH or not _CODE.fullmatch(code):
        return NotOurs("there is no code in it")
    return Code(Secret(code))


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
    if not isinstance(device_code, str) or not _CODE.fullmatch(device_code):
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
    if 200 <= status < 300 and isinstance(key, str) and _CODE.fullmatch(key):
        return Secret(key)
    return _refused(status, document)
