"""What a credential is, and how one value of it is told from another without showing it.

The problem: access and refresh tokens pass through many hands, and each hand is a place where one could be
printed, compared by hash-table order, or mixed up with its successor. So a secret lives in a type that does
not print, and every value of a credential has a public name, its *generation*.

Rules:
- ``Secret`` shows its text only through ``reveal()``. Nothing here calls it except the two digests.
- A credential is immutable: a refresh makes a new one.
- ``generation`` names a value (access and refresh token); ``family`` names the place where its refresh token
  is spent, so that every holder of one refresh token meets at one lock (design section 1).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GENERATION_DIGITS = 12
"""48 bits: enough that two values of one user's credentials never share a name, short enough to read out."""

_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Secret:
    """A text that is never shown by accident.

    Args:
        text: the secret.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself: for a header, an encrypted record or the owner's file, never for a message."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode("utf-8", "surrogatepass"), _bytes(other))

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "Secret(***)" if self._text else "Secret()"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


def _bytes(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")


class Kind(StrEnum):
    """The five kinds of credential (design section 1)."""

    API_KEY = "api_key"
    AUTH_TOKEN = "auth_token"  # noqa: S105 - the name of a kind, not a secret
    SETUP_TOKEN = "setup_token"  # noqa: S105 - as above
    OAUTH = "oauth"
    FEDERATED = "federated"


@dataclass(frozen=True, slots=True)
class Credential:
    """One value of a credential.

    Args:
        kind: which of the five kinds.
        access: the access token, or the key of a static kind.
        refresh: the refresh token, None where there is none.
        expires_at: when the access token ends, aware UTC; None = unknown, valid until a 401 says otherwise.
        granted_life: seconds of life the server granted (the ``expires_in`` of an answer we received, RFC
            6749 5.1); None where we never saw the grant.
        scopes: the scopes granted.
        token_type: RFC 6749 5.1 ``token_type``.
        login_ends_at: when the login itself ends, whatever is refreshed; None = unknown.
        subscription: the plan behind the login, where its owner says so.
        tier: the rate-limit tier, where its owner says so.
        account: the account's id, where its owner says so.
    """

    kind: Kind
    access: Secret
    refresh: Secret | None = None
    expires_at: datetime | None = None
    granted_life: float | None = None
    scopes: tuple[str, ...] = ()
    token_type: str = "Bearer"  # noqa: S105 - RFC 6749 token_type, not a secret
    login_ends_at: datetime | None = None
    subscription: str | None = None
    tier: str | None = None
    account: str | None = None
    generation: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "generation", generation_of(self.access, self.refresh))

    @property
    def refreshable(self) -> bool:
        """Whether it carries a refresh token that may be spent."""
        return bool(self.refresh)

    def aged(self, *, granted_life: float | None) -> Credential:
        """The same value with another belief about the life it was granted, in seconds."""
        return replace(self, granted_life=granted_life)


def generation_of(access: Secret, refresh: Secret | None) -> str:
    """Name one value of a credential: public, stable, and of no use to a thief."""
    digest = hashlib.sha256(_bytes(access) + b"\0" + (_bytes(refresh) if refresh else b""))
    return digest.hexdigest()[:GENERATION_DIGITS]


def family_of(token_endpoint: str, refresh: Secret) -> str:
    """Name the family of a refresh token: every place that holds it, at whatever path (design section 1).

    Args:
        token_endpoint: the URL the refresh token is spent at.
        refresh: the refresh token about to be spent.

    Returns:
        64 hex digits, fit for a file name.
    """
    return hashlib.sha256(token_endpoint.encode() + b"\0" + _bytes(refresh)).hexdigest()


def from_unix_milliseconds(milliseconds: float) -> datetime | None:
    """The moment meant by a Unix time in milliseconds; None where no calendar holds it."""
    try:
        moment = EPOCH + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError):
        return None
    return min(moment, _LATEST)


def to_unix_milliseconds(moment: datetime) -> int:
    """A moment as Unix milliseconds, rounded down so that no life is added."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


MAIN_AGENT = "main"
"""The agent of every profile for which nobody named another."""


def profile_key(profile_id: str, agent: str) -> str:
    """What tells a profile from all others, those of other agents included.

    Args:
        profile_id: ``provider:name``.
        agent: whose it is.

    Returns:
        The id for main's profiles, else ``agent/provider:name``; neither part may hold a slash.
    """
    return profile_id if agent == MAIN_AGENT else f"{agent}/{profile_id}"


def agent_and_id(key: str) -> tuple[str, str]:
    """The two parts of a profile's key."""
    agent, slash, profile_id = key.rpartition("/")
    return (agent, profile_id) if slash else (MAIN_AGENT, key)


@dataclass(frozen=True, slots=True)
class Profile:
    """The user's named use of a credential.

    Args:
        id: ``provider:name``.
        provider: the provider's name.
        agent: the namespace of profiles it belongs to; "main" by default.
        source: the name of the place its credential comes from, as shown to people ("claude-code", "store").
        enabled: whether it may be served.
        base_url: the API's root, where its source names another than its provider does.
        headers: further headers that its source says every request needs, names in lower case.
    """

    id: str
    provider: str
    source: str
    agent: str = MAIN_AGENT
    enabled: bool = True
    base_url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """What tells it from all others; see ``profile_key``."""
        return profile_key(self.id, self.agent)
