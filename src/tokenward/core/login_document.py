"""The JSON of an OAuth login, as every program spells it differently.

The problem: the same three values are ``access_token`` here and ``accessToken`` there, their end is in seconds,
in milliseconds, a date or a life in seconds, and a wrong guess is a token that is never refreshed or always.

Rules: nothing of the document appears in a message. What was guessed is said, in ``notes``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tokenward.errors import ConfigurationFault

SECONDS_END = 1e11
"""A point in time below this is in seconds (until the year 5138), from it on in milliseconds (since 1973)."""

_ACCESS = ("access_token", "accessToken", "access", "token")
_REFRESH = ("refresh_token", "refreshToken", "refresh")
_ENDS = ("expires_at", "expiresAt", "expires", "expiry", "token_expiry")
_SCOPE = ("scope", "scopes")
_WITHIN = "credential"
"""Where ``gcloud config config-helper`` has the login, beside its configuration."""


@dataclass(frozen=True, slots=True)
class LoginDocument:
    """What such a document says.

    Args:
        access: the access token.
        refresh: the refresh token; None = it has none.
        expires_in: seconds of life, counted from now; None = it does not say so.
        expires_at_ms: its end in Unix milliseconds; None = it does not say so.
        scope: the scopes granted, separated by blanks; None = it does not say so.
        notes: one line for each thing that was guessed.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_in: float | None
    expires_at_ms: float | None
    scope: str | None
    notes: tuple[str, ...]


def read(text: str) -> LoginDocument:
    """Read the JSON of an OAuth login.

    Args:
        text: a JSON object with an access token, and what else there is, in any usual spelling.

    Raises:
        ConfigurationFault: if a part is missing or of the wrong type.
    """
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise ConfigurationFault(
            "it is not a JSON object", hint='give {"access_token": …, "refresh_token": …, "expires_in": …}'
        )
    if not any(name in members for name in _ACCESS) and isinstance(members.get(_WITHIN), dict):
        members = members[_WITHIN]
    access = _text(members, _ACCESS)
    if access is None:
        raise missing(_ACCESS)
    notes: list[str] = []
    expires_in = expires_at_ms = None
    if members.get("expires_in") is not None:
        expires_in = _number(members["expires_in"], "expires_in")
    elif (name := next((each for each in _ENDS if members.get(each) is not None), None)) is not None:
        expires_at_ms, unit = _moment(members[name], name)
        notes.append(f"{name} was read as {unit}")
    else:
        notes.append("it says nothing of its end: it counts as valid until the API answers 401")
    return LoginDocument(
        access, _text(members, _REFRESH), expires_in, expires_at_ms, _scope(members), tuple(notes)
    )


def missing(names: tuple[str, ...] = _REFRESH) -> ConfigurationFault:
    """The error for a document without one of its parts; by default the refresh token."""
    return ConfigurationFault(f"{names[0]} is missing", hint=f"it may also be spelled {' or '.join(names[1:])}")


def _text(members: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = members.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationFault(f"{name} is not a text", hint="copy the whole JSON object again")
        return value.strip()
    return None


def _scope(members: Mapping[str, Any]) -> str | None:
    for name in _SCOPE:
        value = members.get(name)
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return " ".join(value)
    return _text(members, _SCOPE)


def _number(value: Any, name: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigurationFault(f"{name} is not a number of seconds or milliseconds", hint="see: RFC 6749 5.1")
    return float(value)


def _moment(value: Any, name: str) -> tuple[float, str]:
    """Unix milliseconds, and the unit that was read."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass  # digits in quotes
        else:
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return zoned.timestamp() * 1000, "a date" if moment.tzinfo else "a date in UTC"
    number = _number(value, name)
    return (number * 1000, "seconds") if number < SECONDS_END else (number, "milliseconds")
