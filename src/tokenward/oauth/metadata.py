"""An issuer's name is enough to find its endpoints, and a way to be sent to somebody else's.

The problem: discovery (RFC 8414) fetches, from the network, the address that refresh tokens will be sent to. A
captive portal answers it, a misconfigured server names another, and a server that is down for a minute must not
make a daemon forget what it knew.

Rules:
- The document must name the issuer we asked for, to the letter (RFC 8414 section 3.3), and every endpoint we
  use must be https; plain http only where the issuer itself is on loopback.
- Only the claims that we use are judged (by Authlib's RFC 8414 rules): large providers break rules about others.
- Where RFC 8414's address has no document, OpenID Connect's older one is tried.
- A document is good for a day; one that cannot be fetched again stays in force.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from tokenward import http
from tokenward.core.provider import ProviderRegistration, endpoint_problem, is_loopback_host
from tokenward.core.redact import printable
from tokenward.oauth.client_key import client_key_of
from tokenward.oauth.token_endpoint import REFRESH_TIMEOUT_SECONDS, HttpTokenEndpoint
from tokenward.ports import Clock

GOOD_FOR = timedelta(hours=24)
"""Endpoints move about once in years; a day bounds how long we miss it."""
_ENDPOINTS = (
    "token_endpoint",
    "authorization_endpoint",
    "revocation_endpoint",
    "device_authorization_endpoint",
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an authorization server says of itself (RFC 8414 section 2).

    Args:
        issuer: its name.
        token_endpoint: RFC 6749 section 3.2.
        authorization_endpoint: RFC 6749 section 3.1; None if it has none.
        revocation_endpoint: RFC 7009; None if it has none.
        device_authorization_endpoint: RFC 8628; None if it has none.
        promises_issuer: whether every redirect of it names it (RFC 9207 section 3).
    """

    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None
    revocation_endpoint: str | None
    device_authorization_endpoint: str | None
    promises_issuer: bool = False


@dataclass(frozen=True, slots=True)
class Undiscovered:
    """The endpoints are not known.

    Args:
        reason: one line for people, without a secret.
        configuration: whether asking again soon is of no use: the issuer is wrong or breaks the rules.
    """

    reason: str
    configuration: bool = False


async def discover(issuer: str, http_client: http.HttpClient, *, deadline: float) -> Metadata | Undiscovered:
    """Fetch and judge an issuer's metadata.

    Args:
        issuer: RFC 8414 section 2 ``issuer``, as configured.
        http_client: the daemon's one client.
        deadline: seconds for each of at most two requests.
    """
    if problem := endpoint_problem(issuer):
        return Undiscovered(f"the issuer cannot be used: {problem}", configuration=True)
    refusal = Undiscovered("")
    for url in _addresses(issuer):
        match await http_client.get(url, headers={"Accept": "application/json"}, deadline=deadline):
            case http.Answer(200, _, body) if (document := _json_object(body)) is not None:
                return _judged(issuer, document)
            case http.Answer(status):
                refusal = Undiscovered(f"{urlsplit(url).netloc} has no metadata (HTTP {status})")
            case http.NotSent(reason) | http.NoAnswer(reason):
                return Undiscovered(reason)
    return refusal


