"""What people decide about routing: the order of profiles, what a session uses, and that a profile is well again.

The problem: these are few, are said by people, and must hold once they were confirmed. So each is checked against
what there is, written before it is answered, and shown as it is in force.

Rules:
- An order and a hard pin may outlive their profiles: who logs in again under the same id is meant. But what is
  said now must exist now, or it was misspelt.
- A decision that could not be written changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from anyio import to_thread

from tokenward.core import fallback
from tokenward.core.credential import MAIN_AGENT, profile_key
from tokenward.core.fallback import FailedModel, NoModelLeft
from tokenward.core.pins import ChosenModel, split_profile
from tokenward.daemon import nothing_served, persons_word
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.models import Models
from tokenward.daemon.orders import order_key, order_of
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.routing_models import (
    FallbackParams,
    FallbackResult,
    OrderParams,
    OrderResult,
    OrderSetParams,
    SessionParams,
    SessionPinParams,
    SessionResult,
)
from tokenward.daemon.routing_state import Section
from tokenward.daemon.sessions import SessionPins
from tokenward.errors import InvalidParams, StoreUnavailable
from tokenward.provider_files import choose

if TYPE_CHECKING:
    from tokenward.daemon.household import Household
    from tokenward.daemon.keeper import Keeper


class _Ward(Protocol):
    """What is needed of the ward."""

    household: Household
    keepers: dict[str, Keeper]
    line: LineUp
    sessions: SessionPins
    models: Models

    def profile(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """One profile."""


class Decisions:
    """The one to tell.

    Args:
        ward: whose profiles they concern.
    """

    def __init__(self, ward: _Ward) -> None:
        self._ward = ward

    # Orders

    def order(self, params: OrderParams) -> OrderResult:
        """The order of an agent's profiles; see the method."""
        provider = choose(params.provider).provider
        profiles = list(order_of(self._ward.household, params.agent, provider))
        missing = [profile for profile in profiles if not self._exists(profile, params.agent)]
        return OrderResult(provider=provider, agent=params.agent, profiles=profiles, missing=missing)

    async def set_order(self, params: OrderSetParams) -> OrderResult:
        """Decide the order; see the method.

        Raises:
            InvalidParams: if a profile is of another provider, or is named twice.
            ProfileUnavailable: if there is no such profile.
            StoreUnavailable: if it could not be written.
        """
        provider = choose(params.provider).provider
        for profile in params.profiles:
            owner = profile.partition(":")[0]
            if owner != provider:
                raise InvalidParams(
                    f'Auth profile "{profile}" is for {owner}, not {provider}.',
                    hint="name profiles of that provider only",
                )
            if not self._exists(profile, params.agent):
                raise nothing_served.no_such_profile(profile, params.agent)
        if len(set(params.profiles)) < len(params.profiles):
            raise InvalidParams("an order names each profile once", hint="leave the second one out")
        await self._decide(order_key(params.agent, provider), params.profiles)
        return self.order(params)

    async def clear_order(self, params: OrderParams) -> OrderResult:
        """Forget the order; see the method.

        Raises:
            StoreUnavailable: if it could not be written.
        """
        await self._decide(order_key(params.agent, choose(params.provider).provider), None)
        return self.order(params)

    async def _decide(self, key: str, profiles: list[str] | None) -> None:
        household = self._ward.household

        def decide() -> None:
            household.routing.decide(Section.ORDERS, key, profiles)

        async def write() -> None:
            await to_thread.run_sync(decide, limiter=household.writing)

        await _durably(write)

    def _exists(self, profile: str, agent: str) -> bool:
        keepers = self._ward.keepers
        inherited = self._ward.household.inherit_agents and profile_key(profile, MAIN_AGENT) in keepers
        return profile_key(profile, agent) in keepers or inherited

    # Sessions

    def session(self, params: SessionParams) -> SessionResult:
        """What a session uses; see the method."""
        pin = self._ward.sessions.get(params.session)
        if pin is None:
            return SessionResult(session=params.session, provider=None, model=None, profile=None, hard=False)
        return SessionResult(
            session=params.session, provider=pin.provider, model=pin.model, profile=pin.profile, hard=pin.hard
        )

    async def pin(self, params: SessionPinParams) -> SessionResult:
        """Pin a session to a model, and perhaps to a profile; see the method.

        Raises:
            InvalidParams: if the profile is another provider's.
            ProfileUnavailable: if there is no such profile.
            UnknownModel: if nobody can tell whose model it is.
            StoreUnavailable: if it could not be written.
        """
        reference = self._chosen(params.model)
        profile = reference.profile
        if profile is not None and not any(keeper.profile.id == profile for keeper in self._ward.keepers.values()):
            raise nothing_served.no_such_profile(profile)

        async def write() -> None:
            await self._ward.sessions.pin(params.session, reference)

        await _durably(write)
        return self.session(params)

    async def reset(self, params: SessionParams) -> SessionResult:
        """Forget what a session uses; see the method.

        Raises:
            StoreUnavailable: if it could not be written.
        """

        async def write() -> None:
            await self._ward.sessions.reset(params.session)

        await _durably(write)
        return self.session(params)

    def _chosen(self, text: str) -> ChosenModel:
        named, profile = split_profile(text)
        owner = None if profile is None else profile.partition(":")[0]
        model = self._ward.models.meant(named, provider=owner)
        return ChosenModel(model.provider, model.model, profile)

    # Fallbacks

    def fallback(self, params: FallbackParams) -> FallbackResult:
        """The model to try after those that failed; see the method.

        Raises:
            InvalidParams: if nothing says which model was asked for.
            UnknownModel: if nobody can tell whose model one is.
        """
        household = self._ward.household
        primary = _default_model(household)
        pin = self._ward.sessions.get(params.session) if params.session is not None else None
        pinned = f"{pin.provider}/{pin.model}" if pin is not None and pin.model is not None else None
        requested = params.model or pinned or primary
        if requested is None:
            raise InvalidParams(
                "nothing says which model was asked for", hint="name it, or set model under [default]"
            )
        models = fallback.chain(
            self._whole(requested),
            map(self._whole, household.fallbacks),
            None if primary is None else self._whole(primary),
        )
        failed = [FailedModel(self._whole(each.model), each.error, each.reason) for each in params.failed]
        answer = fallback.next_model(models, failed)
        if isinstance(answer, NoModelLeft):
            return FallbackResult(model=None, chain=list(models), cause=answer.cause, stopped=answer.stopped)
        return FallbackResult(model=answer, chain=list(models), cause=None, stopped=False)

    def _whole(self, text: str) -> str:
        reference = self._chosen(text)
        return f"{reference.provider}/{reference.model}"

    # Profiles

    async def clear(self, profile: str, agent: str = MAIN_AGENT) -> ProfileResult:
        """A person says that a profile is well again; see the method.

        Raises:
            ProfileUnavailable: if there is no such profile.
            StoreUnavailable: if it could not be written.
        """
        key = profile_key(profile, agent)
        keeper = self._ward.keepers.get(key)
        if keeper is None:
            raise nothing_served.no_such_profile(profile, agent)

        async def write() -> None:
            await self._ward.line.health.clear(key)

        await _durably(write)
        persons_word.reopen(keeper)
        return self._ward.profile(profile, agent)


def _default_model(household: Household) -> str | None:
    name = household.default_provider
    model = household.provider(name).default_model
    return None if model is None else f"{name}/{model}"


async def _durably(write: Callable[[], Awaitable[None]]) -> None:
    try:
        await write()
    except OSError as error:
        raise StoreUnavailable(
            f"the decision could not be written: {error.strerror or error}", hint="nothing was changed"
        ) from None
