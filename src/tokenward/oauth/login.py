"""A login by authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), by a browser here or anywhere.

The problem: the code passes through a browser, and with a paste through a clipboard and a terminal, so it must
be worthless to all of them: only who holds the code_verifier can redeem it.

Rules:
- The code_verifier, 256 random bits of this process, never leaves it but to the token endpoint.
- A login that is pasted listens nowhere.
- A code is redeemed once; whatever comes of it, the login is over.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from tokenward import http
from tokenward.core.credential import Secret
from tokenward.core.grants import Unavailable
from tokenward.core.login import (
    AUTHORIZATION_CODE_GRANT,
    Code,
    Expectation,
    LoginRules,
    NotOurs,
    Refused,
    authorization_url,
    read_pasted,
    s256,
)
from tokenward.core.login_answers import LoggedIn, Wait, read_grant
from tokenward.core.provider import CLIENT_KEY_UNUSABLE, ProviderRegistration
from tokenward.oauth.client_key import KeyUnusable
from tokenward.oauth.client_request import client_request
from tokenward.oauth.loopback import LoopbackRedirect
from tokenward.oauth.token_endpoint import REFRESH_TIMEOUT_SECONDS
from tokenward.ports import Clock, Entropy

_SECRET_BYTES = 32
"""RFC 7636 section 7.1: 256 bits, which are 43 characters."""
NOWHERE = "http://127.0.0.1:9/callback"
"""The redirect_uri of a pasted login that has no registered one: nobody serves port 9 ("discard"), so the
browser stops there, and the person copies the address. Other users of the machine cannot open it."""


@dataclass(frozen=True, slots=True)
class Server:
    """The authorization server of one login, and what is needed to speak to it.

    Args:
        registration: how we are registered, with its endpoints known.
        rules: what a login there needs.
        http_client: the daemon's one client.
        clock: when a request is begun.
    """

    registration: ProviderRegistration
    rules: LoginRules
    http_client: http.HttpClient
    clock: Clock

    async def redeem(self, parameters: dict[str, str]) -> LoggedIn | Wait | Refused | Unavailable:
        """Ask the token endpoint for a grant, once. Never raises.

        Args:
            parameters: those of the grant.
        """
        requested_at = self.clock.wall()
        try:
            headers, body = await client_request(self.registration, parameters)
        except KeyUnusable as unusable:
            return Refused(CLIENT_KEY_UNUSABLE, unusable.reason)
        url = self.registration.token_endpoint or ""
        match await self.http_client.post(url, headers=headers, body=body, deadline=REFRESH_TIMEOUT_SECONDS):
            case http.Answer(status, answer_headers, content):
                return read_grant(status, answer_headers, content, requested_at=requested_at)
            case http.NotSent(reason) | http.NoAnswer(reason):
                return Unavailable(reason)


def secret_text(entropy: Entropy) -> str:
    """A state or code_verifier: 43 characters of base64url."""
    return base64.urlsafe_b64encode(entropy.token(_SECRET_BYTES)).rstrip(b"=").decode()


class CodeLogin:
    """One login under way; a ``ports.Login``.

    Args:
        server: where.
        verifier: the code_verifier.
        expected: what the answer must match.
        redirect: the redirect_uri that listens; None for a login that is pasted.
        scope: what is asked for.
    """

    user_code: str | None = None
    expires_in: float | None = None

    def __init__(
        self,
        server: Server,
        *,
        verifier: Secret,
        expected: Expectation,
        redirect: LoopbackRedirect | None,
        scope: str | None,
    ) -> None:
        self._server = server
        self._verifier = verifier
        self._expected = expected
        self._redirect = redirect
        self._redirect_uri = redirect.uri if redirect is not None else server.rules.redirect_uri or NOWHERE
        self._code: Secret | None = None
        self.url = authorization_url(
            server.registration.authorization_endpoint or "",
            client_id=server.registration.client_id or "",
            redirect_uri=self._redirect_uri,
            state=expected.state,
            challenge=s256(verifier.reveal()),
            scope=scope,
            parameters=server.rules.parameters,
        )

    async def ready(self, pasted: str | None, *, patience: float) -> bool | Refused | NotOurs:
        """Wait for the code; see ``ports.Login``."""
        answer: Code | Refused | NotOurs | None
        if pasted is not None:
            answer = read_pasted(pasted, self._expected)
        elif self._redirect is not None:
            answer = await self._redirect.receive(patience)
        else:
            answer = NotOurs("this login waits for a pasted code")
        if isinstance(answer, Code):
            self._code = answer.code
            return True
        return False if answer is None else answer

    async def redeem(self) -> LoggedIn | Wait | Refused | Unavailable:
        """Redeem the code; see ``ports.Login``."""
        if self._code is None:
            raise AssertionError("a login is redeemed when it is ready")
        parameters = {
            "grant_type": AUTHORIZATION_CODE_GRANT,
            "code": self._code.reveal(),
            "redirect_uri": self._redirect_uri,
            "code_verifier": self._verifier.reveal(),
        }
        if self._server.rules.state_in_exchange:
            parameters["state"] = self._expected.state
        return await self._server.redeem(parameters)

    async def aclose(self) -> None:
        """Let the port go."""
        if self._redirect is not None:
            await self._redirect.aclose()
