"""A ``token.get`` whose members are all plain, read without the models.

The problem: the models of the socket and the library behind them cost more to import than the rest of the daemon,
and nearly every request says nothing that needs them.

Rules:
- What is taken here is what ``TokenParams`` takes, and means the same; a test compares the two on anything.
- In doubt it is not taken: another type, even one that the models would convert, a member that the lane never
  answers, a text that is no Unicode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tokenward.core import names, protocol
from tokenward.core.credential import MAIN_AGENT, Kind

if TYPE_CHECKING:
    from tokenward.daemon.token_models import TokenParams

METHOD = "token.get"
MOST_COMPACTIONS = 1_000_000
LONGEST_LIFE = 31_622_400
"""Seconds: a leap year."""
LONGEST_TIMEOUT = 600
"""Seconds."""


class PlainRequest(NamedTuple):
    """What is asked for; the members and their defaults are those of ``TokenParams``."""

    provider: str | None = None
    profile: str | None = None
    agent: str = MAIN_AGENT
    session: str | None = None
    compactions: int = 0
    kinds: list[str] | None = None
    auth_method: str | None = None
    tier: str | None = None
    min_valid: float = protocol.DEFAULT_MIN_VALID
    newer_than: str | None = None
    timeout: float = protocol.DEFAULT_TIMEOUT
    credential: None = None
    model: None = None
    betas: None = None


TokenRequest: TypeAlias = "PlainRequest | TokenParams"


def read_plain(members: Any) -> PlainRequest | None:
    """The request that these parameters make; None if somebody else shall say.

    Args:
        members: what stands under ``params``, as it was read from JSON.
    """
    if type(members) is not dict:
        return None
    for name, value in members.items():
        if name not in _IS_PLAIN or not _IS_PLAIN[name](value):
            return None
    return PlainRequest(**members)


def _is_text(value: Any, *, longest: int, least: int = 0) -> bool:
    if type(value) is not str or not least <= len(value) <= longest:
        return False
    return value.isascii() or _is_unicode(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a pair
        return False
    return True


def _is_like(value: Any, *, pattern: str) -> bool:
    return type(value) is str and re.fullmatch(pattern, value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_COMPACTIONS


def _is_seconds(value: Any, *, most: int) -> bool:
    return (type(value) is float or type(value) is int) and 0 <= value <= most


def _are_kinds(value: Any) -> bool:
    return type(value) is list and all(type(kind) is str and kind in _KINDS for kind in value)


def _is_method(value: Any) -> bool:
    return type(value) is str and value in {"api_key", "oauth"}


def _is_nothing(value: Any) -> bool:
    return value is None


def _or_nothing(is_plain: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_plain(value)


_KINDS = frozenset(kind.value for kind in Kind)
_IS_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "provider": _or_nothing(partial(_is_text, longest=names.LONGEST_PROVIDER)),
    "profile": _or_nothing(partial(_is_like, pattern=names.PROFILE_ID)),
    "agent": partial(_is_like, pattern=names.AGENT),
    "session": _or_nothing(partial(_is_text, longest=names.LONGEST_SESSION, least=1)),
    "compactions": _is_count,
    "kinds": _or_nothing(_are_kinds),
    "auth_method": _or_nothing(_is_method),
    "tier": _or_nothing(partial(_is_text, longest=names.LONGEST_TIER)),
    "min_valid": partial(_is_seconds, most=LONGEST_LIFE),
    "newer_than": _or_nothing(partial(_is_like, pattern=names.GENERATION)),
    "timeout": partial(_is_seconds, most=LONGEST_TIMEOUT),
    "credential": _is_nothing,
    "model": _is_nothing,
    "betas": _is_nothing,
}
"""Of each member, whether a value is taken as it stands."""
