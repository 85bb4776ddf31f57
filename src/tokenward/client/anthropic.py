"""Tokens for Anthropic's Python SDK: what its ``credentials=`` takes.

The problem: the SDK sends a token for as long as it was told that it lives, and a login that is renewed elsewhere
ends it sooner; and one that another program renews at the same time is spent.

Rules:
- The SDK asks before every request (``expires_at=0`` says that the provider keeps the token itself), and the
  answer is kept as in ``tokenward.client.auth``. After a 401 it asks with ``force_refresh``: the refusal is
  reported, a newer token asked for, and the SDK sends the request again, once, if its ``max_retries`` allows.
- The SDK sends such a token as ``Authorization: Bearer`` with its OAuth beta, so only kinds that go there are
  asked for: logins, setup tokens and workload identities. For an API key or a gateway's token give the SDK an
  HTTP client with ``TokenwardAuth`` instead, which serves every kind, and reports throttling and usage as well.
- The token goes to the ``base_url`` that the daemon gave with it; a client of another one gets an error.
- The SDK's requests are its own: nothing is added to them, renamed or taken away.

With a daemon running (``base_url`` is only needed where the daemon's differs from the SDK's)::

    >>> from anthropic import Anthropic
    >>> from tokenward.client.anthropic import credentials
    >>> with Anthropic(credentials=credentials(), base_url="http://127.0.0.1:8080") as claude:
    ...     message = claude.messages.create(
    ...         model="claude-sonnet-4-6", max_tokens=8, messages=[{"role": "user", "content": "ping"}]
    ...     )
    >>> message.content[0].text
    'pong'
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from anthropic import AnthropicError
from anthropic.lib.credentials import AccessToken

from tokenward.client._destinations import Destinations
from tokenward.client._held_token import HeldToken
from tokenward.client._reporting import Reporter
from tokenward.client._shapes import Kind, Token
from tokenward.core import protocol
from tokenward.errors import TokenwardError

__all__ = ["Credentials", "NoToken", "credentials"]

BEARER_KINDS: Final[tuple[Kind, ...]] = ("oauth", "setup_token", "federated")
"""What the SDK's own header and beta are right for."""
_ASK_EVERY_TIME = 0
_UNAUTHORIZED = 401


class NoToken(AnthropicError):
    """There is no token for a request of the SDK; the ``TokenwardError`` that says why is its ``__cause__``.

    It is an error of the SDK's family because the SDK shows anything else as "Connection error." and tries again.
    """


class Credentials:
    """The SDK's ``AccessTokenProvider`` and ``BaseURLBoundProvider``; made by ``credentials``.

    Args:
        held: the token.
        destinations: where it may go besides its ``base_url``.
        reporter: told of refusals.
        base_url: where the SDK's client sends it; None until a client says so.
    """

    def __init__(
        self, held: HeldToken, destinations: Destinations, reporter: Reporter, base_url: str | None = None
    ) -> None:
        self._held = held
        self._destinations = destinations
        self._reporter = reporter
        self._base_url = base_url

    def for_base_url(self, base_url: str) -> Credentials:
        """The same credentials for a client of this address; the SDK asks for them when a client is made."""
        return Credentials(self._held, self._destinations, self._reporter, base_url)

    def __call__(self, *, force_refresh: bool = False) -> AccessToken:
        """The token for the next request.

        Args:
            force_refresh: the last one was refused.

        Raises:
            NoToken: if there is none, or the client's address is not one that it may be sent to.
        """
        try:
            token = self._held.renewed(self._tell_refused) if force_refresh else self._held.current()
            if self._base_url is not None:
                self._destinations.require(token, self._base_url)
        except TokenwardError as error:
            raise NoToken(f"{error.cause}; {error.hint}" if error.hint else error.cause) from error
        return AccessToken(token.token, _ASK_EVERY_TIME)

    def close(self) -> None:
        """Close the connections to the daemon, as the SDK's client does at its end; others would open."""
        self._held.close()
        self._reporter.close()

    def _tell_refused(self, token: Token) -> None:
        self._reporter.tell(token, _UNAUTHORIZED, {})


def credentials(
    *,
    profile: str | None = None,
    agent: str | None = None,
    origins: Iterable[str] = (),
    min_valid: float = protocol.DEFAULT_MIN_VALID,
    socket_path: str | os.PathLike[str] | None = None,
    timeout: float = protocol.DEFAULT_TIMEOUT,
) -> Credentials:
    """Credentials for ``anthropic.Anthropic(credentials=…)`` and ``AsyncAnthropic``.

    Args:
        profile: exactly this profile; None = whichever the daemon serves for Anthropic.
        agent: the namespace of profiles; "main" if None.
        origins: where the token may go besides the ``base_url`` that the daemon knows for it: https, or loopback.
        min_valid: seconds of life that a token must have to be used without asking for another.
        socket_path: where the daemon listens; None = where ``protocol.socket_path`` says.
        timeout: seconds that the daemon may take, a refresh included.

    Raises:
        ConfigurationFault: if an origin is none, or ``HOME`` is needed and not set.
    """
    held = HeldToken(
        socket_path,
        timeout=timeout,
        min_valid=min_valid,
        provider="anthropic" if profile is None else None,
        profile=profile,
        agent=agent,
        kinds=BEARER_KINDS,
    )
    return Credentials(held, Destinations(origins), Reporter(held.socket_path, agent))
