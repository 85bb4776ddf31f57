"""How we are registered at an authorization server, as data that every part may read.

The problem: servers differ in where their endpoints are, how a client names itself, whether they read forms or
JSON, and how forgiving they are. If those differences were code, each provider would be a fork of the refresh.
So they are one value, made by the configuration and read by whoever talks to the server.

Rules:
- It is a value: nothing here fetches, checks a secret or knows a default of one provider.
- Either ``token_endpoint`` or ``issuer`` names the server; with an issuer alone the endpoints are discovered
  (RFC 8414) before anything is sent.
- A URL that a secret is sent to is https, or http on a loopback address; ``endpoint_problem`` is the one place
  that says so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tokenward.core.credential import Secret

ClientAuth = Literal["none", "basic", "post", "private_key_jwt"]
"""RFC 7591 section 2 ``token_endpoint_auth_method``, without its ``client_secret_`` prefix."""
CLIENT_KEY_UNUSABLE = "client_key"
"""The ``error`` of a refusal of our own: a client that signs has nothing to sign with."""
BodyFormat = Literal["form", "json"]


@dataclass(frozen=True, slots=True)
class ProviderRegistration:
    """One provider, and how we are registered there.

    Args:
        name: the provider's name, the part of a profile's id before the colon.
        token_endpoint: RFC 6749 section 3.2; None = discovered from the issuer, or no OAuth at all.
        issuer: RFC 8414 section 2 ``issuer``; None where the endpoints are given.
        client_id: RFC 6749 section 2.2; None for a provider without OAuth.
        client_auth: how the client authenticates at the token endpoint.
        client_secret: for ``basic`` and ``post``.
        client_key: the path of the private key, for ``private_key_jwt``.
        client_key_id: the ``kid`` of that key, where the server wants one.
        scope: sent with a refresh only if set.
        body: how the token endpoint wants its parameters.
        reuse_grace: seconds in which a spent refresh token may be presented again.
        dead_errors: values of ``error`` that mean ``invalid_grant`` here.
        token_headers: further headers the token endpoint wants.
        authorization_endpoint: RFC 6749 section 3.1.
        revocation_endpoint: RFC 7009.
        device_authorization_endpoint: RFC 8628.
        base_url: where the API is; None = the client knows.
    """

    name: str
    token_endpoint: str | None = None
    issuer: str | None = None
    client_id: str | None = None
    client_auth: ClientAuth = "none"
    client_secret: Secret | None = None
    client_key: str | None = None
    client_key_id: str | None = None
    scope: str | None = None
    body: BodyFormat = "form"
    reuse_grace: float = 0.0
    dead_errors: frozenset[str] = frozenset()
    token_headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    base_url: str | None = None

    @property
    def refreshes(self) -> bool:
        """Whether a refresh token can be spent at this provider."""
        return self.client_id is not None and (self.token_endpoint is not None or self.issuer is not None)


_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 section 2
_IPV4_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_IPV6_LOOPBACK = ipaddress.ip_address("::1")


def is_loopback_host(host: str) -> bool:
    """Whether a host is this machine: 127.0.0.0/8, ::1 or localhost (RFC 6761 section 6.3), and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address in _IPV4_LOOPBACK if address.version == 4 else address == _IPV6_LOOPBACK


def is_loopback_uri(url: str) -> bool:
    """Whether an address leads to this machine over plain http (RFC 8252 section 7.3)."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and is_loopback_host(parts.hostname or "")
    except ValueError:
        return False


def endpoint_problem(url: str) -> str | None:
    """Why no secret may be sent to a URL; None if one may.

    A URL that two parsers could read in two ways (a backslash, a space, user information) is refused, so that
    what is judged here is what is connected to.
    """
    if not _URL_CHARACTERS.fullmatch(url):
        return "the address holds characters that no URL may hold"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the address is not a URL"
    if not host or "@" in parts.netloc:
        return "the address must name a host, and no user"
    if parts.fragment:
        return "the address must not have a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host)):
        return None
    return "the address must be https; plain http is for loopback only"
