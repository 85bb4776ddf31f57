"""Whose token a caller gets: the request's wishes, the order of those who may answer, and who of them has one.

The problem: a request names a provider, a profile or nothing, and the first choice may have nothing to give at
this moment. Every caller must be told the same, on the lane, through the dispatcher and without a daemon.

Rules:
- Who may answer and who first is decided by ``core.selection``; what each has to give, by its keeper. Here is
  only the asking, one after the other.
- The lane is answered by the first choice that holds something, or not at all; who needs more than a look waits.
- Whoever is in a window is not asked, but for one that was named and only cools (``Shortlist.turns``). Before
  that is said of all, their places are looked at: new material ends a window.
- Whoever has nothing valid is waited for, since the first choice is a person's; but not long
  (``PATIENCE_BESIDE_OTHERS``) if another could serve at once.
- Each answer is a use: the next one is another's, unless a session or an order says whose.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from tokenward.core import selection
from tokenward.core.credential import MAIN_AGENT, Credential, Kind, Profile, Secret
from tokenward.core.health import NEVER
from tokenward.core.selection import Selector, Shortlist, Unusable
from tokenward.core.serving import Refusal, Serve, Wish
from tokenward.daemon import answers, nothing_served
from tokenward.daemon.answers import EncodedAnswer
from tokenward.daemon.household import STORE, UNLOCK, Household
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.nothing_served import Asked, Refused
from tokenward.daemon.orders import order_of
from tokenward.daemon.resting import refused_at_rest
from tokenward.daemon.sessions import SessionPins
from tokenward.daemon.standing_answer import HandedOut, StandingAnswer
from tokenward.errors import AskDifferently, PersonNeeded, RetryLater, StoreUnavailable, TokenwardError
from tokenward.provider_files import CLAUDE_CODE_PROVIDER, choose

if TYPE_CHECKING:
    from tokenward.daemon.plain_request import TokenRequest
    from tokenward.daemon.token_models import CredentialInput

MOST_LOOKED_AT = 16
"""Profiles that one request looks at besides those it asks; the watcher tells of the others."""
MOST_EMPTY = 8
"""Places with nothing in them that the lane passes over, at one look each."""
PATIENCE_BESIDE_OTHERS = 5.0
"""Seconds that a refresh is waited for while another profile could serve: many times what a good one takes."""
OAUTH_FOR = {"api_key": selection.KEY_KINDS, "oauth": selection.OAUTH_KINDS}


@dataclass(slots=True, eq=False, repr=False)
class Choice:
    """Who was chosen to answer the last request, and how; an answer of the lane says it itself.

    Args:
        profile: its id, as answers name it.
        generation: of the token that was handed out.
        key: the profile's key.
        why: how it was chosen, in a word or two (``SECURITY.md``).
    """

    profile: str = ""
    generation: str = ""
    key: str = ""
    why: str = ""

    def set(self, profile: str, generation: str, key: str, why: str) -> None:
        """Note another one; made anew for each answer, it would cost as much as all the rest of the noting."""
        self.profile, self.generation, self.key, self.why = profile, generation, key, why


class _Orders(TypedDict):
    """The members of a ``Selector`` that people decide."""

    inherits: bool
    order: tuple[str, ...]
    inherited_order: tuple[str, ...]


class Broker:
    """Chooses among all keepers.

    Args:
        household: what they share.
        keepers: everybody, by key; the ward's own table.
        line: the order in which they are asked.
        sessions: whom sessions stay with.
    """

    def __init__(
        self, household: Household, keepers: Mapping[str, Keeper], line: LineUp, sessions: SessionPins
    ) -> None:
        self.household = household
        self._keepers = keepers
        self._line = line
        self._sessions = sessions
        self.degraded: Counter[str] = Counter()
        """Answers of the lane that were less than what was asked for, by why."""
        self.choice = Choice()
        """Of the last answer; whoever wants to know it looks before anything else is awaited."""

    def token_nowait(self, params: TokenRequest) -> HandedOut | None:
        """The encoded answer of the first choice, if one stat is all it needs; else None."""
        if params.credential is not None:
            return None
        selector = self._for_session(params, self._selector(params))
        empty, keeper = self._first_with_something(selector)
        credential = keeper.credential if keeper is not None else None
        if keeper is None or credential is None:
            return None
        excludes = params.newer_than == credential.generation
        decision = keeper.decide(Wish(min_valid=params.min_valid, excludes_held=excludes))
        if not isinstance(decision, Serve):
            return None
        left = keeper.left()
        result = self._encoded(keeper, decision.degraded).with_life(left if left is not None else math.inf)
        why = self._served(params, selector, keeper, credential.generation)
        standing = self._standing(params, selector, keeper, empty, why) if decision.degraded is None else None
        if decision.degraded is not None:
            self.degraded[decision.degraded] += 1
        return HandedOut(result, keeper.profile.id, credential.generation, keeper.profile.key, why, standing)

    def _first_with_something(self, selector: Selector) -> tuple[list[Keeper], Keeper | None]:
        """The first choice, if one look at its place is enough to know it, and at the empty ones before it."""
        empty: list[Keeper] = []
        for key in islice(self._line.in_turn(selector), MOST_EMPTY + 1):
            keeper = self._keepers.get(key)
            if keeper is None or keeper.needs_attention():
                return empty, None
            if keeper.credential is not None:
                return empty, keeper
            empty.append(keeper)
        return empty, None

    def _standing(
        self, params: TokenRequest, selector: Selector, keeper: Keeper, empty: Sequence[Keeper], why: str
    ) -> StandingAnswer | None:
        """What answers the same request again; None where more decides about it than is compared there."""
        if params.session is not None or params.newer_than is not None or params.tier is not None:
            return None
        return StandingAnswer(
            self._line,
            self._keepers,
            self._encoded,
            min_valid=params.min_valid,
            empty=empty,
            first=self._line.rotation(keeper.profile.key, selector) or keeper.profile.key,
            until=self._line.calm_until(selector),
            why=why,
        )

    def _encoded(self, keeper: Keeper, degraded: str | None = None) -> EncodedAnswer:
        credential = keeper.credential
        assert credential is not None  # noqa: S101 - only asked when something is served
        encoded = keeper.prepared.encoded.get(degraded)
        if encoded is None or encoded.credential is not credential:
            members = answers.token_members(keeper, self.household.provider(keeper.profile.provider), degraded)
            encoded = keeper.prepared.encoded[degraded] = EncodedAnswer(members, credential)
        return encoded

    async def token(self, params: TokenRequest, model: str | None = None) -> dict[str, Any]:
        """A token that is valid now, as the members of the answer.

        Args:
            params: what is asked for.
            model: the id of the model that it is for; None = not said.

        Raises:
            TokenwardError: if no profile that fits can serve one.
        """
        if params.credential is not None:
            return self._inline(params.provider, params.credential)
        asked = self._selector(params, model)
        selector = self._for_session(params, asked)
        refusals: list[Refused] = []
        deadline = self.household.around.clock.monotonic() + params.timeout
        shortlist = await self._shortlist(selector)
        turns = shortlist.turns(selector)
        for place, turn in enumerate(turns):
            keeper = self._keepers.get(turn.key)
            if keeper is None:
                continue  # forgotten while another was asked
            patience = max(0.0, deadline - self.household.around.clock.monotonic())
            if not self._serves_at_once(turn.key, params):
                others = (
                    self._serves_at_once(each.key, params) for each in turns[place + 1 : place + MOST_LOOKED_AT]
                )
                patience = min(patience, PATIENCE_BESIDE_OTHERS) if any(others) else patience
            try:
                _, degraded = await keeper.obtain(
                    params.min_valid, newer_than=params.newer_than, patience=patience
                )
            except (RetryLater, PersonNeeded, AskDifferently) as refusal:
                # Unless it was asked for, a place with nothing in it was looked at and has not failed.
                if selector.profile is not None or keeper.credential is not None or keeper.lookout.trouble:
                    locked = self._locked(keeper)
                    refusals.append(Refused(keeper.profile, locked or refusal))
            else:
                # Its place may hold another kind now than when it was chosen.
                if turn.key in self._line and selector.admits(self._line[turn.key]):
                    provider = self.household.provider(keeper.profile.provider)
                    members = answers.token_members(keeper, provider, degraded or turn.degraded)
                    generation = members["generation"]
                    self._served(params, selector, keeper, generation, others_failed=bool(refusals))
                    return members
        raise self._nobody(params, selector, refusals, shortlist.unusable)

    def _serves_at_once(self, key: str, params: TokenRequest) -> bool:
        """Whether a profile has something valid in hand that the caller has not refused."""
        keeper = self._keepers.get(key)
        if keeper is None or keeper.credential is None:
            return False
        excludes = params.newer_than == keeper.credential.generation
        return isinstance(keeper.decide(Wish(min_valid=0.0, excludes_held=excludes)), Serve)

    async def _shortlist(self, selector: Selector) -> Shortlist:
        """Who may answer; if nobody, after a look at whether those in windows have got new material."""
        shortlist = self._line.shortlist(selector)
        if shortlist.usable:
            return shortlist
        for each in shortlist.unusable[:MOST_LOOKED_AT]:
            keeper = self._keepers.get(each.key)
            if keeper is not None:
                await keeper.reconcile()
        return self._line.shortlist(selector) if shortlist.unusable else shortlist

    def _nobody(
        self, params: TokenRequest, selector: Selector, refusals: list[Refused], unusable: tuple[Unusable, ...]
    ) -> TokenwardError:
        now = self._line.now()
        cooling = [
            self._in_window(self._keepers[each.key].profile, each, now)
            for each in unusable
            if each.key in self._keepers and (selector.profile is None or each.kind == selection.DISABLED)
        ]
        error = nothing_served.error_for(
            self._asked(params, selector),
            refusals or ([] if cooling else refused_at_rest(self._keepers, selector, self._line.candidate)),
            cooling,
        )
        if params.session is None or selector.profile is None or params.profile is not None:
            return error
        return nothing_served.pinned(selector.profile, error)

    def _in_window(self, profile: Profile, why: Unusable, now: datetime) -> Refused:
        billing_url = self.household.provider(profile.provider).api.billing_url
        return nothing_served.in_window(profile, why, now, billing_url=billing_url)

    def _served(
        self,
        params: TokenRequest,
        selector: Selector,
        keeper: Keeper,
        generation: str,
        *,
        others_failed: bool = False,
    ) -> str:
        """Note a use, and how it came to it; says the latter."""
        profile, key = keeper.profile, keeper.profile.key
        self._line.served(key, self._line.now())
        if params.session is not None:
            self._sessions.served(params.session, selector, profile.id, params.compactions)
        why = "named" if params.profile is not None else _chosen_by(selector, profile, others_failed=others_failed)
        if params.newer_than is not None:
            why = f"{why}, for {params.newer_than} was refused"
        self.choice.set(profile.id, generation, key, why)
        return why

    def _for_session(self, params: TokenRequest, selector: Selector) -> Selector:
        if params.session is None:
            return selector
        return self._sessions.selector(params.session, selector, params.compactions)

    def _selector(self, params: TokenRequest, model: str | None = None) -> Selector:
        choice = choose(params.provider or self.household.default_provider)
        kinds = choice.kinds
        for more in (
            frozenset(Kind(kind) for kind in params.kinds) if params.kinds is not None else None,
            OAUTH_FOR[params.auth_method] if params.auth_method is not None else None,
        ):
            if more is not None:
                kinds = more if kinds is None else kinds & more
        orders = self._orders(choice.provider, params.agent)
        return Selector(choice.provider, params.agent, params.profile, kinds, params.tier, model=model, **orders)

    def _orders(self, provider: str, agent: str) -> _Orders:
        """What people decided about the agent's profiles."""
        household, inherits = self.household, self.household.inherit_agents
        inherited = order_of(household, MAIN_AGENT, provider) if inherits and agent != MAIN_AGENT else ()
        return {
            "inherits": inherits,
            "order": order_of(household, agent, provider),
            "inherited_order": inherited,
        }

    def others(self, keeper: Keeper, model: str | None) -> tuple[bool, Unusable | None]:
        """Whether another profile of the same provider would serve now; and if none is, who recovers first.

        Args:
            keeper: the one that is asked about.
            model: the model it would be for; None = any.
        """
        profile = keeper.profile
        orders = self._orders(profile.provider, profile.agent)
        selector = Selector(profile.provider, profile.agent, model=model, **orders)
        shortlist = self._line.shortlist(selector)
        able = (
            key != profile.key and not isinstance(self._keepers[key].decide(Wish(min_valid=0.0)), Refusal)
            for key in shortlist.usable
        )
        if any(able):
            return True, None
        return False, next((each for each in shortlist.unusable if each.until != NEVER), None)

    def _inline(self, provider: str | None, inline: CredentialInput) -> dict[str, Any]:
        name = choose(provider or self.household.default_provider).provider
        credential = Credential(Kind(inline.kind), Secret(inline.access_token.get_secret_value()))
        members = answers.inline_members(credential, name, self.household.provider(name))
        profile = members["profile"]
        self.choice.set(profile, members["generation"], profile, "brought by the caller")
        return members

    def _locked(self, keeper: Keeper) -> StoreUnavailable | None:
        """Why a profile of our own store has nothing to give, if it is its key that is locked."""
        if keeper.profile.source != STORE or keeper.credential is not None:
            return None
        fault = self.household.custody.status().locked
        return None if fault is None else StoreUnavailable(fault, hint=UNLOCK)

    def _asked(self, params: TokenRequest, selector: Selector) -> Asked:
        provider = selector.provider
        if provider == CLAUDE_CODE_PROVIDER:
            looked_at = self.household.looked_at()
        else:
            theirs = (keeper.profile for keeper in self._keepers.values() if keeper.profile.provider == provider)
            looked_at = nothing_served.looked_at_for(provider, {profile.source for profile in theirs})
        return Asked(
            provider=provider,
            agent=params.agent,
            profile=selector.profile,
            looked_at=looked_at,
            store=self.household.store_location,
            known=self.known_names(params.agent),
        )

    def known_names(self, agent: str) -> set[str]:
        """The providers that there are and the ids of an agent's profiles; a name mistyped before is neither."""
        profiles = [keeper.profile for keeper in self._keepers.values()]
        names = {CLAUDE_CODE_PROVIDER, *(profile.provider for profile in profiles)}
        names |= {name for name, it in self.household.providers.items() if it.registration.client_id is not None}
        return names | {profile.id for profile in profiles if profile.agent == agent}

    def would_serve(self, provider: str, agent: str) -> str | None:
        """The id of the profile that would be served now, None if none can (E31)."""
        for key in self._line.shortlist(Selector(provider, agent, **self._orders(provider, agent))).usable:
            keeper = self._keepers[key]
            if not isinstance(keeper.decide(Wish(min_valid=0.0)), Refusal):
                return keeper.profile.id
        return None


def _chosen_by(selector: Selector, profile: Profile, *, others_failed: bool) -> str:
    """The rule by which one was chosen whom the request did not name."""
    if selector.profile is not None:
        return "pinned"
    if others_failed:
        return "in place of others"
    if selector.preferred == profile.id:
        return "session"
    return "order" if selector.order_of(profile.agent) else "turn"
