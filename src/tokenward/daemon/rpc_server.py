"""The server: accepts connections, feeds their lines to the lane and the dispatcher, and keeps the time.

The problem: a task per connection and request costs more than the answer, a timer per connection wakes a
laptop for nothing, and one exhausted table of descriptors or one raising handler must not end the service of
everybody else.

Rules:
- What is ready is served at once from the event loop's callback; a task exists only for what must wait.
- One timer for all deadlines, armed only while there is one; an idle daemon is never woken.
- Nothing a peer does ends ``serve``; only ``aclose`` or a cancellation does.
- The dispatcher, and the service behind it, are made for the first call that the lane does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus

from tokenward import errors
from tokenward.core import protocol
from tokenward.daemon import fault, message
from tokenward.daemon.connection import Connection
from tokenward.daemon.import_aside import import_aside
from tokenward.daemon.lane import Lane
from tokenward.daemon.pace import Pace
from tokenward.daemon.peer import Peer, admitted_uids, peer_of
from tokenward.daemon.plain_calls import PlainCalls, TokenLater
from tokenward.ports import Clock

if TYPE_CHECKING:
    from tokenward.daemon.dispatcher import Dispatcher
    from tokenward.daemon.methods.method import Audit, Subscribe
    from tokenward.daemon.plain_request import PlainRequest
    from tokenward.daemon.restricted import Restriction
    from tokenward.daemon.service import Service
    from tokenward.daemon.standing_answer import HandedOut

ACCEPTS_AT_ONCE = 32
"""Connections accepted before those already open get their turn again."""
ACCEPT_PAUSE_SECONDS = 1.0
"""How long nobody is accepted after the system refused us a descriptor; a closing connection ends it early."""
SHUTDOWN_SECONDS = 5.0
"""How long answers under way may take once we are asked to end."""
MIN_SWEEP_SECONDS = 0.01
"""So that a deadline rounded down does not make the timer spin."""
MAX_NAMED_STRANGERS = 32
"""Foreign uids whose refusal is logged, once each: the log is not theirs to fill."""

logger = logging.getLogger(__name__)


class RpcServer:
    """Serves one service on listening sockets.

    Args:
        token_nowait: what the lane asks; see ``Service.token_nowait``.
        service: whom everything else is asked; called for each call, so that it can be made for the first.
        clock: gives the time deadlines are measured on.
        pace: how often one process may call, over the sockets of all servers.
        allow_root: whether root may call too.
        audit: told of every call that was carried out; None to tell nobody.
        token_later: what a plain ``token.get`` waits for; None = all that waits is the dispatcher's.
        restriction: what the sockets are narrowed to; None = they offer everything to our own user.
    """

    def __init__(
        self,
        token_nowait: Callable[[PlainRequest], HandedOut | None],
        service: Callable[[], Awaitable[Service]],
        *,
        clock: Clock,
        pace: Pace,
        allow_root: bool = False,
        audit: Audit | None = None,
        token_later: TokenLater | None = None,
        restriction: Restriction | None = None,
    ) -> None:
        self._service = service
        self.pace = pace
        self._monotonic = clock.monotonic
        self._most = protocol.MAX_CONNECTIONS
        self._audit = audit
        self._restriction = restriction
        self._lane = Lane(token_nowait, audit)
        self._dispatcher: Dispatcher | None = None
        self.calls: Counter[tuple[str, str]] = Counter()
        """How many calls were answered that had to wait, by method and result."""
        self._plain = None if token_later is None else PlainCalls(token_later, audit, self.calls)
        if restriction is None:
            self._admitted = admitted_uids(allow_root=allow_root)
        else:
            from tokenward.daemon.restricted import MOST_CONNECTIONS  # most daemons have no restricted socket

            self._most = min(self._most, MOST_CONNECTIONS)
            self._admitted = admitted_uids(allow_root=allow_root, others=restriction.uids)
        self._connections: set[Connection] = set()
        self._strangers: set[int] = set()
        self._listeners: list[socket.socket] = []
        self._tasks: TaskGroup  # from here to _timer: set while we serve
        self._loop: asyncio.AbstractEventLoop
        self._is_serving = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_sweep = math.inf
        self._accept_again_at = math.inf
        self._closing_deadline = math.inf
        self._is_accepting = False
        self._everybody_gone = anyio.Event()
        self._ended = anyio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def subscribers(self) -> int:
        """How many of them get events."""
        return sum(connection.is_subscriber for connection in self._connections)

    @property
    def lane_answers(self) -> int:
        """How many calls the lane has answered."""
        return self._lane.answered

    async def serve(
        self, listeners: Sequence[socket.socket], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until ``aclose``; a cancellation ends it at once, with calls under way cancelled.

        Args:
            listeners: listening AF_UNIX stream sockets (``listener.bind_socket``, ``sd.inherited_sockets``);
                closed at the end.
            task_status: told once connections are accepted.

        Raises:
            ConfigurationFault: if our own uid is the overflow uid, so that nobody could be told apart.
        """
        self._listeners = list(listeners)
        try:
            if os.geteuid() not in self._admitted:
                raise errors.ConfigurationFault(
                    "our uid stands for every user this namespace does not know",
                    hint="map the daemon's user into the user namespace",
                )
            self._loop = asyncio.get_running_loop()
            self._is_serving = True
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                for listener in self._listeners:
                    listener.setblocking(False)
                self._accept()
                task_status.started()
                await self._everybody_gone.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._shut()

    async def aclose(self) -> None:
        """Accept nobody any more, let what is under way be answered, and end ``serve``.

        Takes at most ``SHUTDOWN_SECONDS``.
        """
        self._stop_listening()
        self._closing_deadline = self._monotonic() + SHUTDOWN_SECONDS
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            self.expect(self._closing_deadline)
        else:
            self._everybody_gone.set()
        if self._is_serving:
            await self._ended.wait()

    def _shut(self) -> None:
        self._stop_listening()
        self._everybody_gone.set()
        for connection in tuple(self._connections):
            connection.close()
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()

    def _accept(self) -> None:
        if not self._is_accepting:
            self._is_accepting = True
            self._accept_again_at = math.inf
            for listener in self._listeners:
                self._loop.add_reader(listener, self._on_acceptable, listener)

    def _pause_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _stop_listening(self) -> None:
        self._pause_accepting()
        self._accept_again_at = math.inf
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _on_acceptable(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # EMFILE, ENFILE, ENOBUFS, ENOMEM: it passes, or at least we go on serving
                logger.warning("cannot accept connections for now: %s", os.strerror(error.errno or 0))
                self._pause_accepting()
                self._accept_again_at = self._monotonic() + ACCEPT_PAUSE_SECONDS
                self.expect(self._accept_again_at)
                return
            try:
                self._admit(accepted)
            except Exception as error:  # noqa: BLE001 - one connection's trouble is not the others'
                logger.error("a connection failed: %s", fault.describe(error))  # noqa: TRY400 - no traceback
                accepted.close()

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        try:
            peer = peer_of(accepted)
        except OSError:
            accepted.close()
            return
        if peer.uid not in self._admitted:
            self._turn_away(accepted, peer)
            return
        if len(self._connections) >= self._most and not self._make_room():
            logger.warning("turned a connection away: %d are busy", self._most)
            accepted.close()
            return
        connection = Connection(accepted, peer, owner=self, readiness=self._loop, monotonic=self._monotonic)
        self._connections.add(connection)
        self.expect(connection.last_active + protocol.IDLE_SECONDS)
        connection.start()

    def _turn_away(self, accepted: socket.socket, peer: Peer) -> None:
        if peer.uid not in self._strangers and len(self._strangers) < MAX_NAMED_STRANGERS:
            self._strangers.add(peer.uid)
            logger.warning("turned away user %d (process %s)", peer.uid, peer.pid)
        error = errors.PermissionDenied(
            "this socket is not open to your user", hint="run a tokenward daemon as your own user"
        )
        with contextlib.suppress(OSError):
            accepted.send(message.refusal(error) + b"\n")
        accepted.close()

    def _make_room(self) -> bool:
        idle = [connection for connection in self._connections if connection.is_idle]
        if not idle:
            return False
        min(idle, key=lambda connection: connection.last_active).close()
        return True

    def take_line(self, connection: Connection, line: bytes) -> bytes | None:
        """Answer a line now, or begin to.

        Args:
            connection: where it came from.
            line: without its newline.

        Returns:
            The answer, newline included, or None if it comes later or not at all.
        """
        answer = self._lane.answer(line, connection.peer)
        if answer is not None:
            return answer
        work = self.pace.admit(connection.peer, message.read_line(line))
        if not work.requests:
            return work.settled()
        connection.begin(len(work.requests))
        self._tasks.start_soon(self._answer, connection, work)
        return None

    async def _answer(self, connection: Connection, work: message.Work) -> None:
        answered = anyio.Event()
        answer = None
        try:
            answer = await self._carry_out(work, connection.peer, partial(self._subscribe, connection, answered))
        finally:
            connection.end(len(work.requests), None if answer is None else answer + b"\n")
            answered.set()

    async def _carry_out(self, work: message.Work, peer: Peer, subscribe: Subscribe) -> bytes | None:
        """What the lane does not answer; the dispatcher is imported for its first call, as the service is."""
        answer = None if self._plain is None else await self._plain.answer(work, peer)
        if answer is not None:
            return answer
        try:
            await import_aside("tokenward.daemon.methods.registry", "tokenward.daemon.dispatcher")
            from tokenward.daemon.methods.method import Call

            service = await self._service()
            dispatcher = self._dispatcher = self._dispatcher or self._new_dispatcher()
        except Exception as error:  # noqa: BLE001 - the files were replaced under us, or are gone; tokens are served on
            logger.error("what answers other calls than token.get cannot be loaded: %s", fault.describe(error))  # noqa: TRY400 - no traceback
            return message.not_loaded(work)
        return await dispatcher.answer(work, Call(service, peer, subscribe))

    def _new_dispatcher(self) -> Dispatcher:
        from tokenward.daemon.dispatcher import Dispatcher  # here and below: see _carry_out

        if self._restriction is not None:
            from tokenward.daemon.restricted import refused

            return Dispatcher(self._restriction.tokens.methods(), self._audit, self.calls, unlisted=refused)
        from tokenward.daemon.methods.registry import METHODS

        return Dispatcher(METHODS, self._audit, self.calls)

    async def _subscribe(
        self, connection: Connection, answered: anyio.Event, profiles: frozenset[str] | None
    ) -> None:
        if connection.is_subscriber:
            raise errors.InvalidRequest("this connection is a subscriber already", hint="open another connection")
        scope = connection.subscription = anyio.CancelScope()
        try:
            await self._tasks.start(self._pump, connection, scope, answered, profiles)
        except BaseException:
            connection.subscription = None
            raise
        if connection.is_ending:  # it ended before there was a subscription that its end could cancel
            scope.cancel()

    async def _pump(
        self,
        connection: Connection,
        scope: anyio.CancelScope,
        answered: anyio.Event,
        profiles: frozenset[str] | None,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        is_started = False
        try:
            with scope:
                async with (await self._service()).subscribe(profiles) as feed:
                    is_started = True
                    task_status.started()
                    await answered.wait()
                    async for event in feed:
                        await connection.wait_drained()
                        connection.send(message.notification("event", event._asdict()))
        except Exception as error:
            if not is_started:
                raise
            logger.error("a subscription failed: %s", fault.describe(error))  # noqa: TRY400 - no traceback
        connection.subscription = None
        connection.finish()

    def expect(self, deadline: float) -> None:
        """See to it that ``sweep`` runs by then.

        Args:
            deadline: seconds on the monotonic clock.
        """
        if deadline >= self._next_sweep:
            return
        self._next_sweep = deadline
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(deadline - self._monotonic(), MIN_SWEEP_SECONDS), self.sweep)

    def sweep(self) -> None:
        """Do what is due: close who took too long, accept again, end the shutdown; then set the next time."""
        now = self._monotonic()
        self._next_sweep = math.inf
        if now >= self._accept_again_at:
            self._accept()
        for connection in tuple(self._connections):
            if now >= self._closing_deadline:
                connection.close()
            elif now >= connection.deadline:
                connection.expire(now)
        due = [connection.deadline for connection in self._connections]
        deadline = min([*due, self._accept_again_at, self._closing_deadline])
        if deadline < math.inf and not self._ended.is_set():
            self.expect(deadline)

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if self._accept_again_at < math.inf:
            self._accept()  # it gave a descriptor back
        if self._closing_deadline < math.inf and not self._connections:
            self._everybody_gone.set()
