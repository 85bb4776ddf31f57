"""What a person or a program hands over when it adds a credential, read with care.

The problem: keys are pasted with line breaks inside and ``Bearer`` in front, one kind in the place of another,
and the JSON of an OAuth login is spelled differently by every program, its end in seconds or milliseconds.

Rules: nothing that was pasted appears in a message. What was corrected or guessed is said, in ``notes``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tokenward.errors import ConfigurationFault

SECONDS_END = 1e11
"""A point in time below this is in seconds (until the year 5138), from it on in milliseconds (since 1973)."""

_ACCESS = ("access_token", "accessToken", "access")
_REFRESH = ("refresh_token", "refreshToken", "refresh")
_ENDS = ("expires_at", "expiresAt", "expires", "expiry")
_SCOPE = ("scope", "scopes")
_CLAUDE_CODE_ROOT = "claudeAiOauth"
_SETUP_TOKEN = "sk-ant-oat01-"  # noqa: S105 - the beginning that all of them share
_CONSOLE_KEY = "sk-ant-api"


@dataclass(frozen=True, slots=True)
class Pasted:
    """A credential as ``profile.add`` takes it.

    Args:
        credential: the members of its ``credential``.
        notes: one line for each thing that was corrected or guessed.
    """

    credential: dict[str, Any]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Pasted({sorted(self.credential)}, notes={self.notes})"


def key(text: str, *, kind: str, provider: str) -> Pasted:
    """Read a key or token.

    Args:
        text: what was pasted.
        kind: ``api_key``, ``auth_token`` or ``setup_token``.
        provider: whose it is said to be.

    Raises:
        ConfigurationFault: if it cannot be one.
    """
    notes = []
    words = text.split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
        notes.append('"Bearer" in front was left out: it is no part of the token')
    token = "".join(words)
    if len(words) > 1:
        notes.append("line breaks and spaces inside were left out")
    if not token:
        raise ConfigurationFault("nothing was given", hint="paste it at the prompt, or pipe it in")
    if not token.isascii() or not token.isprintable():
        raise ConfigurationFault(
            "it holds characters that no token has", hint="copy it again, without quotes or dots around it"
        )
    if provider == "anthropic":
        _refuse_other_kind(token, kind)
    return Pasted({"access_token": token}, tuple(notes))


def oauth(text: str) -> Pasted:
    """Read the JSON of an OAuth login.

    Args:
        text: a JSON object with an access token, a refresh token and an end, in any usual spelling.

    Raises:
        ConfigurationFault: if a part is missing or of the wrong type.
    """
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise ConfigurationFault(
            "it is not a JSON object", hint='give {"access_token": …, "refresh_token": …, "expires_in": …}'
        )
    if _CLAUDE_CODE_ROOT in members:
        raise ConfigurationFault(
            "this is the login of Claude Code, which is served from its own file",
            hint="do not copy it: two holders of one refresh token log each other out; see: tokenward status",
        )
    credential: dict[str, Any] = {
        "access_token": _text(members, _ACCESS, needed=True),
        "refresh_token": _text(members, _REFRESH, needed=True),
        "scope": _scope(members),
    }
    notes: list[str] = []
    if members.get("expires_in") is not None:
        credential["expires_in"] = _number(members["expires_in"], "expires_in")
    else:
        name = next((each for each in _ENDS if members.get(each) is not None), None)
        if name is None:
            notes.append("it says nothing of its end: it counts as valid until the API answers 401")
        else:
            credential["expires_at_ms"], unit = _moment(members[name], name)
            notes.append(f"{name} was read as {unit}")
    return Pasted({each: value for each, value in credential.items() if value is not None}, tuple(notes))


def _refuse_other_kind(token: str, kind: str) -> None:
    if kind == "setup_token" and not token.startswith(_SETUP_TOKEN):
        what = "this is a key of the Console" if token.startswith(_CONSOLE_KEY) else "this is no setup token"
        way = "--api-key" if token.startswith(_CONSOLE_KEY) else "what `claude setup-token` printed"
        raise ConfigurationFault(f"{what}: those begin with {_SETUP_TOKEN}", hint=f"use {way}")
    if kind == "api_key" and token.startswith(_SETUP_TOKEN):
        raise ConfigurationFault(
            "this is a setup token or an access token, not an API key", hint="use --setup-token"
        )


def _text(members: Mapping[str, Any], names: tuple[str, ...], *, needed: bool) -> str | None:
    for name in names:
        value = members.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationFault(f"{name} is not a text", hint="copy the whole JSON object again")
        return value.strip()
    if needed:
        raise ConfigurationFault(f"{names[0]} is missing", hint=f"it may also be spelled {' or '.join(names[1:])}")
    return None


def _scope(members: Mapping[str, Any]) -> str | None:
    for name in _SCOPE:
        value = members.get(name)
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return " ".join(value)
    return _text(members, _SCOPE, needed=False)


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
