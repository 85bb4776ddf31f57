"""A token that a program keeps for as long as asking the daemon again would change nothing.

The problem: a program that makes a hundred requests a second wants no question for each, and must neither send
a token that was refused, nor fall silent because the daemon is being restarted.

Rules:
- A token is kept until ``min_valid`` is left of it, at most ``KEPT_SECONDS``, so that a profile that was disabled
  or put behind another goes out of use within a minute.
- After trouble that the daemon was told of, the next request asks: another profile may have the better token now.
- What was refused is never used again. A hundred threads that were refused the same generation ask once.
- A daemon that cannot be asked is no reason to stop while the token lives; what it says is obeyed.
- Threads share one; a child of fork() has a connection and locks of its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tokenward.client import Client, Token
from tokenward.core import protocol
from tokenward.errors import CallTimeout, DaemonUnreachable

KEPT_SECONDS = 60.0
"""How long a token is used without asking whether it is still the one to use."""
_AGAIN_SECONDS = 5.0
"""How long a daemon that could not be asked is left alone while a token lives."""
_IMPATIENCE_SECONDS = 2.0
"""How long a program that has a living token waits for a better one."""
_JUST_RENEWED_SECONDS = 5.0
"""How long a renewed token stands against a refusal that does not say what was refused."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token, and until when it is used without a question; Unix seconds.

    Args:
        token: the token.
        since: when it was asked for.
        until: when it is asked for again.
        ends: when it expires; None = unknown.
        renewed: whether it came in place of one that was refused.
    """

    token: Token
    since: float
    until: float
    ends: float | None
    renewed: bool

    def lives(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.ends is None or now < self.ends

    def settled(self, now: float) -> bool:
        """Whether it is used without a question; a clock that was put back asks."""
        return self.since <= now < self.until and self.lives(now)


class HeldToken:
    """One token for one purpose, held for a program.

    Args:
        socket_path: where the daemon listens; None = where ``protocol.socket_path`` says.
        timeout: seconds that the daemon may take, a refresh included.
        min_valid: seconds of life that a token must have to be used without asking for another.
        clock: Unix seconds.
        wishes: which token; arguments of ``Client.token``.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str] | None,
        *,
        timeout: float = protocol.DEFAULT_TIMEOUT,
        min_valid: float = protocol.DEFAULT_MIN_VALID,
        clock: Callable[[], float] = time.time,
        **wishes: Any,
    ) -> None:
        self._client = Client(socket_path, timeout=timeout)
        self._timeout = timeout
        self._min_valid = min_valid
        self._clock = clock
        self._wishes = wishes
        self._held: _Held | None = None
        self._doubted: str | None = None
        self._turn = threading.Lock()
        self._owner = os.getpid()

    @property
    def socket_path(self) -> str:
        """Where the daemon is looked for."""
        return self._client.socket_path

    def close(self) -> None:
        """Close the connection; the next question would open another."""
        self._client.close()

    def settled(self) -> Token | None:
        """The token, if it can be had without a question; never waits."""
        held = self._held
        if held is None or held.token.generation == self._doubted or not held.settled(self._clock()):
            return None
        return held.token

    def current(self) -> Token:
        """The token to use now.

        Raises:
            TokenwardError: if there is none; see ``Client.token``.
        """
        if (settled := self.settled()) is not None:
            return settled
        held = self._held
        living = held if held is not None and held.lives(self._clock()) else None
        turn = self._own_turn()
        if living is None:
            turn.acquire()
        elif not turn.acquire(blocking=False):
            # Somebody asks already. Whoever has a token that lives need not wait for the answer.
            return living.token
        try:
            return self.settled() or self._asked_or(living)
        finally:
            turn.release()

    def doubt(self, generation: str) -> None:
        """Let the next ``current`` ask, if this is what is held: the daemon may have another in mind by now.

        Args:
            generation: of the token that the daemon was told something of.
        """
        self._doubted = generation

    def newer_than(self, refused: str) -> Token:
        """Another token than the one that was refused.

        Args:
            refused: its generation.

        Raises:
            TokenwardError: if there is none; see ``Client.token``.
        """
        with self._own_turn():
            held = self._held
            if held is not None and held.token.generation != refused and held.lives(self._clock()):
                return held.token
            self._held = None
            return self._asked(self._timeout, newer_than=refused)

    def renewed(self, before: Callable[[Token], None]) -> Token:
        """Another token than the one that is held, for a caller who knows of a refusal but not of what.

        A token that has just been renewed stands: it was the one before it that was refused.

        Args:
            before: told of the token that is given up, before another is asked for.

        Raises:
            TokenwardError: if there is none; see ``Client.token``.
        """
        held = self._held
        if held is None:
            return self.current()
        if held.renewed and 0 <= self._clock() - held.since < _JUST_RENEWED_SECONDS:
            return held.token
        before(held.token)
        return self.newer_than(held.token.generation)

    def _asked_or(self, living: _Held | None) -> Token:
        self._doubted = None
        try:
            return self._asked(self._timeout if living is None else min(self._timeout, _IMPATIENCE_SECONDS))
        except (CallTimeout, DaemonUnreachable):
            now = self._clock()
            if living is None or not living.lives(now):
                raise
            self._held = _Held(living.token, now, now + _AGAIN_SECONDS, living.ends, living.renewed)
            return living.token

    def _asked(self, timeout: float, newer_than: str | None = None) -> Token:
        token = self._client.token(
            **self._wishes, min_valid=self._min_valid, newer_than=newer_than, timeout=timeout
        )
        now = self._clock()
        ends = None if token.valid_for is None else now + token.valid_for
        until = now + KEPT_SECONDS
        if ends is not None:
            # A token that is short of life from the start is not asked for again with every single request.
            until = min(until, max(ends - self._min_valid, now + 1))
        self._held = _Held(token, now, until, ends, newer_than is not None)
        return token

    def _own_turn(self) -> threading.Lock:
        if self._owner != os.getpid():
            # A thread of the parent may have held the locks when it forked, and is not here to release them.
            self._owner = os.getpid()
            self._turn = threading.Lock()
            self._client = Client(self._client.socket_path, timeout=self._timeout)
        return self._turn
