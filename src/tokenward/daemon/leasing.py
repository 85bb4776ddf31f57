"""What the refresh transaction asks of its place's locks, be they a file's or a lease among hosts.

The problem: a file's locks say whether they are ours still, a lease only when it ends; and what was sent under a
lease and has no answer must keep every other host from sending it too. The transaction is one straight line for
both, so that the difference is here.
"""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger

from tokenward.daemon.flight_results import Cause, Failed, FlightResult, SaveFailed
from tokenward.ports import HeldLocks, LocksBusy, Place
from tokenward.ports.leases import HeldLease, KnownDead, LeasedPlace, PerhapsSpent

log = getLogger(__name__)


def locks_to_send(
    place: Place, generation: str, deadline: float
) -> HeldLocks | LocksBusy | PerhapsSpent | KnownDead:
    """Take what must be ours while a refresh token is spent.

    Args:
        place: where the credential lives.
        generation: the value whose refresh token it is.
        deadline: on the monotonic clock, in seconds.
    """
    if isinstance(place, LeasedPlace):
        return place.claim(generation, deadline)
    return place.acquire_locks(deadline)


def may_send(locks: HeldLocks) -> bool:
    """Whether they are ours for long enough, asked before the refresh token leaves."""
    return not isinstance(locks, HeldLease) or locks.may_send()


def settle(locks: HeldLocks, result: FlightResult) -> None:
    """Say how it ended: a token that may be spent, without its successor in the place, is left in doubt."""
    in_doubt = isinstance(result, SaveFailed) or (isinstance(result, Failed) and result.cause is Cause.AMBIGUOUS)
    if isinstance(locks, HeldLease) and not in_doubt:
        locks.settle()


def condemn(place: Place, generation: str, reason: str) -> None:
    """Tell whoever else holds the value that its refresh token is dead.

    Raises:
        OSError: if they could not be told, nor asked whether it was replaced.
    """
    if isinstance(place, LeasedPlace):
        place.condemn(generation, reason)


def are_lost(locks: HeldLocks) -> bool:
    """Whether they were taken from us meanwhile."""
    try:
        return not locks.still_owned()
    except Exception:  # noqa: BLE001 - it is asked after the answer, and only to be told
        return True


def give_back(what: Callable[[], None]) -> None:
    """Let go of something; a failure must not take the place of the result that is on its way."""
    try:
        what()
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("something could not be given back: %s", type(error).__name__)