def _addresses(issuer: str) -> tuple[str, str]:
    """RFC 8414 section 3.1, and OpenID Connect Discovery 1.0 section 4."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _judged(issuer: str, document: dict[str, Any]) -> Metadata | Undiscovered:
    named = document.get("issuer")
    if named != issuer:
        shown = printable(named)[:100] if isinstance(named, str) else "none"
        return Undiscovered(f"the metadata name another issuer: {shown}", configuration=True)
    on_loopback = is_loopback_host(urlsplit(issuer).hostname or "")
    for name in _ENDPOINTS:
        if (url := document.get(name)) is None:
            continue
        problem = endpoint_problem(url) if isinstance(url, str) else "it is not a string"
        if problem is None and not on_loopback and not url.startswith("https:"):
            problem = "the address must be https"
        if problem:
            return Undiscovered(f"the metadata's {name} cannot be used: {problem}", configuration=True)
    if problem := _broken_rule(document):
        return Undiscovered(f"the metadata break RFC 8414: {problem}", configuration=True)
    token_endpoint, authorization, revocation, device = (document.get(name) for name in _ENDPOINTS)
    if token_endpoint is None:
        return Undiscovered("the metadata name no token_endpoint", configuration=True)
    promises = document.get("authorization_response_iss_parameter_supported") is True
    return Metadata(issuer, token_endpoint, authorization, revocation, device, promises_issuer=promises)


def _broken_rule(document: dict[str, Any]) -> str | None:
    """Let Authlib judge what is used; it takes no http, so loopback addresses are shown to it as https."""
    from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]  # it ships no types

    shown = dict(document)
    for name in ("issuer", *_ENDPOINTS):
        if isinstance(url := shown.get(name), str):
            shown[name] = url.replace("http:", "https:", 1) if url.startswith("http:") else url
    rules = AuthorizationServerMetadata(shown)
    try:
        for judge in (
            rules.validate_issuer,
            rules.validate_token_endpoint,
            rules.validate_authorization_endpoint,
            rules.validate_revocation_endpoint,
        ):
            judge()
    except (ValueError, TypeError, AttributeError) as error:
        return printable(str(error))[:100]
    return None


class MetadataCache:
    """What issuers said, kept for a day and for as long as they say nothing new.

    Args:
        http_client: the daemon's one client.
        clock: wall time tells when a document is a day old.
    """

    def __init__(self, http_client: http.HttpClient, clock: Clock) -> None:
        self._http = http_client
        self._clock = clock
        self._known: dict[str, tuple[Metadata, datetime]] = {}

    async def get(self, issuer: str, *, deadline: float) -> Metadata | Undiscovered:
        """An issuer's metadata, fetched if they are not known or a day old.

        Args:
            issuer: as configured.
            deadline: seconds for each of at most two requests.
        """
        known = self._known.get(issuer)
        now = self._clock.wall()
        if known is not None and abs(now - known[1]) < GOOD_FOR:
            return known[0]
        found = await discover(issuer, self._http, deadline=deadline)
        if isinstance(found, Metadata):
            self._known[issuer] = (found, now)
        elif known is not None:
            return known[0]
        return found

    def promises_issuer(self, issuer: str) -> bool:
        """Whether an issuer's metadata, as far as they are known, promise an ``iss`` in redirects (RFC 9207).

        Args:
            issuer: as configured.
        """
        known = self._known.get(issuer)
        return known is not None and known[0].promises_issuer

    async def complete(
        self, registration: ProviderRegistration, *, deadline: float
    ) -> ProviderRegistration | Undiscovered:
        """The registration with the endpoints that its issuer names; those configured stay.

        Args:
            registration: as configured; without an issuer, or with all it needs, it is returned as it is.
            deadline: seconds for each of at most two requests.
        """
        if registration.issuer is None:
            return registration
        found = await self.get(registration.issuer, deadline=deadline)
        if isinstance(found, Undiscovered):
            return found if registration.token_endpoint is None else registration
        return replace(
            registration,
            token_endpoint=registration.token_endpoint or found.token_endpoint,
            authorization_endpoint=registration.authorization_endpoint or found.authorization_endpoint,
            revocation_endpoint=registration.revocation_endpoint or found.revocation_endpoint,
            device_authorization_endpoint=registration.device_authorization_endpoint
            or found.device_authorization_endpoint,
        )


async def token_endpoint_for(
    registration: ProviderRegistration,
    *,
    metadata: MetadataCache,
    http_client: http.HttpClient,
    clock: Clock,
    refresh_timeout: float = REFRESH_TIMEOUT_SECONDS,
) -> HttpTokenEndpoint | Undiscovered:
    """The token endpoint of a registration; its address is known before anything is kept under it.

    Args:
        registration: as configured, with a client_id.
        metadata: where an issuer's endpoints are looked up.
        http_client: the daemon's one client.
        clock: for a Retry-After given as a date.
        refresh_timeout: seconds for a refresh, and for each request of the discovery.

    Raises:
        ValueError: if the registration cannot refresh at all, or must authenticate and has nothing to do it with.
    """
    completed = await metadata.complete(registration, deadline=refresh_timeout)
    if isinstance(completed, Undiscovered):
        return completed
    if completed.token_endpoint is None or completed.client_id is None:
        raise ValueError(f"provider {completed.name} has no token endpoint or no client_id")
    return HttpTokenEndpoint(
        url=completed.token_endpoint,
        client_id=completed.client_id,
        client_auth=completed.client_auth,
        client_secret=completed.client_secret,
        client_key=client_key_of(completed),
        body=completed.body,
        scope=completed.scope,
        dead_errors=completed.dead_errors,
        headers=completed.token_headers,
        clock=clock,
        http_client=http_client,
        timeout=refresh_timeout,
    )
