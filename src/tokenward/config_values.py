"""From what a person writes to the value that is meant: variables, pasted keys, addresses with a tail.

The problem: keys and addresses are pasted from consoles, shells and other programs' documentation, with a
``Bearer`` before them or a ``/v1`` behind, and each of those is a 401 or a 404 hours later. What can only mean
one thing is put right and said; what could leak a token is refused.

Rules:
- ``${VAR}`` is expanded once, after parsing, in credential and URL values only. What it expands to is not
  looked at again, so that a key with a ``$`` in it stays whole.
- A variable that is unset or empty makes its value absent, never a literal ``${VAR}`` (P5).
- A URL is one that ``core.provider.endpoint_problem`` would let a secret be sent to.
- No warning and no reason ever quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tokenward.core.credential import Kind
from tokenward.core.provider import endpoint_problem
from tokenward.core.recognise import Misplaced, Shape, api_root, misplaced, recognise, shortness, without_bearer

RECOGNISED_KEYS = ("api_key", "auth_token")
CREDENTIAL_KEYS = frozenset({*RECOGNISED_KEYS, "client_secret"})
ENDPOINT_KEYS = frozenset(
    {"token_endpoint", "authorization_endpoint", "revocation_endpoint", "device_authorization_endpoint"}
)
EXPANDED_KEYS = CREDENTIAL_KEYS | ENDPOINT_KEYS | {"api_url", "billing_url", "issuer"}
"""The keys of a provider that ``${VAR}`` is expanded in."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PRINTABLE_ASCII = re.compile(r"[\x21-\x7e]+")


def names_variable(text: str) -> bool:
    """Whether a text holds a ``${VAR}``."""
    return _VARIABLE.search(text) is not None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A value ready to be checked.

    Args:
        text: the value; None = a variable makes it absent. It may be a secret, so it is not shown.
        warnings: what was put right, without the value.
    """

    text: str | None = field(repr=False)
    warnings: tuple[str, ...] = ()


def prepared(key: str, text: str, environ: Mapping[str, str]) -> Prepared:
    """A credential or URL value of the configuration, put right as far as it can mean only one thing.

    Args:
        key: one of ``EXPANDED_KEYS``.
        text: what the file says.
        environ: where variables are looked up.
    """
    for name in _VARIABLE.findall(text):
        if not environ.get(name, "").strip():
            return Prepared(None, (f"counts as absent: the environment variable {name} is not set",))
    value = _VARIABLE.sub(lambda found: environ[found[1]], text).strip()
    if key in {"api_key", "auth_token"}:
        return _without_bearer(value)
    return _root(value) if key == "api_url" else Prepared(value)


def _without_bearer(value: str) -> Prepared:
    bare, warnings = without_bearer(value)
    return Prepared(bare, warnings)


def judged(key: str, value: str, *, anthropic: bool, gateway: bool) -> Misplaced | str | None:
    """Whether a credential value is what its key is for (N16, A3, P9).

    Args:
        key: ``api_key`` or ``auth_token``.
        value: the value, prepared.
        anthropic: whether it is for Anthropic's API or for what speaks it.
        gateway: whether its provider's requests go to another host than Anthropic's.

    Returns:
        Why it must be refused, or a warning, or None.
    """
    given = recognise(value)
    if given.shape in {Shape.NOTHING, Shape.BROKEN}:
        return None  # ``credential_fault`` has the words for these
    if given.shape is Shape.SETUP_TOKEN and anthropic:
        return shortness(given)
    wrong = misplaced(given, Kind(key), anthropic=anthropic, gateway=gateway)
    return wrong or (shortness(given) if anthropic else None)


def _root(value: str) -> Prepared:
    """The root that clients append ``/v1/messages`` to."""
    root, tail = api_root(value)
    if tail is None:
        return Prepared(value)
    return Prepared(root, (f'ends in "{tail}", and clients append the path themselves; left out',))


def credential_fault(text: str) -> str | None:
    """Why a text is no key or secret; None if it may be one."""
    if not text:
        return "is empty"
    if not _PRINTABLE_ASCII.fullmatch(text):
        return "holds a blank, a line break or a character that no header can carry"
    return None


def url_fault(text: str, *, endpoint: bool) -> str | None:
    """Why a text is no address we would send a secret to; None if it is one.

    Args:
        text: the address.
        endpoint: whether a query is allowed (RFC 6749 section 3.2), as it is not in an issuer (RFC 8414
            section 2) or a base address.
    """
    if (problem := endpoint_problem(text)) is not None:
        return problem
    return "the address must not have a query" if "?" in text and not endpoint else None


def page_fault(text: str) -> str | None:
    """Why a text is no address of a page to send people to; None if it is one.

    Args:
        text: the address. No secret goes there, and the pages of many consoles stand behind a fragment.
    """
    return endpoint_problem(text.partition("#")[0])
