"""A login by device code (RFC 8628): a person with any browser anywhere types a short code.

The problem: whoever asks too often is told to slow down, and one who asks on as before is cut off; and the
answer that carries the tokens comes once.

Rules:
- Never sooner than the interval after the last answer; ``slow_down`` lengthens it for good (section 3.5).
- A server that cannot be reached is asked again, half as often each time (section 3.5).
"""

from __future__ import annotations

import anyio

from tokenward import http
from tokenward.core.grants import Unavailable
from tokenward.core.login import DEVICE_CODE_GRANT, NotOurs, Refused
from tokenward.core.login_answers import (
    LONGEST_INTERVAL_SECONDS,
    DeviceAuthorization,
    LoggedIn,
    Wait,
    parse_device_authorization,
)
from tokenward.core.provider import CLIENT_KEY_UNUSABLE
from tokenward.oauth.client_key import KeyUnusable
from tokenward.oauth.client_request import client_request
from tokenward.oauth.login import Server
from tokenward.oauth.token_endpoint import REFRESH_TIMEOUT_SECONDS


class DeviceLogin:
    """One login under way; a ``ports.Login``.

    Args:
        server: where.
        authorization: what the server gave us.
    """

    def __init__(self, server: Server, authorization: DeviceAuthorization) -> None:
        self._server = server
        self._device_code = authorization.device_code
        self._interval = authorization.interval
        self._ask_at = server.clock.monotonic() + authorization.interval
        self.url = authorization.complete_uri or authorization.verification_uri
        self.user_code: str | None = authorization.user_code
        self.expires_in: float | None = authorization.expires_in

    async def ready(self, pasted: str | None, *, patience: float) -> bool | Refused | NotOurs:
        """Wait until the server may be asked; see ``ports.Login``."""
        if pasted is not None:
            return NotOurs("this login waits for the person at the browser, and not for a code")
        left = self._ask_at - self._server.clock.monotonic()
        await anyio.sleep(max(0.0, min(left, patience)))
        return left <= patience

    async def redeem(self) -> LoggedIn | Wait | Refused | Unavailable:
        """Ask once; see ``ports.Login``."""
        parameters = {"grant_type": DEVICE_CODE_GRANT, "device_code": self._device_code.reveal()}
        outcome = await self._server.redeem(parameters)
        if isinstance(outcome, Unavailable):
            outcome = Wait(self._interval)
        if isinstance(outcome, Wait):
            self._interval = min(self._interval + outcome.longer_by, LONGEST_INTERVAL_SECONDS)
            self._ask_at = self._server.clock.monotonic() + self._interval
        return outcome

    async def aclose(self) -> None:
        """There is nothing to let go."""


async def start_device_login(server: Server, scope: str | None) -> DeviceLogin | Refused | Unavailable:
    """Ask for a device code (RFC 8628 section 3.1). Never raises.

    Args:
        server: where.
        scope: what is asked for; None = what the server gives by itself.
    """
    try:
        headers, body = await client_request(server.registration, {"scope": scope} if scope else {}, as_form=True)
    except KeyUnusable as unusable:
        return Refused(CLIENT_KEY_UNUSABLE, unusable.reason)
    url = server.registration.device_authorization_endpoint or ""
    match await server.http_client.post(url, headers=headers, body=body, deadline=REFRESH_TIMEOUT_SECONDS):
        case http.Answer(status, _, content):
            parsed = parse_device_authorization(status, content)
            return parsed if isinstance(parsed, Refused) else DeviceLogin(server, parsed)
        case http.NotSent(reason) | http.NoAnswer(reason):
            return Unavailable(reason)
