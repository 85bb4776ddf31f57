"""Ask the daemon for a token from any Python program, with nothing but the standard library.

The problem: a program that talks to an API wants a token that is valid now, and neither an HTTP client nor a
data model library it did not ask for. So this package loads the standard library, the protocol and the error
tree, and no more.

Rules:
- One connection, opened at the first call. The daemon closes idle ones; the next call opens another, silently.
  A request is written twice only if the first cannot have been read, or if it changes nothing.
- What the daemon raised is raised here: see ``tokenward.errors``.
- A ``Client`` may be shared by threads; its calls then take turns. After a fork the child opens its own.

With a daemon running::

    >>> from tokenward.client import Client
    >>> with Client() as client:
    ...     token = client.token(provider="anthropic", min_valid=120)
    >>> token.profile
    'anthropic:work'
    >>> sorted(token.headers)
    ['anthropic-version', 'x-api-key']
    >>> token
    Token(kind='api_key', token_type='Bearer', profile='anthropic:work', ...)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast

from tokenward.client._answers import parsed, request, result_of
from tokenward.client._calls import (
    CHANGES_NOTHING,
    GRACE,
    add_params,
    gone,
    report_params,
    token_params,
    unanswered_within,
)
from tokenward.client._connection import Connection, NotSent, Unanswered
from tokenward.client._events import EventStream
from tokenward.client._shapes import (
    Degraded,
    Event,
    Health,
    Hello,
    Kind,
    LastFailure,
    Profile,
    Reload,
    Report,
    Status,
    Token,
)
from tokenward.client._socket_place import default_socket_path
from tokenward.core import protocol

__all__ = [
    "Client",
    "Degraded",
    "Event",
    "EventStream",
    "Health",
    "Hello",
    "Kind",
    "LastFailure",
    "Profile",
    "Reload",
    "Report",
    "Status",
    "Token",
    "default_socket_path",
]


class Client:
    """A connection to the daemon of this user.

    Args:
        socket_path: where the daemon listens; None = where ``protocol.socket_path`` says.
        timeout: seconds that a call may take, unless the call names others.

    Raises:
        ConfigurationFault: if ``socket_path`` is None and ``HOME`` is needed and not set.
    """

    def __init__(
        self, socket_path: str | os.PathLike[str] | None = None, *, timeout: float = protocol.DEFAULT_TIMEOUT
    ) -> None:
        self._path = default_socket_path() if socket_path is None else os.fspath(socket_path)
        self._timeout = timeout
        self._connection: Connection | None = None
        self._owner = 0
        self._identifier = 0
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def socket_path(self) -> str:
        """Where this client looks for the daemon."""
        return self._path

    def close(self) -> None:
        """Close the connection; the next call would open another."""
        with self._turn:
            self._disconnect()

    def hello(self, client: str | None = None) -> Hello:
        """Who answers, and in which version.

        Args:
            client: our name and version.
        """
        return cast("Hello", self.call("daemon.hello", {"client": client}))

    def token(
        self,
        *,
        provider: str | None = None,
        profile: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        kinds: Sequence[Kind] | None = None,
        auth_method: Literal["api_key", "oauth"] | None = None,
        tier: str | None = None,
        min_valid: float | None = None,
        newer_than: str | None = None,
        timeout: float | None = None,
        credential: Mapping[str, str] | None = None,
        model: str | None = None,
        betas: Sequence[str] | None = None,
    ) -> Token:
        """A token that is valid now.

        Args:
            provider: any profile of this provider.
            profile: exactly this profile.
            agent: the namespace of profiles; "main" if None.
            session: names a conversation, which stays with one profile and obeys its pin.
            kinds: only these kinds of credential.
            auth_method: only keys, or only OAuth.
            tier: only profiles of this rate-limit tier.
            min_valid: seconds of life wanted; the daemon's default is 60.
            newer_than: the generation that got a 401: not this one.
            timeout: seconds that the daemon may take, a refresh included; the client's own if None.
            credential: an inline credential, ``{"access_token": …, "kind": …}``: only shaped into headers.
            model: what it is for, as ``provider/model``, ``provider:model``, an id or an alias.
            betas: the values of ``anthropic-beta`` that the request needs; merged into the token's headers.

        Raises:
            PersonNeeded: if somebody must log in.
            RetryLater: if waiting helps, ``CallTimeout`` and ``DaemonUnreachable`` among them.
            AskDifferently: if this request cannot be served.
            FixNeeded: if the call or the configuration is wrong.
        """
        patience = self._timeout if timeout is None else timeout
        params = token_params(
            provider=provider,
            profile=profile,
            agent=agent,
            session=session,
            kinds=kinds,
            auth_method=auth_method,
            tier=tier,
            min_valid=min_valid,
            newer_than=newer_than,
            timeout=patience,
            credential=credential,
            model=model,
            betas=betas,
        )
        return Token.from_result(self.call("token.get", params, timeout=patience + GRACE))

    def report(
        self,
        profile: str,
        generation: str,
        *,
        agent: str | None = None,
        status: int | None = None,
        error: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        model: str | None = None,
        outcome: Literal["ok", "failed"] | None = None,
    ) -> Report:
        """Say what became of a token, and hear what to do next.

        Args:
            profile: the token's profile.
            generation: the token's generation.
            agent: the namespace it was asked of; "main" if None.
            status: the HTTP status that the API answered with.
            error: the parsed error body.
            headers: the response headers.
            model: the model that was asked for.
            outcome: where there is no status: whether it worked.
        """
        params = report_params(
            profile=profile,
            agent=agent,
            generation=generation,
            status=status,
            error=error,
            headers=headers,
            model=model,
            outcome=outcome,
        )
        return cast("Report", self.call("token.report", params))

    def profiles(self, *, agent: str | None = None, provider: str | None = None) -> list[Profile]:
        """All profiles that fit, sorted by id."""
        return cast("list[Profile]", self.call("profile.list", {"agent": agent, "provider": provider})["profiles"])

    def profile(self, profile: str, *, agent: str | None = None) -> Profile:
        """One profile.

        Args:
            profile: its id.
            agent: the namespace it is in; "main" if None.

        Raises:
            ProfileUnavailable: if there is none of this id.
        """
        return cast("Profile", self.call("profile.get", {"profile": profile, "agent": agent}))

    def add(
        self,
        profile: str,
        *,
        access_token: str,
        kind: Kind = "oauth",
        refresh_token: str | None = None,
        expires_in: float | None = None,
        expires_at_ms: float | None = None,
        scope: str | None = None,
        agent: str | None = None,
    ) -> Profile:
        """Give the daemon's own store a credential.

        Args:
            profile: the profile's id; an existing one gets new material.
            access_token: the access token or key.
            kind: the credential's kind.
            refresh_token: for ``oauth``.
            expires_in: seconds from now (RFC 6749 5.1).
            expires_at_ms: Unix milliseconds.
            scope: RFC 6749 3.3.
            agent: the namespace of profiles; "main" if None.
        """
        params = add_params(
            profile,
            kind,
            agent,
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in=expires_in,
            expires_at_ms=expires_at_ms,
            scope=scope,
        )
        return cast("Profile", self.call("profile.add", params))

    def forget(self, profile: str, *, agent: str | None = None) -> Profile:
        """Delete a profile of the daemon's own store, here and not at the server."""
        return cast("Profile", self.call("profile.forget", {"profile": profile, "agent": agent}))

    def refresh(self, profile: str, *, agent: str | None = None) -> Profile:
        """Refresh now.

        Raises:
            RefreshFailed: if it did not work, or was asked for too often.
            LoginRequired: if the refresh token is dead.
        """
        return cast("Profile", self.call("profile.refresh", {"profile": profile, "agent": agent}))

    def status(self) -> Status:
        """The daemon as a whole."""
        return cast("Status", self.call("daemon.status"))

    def reload(self) -> Reload:
        """Have the configuration read again."""
        return cast("Reload", self.call("daemon.reload"))

    def stop(self) -> None:
        """Have the daemon end after the refreshes under way."""
        self.call("daemon.stop")

    def events(self, profiles: Sequence[str] | None = None) -> EventStream:
        """What happens from now on, as an iterator on a connection of its own.

        Args:
            profiles: whose events; None = all.
        """
        return EventStream(self._path, None if profiles is None else list(profiles), self._timeout)

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Call any method.

        Args:
            method: its name, as in ``openrpc.json``.
            params: its parameters; members that are None are left out.
            timeout: seconds the call may take; the client's own if None.

        Returns:
            The result.

        Raises:
            TokenwardError: the leaf that the daemon raised.
            CallTimeout: if no answer came in time.
            DaemonUnreachable: if no daemon answers, or it went away before it did.
        """
        patience = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        with self._turn:
            self._identifier += 1
            line = request(self._identifier, method, params or {})
            try:
                return result_of(self._answer(line, deadline, may_repeat=method in CHANGES_NOTHING))
            except TimeoutError:
                # A late answer must not be taken for that of the next call.
                self._disconnect()
                raise unanswered_within(patience) from None

    def _answer(self, line: bytes, deadline: float, *, may_repeat: bool) -> dict[str, Any]:
        connection, reused = self._connected(deadline)
        try:
            return self._exchange(connection, line, deadline)
        except (NotSent, Unanswered) as failure:
            self._disconnect()
            if not reused or not (may_repeat or isinstance(failure, NotSent)):
                raise gone(failure) from None
        connection, _ = self._connected(deadline)
        try:
            return self._exchange(connection, line, deadline)
        except (NotSent, Unanswered) as failure:
            self._disconnect()
            raise gone(failure) from None

    def _exchange(self, connection: Connection, line: bytes, deadline: float) -> dict[str, Any]:
        connection.send(line, deadline)
        while True:
            message = parsed(connection.receive(deadline))
            # An interrupted call leaves its answer behind; an error without an id is about the line as such.
            if message.get("id") == self._identifier or (message.get("id") is None and "error" in message):
                return message

    def _connected(self, deadline: float) -> tuple[Connection, bool]:
        """A connection, and whether it was used before."""
        if self._owner != os.getpid():
            # A child of fork() that wrote on its parent's connection would take the parent's answers.
            self._disconnect()
        if self._connection is not None and not self._connection.ended():
            return self._connection, True
        self._disconnect()
        self._connection = Connection(self._path, deadline)
        self._owner = os.getpid()
        return self._connection, False

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
