"""How a person logs in, as values: what we ask for, and what of the answer that a person brings is believed.

The problem: a login's answer arrives by way of a browser, a clipboard or another person's link, so it can belong
to a login that somebody else began (and then the account that is stored is theirs), come from another server
than the one that was asked, or be half of what was copied. Only what provably answers our own question counts.

Rules:
- The code_verifier is S256 or nothing (RFC 7636 section 4.2).
- A ``state`` that differs is refused, always; a missing one too, unless the caller allows it.
- An ``iss`` that names another issuer is refused; where the server promises one (RFC 9207), a redirect without
  is refused too. A code that was copied off a page carries none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from tokenward.core.credential import Secret
from tokenward.core.redact import printable

LoginMethod = Literal["oauth", "paste", "device", "create-api-key"]
"""``create-api-key`` is a login that is not kept: it only makes an API key."""
AUTHORIZATION_CODE_GRANT = "authorization_code"
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
MAX_CODE_LENGTH = 8192
"""Codes are hundreds of characters, JWTs among them thousands."""
DEFAULT_NAME = "default"
"""The name of a profile whose account has none."""
CODE = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.11, without the blank that pasting adds


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
    if not code or len(code) > MAX_CODE_LENGTH or not CODE.fullmatch(code):
        return NotOurs("there is no code in it")
    return Code(Secret(code))
