"""What a person does with shared profiles: add, share, take back, forget; and what a death in between leaves.

The problem: a credential that is moved lies in two places for a moment, and a refresh token that both places spend
ends the login of everybody. And a person on one host acts on what a person on another may have changed.

===================================  ========================================================================
if the process dies after ...        what is left
===================================  ========================================================================
sharing: the copy                    our own record and a copy: the shared name goes first, and refreshes nothing
                                     without the engine; when the engine has said for a while that there is no
                                     such record, our own one is kept again
sharing: the commit                  both: the shared one goes first, ours is set aside; share it again to end that
unsharing: our own record            both, and our lease: as above, and the lease lapses
unsharing: the removal               our own record
===================================  ========================================================================

Rules:
- Whoever moves a credential holds what a refresh of it needs: its family, and to take it back also the lease.
- The last writer wins by the generation that he saw; who saw an older one is refused, and nothing is changed.
- A login that is given is new whatever was there: it replaces what the engine holds at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import TYPE_CHECKING, TypeVar

from anyio import to_thread

from tokenward.core.credential import Credential
from tokenward.core.lifecycle import Phase
from tokenward.core.reading import Found
from tokenward.core.sharing import Committed, Removal
from tokenward.daemon.household import STORE, Household
from tokenward.daemon.shared_place import SHARED
from tokenward.daemon.shared_records import SharedRecords
from tokenward.disk.family_file import FamilyFile
from tokenward.errors import ConfigurationFault, ProfileUnavailable, StoreUnavailable, TokenwardError
from tokenward.ports import CredentialStore
from tokenward.ports.leases import HeldLease, LeasedPlace
from tokenward.ports.sharing import SharedStoreAway

if TYPE_CHECKING:
    from tokenward.daemon.keeper import Keeper
    from tokenward.daemon.keepers import Keepers

OURS = frozenset({STORE, SHARED})
"""The sources whose profiles may be written and deleted from here."""
NOTHING = "nothing was changed"

log = getLogger(__name__)
T = TypeVar("T")


def shared_by(household: Household) -> SharedRecords:
    """What this host shares.

    Raises:
        ConfigurationFault: if the configuration says nothing of it.
    """
    if household.shared is None:
        raise ConfigurationFault(
            "nothing is shared here: the configuration names no shared store",
            hint="set shared under [store], then restart the daemon",
        )
    return household.shared


async def ready(household: Household) -> None:
    """Make sure that a login can be shared, before a person makes it.

    Raises:
        ConfigurationFault: if the configuration says nothing of sharing.
        StoreUnavailable: if the engine does not answer.
    """
    records = shared_by(household)
    await _in_thread(household, "the login", records.look)


async def keep(household: Household, key: str, credential: Credential) -> None:
    """Give a shared profile a new credential, or make it; durable for all hosts when it returns.

    Raises:
        StoreUnavailable: if the engine did not take it.
    """
    records = shared_by(household)

    def commit() -> None:
        records.look(key)
        there = records.record(key)
        expected = there.value.generation if there is not None else None
        answer = records.commit(key, expected, records.seal(key, credential))
        if not isinstance(answer, Committed):
            raise _stale(key)

    await _in_thread(household, key, commit)


async def remove(household: Household, keeper: Keeper) -> None:
    """Take a profile from all hosts, if it is still what this host holds.

    Raises:
        StoreUnavailable: if the engine did not do it.
    """
    records, key = shared_by(household), keeper.profile.key
    seen = records.record(key)
    held = keeper.credential.generation if keeper.credential is not None else None
    expected = held or (seen.value.generation if seen is not None else None)

    def commit() -> None:
        if not isinstance(records.commit(key, expected, Removal()), Committed):
            raise _stale(key)

    with _moving(records, key):
        await _in_thread(household, key, commit)


async def share(household: Household, keepers: Keepers, keeper: Keeper) -> None:
    """Move a profile of our own store to the engine.

    Raises:
        ProfileUnavailable: if it cannot be moved.
        StoreUnavailable: if that did not succeed.
    """
    records, store, key = shared_by(household), household.store, keeper.profile.key
    if keeper.profile.source == SHARED:
        if not await _in_thread(household, key, lambda: store.remove(key)):
            raise ProfileUnavailable(f"{key} is shared already", hint="see who shares it: tokenward fleet status")
        return
    if keeper.profile.source != STORE:
        raise ProfileUnavailable(
            f"{key} lives in {keeper.place.description}, which is not tokenward's",
            hint="share a login of tokenward's own: tokenward login PROVIDER --shared",
        )
    await keeper.settle()
    family = _family(keeper)
    with _moving(records, key):
        try:
            await _in_thread(household, key, lambda: _move_in(records, store, key, family, keeper.credential))
        finally:
            if key in records.profiles():
                await keepers.keep_also(household.keep_shared(key))


def _move_in(
    records: SharedRecords, store: CredentialStore, key: str, family: FamilyFile | None, held: Credential | None
) -> None:
    records.look(key)
    if records.record(key) is not None:
        raise ProfileUnavailable(
            f"{key} is shared by another host already", hint=f"to use that one: tokenward logout {key}"
        )
    with _alone(key, family):
        reading = store.place(key).read()
        if not isinstance(reading, Found) or held is None or reading.credential.generation != held.generation:
            raise StoreUnavailable(f"{key} was changed just now; {NOTHING}", hint="try again")
        value = records.seal(key, reading.credential)
        records.announce(key, reading.credential)
        try:
            answer = records.commit(key, None, value)
        except SharedStoreAway as away:
            raise StoreUnavailable(
                f"the shared store went away, and whether it has {key} is not known: {away.cause}",
                hint="it is served on, and refreshed when that is known; then look: tokenward status",
            ) from None
        if not isinstance(answer, Committed):
            raise _stale(key)
        try:
            store.remove(key)
        except OSError as error:
            log.warning("%s is shared, and its own record here could not be removed: %s", key, error.strerror)


async def unshare(household: Household, keepers: Keepers, keeper: Keeper) -> None:
    """Take a shared profile back into our own store; the other hosts have it no more.

    Raises:
        ProfileUnavailable: if it is not shared.
        StoreUnavailable: if that did not succeed.
    """
    records, store, key = shared_by(household), household.store, keeper.profile.key
    place, held = keeper.place, keeper.credential
    if not isinstance(place, LeasedPlace) or held is None:
        raise ProfileUnavailable(f"{key} is not shared", hint="see what is: tokenward status")
    await keeper.settle()
    family = _family(keeper)
    with _moving(records, key):
        await _in_thread(household, key, lambda: _move_out(records, store, place, held, key=key, family=family))
        await keepers.keep_also(household.keep_stored(key))


def _move_out(
    records: SharedRecords,
    store: CredentialStore,
    place: LeasedPlace,
    held: Credential,
    *,
    key: str,
    family: FamilyFile | None,
) -> None:
    with _alone(key, family):
        lease = place.claim(held.generation, 0.0)
        if not isinstance(lease, HeldLease):
            raise StoreUnavailable(f"{key}: {lease.reason}; {NOTHING}", hint="try again")
        try:
            store.add(key, held)
            if not isinstance(records.commit(key, held.generation, Removal()), Committed):
                store.remove(key)
                raise _stale(key)
        finally:
            lease.release()


def _family(keeper: Keeper) -> FamilyFile | None:
    if keeper.phase is Phase.UNSAVED:
        raise StoreUnavailable(
            f"the newest token of {keeper.profile.key} is not saved yet", hint="try again later"
        )
    if keeper.refresher is None or keeper.credential is None:
        return None
    return keeper.refresher.family(keeper.credential)


@contextmanager
def _alone(key: str, family: FamilyFile | None) -> Iterator[None]:
    """Keep every refresh of ours away; refuse while it is not certain how the last one ended."""
    if family is None:
        yield
        return
    if not family.acquire(0.0, wait=lambda _: None, monotonic=lambda: 0.0):
        raise StoreUnavailable(f"{key} is being refreshed just now", hint="try again")
    try:
        if not family.state.finished:
            raise StoreUnavailable(f"how the last refresh of {key} ended is not known yet", hint="try again later")
        yield
    finally:
        family.release()


@contextmanager
def _moving(records: SharedRecords, key: str) -> Iterator[None]:
    """Its keeper is ours to replace meanwhile."""
    records.moving.add(key)
    try:
        yield
    finally:
        records.moving.discard(key)


def _stale(key: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"{key} was changed on another host meanwhile; {NOTHING}",
        hint="look at it: tokenward status; then try again",
    )


async def _in_thread(household: Household, key: str, work: Callable[[], T]) -> T:
    try:
        return await to_thread.run_sync(work, limiter=household.writing)
    except TokenwardError:
        raise
    except SharedStoreAway as away:
        raise StoreUnavailable(
            f"{key}: the shared store is away: {away.cause}", hint=away.hint or "try again"
        ) from None
    except OSError as error:
        raise StoreUnavailable(f"{key}: {error.strerror or type(error).__name__}", hint=NOTHING) from None
