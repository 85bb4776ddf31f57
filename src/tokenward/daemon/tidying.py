"""What is written out and cleared away beside the service: the audit, and what is left in the families' directory.

The problem: lines of the audit wait in memory, family files outlive their use, and processes of ours that died
leave marks. All of it needs a disk, which may be full or gone.

Rules:
- A disk that will not take it costs a line in the log, never the service.
- It is done in the one thread that writes beside the flights.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from logging import getLogger
from pathlib import Path
from typing import Any

import anyio

from tokenward.daemon.audit import AuditLog
from tokenward.disk import family_file
from tokenward.ports import Clock

PRUNE_EVERY_BEATS = 360
"""Beats between two prunings of finished families: two hours at 20 s each, less where a watchdog wants more."""

log = getLogger("tokenward")


class Tidying:
    """The upkeep of one daemon.

    Args:
        families: the families' directory.
        audit: who asked for what.
        clock: the machine's clocks.
        spawn: starts a task.
        writing: the thread that writes.
        generation_at: the generation that a profile holds, if it lives at a place; None if it does not.
    """

    def __init__(
        self,
        families: Path,
        audit: AuditLog,
        *,
        clock: Clock,
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
        writing: anyio.CapacityLimiter,
        generation_at: Callable[[str, str], str | None],
    ) -> None:
        self._families = families
        self._audit = audit
        self._clock = clock
        self._spawn = spawn
        self._writing = writing
        self._generation_at = generation_at
        self._beats = 0

    def on_beat(self) -> None:
        """Write what the audit has noted, and from time to time prune families; called at each beat."""
        self._spawn(self.write_audit)
        self._beats += 1
        if self._beats % PRUNE_EVERY_BEATS == 1:
            self._spawn(self._prune)

    async def write_audit(self, *, everything: bool = False) -> None:
        """Write what the audit has noted.

        Args:
            everything: as in ``AuditLog.take``.
        """
        taken = self._audit.take(everything=everything)
        if not taken:  # a daemon that nobody asks wakes no thread for it
            return

        def write() -> None:
            try:
                self._audit.write(taken)
            except OSError as error:
                log.warning("the audit could not be written: %s", error.strerror)

        await anyio.to_thread.run_sync(write, limiter=self._writing)

    async def clear_left_marks(self) -> None:
        """End what processes of ours that died had begun, where its place has moved on since."""
        await self._with_families(lambda families: family_file.clear_left_marks(families, self._generation_at))

    async def _prune(self) -> None:
        await self._with_families(lambda families: family_file.prune(families, now=self._clock.wall()))

    async def _with_families(self, work: Callable[[Path], int]) -> None:
        def guarded() -> None:
            try:
                work(self._families)
            except OSError as error:
                log.warning("the families' directory could not be tidied: %s", error.strerror)

        await anyio.to_thread.run_sync(guarded, limiter=self._writing)
