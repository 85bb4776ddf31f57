"""What a person changes about profiles: added to our own store, shared, taken back, forgotten, disabled, enabled.

The problem: each of these must be durable before it is answered, must wait for a flight that is under way, and
must never write to or delete from a place that is another program's.

Rules:
- A profile whose place is not ours is never written or deleted from here.
- What could not be written changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio import to_thread

from tokenward.core.credential import Credential, profile_key
from tokenward.daemon import given_credential, persons_word, shared_acts
from tokenward.daemon.household import ADOPTED, STORE, Household
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.keepers import Keepers
from tokenward.daemon.profile_models import ProfileAddParams, ProfileResult
from tokenward.daemon.shared_place import SHARED
from tokenward.errors import ProfileUnavailable, StoreUnavailable
from tokenward.provider_files import choose


class OwnProfiles:
    """The one to tell.

    Args:
        household: the store, and the state.
        keepers: everybody who is kept.
        shown: the profile as it is answered.
        release: lets go of an adopted file by its profile's id; whether there was one.
    """

    def __init__(
        self,
        household: Household,
        keepers: Keepers,
        *,
        shown: Callable[[Keeper], ProfileResult],
        release: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._household = household
        self._keepers = keepers
        self._shown = shown
        self._release = release

    async def add(self, params: ProfileAddParams) -> ProfileResult:
        """Keep a credential in our own store, durably; see ``Service``."""
        profile = choose(params.profile.partition(":")[0]).provider + ":" + params.profile.partition(":")[2]
        credential = given_credential.read(params, now=self._household.around.clock.wall())
        given_credential.refuse_misplaced(credential, self._household.provider(profile.partition(":")[0]))
        return await self.store(profile_key(profile, params.agent), credential, shared=params.shared)

    def is_ours(self, key: str) -> bool:
        """Whether a profile's key may be given to a new credential: it is free, ours, or shared by us."""
        known = self._keepers.by_key.get(key)
        return known is None or known.profile.source in shared_acts.OURS

    async def ready(self, key: str | None, *, shared: bool) -> None:
        """Make sure that a login can be kept, before a person makes it.

        Args:
            key: of the profile, if it is known yet.
            shared: whether a new one is shared with other hosts.

        Raises:
            ConfigurationFault: if it is to be shared, and the configuration says nothing of that.
            StoreUnavailable: if it is to be shared, and the shared store does not answer.
        """
        known = self._keepers.by_key.get(key) if key is not None else None
        if shared or (known is not None and known.profile.source == SHARED):
            await shared_acts.ready(self._household)

    async def store(self, key: str, credential: Credential, *, shared: bool = False) -> ProfileResult:
        """Keep a credential in our own store under a profile's key, and show the profile.

        Args:
            key: of the profile.
            credential: what to keep.
            shared: whether a new profile is shared with other hosts.

        Raises:
            ProfileUnavailable: if the profile lives in another program's place, or is not shared and should be.
            StoreUnavailable: if it could not be written.
        """
        known = self._keepers.by_key.get(key)
        if shared and known is not None and known.profile.source == STORE:
            raise ProfileUnavailable(f"{key} is this host's own", hint=f"share it: tokenward fleet share {key}")
        if not self.is_ours(key) and known is not None:
            raise ProfileUnavailable(
                f"{key} lives in {known.place.description}, which is not tokenward's", hint="choose another name"
            )
        return self._shown(await self.install(key, credential, shared=shared))

    async def install(self, key: str, credential: Credential, *, shared: bool = False) -> Keeper:
        """Keep a credential in our own store, durably, and serve it; that of a shared profile is shared.

        Args:
            key: of a profile of our own store, or of none.
            credential: what to keep.
            shared: whether a new profile is shared with other hosts.

        Raises:
            StoreUnavailable: if it could not be stored.
        """
        household = self._household
        known = self._keepers.by_key.get(key)
        if known is not None:
            await known.settle()
            shared = known.profile.source == SHARED
        try:
            if shared:
                await shared_acts.keep(household, key, credential)
            else:
                await to_thread.run_sync(household.store.add, key, credential, limiter=household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"{key} could not be stored: {error.strerror or error}", hint="nothing was changed"
            ) from None
        if known is None:
            keep = household.keep_shared if shared else household.keep_stored
            known = await self._keepers.engage(keep(key))
            await self._keepers.begin([known])
        await persons_word.accept(known, credential)
        self._keepers.line.health.forgive(key)  # the person who gave it may have given the same again
        persons_word.reopen(known)
        return known

    async def forget(self, keeper: Keeper) -> ProfileResult:
        """Delete a profile of our own store, or let an adopted one go; see ``Service``."""
        profile, household = keeper.profile, self._household
        if profile.source == ADOPTED and await self._release(profile.id):
            shown = self._shown(keeper)
            await keeper.settle()
            await keeper.forget()
            await self._keepers.dismiss(profile.key)
            household.routing.forget(profile.key)
            return shown
        if profile.source not in shared_acts.OURS:
            raise ProfileUnavailable(
                f"{profile.id} lives in {keeper.place.description}, which is not tokenward's",
                hint="log out where it was logged in: claude auth logout, or unset the variable",
            )
        shown = self._shown(keeper)
        await keeper.settle()
        try:
            if profile.source == SHARED:
                await shared_acts.remove(household, keeper)
            else:
                await to_thread.run_sync(household.store.remove, profile.key, limiter=household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"{profile.id} could not be deleted: {error.strerror or error}", hint="nothing was changed"
            ) from None
        await keeper.forget()
        self._keepers.let_go(keeper)
        household.routing.forget(profile.key)  # a namesake that is added later begins anew
        return shown

    async def share(self, keeper: Keeper) -> None:
        """Move a profile of our own store to where many hosts share it; see ``Service``."""
        await shared_acts.share(self._household, self._keepers, keeper)

    async def unshare(self, keeper: Keeper) -> None:
        """Take a shared profile into our own store; see ``Service``."""
        await shared_acts.unshare(self._household, self._keepers, keeper)

    async def decide(self, keeper: Keeper, *, disabled: bool) -> ProfileResult:
        """Let a profile rest, or serve again, durably.

        Raises:
            StoreUnavailable: if it could not be written.
        """

        def decide() -> None:
            self._household.routing.set_disabled(keeper.profile.key, disabled=disabled)

        try:
            await to_thread.run_sync(decide, limiter=self._household.writing)
        except OSError as error:
            raise StoreUnavailable(
                f"the decision could not be written: {error.strerror or error}", hint="nothing was changed"
            ) from None
        self._keepers.let_rest()
        return self._shown(keeper)
