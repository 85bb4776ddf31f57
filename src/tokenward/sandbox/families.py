"""A refresh token that is presented twice means that two parties hold it, and one of them may be a thief.

A login starts a family: every access and refresh token that descends from it. This module decides which
token of a family still counts.

Rules:
- A refresh spends the refresh token and hands out its successor (rotation, RFC 9700 section 4.14.2).
- A spent refresh token that comes back revokes the whole family, because the server cannot tell which of the
  two holders is the thief. Within `reuse_grace` it is taken for a lost answer, and the same answer goes out
  again.
- A refresh narrows scope at most; it never widens it, and never lengthens the login (RFC 6749 section 6).
- The old access token lives to its own expiry, unless the rules say that a refresh kills it.
- Time is an argument of the object. No token appears in a repr or in an error.
"""

import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

DEFAULT_SCOPE = "user:inference user:profile"

_TOKEN_BYTES = 48  # 384 bits: beyond guessing, and about as long as the real thing

Liveness = Literal["live", "expired", "revoked", "unknown"]


class RefusedError(Exception):
    """An error of RFC 6749 section 5.2 (or of an extension of it), before it is an HTTP answer.

    Args:
        error: the registered error code, such as `invalid_grant`.
        description: a sentence for the developer, without any token in it.
        status: the HTTP status it goes out with.
    """

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


class ReuseDetectedError(RefusedError):
    """A spent refresh token was presented again; its family is now revoked (RFC 9700 section 4.14.2)."""

    def __init__(self) -> None:
        super().__init__("invalid_grant", "Refresh token was already used; the login is revoked")


@dataclass(frozen=True, slots=True)
class FamilyRules:
    """How tokens live and die.

    Args:
        ttl_seconds: life of an access token.
        refresh_ttl_seconds: life of the login, counted from the login and not from the last refresh; None for
            no end.
        rotate: whether a refresh replaces the refresh token. Without it the answer carries none.
        reuse_grace: seconds in which a spent refresh token gets the same answer again.
        refresh_kills_access: whether a refresh revokes the family's older access tokens.
        access_prefix: what access tokens start with.
        refresh_prefix: what refresh tokens start with.
    """

    ttl_seconds: float
    refresh_ttl_seconds: float | None
    rotate: bool
    reuse_grace: float
    refresh_kills_access: bool
    access_prefix: str
    refresh_prefix: str


