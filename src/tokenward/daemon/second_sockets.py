"""The restricted sockets of the configuration: opened, changed by a reload, and tried again where they cannot be.

The problem: a directory for a container's socket is often made after us, or is gone after a reboot. That must not
keep the user's own programs from their tokens, and must not be silent either.

Rules:
- A socket that cannot be opened is a warning and a line of ``status``, and is tried again with every beat.
- A socket whose entry changed is closed with its connections before it is opened anew: nobody goes on by an old
  list.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from tokenward.daemon.listener import ANYBODY, OWNER_ONLY, bind_second_socket
from tokenward.daemon.pace import Pace
from tokenward.daemon.rpc_server import RpcServer
from tokenward.errors import TokenwardError
from tokenward.ports import Clock
from tokenward.settings import SocketSettings

if TYPE_CHECKING:
    from tokenward.daemon.daemon_models import SocketResult
    from tokenward.daemon.methods.method import Audit
    from tokenward.daemon.service import Service

log = logging.getLogger("tokenward")


@dataclass(slots=True)
class _Opened:
    """One entry of the configuration and what became of it."""

    said: SocketSettings
    server: RpcServer | None = None
    trouble: str | None = None


class SecondSockets:
    """All of them.

    Args:
        group: where their servers run.
        clock: the machine's clocks.
        audit: told of every call.
        pace: how often one process may call, over all sockets.
    """

    def __init__(self, group: TaskGroup, clock: Clock, audit: Audit, pace: Pace) -> None:
        self._group = group
        self._clock = clock
        self._audit = audit
        self._pace = pace
        self._opened: list[_Opened] = []
        self._changing = anyio.Lock()
        self._is_ended = False

    @property
    def are_missing(self) -> bool:
        """Whether one could not be opened."""
        return any(each.server is None for each in self._opened)

    def shown(self) -> list[SocketResult]:
        """How each of them stands."""
        from tokenward.daemon.daemon_models import SocketResult  # only asked by who shows it

        return [
            SocketResult(
                path=str(each.said.path), profiles=each.said.profiles, uids=each.said.uids, trouble=each.trouble
            )
            for each in self._opened
        ]

    async def serve(self, service: Callable[[], Awaitable[Service]], wanted: Sequence[SocketSettings]) -> None:
        """Serve exactly these; one that is open already goes on undisturbed.

        Args:
            service: whom they ask, made when there is a first socket.
            wanted: the entries of the configuration in force.
        """
        async with self._changing:
            if self._is_ended:
                return
            for each in [each for each in self._opened if each.said not in wanted]:
                await self._close(each)
            known = {each.said.path: each for each in self._opened}
            self._opened = [known.get(said.path) or _Opened(said) for said in wanted]
            for each in self._opened:
                if each.server is None:
                    await self._open(each, service)

    async def _open(self, entry: _Opened, service: Callable[[], Awaitable[Service]]) -> None:
        from tokenward.daemon.restricted import RestrictedTokens, Restriction  # most daemons have no such socket

        said = entry.said
        mode = ANYBODY if said.uids else OWNER_ONLY
        try:
            listener = await to_thread.run_sync(lambda: bind_second_socket(str(said.path), mode=mode))
        except (OSError, TokenwardError) as error:
            reason = error.cause if isinstance(error, TokenwardError) else f"{error.strerror}"
            if reason != entry.trouble:
                log.warning("nobody is served on %s: %s", said.path, reason)
            entry.trouble = reason
            return
        tokens = RestrictedTokens(await service(), said.profiles, self._clock)
        restriction = Restriction(tokens, frozenset(said.uids))
        server = RpcServer(
            tokens.token_nowait,
            service,
            clock=self._clock,
            pace=self._pace,
            audit=self._audit,
            restriction=restriction,
        )
        await self._group.start(server.serve, [listener])
        entry.server, entry.trouble = server, None
        log.info("serving %s, restricted to %s", said.path, ", ".join(said.profiles))

    async def _close(self, entry: _Opened) -> None:
        self._opened.remove(entry)
        if entry.server is not None:
            await entry.server.aclose()

    async def aclose(self) -> None:
        """Close all of them, for good."""
        async with self._changing:
            self._is_ended = True
            for each in list(self._opened):
                await self._close(each)
