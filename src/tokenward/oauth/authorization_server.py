"""All that a person's login asks of one authorization server, behind one port.

The problem: which endpoint a method needs, and whether the server has it, is known only when its metadata are
here; a login that finds out later has already sent a person to a page that leads nowhere.

Rules:
- What is missing is said before anything is shown: no client_id of ours, no endpoint for the method.
- No client_id but the one that the user's configuration gives is ever used here (design section 8).
- A login that only makes an API key is revoked when the key is made.
"""

from __future__ import annotations

import json
from dataclasses import replace

from tokenward import http
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.grants import Unavailable
from tokenward.core.headers import HeaderRules, advice
from tokenward.core.key_check import KeyCheck, answer_facts, probe_message, read_key_check
from tokenward.core.login import Expectation, LoginMethod, LoginRules, LoginTerms, Refused
from tokenward.core.login_answers import parse_api_key
from tokenward.core.provider import CLIENT_KEY_UNUSABLE, ProviderRegistration, is_loopback_uri
from tokenward.oauth import revocation
from tokenward.oauth.client_key import KeyUnusable
from tokenward.oauth.client_request import signed_parameters
from tokenward.oauth.device import DeviceLogin, start_device_login
from tokenward.oauth.login import CodeLogin, Server, secret_text
from tokenward.oauth.loopback import listen
from tokenward.oauth.metadata import MetadataCache, Undiscovered
from tokenward.oauth.token_endpoint import REFRESH_TIMEOUT_SECONDS
from tokenward.ports import Clock, Entropy

KEY_CHECK_SECONDS = 10.0
MESSAGE_SECONDS = 45.0
"""A model under load takes its time to answer one word; a caller of ours waits no longer than a little more."""
"""A person waits for it, and can do without."""
_NO_CLIENT = Refused(
    "no client_id",
    "no client_id is configured for this provider, and tokenward never uses that of another program",
)


