"""What a text is that somebody pasted, configured or set: told by its prefix and its shape.

The problem: an API key, a setup token, a refresh token, the ``code#state`` of a browser and a whole login file
all look like "the token" to the person who holds one. Taken for something else, each is a 401 hours later that
looks like an expired login. So what is wrong for its place is refused at once, with the name of what it is.

Rules:
- Only what can mean one thing is put right (``Bearer`` in front, wrapped lines), and that is said.
- No word said here quotes the text: it may be a secret.
- The shapes are Anthropic's. Other providers' credentials are judged by nothing but what no header can carry.
- A prefix decides, a length only warns; but a setup token that a person pasted too short was cut off.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from enum import StrEnum

from tokenward.core.credential import Kind

SETUP_TOKEN_PREFIX = "sk-ant-oat01-"  # noqa: S105 - how all of them begin
SHORTEST_SETUP_TOKEN = 80
"""Setup tokens have 108 characters; under 80, the end of a wrapped line is missing."""
SHORTEST_API_KEY = 102
"""Every key of the Console that was seen has 108 characters; a shorter one may be a new form."""

_BEARER = re.compile(r"bearer(?:\s+|$)", re.IGNORECASE)
_PRINTABLE_ASCII = re.compile(r"[\x21-\x7e]+")
_CODE_AND_STATE = re.compile(r"[A-Za-z0-9_-]{8,}#[A-Za-z0-9_-]{8,}")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_API_TAIL = re.compile(r"(?:(?:/+v1)+(?:/+messages)?)?/*$")


class Shape(StrEnum):
    """What a text looks like, in the words that a person gets."""

    NOTHING = "nothing"
    API_KEY = "an API key of the Console (sk-ant-api…)"
    SETUP_TOKEN = "a setup token or access token (sk-ant-oat01-…)"  # noqa: S105 - words, as below
    REFRESH_TOKEN = "a refresh token (sk-ant-ort01-…)"  # noqa: S105
    OTHER_ANTHROPIC = "another key of Anthropic's (sk-ant-…)"
    GATEWAY_KEY = "a gateway's key (sk-…, but not sk-ant-…)"
    CODE_AND_STATE = "the code#state of a browser login"
    JWT = "a JWT"
    LOGIN = "the JSON of a login"
    CLAUDE_CODE_LOGIN = "Claude Code's whole login file"
    ADDRESS = "an address"
    BROKEN = "a text with characters that no token has"
    OTHER = "a text that begins like no credential of Anthropic's"


_PREFIXES = (
    ("sk-ant-api", Shape.API_KEY),
    (SETUP_TOKEN_PREFIX, Shape.SETUP_TOKEN),
    ("sk-ant-ort", Shape.REFRESH_TOKEN),
    ("sk-ant-", Shape.OTHER_ANTHROPIC),
    ("sk-", Shape.GATEWAY_KEY),
    ("https://", Shape.ADDRESS),
    ("http://", Shape.ADDRESS),
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A text, and what it is.

    Args:
        shape: what it looks like.
        token: the text, put right; of a JSON document, all of it.
        notes: one line for each thing that was put right.
    """

    shape: Shape
    token: str = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Why a text does not belong where it was given.

    Args:
        cause: what was recognised, and what belongs there.
        hint: the way that helps.
    """

    cause: str
    hint: str


def recognise(text: str) -> Recognised:
    """Say what a text is, after putting right what can mean only one thing (A8, E13)."""
    stripped = text.strip()
    if (document := _json(stripped)) is not None:
        return document
    bare, notes = without_bearer(stripped)
    token = "".join(bare.split())
    if token != bare:
        notes = (*notes, "has line breaks or blanks inside, which are not part of it; left out")
    return Recognised(_shape(token), token, notes)


def without_bearer(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without the name of its scheme in front (RFC 6750 section 2.1), and what is to be said of that."""
    bare = _BEARER.sub("", text, count=1)
    return bare, () if bare == text else ('begins with "Bearer ", which is not part of it; left out',)


def _json(text: str) -> Recognised | None:
    """A JSON object, or the text inside a JSON string; None if it is neither."""
    if text[:1] not in {"{", "["} and text[:1] + text[-1:] != '""':
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return Recognised(Shape.BROKEN, text)
    if isinstance(document, str):
        return recognise(document)
    if not isinstance(document, dict):
        return Recognised(Shape.BROKEN, text)
    return Recognised(Shape.CLAUDE_CODE_LOGIN if "claudeAiOauth" in document else Shape.LOGIN, text)


def _shape(token: str) -> Shape:
    if not token:
        return Shape.NOTHING
    if not _PRINTABLE_ASCII.fullmatch(token):
        return Shape.BROKEN
    if token.startswith("sk-ant-") and "#" in token:
        return Shape.BROKEN
    for prefix, shape in _PREFIXES:
        if token.startswith(prefix):
            return shape
    if _JWT.fullmatch(token):
        return Shape.JWT
    return Shape.CODE_AND_STATE if _CODE_AND_STATE.fullmatch(token) else Shape.OTHER


