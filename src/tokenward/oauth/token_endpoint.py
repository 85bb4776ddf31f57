"""To present a refresh token or an identity token at a token endpoint, and to say truly what became of it.

The problem: what a server wants differs (a form or JSON, a client that proves itself in a header, in the body
or not at all), and what follows differs with what is known afterwards. The first is data of the registration;
the second is a ``RefreshOutcome``, and this adapter adds nothing to it and hides nothing of it.

Rules:
- One call is one request. Nothing is tried again here once it may have been sent.
- It never raises: a request that cannot even be built is ``NotSent``.
- A client that authenticates by header does not repeat its id in the body: some servers take that for a second
  method of authentication, which RFC 6749 section 2.3 forbids.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

from anyio import to_thread

from tokenward import http
from tokenward.core.credential import Secret
from tokenward.core.federation import jwt_bearer_parameters
from tokenward.core.grants import Ambiguous, NotSent, RefreshOutcome, parse_answer, refresh_parameters
from tokenward.core.provider import BodyFormat, ClientAuth
from tokenward.oauth.client_key import ClientKey, KeyUnusable
from tokenward.ports import Clock

REFRESH_TIMEOUT_SECONDS = 25.0
"""Below the 60 s after which Claude Code takes a lock for abandoned, with room to write the answer."""

CONTENT_TYPES: Mapping[BodyFormat, str] = {
    "form": "application/x-www-form-urlencoded",
    "json": "application/json",
}


class HttpTokenEndpoint:
    """A token endpoint reached over HTTP; a ``ports.TokenEndpoint`` and a ``ports.MintEndpoint``.

    Args:
        url: its address.
        client_id: how we are registered there; empty if an identity token speaks for us.
        client_auth: how we authenticate there.
        client_secret: for ``basic`` and ``post``.
        client_key: for ``private_key_jwt``.
        body: how it wants its parameters.
        scope: sent only if set.
        dead_errors: values of ``error`` that mean ``invalid_grant`` there.
        headers: further headers it wants.
        mint_parameters: further parameters it wants with an identity token.
        clock: for a Retry-After given as a date.
        http_client: the daemon's one client.
        timeout: seconds in which the whole answer must be here.

    Raises:
        ValueError: if the client must authenticate and has nothing to do it with.
    """

    def __init__(
        self,
        *,
        url: str,
        client_id: str,
        clock: Clock,
        http_client: http.HttpClient,
        client_auth: ClientAuth = "none",
        client_secret: Secret | None = None,
        client_key: ClientKey | None = None,
        body: BodyFormat = "form",
        scope: str | None = None,
        dead_errors: frozenset[str] = frozenset(),
        headers: Mapping[str, str] | None = None,
        mint_parameters: Mapping[str, str] | None = None,
        timeout: float = REFRESH_TIMEOUT_SECONDS,
    ) -> None:
        if client_auth in {"basic", "post"} and not client_secret:
            raise ValueError(f"client_auth {client_auth!r} needs a client_secret")
        if client_auth == "private_key_jwt" and client_key is None:
            raise ValueError("client_auth 'private_key_jwt' needs a client_key")
        self.url = url
        self._client_id = client_id
        self._client_auth = client_auth
        self._client_secret = client_secret or Secret("")
        self._client_key = client_key
        self._body: BodyFormat = body
        self._scope = scope
        self._dead_errors = dead_errors
        self._headers = dict(headers or {})
        self._mint_parameters = dict(mint_parameters or {})
        self._clock = clock
        self._http = http_client
        self._timeout = timeout

    async def refresh(self, refresh: Secret) -> RefreshOutcome:
        """Spend a refresh token (RFC 6749 section 6), once. Never raises.

        Args:
            refresh: the refresh token.
        """
        return await self._present(refresh_parameters(refresh, client_id=self._client_id, scope=self._scope))

    async def mint(self, identity: Secret) -> RefreshOutcome:
        """Present an identity token (RFC 7523 section 2.1), once. Never raises.

        Args:
            identity: the identity token.
        """
        return await self._present(
            jwt_bearer_parameters(
                identity, client_id=self._client_id, scope=self._scope, more=self._mint_parameters
            )
        )

    async def _present(self, parameters: dict[str, str]) -> RefreshOutcome:
        try:
            headers, body = await self._request(parameters)
        except UnicodeError:
            return NotSent("the token or the registration holds characters that cannot be sent")
        except KeyUnusable as unusable:
            return NotSent(unusable.reason)
        match await self._http.post(self.url, headers=headers, body=body, deadline=self._timeout):
            case http.Answer(status, answer_headers, content):
                now = self._clock.wall()
                return parse_answer(status, answer_headers, content, now=now, dead_errors=self._dead_errors)
            case http.NotSent(reason):
                return NotSent(reason)
            case http.NoAnswer(reason):
                return Ambiguous(reason)

    async def _request(self, parameters: dict[str, str]) -> tuple[dict[str, str], bytes]:
        headers = {
            **self._headers,
            "Accept": "application/json",
            "Content-Type": CONTENT_TYPES[self._body],
        }
        if self._client_auth == "basic":
            parameters.pop("client_id", None)
            headers["Authorization"] = basic_authorization(self._client_id, self._client_secret)
        elif self._client_auth == "post":
            parameters["client_secret"] = self._client_secret.reveal()
        elif self._client_auth == "private_key_jwt":
            parameters |= await to_thread.run_sync(self._signed)
        encoded = json.dumps(parameters) if self._body == "json" else urlencode(parameters)
        return headers, encoded.encode()

    def _signed(self) -> dict[str, str]:
        assert self._client_key is not None  # noqa: S101 - the constructor has seen to it
        return self._client_key.parameters(client_id=self._client_id, token_endpoint=self.url)


def basic_authorization(client_id: str, client_secret: Secret) -> str:
    """The Authorization header of ``client_secret_basic``: both halves are form-encoded (RFC 6749 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret.reveal())}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
