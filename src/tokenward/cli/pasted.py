"""What a person or a program hands over when it adds a credential, read with care.

The problem: keys are pasted with line breaks inside and ``Bearer`` in front, one kind in the place of another,
and the JSON of an OAuth login is spelled differently by every program, its end in seconds or milliseconds.

Rules: nothing that was pasted appears in a message. What was corrected or guessed is said, in ``notes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenward.core import login_document
from tokenward.core.credential import Kind
from tokenward.core.recognise import Shape, misplaced, recognise, shortness
from tokenward.errors import ConfigurationFault


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
        ConfigurationFault: if it cannot be one; the cause says what was recognised instead.
    """
    given = recognise(text)
    wrong = misplaced(given, Kind(kind), anthropic=provider == "anthropic" or kind == Kind.SETUP_TOKEN)
    if wrong is not None:
        raise ConfigurationFault(wrong.cause, hint=wrong.hint)
    notes = [f"it {note}" for note in given.notes]
    if (short := shortness(given)) is not None:
        if kind == Kind.SETUP_TOKEN:
            raise ConfigurationFault(
                f"this setup token {short}", hint="copy all of it; lines that the terminal wrapped are joined here"
            )
        notes.append(f"it {short}")
    return Pasted({"access_token": given.token}, tuple(notes))


def oauth(text: str) -> Pasted:
    """Read the JSON of an OAuth login.

    Args:
        text: a JSON object with an access token, a refresh token and an end, in any usual spelling.

    Raises:
        ConfigurationFault: if a part is missing or of the wrong type.
    """
    given = recognise(text)
    if given.shape is Shape.CLAUDE_CODE_LOGIN:
        wrong = misplaced(given, Kind.OAUTH, anthropic=True)
        assert wrong is not None  # noqa: S101 - it belongs nowhere
        raise ConfigurationFault(wrong.cause, hint=wrong.hint)
    if given.shape not in {Shape.LOGIN, Shape.NOTHING, Shape.BROKEN, Shape.OTHER}:
        raise ConfigurationFault(
            f"this is {given.shape}, not the JSON of a login",
            hint='give {"access_token": …, "refresh_token": …, "expires_in": …}',
        )
    login = login_document.read(text)
    if login.refresh is None:
        raise login_document.missing()
    credential = {
        "access_token": login.access,
        "refresh_token": login.refresh,
        "scope": login.scope,
        "expires_in": login.expires_in,
        "expires_at_ms": login.expires_at_ms,
    }
    return Pasted({each: value for each, value in credential.items() if value is not None}, login.notes)
