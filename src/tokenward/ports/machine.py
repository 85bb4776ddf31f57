"""The machine itself: its clocks, its randomness and the programs on it.

The problem: a test that waits for a clock, or hopes for a random number, proves nothing.

Rule: a ``Clock`` never blocks; ``Processes`` is a coroutine whose patience ends our waiting, never the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The three clocks of a machine."""

    def wall(self) -> datetime:
        """Aware UTC; may step in either direction."""

    def monotonic(self) -> float:
        """Seconds; never steps, stops in suspend."""

    def boottime(self) -> float:
        """Seconds; never steps, runs on in suspend."""


class Entropy(Protocol):
    """The source of unpredictable values."""

    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""

    def token(self, size: int) -> bytes:
        """Bytes fit for keys and nonces."""


class Processes(Protocol):
    """Other programs."""

    async def run(
        self, argv: Sequence[str], *, environ: dict[str, str], patience: float, on_exit: Callable[[], None]
    ) -> int | None:
        """Run a program to its end; our patience ends our waiting, never the program.

        Args:
            argv: the command, its first word an absolute path.
            environ: its whole environment.
            patience: seconds.
            on_exit: called when the program has ended, also long after we stopped waiting.

        Returns:
            Its exit status, or None if it still runs.

        Raises:
            OSError: if it could not be started.
        """
