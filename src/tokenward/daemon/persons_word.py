"""What a person says of a keeper's value: that this one is to be held, or that the one that was refused is good.

The problem: a keeper takes what is news and passes over what it saw replaced or refused, but a person who puts an
old value back means it.

Rule: what a person put into the place is taken when it is read there, never on their word alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from tokenward.core.credential import Credential
from tokenward.core.lifecycle import Event, Phase
from tokenward.core.reading import Found, Reading
from tokenward.daemon.attempts import NO_ATTEMPTS

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper


async def accept(keeper: Keeper, credential: Credential) -> None:
    """A person put this value into the place: it is news whatever was held or seen replaced before."""
    if not keeper.holds(credential):
        keeper.lookout.reinstate(credential.generation)
    await keeper.reconcile()
    if keeper.holds(credential):
        return  # it may be due, and its refresh under way: nobody who gives a login waits for that
    there = await _what_is_there(keeper)
    is_there = isinstance(there, Found) and there.credential.generation == credential.generation
    if is_there and not keeper.holds(credential):
        keeper.take(credential)


def reopen(keeper: Keeper) -> None:
    """A person says that a static credential which was refused is good: it serves until it is refused anew."""
    credential = keeper.credential
    if keeper.phase is Phase.LOGIN_REQUIRED and credential is not None and not credential.refreshable:
        keeper.attempts = NO_ATTEMPTS
        keeper.apply(Event.LOADED)


async def _what_is_there(keeper: Keeper) -> Reading:
    """What the place holds, read while no flight could change it."""
    while True:
        await keeper.settle()
        before = keeper.held
        reading = await to_thread.run_sync(keeper.place.read, limiter=keeper.around.reading)
        if not keeper.is_in_flight and keeper.held is before:
            return reading
