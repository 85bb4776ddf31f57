"""What a caller gave us to keep, as a credential; and the refusal of what is another's.

The problem: whoever adds a credential says how long it lives and not until when, and pastes keys into the wrong
place. Both are settled before anything is stored.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tokenward.core.credential import Credential, Kind, Secret, from_unix_milliseconds
from tokenward.core.recognise import misplaced, recognise
from tokenward.daemon.profile_models import ProfileAddParams
from tokenward.errors import InvalidParams
from tokenward.provider_files import Provider, goes_to_gateway, is_built_in


def refuse_misplaced(credential: Credential, provider: Provider) -> None:
    """Let nobody keep a key that would be sent to somebody else's API.

    Args:
        credential: the credential.
        provider: the provider in force that it is given for.

    Raises:
        InvalidParams: if it is another's; a gateway's key of no known gateway would go to Anthropic (A3, N16).
    """
    if credential.kind not in {Kind.API_KEY, Kind.AUTH_TOKEN}:
        return
    registration = provider.registration
    wrong = misplaced(
        recognise(credential.access.reveal()),
        credential.kind,
        anthropic=is_built_in(registration.name),
        gateway=goes_to_gateway(registration.base_url),
    )
    if wrong is not None:
        raise InvalidParams(wrong.cause, hint=wrong.hint)


def read(params: ProfileAddParams, *, now: datetime) -> Credential:
    """The credential that a caller gave, with its end on our clock.

    Args:
        params: what it gave.
        now: the wall clock, aware UTC.

    Raises:
        InvalidParams: if its end is on no calendar.
    """
    given = params.credential
    expires_at = from_unix_milliseconds(given.expires_at_ms) if given.expires_at_ms is not None else None
    if given.expires_in is not None:
        try:
            expires_at = now + timedelta(seconds=given.expires_in)
        except (OverflowError, ValueError):
            raise InvalidParams(
                "no calendar holds that expires_in", hint="leave it out if it is unknown"
            ) from None
    refresh = given.refresh_token.get_secret_value() if given.refresh_token is not None else ""
    return Credential(
        kind=Kind(params.kind),
        access=Secret(given.access_token.get_secret_value()),
        refresh=Secret(refresh) if refresh else None,
        expires_at=expires_at,
        granted_life=given.expires_in if given.expires_in is not None and given.expires_in > 0 else None,
        scopes=tuple((given.scope or "").split()),
        token_type=given.token_type,
    )
