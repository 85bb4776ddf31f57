"""How long a token is still good, and when to refresh it.

The problem: "expired" is not a property of a token but of a token and a moment, and the machine's idea of the
moment jumps: it suspends, its wall clock is set, its timers stop. So freshness is derived at each use and
never stored.

Rules:
- Remaining life is the smaller of what the wall clock and what the boot clock (which runs on in suspend) say,
  where both are known (design I8). A step of either clock costs at most one early refresh.
- A refresh is due ``margin + jitter`` before the end; jitter is only ever earlier, and the same for the same
  seed, so that a schedule can be recomputed at any time (design section 4.1).
- A caller's ``min_valid`` starts a refresh only up to half the life last granted (design I6), so that a greedy
  caller cannot make a refresh storm.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenward.core.bucket import Bucket, full_bucket
from tokenward.core.credential import Credential

MARGIN_SHARE = 0.2
"""A margin never takes more than this share of the life granted: a 20 s token is refreshed 4 s before its end."""
JITTER_SHARE = 6
"""Jitter is at most a sixth of the margin, so that it never eats the margin's safety."""
MIN_VALID_SHARE = 0.5
"""The share of a granted life up to which ``min_valid`` may start a refresh: at most two refreshes a life."""
FORCED_BURST = 3
"""Forced refreshes that may come at once (design I11)."""
FORCED_REFILL_SECONDS = 60.0
"""Seconds after which one more forced refresh is allowed (design I11)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A credential in the daemon's memory, with what the boot clock said of its end when it arrived.

    Args:
        credential: the value.
        boot_end: the boot-clock reading, in seconds, at which the access token ends; None = unknown.
    """

    credential: Credential
    boot_end: float | None


def hold(credential: Credential, *, now: datetime, boot_now: float) -> Held:
    """Note a credential's end on both clocks.

    Args:
        credential: a value just read or received.
        now: the wall clock, aware UTC.
        boot_now: the boot clock in seconds.
    """
    if credential.expires_at is None:
        return Held(credential, None)
    return Held(credential, boot_now + (credential.expires_at - now).total_seconds())


def remaining(held: Held, *, now: datetime, boot_now: float) -> float:
    """Seconds of life left; negative when past, infinite when the end is unknown."""
    return until(held.credential.expires_at, held.boot_end, now=now, boot_now=boot_now)


def until(ends_at: datetime | None, boot_end: float | None, *, now: datetime, boot_now: float) -> float:
    """Seconds until an end that was noted on both clocks; see ``remaining``.

    Args:
        ends_at: the end, aware UTC; None = unknown.
        boot_end: the boot-clock reading, in seconds, at the end; None = unknown.
        now: the wall clock, aware UTC.
        boot_now: the boot clock in seconds.
    """
    if ends_at is None:
        return math.inf
    by_wall = (ends_at - now).total_seconds()
    return by_wall if boot_end is None else min(by_wall, boot_end - boot_now)


@dataclass(frozen=True, slots=True)
class RefreshTiming:
    """The settings from which due times are computed, all in seconds.

    Args:
        margin: how long before the end a refresh is due.
        jitter: at most how much earlier it may be.
    """

    margin: float = 90.0
    jitter: float = 15.0

    def margin_for(self, credential: Credential) -> float:
        """The margin in seconds, scaled down for lives so short that it would eat them."""
        if credential.granted_life is None:
            return self.margin
        return min(self.margin, MARGIN_SHARE * credential.granted_life)

    def lead(self, credential: Credential, *, seed: str) -> float:
        """Seconds before the end at which a refresh is due: margin plus this credential's jitter.

        Args:
            credential: the value whose end is meant.
            seed: names host and profile, so that many hosts do not come at once.
        """
        margin = self.margin_for(credential)
        span = min(self.jitter, margin / JITTER_SHARE)
        return margin + span * _fraction(f"{seed}\0{credential.generation}")


def _fraction(seed: str) -> float:
    """A number in [0, 1) that depends on the seed alone."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6], "big") / 2**48


def refresh_due_in(held: Held, timing: RefreshTiming, *, seed: str, now: datetime, boot_now: float) -> float:
    """Seconds until a refresh is due; zero or negative when it is, infinite when it never will be."""
    if not held.credential.refreshable:
        return math.inf
    left = remaining(held, now=now, boot_now=boot_now)
    return left - timing.lead(held.credential, seed=seed)


def is_due(held: Held, timing: RefreshTiming, *, seed: str, now: datetime, boot_now: float) -> bool:
    """Whether a refresh is due now."""
    return refresh_due_in(held, timing, seed=seed, now=now, boot_now=boot_now) <= 0


def wanted_life(min_valid: float, granted_life: float | None) -> float:
    """Seconds of life below which a caller's ``min_valid`` starts a refresh (design I6).

    Where we never saw the grant, the caller's word is taken: the refresh it causes tells us the life.
    """
    return min_valid if granted_life is None else min(min_valid, MIN_VALID_SHARE * granted_life)


def forced_refreshes(*, at: float, most: float = FORCED_BURST) -> Bucket:
    """The full bucket that forced refreshes draw from (design I11).

    Args:
        at: the boot clock, in seconds.
        most: how many it holds.
    """
    return full_bucket(most, FORCED_REFILL_SECONDS, at=at)


FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 300.0
SHORTEST_RETRY_SECONDS = 1.0
"""Full jitter may draw nearly zero; a floor keeps a dead endpoint from being asked twice in a breath."""
LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""A server's Retry-After is obeyed up to here; more would outlive the outage it speaks of (as MSAL does)."""


def retry_delay(failures: int, *, draw: float, retry_after: float | None = None) -> float:
    """Seconds to wait after a failed refresh: 5 s doubling to 5 min with full jitter (design section 4.11).

    Args:
        failures: how many in a row, at least 1.
        draw: a random number in [0, 1).
        retry_after: the server's word, in seconds; it is a floor, up to an hour.
    """
    ceiling = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10))
    jittered = max(SHORTEST_RETRY_SECONDS, draw * ceiling)
    if retry_after is None:
        return jittered
    return max(jittered, min(retry_after, LONGEST_RETRY_AFTER_SECONDS))


def later(now: datetime, seconds: float) -> datetime:
    """The moment ``seconds`` after ``now``, for a schedule."""
    return now + timedelta(seconds=seconds)


def lengthens_life(old: Credential, new: Credential) -> bool:
    """Whether a refresh was worth its request; one that was not counts as a failure (design section 4.11).

    A value that came with no life at all (``expires_in`` of zero or less, section 4.8) was not, even if the old
    one had ended before it: taken for a success, it would be due again at once.

    Args:
        old: the value whose refresh token was spent.
        new: what ``renewed`` made of the answer.
    """
    if new.expires_at is None:
        return True
    if new.granted_life is None:
        return False
    return old.expires_at is None or new.expires_at > old.expires_at