@dataclass(frozen=True, slots=True)
class Issued:
    """The tokens of one successful grant.

    `expires_in` is what goes over the wire: whole seconds, rounded down. `expires_at` is the exact end, in
    Unix seconds. `refresh_token` is empty when none was issued; `refresh_expires_in` is None when the login
    has no end. `replayed` marks an answer given a second time within the grace.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    expires_at: float
    scope: str
    subject: str
    refresh_expires_in: int | None
    replayed: bool = False


@dataclass(slots=True)
class _Family:
    subject: str
    scope: str
    ends_at: float
    revoked: bool = False


@dataclass(slots=True)
class _Access:
    family: _Family
    expires_at: float
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class _Spent:
    at: float
    answer: Issued


@dataclass(slots=True)
class _Refresh:
    family: _Family
    spent: _Spent | None = None


class Families:
    """All families of one authorization server; safe to use from many threads.

    Args:
        rules: how tokens live and die.
        clock: the present, in Unix seconds.
    """

    def __init__(self, rules: FamilyRules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._lock = threading.Lock()
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, _Refresh] = {}

    def begin(
        self, *, subject: str, scope: str, ttl_seconds: float | None = None, with_refresh: bool = True
    ) -> Issued:
        """Start a family: a fresh login.

        Args:
            subject: whose login it is.
            scope: what it may do, space-separated.
            ttl_seconds: life of the first access token; None for the rules' own.
            with_refresh: False for grants that hand out no refresh token (RFC 7521 section 4.1).
        """
        with self._lock:
            life = self._rules.refresh_ttl_seconds
            ends_at = math.inf if life is None else self._clock() + life
            family = _Family(subject=subject, scope=scope, ends_at=ends_at)
            ttl = self._rules.ttl_seconds if ttl_seconds is None else ttl_seconds
            return self._issue_locked(family, scope, ttl, with_refresh=with_refresh)

    def refresh(self, refresh_token: str, *, scope: str | None = None, rotate: bool | None = None) -> Issued:
        """Spend a refresh token.

        Args:
            refresh_token: the one presented.
            scope: the scope asked for; None for all that was granted.
            rotate: overrides the rules for this one refresh.

        Raises:
            ReuseDetectedError: it was spent before, outside the grace; the family is revoked now.
            RefusedError: `invalid_grant` for an unknown, expired or revoked one; `invalid_scope` for a scope
                beyond what was granted.
        """
        with self._lock:
            now = self._clock()
            record = self._refresh.get(refresh_token)
            if record is None or record.family.revoked:
                raise RefusedError("invalid_grant", "Refresh token not found or invalid")
            if now >= record.family.ends_at:
                raise RefusedError("invalid_grant", "Refresh token expired")
            if record.spent is not None:
                return self._replay_locked(record.family, record.spent, now)
            granted = self._narrowed(record.family.scope, scope)
            if self._rules.refresh_kills_access:
                for access in self._access.values():
                    access.revoked = access.revoked or access.family is record.family
            rotating = self._rules.rotate if rotate is None else rotate
            issued = self._issue_locked(record.family, granted, self._rules.ttl_seconds, with_refresh=rotating)
            if rotating:
                record.spent = _Spent(now, issued)
            return issued

    def liveness(self, access_token: str) -> Liveness:
        """Whether an access token is good at this moment, and if not, why."""
        with self._lock:
            record = self._access.get(access_token)
            if record is None:
                return "unknown"
            if record.revoked or record.family.revoked:
                return "revoked"
            return "live" if self._clock() < record.expires_at else "expired"

    def subject_of(self, access_token: str) -> str:
        """Whose login an access token belongs to; empty when it is unknown."""
        with self._lock:
            record = self._access.get(access_token)
            return record.family.subject if record else ""

    def revoke(self, token: str) -> bool:
        """Revoke a token (RFC 7009 section 2.1) and say whether it was known.

        A refresh token takes its family with it; an access token goes alone.
        """
        with self._lock:
            if refresh := self._refresh.get(token):
                refresh.family.revoked = True
                return True
            if access := self._access.get(token):
                access.revoked = True
                return True
            return False

    def _replay_locked(self, family: _Family, spent: _Spent, now: float) -> Issued:
        if self._rules.reuse_grace > 0 and now - spent.at <= self._rules.reuse_grace:
            # The same pair again: a client whose answer got lost must end up with what the server remembers.
            left = max(0, math.floor(spent.answer.expires_at - now))
            return replace(spent.answer, expires_in=left, replayed=True)
        family.revoked = True
        raise ReuseDetectedError

    @staticmethod
    def _narrowed(granted: str, asked: str | None) -> str:
        if asked is None:
            return granted
        if not set(asked.split()) <= set(granted.split()):
            raise RefusedError("invalid_scope", "The scope asked for exceeds the scope granted")
        return asked

    def _issue_locked(self, family: _Family, scope: str, ttl: float, *, with_refresh: bool) -> Issued:
        now = self._clock()
        access_token = self._rules.access_prefix + secrets.token_urlsafe(_TOKEN_BYTES)
        self._access[access_token] = _Access(family, now + ttl)
        refresh_token = ""
        if with_refresh:
            refresh_token = self._rules.refresh_prefix + secrets.token_urlsafe(_TOKEN_BYTES)
            self._refresh[refresh_token] = _Refresh(family)
        endless = math.isinf(family.ends_at) or not with_refresh
        return Issued(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in=int(ttl),
            expires_at=now + ttl,
            scope=scope,
            subject=family.subject,
            refresh_expires_in=None if endless else int(family.ends_at - now),
        )
