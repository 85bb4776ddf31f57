"""The client for asyncio programs: the same calls as ``tokenward.client.Client``, to be awaited.

The problem: a refresh may take seconds, and an event loop that waits for it in a blocking call serves nobody
meanwhile.

Rules:
- It is for asyncio, whose event loop is in the standard library; this module loads nothing else. A program on
  trio uses the other client in a thread: ``await trio.to_thread.run_sync(client.token)``.
- Calls of many tasks overlap on one connection, and a cancelled one disturbs no other.
- Everything else is as in ``tokenward.client``: what may be asked twice, what is raised, what a fork does. Used
  from another event loop it opens another connection there.

With a daemon running::

    >>> import asyncio
    >>> from tokenward.client.aio import AsyncClient
    >>> async def ask():
    ...     async with AsyncClient() as client:
    ...         return await client.token(provider="anthropic", min_valid=120)
    >>> asyncio.run(ask()).profile
    'anthropic:work'
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast

from tokenward.client._answers import request, result_of
from tokenward.client._async_connection import AsyncConnection, Message, rounds_until_closed
from tokenward.client._async_events import AsyncEventStream
from tokenward.client._calls import (
    CHANGES_NOTHING,
    GRACE,
    add_params,
    gone,
    report_params,
    token_params,
    unanswered_within,
)
from tokenward.client._connection import NotSent, Unanswered
from tokenward.client._shapes import Hello, Kind, Profile, Reload, Report, Status, Token
from tokenward.client._socket_place import default_socket_path
from tokenward.core import protocol

__all__ = ["AsyncClient", "AsyncEventStream"]


class AsyncClient:
    """A connection to the daemon of this user, for one event loop at a time.

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
        self._connection: AsyncConnection | None = None
        self._opening: asyncio.Lock | None = None
        self._owner = 0
        self._identifier = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def socket_path(self) -> str:
        """Where this client looks for the daemon."""
        return self._path

    async def aclose(self) -> None:
        """Close the connection; the next call would open another."""
        self._disconnect()
        await rounds_until_closed()

    async def hello(self, client: str | None = None) -> Hello:
        """Who answers; see ``Client.hello``."""
        return cast("Hello", await self.call("daemon.hello", {"client": client}))

    async def token(
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
        timeout: float | None = None,  # noqa: ASYNC109 - it goes to the daemon, whose refresh outlives us
        credential: Mapping[str, str] | None = None,
        model: str | None = None,
        betas: Sequence[str] | None = None,
    ) -> Token:
        """A token that is valid now; the arguments and errors are those of ``Client.token``."""
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
        return Token.from_result(await self.call("token.get", params, timeout=patience + GRACE))

    async def report(
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
        """Say what became of a token; the arguments are those of ``Client.report``."""
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
        return cast("Report", await self.call("token.report", params))

    async def profiles(self, *, agent: str | None = None, provider: str | None = None) -> list[Profile]:
        """All profiles that fit, sorted by id."""
        listed = await self.call("profile.list", {"agent": agent, "provider": provider})
        return cast("list[Profile]", listed["profiles"])

    async def profile(self, profile: str, *, agent: str | None = None) -> Profile:
        """One profile; see ``Client.profile``."""
        return cast("Profile", await self.call("profile.get", {"profile": profile, "agent": agent}))

    async def add(
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
        """Give the daemon's own store a credential; the arguments are those of ``Client.add``."""
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
        return cast("Profile", await self.call("profile.add", params))

    async def forget(self, profile: str, *, agent: str | None = None) -> Profile:
        """Delete a profile of the daemon's own store, here and not at the server."""
        return cast("Profile", await self.call("profile.forget", {"profile": profile, "agent": agent}))

    async def refresh(self, profile: str, *, agent: str | None = None) -> Profile:
        """Refresh now; see ``Client.refresh``."""
        return cast("Profile", await self.call("profile.refresh", {"profile": profile, "agent": agent}))

    async def status(self) -> Status:
        """The daemon as a whole."""
        return cast("Status", await self.call("daemon.status"))

    async def reload(self) -> Reload:
        """Have the configuration read again."""
        return cast("Reload", await self.call("daemon.reload"))

    async def stop(self) -> None:
        """Have the daemon end after the refreshes under way."""
        await self.call("daemon.stop")

    async def events(self, profiles: Sequence[str] | None = None) -> AsyncEventStream:
        """What happens from now on, as an asynchronous iterator on a connection of its own.

        Args:
            profiles: whose events; None = all.
        """
        return await AsyncEventStream.open(self._path, None if profiles is None else list(profiles), self._timeout)

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the name and the meaning of the other client's
    ) -> dict[str, Any]:
        """Call any method; the arguments, the result and the errors are those of ``Client.call``."""
        patience = self._timeout if timeout is None else timeout
        self._identifier += 1
        identifier = self._identifier
        line = request(identifier, method, params or {})
        try:
            async with asyncio.timeout(patience):
                return result_of(await self._answer(identifier, line, may_repeat=method in CHANGES_NOTHING))
        except TimeoutError:
            raise unanswered_within(patience) from None

    async def _answer(self, identifier: int, line: bytes, *, may_repeat: bool) -> Message:
        connection, reused = await self._connected()
        try:
            return await connection.exchange(identifier, line)
        except (NotSent, Unanswered) as failure:
            connection.close()
            if not reused or not (may_repeat or isinstance(failure, NotSent)):
                raise gone(failure) from None
        connection, _ = await self._connected()
        try:
            return await connection.exchange(identifier, line)
        except (NotSent, Unanswered) as failure:
            connection.close()
            raise gone(failure) from None

    async def _connected(self) -> tuple[AsyncConnection, bool]:
        """A connection of this process and event loop, and whether it was used before."""
        loop = asyncio.get_running_loop()
        known = self._connection
        if known is not None and (self._owner != os.getpid() or known.loop is not loop):
            self._disconnect()
            self._opening = None
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._connection is not None and not self._connection.ended():
                return self._connection, True
            self._disconnect()
            self._connection = await AsyncConnection.open(self._path)
            self._owner = os.getpid()
            return self._connection, False

    def _disconnect(self) -> None:
        if self._connection is not None:
            if self._owner == os.getpid():
                self._connection.close()
            else:
                self._connection.abandon()
            self._connection = None
