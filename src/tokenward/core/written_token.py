"""A credential that somebody wrote down as one text: a variable, a line of a file, what a command printed.

The problem: it may be a bare token or the JSON of a login, and the kind it is said to be need not be the kind
it is. What it is decides the header it travels in; what it cannot be is ``Unreadable``, with what was
recognised, so that ``status`` says so instead of the API. Lines are not joined as a person's paste is: a program
that prints several has printed its help.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from tokenward.core import access_key, login_document
from tokenward.core.credential import Credential, Kind, Secret, from_unix_milliseconds
from tokenward.core.reading import Absent, Found, Reading, Unreadable
from tokenward.core.recognise import Recognised, Shape, jwt_end, misplaced, natural_kind, recognise, without_bearer
from tokenward.errors import ConfigurationFault


class Written(NamedTuple):
    """Where a text stands, as far as it matters for its meaning.

    Args:
        expected: the kind that belongs there; None = any.
        anthropic: whether it is for Anthropic's API or for what speaks it.
        gateway: whether requests with it go to another host than Anthropic's.
    """

    expected: Kind | None = None
    anthropic: bool = True
    gateway: bool = False


def read(text: str, where: Written, *, now: datetime | None = None) -> Reading:
    """Say what a text means.

    Args:
        text: the text, put right by ``recognise``.
        where: where it stands.
        now: when it was written, from which a life in seconds counts; None = long ago, so that none does.
    """
    given = recognise(text)
    if given.shape is Shape.NOTHING:
        return Absent()
    if given.shape is Shape.LOGIN and not where.anthropic and (key := access_key.read(given.token)) is not None:
        return Found(Credential(Kind.AUTH_TOKEN, Secret(key.text), expires_at=key.expires_at))
    if given.shape is Shape.LOGIN:
        return _login(given, where, now)
    if without_bearer(text.strip())[0].split()[1:] and given.shape not in {Shape.BROKEN, Shape.CLAUDE_CODE_LOGIN}:
        return Unreadable("it is several words or lines, and a token is one")
    kind = _kind(given, where)
    wrong = misplaced(
        given,
        where.expected if where.expected is not None and kind is not Kind.SETUP_TOKEN else kind,
        anthropic=where.anthropic,
        gateway=where.gateway,
    )
    if wrong is not None:
        return Unreadable(f"{wrong.cause}: {wrong.hint}")
    end = jwt_end(given)
    expires_at = from_unix_milliseconds(end * 1000) if end is not None else None
    return Found(Credential(kind, Secret(given.token), expires_at=expires_at))


def _kind(given: Recognised, where: Written) -> Kind:
    if where.expected is Kind.API_KEY and not (where.anthropic and given.shape is Shape.SETUP_TOKEN):
        return Kind.API_KEY
    if where.expected is Kind.SETUP_TOKEN:
        return Kind.SETUP_TOKEN
    return natural_kind(given, gateway=where.gateway) if where.anthropic else Kind.AUTH_TOKEN


def _login(given: Recognised, where: Written, now: datetime | None) -> Reading:
    try:
        login = login_document.read(given.token)
    except ConfigurationFault as fault:
        return Unreadable(f"{fault.cause}: {fault.hint}")
    access = recognise(login.access)
    if access.shape in {Shape.NOTHING, Shape.BROKEN, Shape.LOGIN, Shape.REFRESH_TOKEN}:
        return Unreadable(f"its access token is {access.shape}")
    expires_at, granted_life = None, None
    if login.expires_at_ms is not None:
        expires_at = from_unix_milliseconds(login.expires_at_ms) if login.expires_at_ms > 0 else None
    elif login.expires_in is not None and now is not None:
        granted_life = login.expires_in
        expires_at = from_unix_milliseconds(1000 * (now.timestamp() + login.expires_in))
    elif (end := jwt_end(access)) is not None:
        expires_at = from_unix_milliseconds(end * 1000)
    return Found(
        Credential(
            kind=Kind.OAUTH if login.refresh else _kind(access, where),
            access=Secret(access.token),
            refresh=Secret(login.refresh) if login.refresh else None,
            expires_at=expires_at,
            granted_life=granted_life,
            scopes=tuple((login.scope or "").split()),
        )
    )


def without_refresh(credential: Credential, where: Written) -> Credential:
    """The same without its refresh token: for one that comes anew from where it came."""
    kind = _kind(recognise(credential.access.reveal()), where)
    return Credential(
        kind=kind,
        access=credential.access,
        expires_at=credential.expires_at,
        granted_life=credential.granted_life,
        scopes=credential.scopes,
    )


def ends_after(credential: Credential, seconds: float, now: datetime) -> Credential:
    """The same with an end so many seconds from now, for one that does not name its end."""
    return Credential(
        kind=credential.kind,
        access=credential.access,
        expires_at=now + timedelta(seconds=seconds),
        granted_life=seconds,
        scopes=credential.scopes,
    )
