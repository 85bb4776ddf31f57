"""Where a token may be sent.

The problem: a client that follows a redirect, or an address that a server's answer named, carries the token to a
host that its owner never heard of.

Rules: a token goes to the origin (RFC 6454) of the ``base_url`` that the daemon gave with it, and to the origins
that the program names; nowhere else. A named origin is https, or on loopback. Where the daemon knows no
``base_url`` and the program names no origin, the token goes nowhere, and the error says what to do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from tokenward.client._shapes import Token
from tokenward.errors import ConfigurationFault

_PORTS = {"https": 443, "http": 80}


def origin_of(url: str) -> str | None:
    """The origin of an address, with its port; None if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    if not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


class Destinations:
    """The origins that a program allows besides that of the token itself.

    Args:
        named: addresses; only their origins count.

    Raises:
        ConfigurationFault: if one is no address, or neither https nor on loopback.
    """

    def __init__(self, named: Iterable[str]) -> None:
        self._origins = frozenset(_named_origin(each) for each in named)

    def permit(self, token: Token, url: str) -> bool:
        """Whether a token may be sent to an address."""
        origin = origin_of(url)
        known = None if token.base_url is None else origin_of(token.base_url)
        return origin is not None and (origin == known or origin in self._origins)

    def require(self, token: Token, url: str) -> None:
        """Refuse an address that a token may not be sent to.

        Raises:
            ConfigurationFault: naming the origin and how to allow it.
        """
        if not self.permit(token, url):
            origin = origin_of(url) or "an address without an origin"
            known = "no base_url is known for it" if token.base_url is None else f"it is for {token.base_url}"
            raise ConfigurationFault(
                f"the token of {token.profile} is not sent to {origin}: {known}",
                hint=f'if it may go there, say so: origins=["{origin}"]',
            )


def _named_origin(url: str) -> str:
    origin = origin_of(url)
    if origin is None:
        raise ConfigurationFault(f"{url!r} is no origin", hint='an origin is like "https://api.example.com"')
    parts = urlsplit(origin)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ConfigurationFault(
            f"a token is not sent to {origin} in the clear", hint="name an https origin, or one on loopback"
        )
    return origin


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