class HttpAuthorizationServer:
    """One authorization server as logins need it; a ``ports.LoginServer``.

    Args:
        registration: how we are registered there.
        rules: what a login there needs.
        headers: what its API wants to see.
        metadata: where an issuer's endpoints are looked up.
        http_client: the daemon's one client.
        clock: the machine's clocks.
        entropy: the machine's randomness.
    """

    def __init__(
        self,
        *,
        registration: ProviderRegistration,
        rules: LoginRules,
        headers: HeaderRules,
        metadata: MetadataCache,
        http_client: http.HttpClient,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._registration = registration
        self._rules = rules
        self._headers = headers
        self._metadata = metadata
        self._http = http_client
        self._clock = clock
        self._entropy = entropy

    @property
    def title(self) -> str:
        """The provider's name for people."""
        return self._rules.title

    async def begin(
        self, method: LoginMethod, terms: LoginTerms
    ) -> CodeLogin | DeviceLogin | Refused | Unavailable:
        """Begin a login; see ``ports.LoginServer``."""
        completed = await self._completed()
        if not isinstance(completed, ProviderRegistration):
            return completed
        missing = self._missing(completed, method) or await self._unsigned(completed)
        if missing is not None:
            return missing
        server = Server(completed, self._rules, self._http, self._clock)
        if method == "device":
            return await start_device_login(server, self._rules.scope or completed.scope)
        return await self._by_code(server, method, terms)

    async def _completed(self) -> ProviderRegistration | Refused | Unavailable:
        if self._registration.client_id is None:
            return _NO_CLIENT
        if self._registration.client_auth in {"basic", "post"} and not self._registration.client_secret:
            return Refused("no client_secret", f"client_auth {self._registration.client_auth} needs one")
        found = await self._metadata.complete(self._registration, deadline=REFRESH_TIMEOUT_SECONDS)
        if isinstance(found, Undiscovered):
            return Refused("no metadata", found.reason) if found.configuration else Unavailable(found.reason)
        return found

    def _missing(self, completed: ProviderRegistration, method: LoginMethod) -> Refused | None:
        if completed.token_endpoint is None:
            return Refused("no token_endpoint", "neither the configuration nor the issuer names one")
        if method == "device":
            name, endpoint = "device_authorization_endpoint", completed.device_authorization_endpoint
        else:
            name, endpoint = "authorization_endpoint", completed.authorization_endpoint
        if endpoint is None:
            return Refused(f"no {name}", "neither the configuration nor the issuer names one")
        if method == "create-api-key" and self._rules.api_key_endpoint is None:
            return Refused("no api_key_endpoint", "this provider exchanges no login for an API key")
        return None

    async def _unsigned(self, completed: ProviderRegistration) -> Refused | None:
        """Why a client that signs cannot; asked before a person is sent anywhere."""
        if completed.client_auth != "private_key_jwt":
            return None
        try:
            await signed_parameters(completed)
        except KeyUnusable as unusable:
            return Refused(CLIENT_KEY_UNUSABLE, unusable.reason)
        return None

    async def _by_code(self, server: Server, method: LoginMethod, terms: LoginTerms) -> CodeLogin | Refused:
        issuer = self._registration.issuer
        promises = issuer is not None and self._metadata.promises_issuer(issuer)
        expected = Expectation(
            secret_text(self._entropy),
            issuer,
            promises_issuer=promises,
            allows_missing_state=terms.allows_missing_state,
        )
        registered = self._rules.redirect_uri
        redirect = None
        if not terms.pasted:
            try:
                redirect = await listen(
                    registered if registered is not None and is_loopback_uri(registered) else None, expected
                )
            except OSError as error:
                return Refused("no redirect_uri", f"the port cannot be had: {error.strerror or error}")
        scope = self._rules.scope or server.registration.scope
        return CodeLogin(
            server,
            verifier=Secret(secret_text(self._entropy)),
            expected=expected,
            redirect=redirect,
            scope=self._rules.api_key_scope if method == "create-api-key" else scope,
        )

    async def create_api_key(self, login: Credential) -> Credential | Refused | Unavailable:
        """Exchange a login for an API key, and end the login; see ``ports.LoginServer``."""
        headers = {**advice(login, self._headers), "Accept": "application/json"}
        url = self._rules.api_key_endpoint or ""
        made: Credential | Refused | Unavailable
        match await self._http.post(url, headers=headers, body=b"", deadline=REFRESH_TIMEOUT_SECONDS):
            case http.Answer(status, _, content):
                key = parse_api_key(status, content)
                made = key if isinstance(key, Refused) else Credential(Kind.API_KEY, key)
            case http.NotSent(reason) | http.NoAnswer(reason):
                made = Unavailable(reason)
        await self.revoke(login)
        return made

    async def check_key(self, credential: Credential, *, model: str | None = None) -> KeyCheck:
        """Ask the API whether it takes a credential; see ``ports.LoginServer``."""
        if model is not None:
            return await self._send_message(credential, model)
        url = self._rules.key_check_endpoint
        if url is None:
            return KeyCheck(
                "unknown",
                f"[providers.{self._registration.name}] has no key_check_endpoint",
                "name one there: an address that wants the credential, and where a GET costs nothing",
            )
        headers = {**advice(credential, self._headers), "Accept": "application/json"}
        return _read(await self._http.get(url, headers=headers, deadline=KEY_CHECK_SECONDS))

    async def _send_message(self, credential: Credential, model: str) -> KeyCheck:
        url = self._rules.message_endpoint
        if url is None:
            reason = f"no place for messages is known of {self._registration.name}"
            return KeyCheck("unknown", reason, "leave the model out")
        headers = {
            **advice(credential, self._headers),
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        body = json.dumps(probe_message(model)).encode()
        return _read(await self._http.post(url, headers=headers, body=body, deadline=MESSAGE_SECONDS))

    async def revoke(self, credential: Credential) -> Refused | Unavailable | None:
        """End a login at the server (RFC 7009); see ``ports.LoginServer``."""
        completed = await self._completed()
        if not isinstance(completed, ProviderRegistration):
            return completed
        if completed.revocation_endpoint is None:
            return Refused("no revocation_endpoint", "this server has no way to revoke a login (RFC 7009)")
        return await revocation.revoke(completed, credential, self._http)


def _read(result: http.HttpResult) -> KeyCheck:
    match result:
        case http.Answer(status, said, content):
            return replace(read_key_check(status, content), answer=answer_facts(status, said, content))
        case http.NotSent(reason) | http.NoAnswer(reason):
            return KeyCheck("unknown", reason)
