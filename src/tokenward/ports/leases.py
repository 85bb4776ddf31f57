"""The lease under which one of many hosts spends a refresh token that all of them hold.

The problem: a refresh is one straight line for every place, and one of them is held by hosts that may be stopped,
dead or cut off at any step of it.

Rule: all of it blocks, and is called in worker threads.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from tokenward.ports.places import HeldLocks, LocksBusy, Place


class PerhapsSpent(NamedTuple):
    """Somebody who had the lease may have spent the refresh token and told nobody: it must not be sent now.

    Args:
        reason: one line for people: who, and how long ago.
        seconds: for how long.
    """

    reason: str
    seconds: float


class KnownDead(NamedTuple):
    """The authorization server condemned the refresh token when another holder sent it.

    Args:
        reason: what it said.
    """

    reason: str


@runtime_checkable
class HeldLease(HeldLocks, Protocol):
    """The right to spend one refresh token for a while; time alone tells whether it is ours still."""

    def may_send(self) -> bool:
        """Whether it lasts for a whole request still, asked before the token leaves.

        If so, what follows is in doubt until ``settle``: ``release`` gives nothing back, and the lease lapses.
        """

    def settle(self) -> None:
        """What was sent has an answer, and whoever comes next finds it in the place or need not know of it."""


@runtime_checkable
class LeasedPlace(Place, Protocol):
    """A place that many hosts hold: its refresh token is spent under a lease, and written without one."""

    def claim(self, generation: str, deadline: float) -> HeldLease | LocksBusy | PerhapsSpent | KnownDead:
        """Take the lease, or wait until whoever has it is done.

        Args:
            generation: the value whose refresh token is to be spent.
            deadline: on the monotonic clock, in seconds.

        Returns:
            ``LocksBusy`` also if the place holds another value now: it is to be read again.
        """

    def condemn(self, generation: str, reason: str) -> None:
        """Tell all holders that the refresh token of a value is dead; nothing happens if it was replaced.

        Raises:
            OSError: if they could not be told, so that nobody can say whether it was replaced.
        """