_NEVER = {
    Shape.NOTHING: ("nothing was given", "give the token itself"),
    Shape.BROKEN: (f"this is {Shape.BROKEN}", "copy it again, without quotes, dots or a # in it"),
    Shape.LOGIN: (f"this is {Shape.LOGIN}, and one token belongs here", "tokenward add PROFILE --oauth takes it"),
    Shape.CLAUDE_CODE_LOGIN: (
        f"this is {Shape.CLAUDE_CODE_LOGIN}, which is served from where it lies",
        "do not copy it: two holders of one refresh token log each other out; see: tokenward status",
    ),
}
"""What is a token for no provider."""

_NEVER_ANTHROPIC = {
    Shape.REFRESH_TOKEN: "it buys access tokens and is none itself; give the whole login, with --oauth",
    Shape.CODE_AND_STATE: "paste it where the login that printed the address asks for it; it is no token",
    Shape.ADDRESS: "open it in a browser; a token begins with sk-",
}

_BELONGS = {
    Kind.API_KEY: "API keys begin with sk-ant-api",
    Kind.SETUP_TOKEN: f"setup tokens begin with {SETUP_TOKEN_PREFIX}",
    Kind.AUTH_TOKEN: "a gateway's key belongs here",
}

_WAY = {
    Shape.API_KEY: "for an API key use --api-key",
    Shape.SETUP_TOKEN: "for what `claude setup-token` printed use --setup-token",
    Shape.GATEWAY_KEY: (
        "for a gateway's key use --auth-token, and set api_url (or ANTHROPIC_BASE_URL) to the gateway's address"
    ),
    Shape.JWT: "for a gateway's token use --auth-token, and set api_url to the gateway's address",
}
_MAKE_ONE = {
    Kind.API_KEY: "make one at https://console.anthropic.com/settings/keys",
    Kind.SETUP_TOKEN: "run `claude setup-token` on any machine, and give what it prints",
    Kind.AUTH_TOKEN: "copy it from the gateway's console",
}


def misplaced(
    recognised: Recognised, kind: Kind, *, anthropic: bool, gateway: bool | None = None
) -> Misplaced | None:
    """Why a text cannot be a credential of this kind; None if it can (E12, N16, A3).

    Args:
        recognised: what the text is.
        kind: what it was given as: ``api_key``, ``auth_token`` or ``setup_token``.
        anthropic: whether it is for Anthropic's API or for what speaks it.
        gateway: whether requests go to another host than Anthropic's; None = not known here.
    """
    shape = recognised.shape
    if shape in _NEVER:
        return Misplaced(*_NEVER[shape])
    if not anthropic:
        return None
    if shape in _NEVER_ANTHROPIC:
        return Misplaced(f"this is {shape}; {_BELONGS[kind]}", _NEVER_ANTHROPIC[shape])
    if kind is Kind.SETUP_TOKEN:
        wrong = shape is not Shape.SETUP_TOKEN
    elif kind is Kind.API_KEY:
        foreign = shape in {Shape.GATEWAY_KEY, Shape.JWT, Shape.OTHER}
        wrong = shape is Shape.SETUP_TOKEN or (foreign and gateway is False)
    else:
        wrong = shape is Shape.GATEWAY_KEY and gateway is False
    if not wrong:
        return None
    if kind is Kind.AUTH_TOKEN:
        return Misplaced(
            f"this is {shape}, and nothing says where the gateway is",
            "set api_url under its [providers.NAME], or ANTHROPIC_BASE_URL, to the gateway's address",
        )
    elsewhere = kind is Kind.API_KEY or shape is Shape.API_KEY
    hint = _WAY.get(shape, _MAKE_ONE[kind]) if elsewhere else _MAKE_ONE[kind]
    return Misplaced(f"this is {shape}; {_BELONGS[kind]}", hint)


def shortness(recognised: Recognised) -> str | None:
    """What is to be said of a token that may have been cut off; None if nothing is."""
    least = {Shape.API_KEY: SHORTEST_API_KEY, Shape.SETUP_TOKEN: SHORTEST_SETUP_TOKEN}.get(recognised.shape, 0)
    return "looks too short: the end may be missing" if len(recognised.token) < least else None


def natural_kind(recognised: Recognised, *, gateway: bool) -> Kind:
    """The kind of a token that may be of any: what it is decides the header it travels in (P9, P25, P26).

    Args:
        recognised: what the text is.
        gateway: whether it is for another host than Anthropic's, where everything is a Bearer token.
    """
    if recognised.shape is Shape.SETUP_TOKEN:
        return Kind.SETUP_TOKEN
    if recognised.shape in {Shape.API_KEY, Shape.OTHER_ANTHROPIC} and not gateway:
        return Kind.API_KEY
    return Kind.AUTH_TOKEN


def jwt_end(recognised: Recognised) -> float | None:
    """The end that a JWT names (RFC 7519 section 4.1.4 ``exp``), in Unix seconds; None if it names none.

    Nothing is verified: it is the bearer who wants to know when to come again.
    """
    if recognised.shape is not Shape.JWT:
        return None
    payload = recognised.token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end) or end <= 0:
        return None
    return float(end)


def api_root(address: str) -> tuple[str, str | None]:
    """The root that clients append ``/v1/messages`` to, and the tail that was left out, if any (A1, A7)."""
    root = _API_TAIL.sub("", address)
    if root == address:
        return address, None
    return root, "/v1" if "/v1" in address[len(root) :] else "/"
