"""An authorization server and API that misbehave by script, in simulated time, and know what really was.

Every fault is a span of a share of the whole time, so that a short run meets all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LIFE = 3600.0
"""Seconds of an access token's life."""
QUOTA_SECONDS = 1800.0
"""Length of the windows in which requests are counted."""
QUOTAS = (100, 140, 180, 220, 260, 300)
"""Requests a window of each profile: together a little more than forty agents ask."""
NO_CREDIT = (0.15, 0.30)
"""When the second profile has no credit."""
REVOKED, LOGGED_IN_AGAIN = 0.40, 0.55
"""When the third profile's login is revoked, and when its owner logs in anew."""
ENDPOINT_DOWN = (0.65, 0.67)
OVERLOADED = (0.80, 0.802)
"""When the whole API is overloaded, whoever asks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said.

    Args:
        status: of HTTP.
        error: the body of an error.
        headers: those that matter.
    """

    status: int
    error: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Login:
    access: str
    refresh: str
    ends: float
    revoked: bool = False


class ScriptedServer:
    """Both servers, for a number of logins.

    Args:
        logins: how many.
        total: seconds that the whole simulation lasts.
    """

    def __init__(self, logins: int, total: float) -> None:
        self._total = total
        self._serial = 0
        self._used: Counter[tuple[int, int]] = Counter()
        self.spent: Counter[str] = Counter()
        self.logins = {number: self._issue(0.0) for number in range(logins)}

    def log_in(self, number: int, now: float) -> _Login:
        """A person logs in again."""
        self.logins[number] = self._issue(now)
        return self.logins[number]

    def refresh(self, number: int, token: str, now: float) -> _Login | str:
        """Spend a refresh token: a new login, or the error's name (RFC 6749 5.2), or ``unavailable``."""
        if self._is_within(ENDPOINT_DOWN, now):
            return "unavailable"
        self.spent[token] += 1
        login = self.logins[number]
        if number == 2 and self._share(now) >= REVOKED and self._share(now) < LOGGED_IN_AGAIN:
            login.revoked = True
        if login.revoked or token != login.refresh:
            login.revoked = True  # RFC 9700 4.14: a token that comes twice ends its family
            return "invalid_grant"
        self.logins[number] = self._issue(now)
        return self.logins[number]

    def request(self, number: int, access: str, now: float) -> Answer:
        """One call of the API."""
        login, window = self.logins[number], (number, int(now // QUOTA_SECONDS))
        if number == 2 and REVOKED <= self._share(now) < LOGGED_IN_AGAIN:
            login.revoked = True
        if login.revoked or access != login.access or now >= login.ends:
            return Answer(401, {"type": "authentication_error", "message": "OAuth token is not valid"})
        if self._is_within(OVERLOADED, now):
            return Answer(529, {"type": "overloaded_error", "message": "Overloaded"})
        if number == 1 and self._is_within(NO_CREDIT, now):
            return Answer(402, {"type": "billing_error", "message": "Your credit balance is too low"})
        self._used[window] += 1
        if self._used[window] > QUOTAS[number % len(QUOTAS)]:
            left = QUOTA_SECONDS - now % QUOTA_SECONDS
            # Half of the profiles are told when their window ends; of the others it is guessed.
            headers = {"retry-after": f"{left:.0f}"} if number % 2 else {}
            return Answer(429, {"type": "rate_limit_error", "message": "Number of requests"}, headers)
        return Answer(200)

    def _issue(self, now: float) -> _Login:
        self._serial += 1
        return _Login(f"access-{self._serial}", f"refresh-{self._serial}", now + LIFE)

    def _share(self, now: float) -> float:
        return now / self._total

    def _is_within(self, span: tuple[float, float], now: float) -> bool:
        return span[0] <= self._share(now) < span[1]
