"""The ways to get a first token: an authorization code with PKCE, a device code, a trusted assertion.

Rules:
- A code works once, for the client, redirect_uri and code_verifier it was made for. A wrong verifier burns it;
  a second use also revokes what the first one brought (RFC 6749 section 4.1.2).
- PKCE is S256 or nothing (RFC 7636 section 4.2, RFC 9700 section 2.1.1).
- A device that asks faster than its interval is told to slow down, and its interval grows by five seconds
  (RFC 8628 section 3.5).
- Consent is a method call; nobody has to click in a test.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tokenward.sandbox.families import Families, Issued, RefusedError

CODE_LIFE_SECONDS = 600  # RFC 6749 section 4.1.2: ten minutes at most; a person may have to paste it
DEVICE_LIFE_SECONDS = 900  # RFC 8628 section 3.2 leaves it open; its example has half an hour
SLOW_DOWN_SECONDS = 5  # RFC 8628 section 3.5

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes, unpadded
_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 section 6.1: no vowels, hence no words


@dataclass(slots=True)
class _Code:
    redirect_uri: str
    challenge: str
    scope: str
    subject: str
    expires_at: float
    used: bool = False
    brought: str = ""


@dataclass(slots=True)
class _Device:
    user_code: str
    scope: str
    expires_at: float
    interval: float
    asked_at: float | None = None
    verdict: Literal["pending", "approved", "denied"] = "pending"
    subject: str = ""


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What RFC 8628 section 3.2 answers, without the addresses; times in seconds."""

    device_code: str
    user_code: str
    expires_in: int
    interval: int


class Grants:
    """Codes, device codes and assertions of one authorization server; safe to use from many threads.

    Args:
        families: where a successful grant starts a family.
        clock: the present, in Unix seconds.
        device_interval: seconds a device must leave between two questions.
    """

    def __init__(self, families: Families, clock: Callable[[], float], device_interval: float) -> None:
        self._families = families
        self._clock = clock
        self._device_interval = device_interval
        self._lock = threading.Lock()
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, _Device] = {}
        self._assertions: dict[str, str] = {}

    def make_code(self, *, redirect_uri: str, challenge: str, method: str, scope: str, subject: str) -> str:
        """A code, given that the person consents.

        Raises:
            RefusedError: `invalid_request` when PKCE is missing or is not S256 (RFC 7636 section 4.4.1).
        """
        if method != "S256" or not _CHALLENGE.fullmatch(challenge):
            raise RefusedError("invalid_request", "code_challenge with code_challenge_method S256 is required")
        code = secrets.token_urlsafe(32)
        with self._lock:
            expires_at = self._clock() + CODE_LIFE_SECONDS
            self._codes[code] = _Code(redirect_uri, challenge, scope, subject, expires_at)
        return code

    def redeem_code(self, code: str, *, redirect_uri: str, verifier: str) -> Issued:
        """Exchange a code (RFC 6749 section 4.1.3).

        Raises:
            RefusedError: `invalid_grant`, whatever does not fit.
        """
        with self._lock:
            record = self._codes.get(code)
            if record is None:
                raise RefusedError("invalid_grant", "Authorization code not found")
            if record.used:
                if record.brought:
                    self._families.revoke(record.brought)
                raise RefusedError("invalid_grant", "Authorization code was already used")
            record.used = True
            if self._clock() >= record.expires_at:
                raise RefusedError("invalid_grant", "Authorization code expired")
            if redirect_uri != record.redirect_uri:
                raise RefusedError("invalid_grant", "redirect_uri differs from the authorization request")
            if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(s256(verifier), record.challenge):
                raise RefusedError("invalid_grant", "code_verifier does not match code_challenge")
            issued = self._families.begin(subject=record.subject, scope=record.scope)
            record.brought = issued.refresh_token
            return issued

    def start_device(self, scope: str) -> DeviceAuthorization:
        """A new device code and the code for its person (RFC 8628 section 3.2)."""
        letters = [secrets.choice(_USER_CODE_LETTERS) for _ in range(8)]
        user_code = "".join(letters[:4]) + "-" + "".join(letters[4:])
        device_code = secrets.token_urlsafe(32)
        with self._lock:
            expires_at = self._clock() + DEVICE_LIFE_SECONDS
            self._devices[device_code] = _Device(user_code, scope, expires_at, self._device_interval)
        return DeviceAuthorization(device_code, user_code, DEVICE_LIFE_SECONDS, int(self._device_interval))

    def decide_device(self, user_code: str, *, approve: bool, subject: str = "demo") -> bool:
        """Consent for a device, or refuse it; says whether such a user_code is waiting.

        Case, dashes and spaces in the user_code do not matter (RFC 8628 section 6.1).
        """
        wanted = re.sub(r"[^A-Z]", "", user_code.upper())
        with self._lock:
            for device in self._devices.values():
                if device.user_code.replace("-", "") == wanted and device.verdict == "pending":
                    device.verdict = "approved" if approve else "denied"
                    device.subject = subject
                    return True
            return False

    def redeem_device(self, device_code: str) -> Issued:
        """Answer a device's question (RFC 8628 section 3.5).

        Raises:
            RefusedError: `authorization_pending`, `slow_down`, `access_denied`, `expired_token`, or
                `invalid_grant` for a code that is unknown or was used.
        """
        with self._lock:
            now = self._clock()
            device = self._devices.get(device_code)
            if device is None:
                raise RefusedError("invalid_grant", "device_code not found")
            if now >= device.expires_at:
                raise RefusedError("expired_token", "device_code expired")
            hasty = device.asked_at is not None and now - device.asked_at < device.interval
            device.asked_at = now
            if hasty:
                device.interval += SLOW_DOWN_SECONDS
                raise RefusedError("slow_down", "Wait five seconds longer between questions")
            if device.verdict == "pending":
                raise RefusedError("authorization_pending", "Nobody has entered the user_code yet")
            del self._devices[device_code]
            if device.verdict == "denied":
                raise RefusedError("access_denied", "The person said no")
            return self._families.begin(subject=device.subject, scope=device.scope)

    def trust_assertion(self, assertion: str, *, subject: str = "workload") -> None:
        """Accept this assertion from now on, as often as it comes."""
        with self._lock:
            self._assertions[assertion] = subject

    def redeem_assertion(self, assertion: str, scope: str) -> Issued:
        """Exchange an assertion (RFC 7523 section 2.1); it brings no refresh token (RFC 7521 section 4.1).

        Raises:
            RefusedError: `invalid_grant` for one that is not trusted.
        """
        with self._lock:
            subject = self._assertions.get(assertion)
        if subject is None:
            raise RefusedError("invalid_grant", "The assertion is not trusted here")
        return self._families.begin(subject=subject, scope=scope, with_refresh=False)


def s256(verifier: str) -> str:
    """The code_challenge of a code_verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
