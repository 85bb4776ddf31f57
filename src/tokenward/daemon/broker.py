"""Whose token a caller gets: the request's wishes, the order of those who may answer, and who of them has one.

The problem: a request names a provider, a profile or nothing, and the first choice may have nothing to give at
this moment. Every caller must be told the same, on the lane, through the dispatcher and without a daemon.

Rules:
- Who may answer and who first is decided by ``core.selection``; what each has to give, by its keeper. Here is
  only the asking, one after the other.
- The lane is answered by the first choice or not at all; whoever needs more than one look waits his turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tokenward.core import selection
from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.selection import Candidate, Selector
from tokenward.core.serving import Refusal, Serve, Wish
from tokenward.core.subscription_tier import tier_of
from tokenward.daemon import answers, nothing_served, store_care
from tokenward.daemon.answers import EncodedAnswer
from tokenward.daemon.household import Household
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.nothing_served import Asked, Refused
from tokenward.daemon.resting import refused_at_rest
from tokenward.daemon.service import TokenParams, TokenResult
from tokenward.errors import AskDifferently, PersonNeeded, RetryLater
from tokenward.provider_files import CLAUDE_CODE_PROVIDER, choose

OAUTH_FOR = {"api_key": selection.KEY_KINDS, "oauth": selection.OAUTH_KINDS}


class Broker:
    """Chooses among all keepers.

    Args:
        household: what they share.
        keepers: everybody, by key; the ward's own table.
    """

    def __init__(self, household: Household, keepers: Mapping[str, Keeper]) -> None:
        self.household = household
        self._keepers = keepers

    def token_nowait(self, params: TokenParams) -> bytes | None:
        """The encoded answer of the first choice, if one stat is all it needs; else None."""
        if params.credential is not None:
            return None
        order = self._order(self._selector(params))
        keeper = self._keepers.get(order[0]) if order else None
        credential = keeper.credential if keeper is not None else None
        if keeper is None or credential is None or keeper.needs_attention():
            return None
        excludes = params.newer_than == credential.generation
        decision = keeper.decide(Wish(min_valid=params.min_valid, excludes_held=excludes))
        if not isinstance(decision, Serve):
            return None
        return self._answer(keeper, credential, decision.degraded)

    def _answer(self, keeper: Keeper, credential: Credential, degraded: str | None) -> bytes:
        encoded = keeper.encoded.get(degraded)
        if encoded is None or encoded.credential is not credential:
            result = answers.token_result(keeper, self.household.provider(keeper.profile.provider), degraded)
            encoded = EncodedAnswer(result, credential)
            keeper.encoded[degraded] = encoded
        left = keeper.left()
        return encoded.with_life(left if left is not None else math.inf)

    async def token(self, params: TokenParams) -> TokenResult:
        """A token that is valid now.

        Raises:
            TokenwardError: if no profile that fits can serve one.
        """
        if params.credential is not None:
            return self._inline(params)
        refusals: list[Refused] = []
        selector, clock = self._selector(params), self.household.around.clock
        deadline = clock.monotonic() + params.timeout
        for name in self._order(selector):
            keeper = self._keepers.get(name)
            if keeper is None:
                continue  # forgotten while another was asked
            patience = max(0.0, deadline - clock.monotonic())
            try:
                _, degraded = await keeper.obtain(
                    params.min_valid, newer_than=params.newer_than, patience=patience
                )
            except (RetryLater, PersonNeeded, AskDifferently) as refusal:
                # Unless it was asked for, a place with nothing in it was looked at and has not failed.
                if params.profile is not None or keeper.credential is not None or keeper.lookout.trouble:
                    locked = store_care.locked(self.household.custody, keeper)
                    refusals.append(Refused(keeper.profile, locked or refusal))
            else:
                # Its place may hold another kind now than when it was chosen.
                if selector.admits(self._candidate(keeper, selector)):
                    return answers.token_result(keeper, self.household.provider(keeper.profile.provider), degraded)
        raise nothing_served.error_for(
            self._asked(params), refusals or refused_at_rest(self._keepers, selector, self._candidate)
        )

    def _selector(self, params: TokenParams) -> Selector:
        choice = choose(params.provider or self.household.default_provider)
        kinds = choice.kinds
        for more in (
            frozenset(Kind(kind) for kind in params.kinds) if params.kinds is not None else None,
            OAUTH_FOR[params.auth_method] if params.auth_method is not None else None,
        ):
            if more is not None:
                kinds = more if kinds is None else kinds & more
        inherits = self.household.inherit_agents
        return Selector(choice.provider, params.agent, params.profile, kinds, params.tier, inherits)

    def _order(self, selector: Selector) -> list[str]:
        candidates = (self._candidate(keeper, selector) for keeper in self._keepers.values())
        return selection.in_order(candidates, selector, self.household.resolution)

    def _candidate(self, keeper: Keeper, selector: Selector) -> Candidate:
        credential = keeper.credential
        if credential is None:
            return Candidate(keeper.profile, None)
        asked = selector.tier is not None  # else nobody looks, and the lane has no time for it
        tier = (self.household.provider(keeper.profile.provider).tier or tier_of(credential)) if asked else None
        return Candidate(keeper.profile, credential.kind, tier)

    def _inline(self, params: TokenParams) -> TokenResult:
        inline = params.credential
        assert inline is not None  # noqa: S101 - the caller has checked it
        name = choose(params.provider or self.household.default_provider).provider
        credential = Credential(Kind(inline.kind), Secret(inline.access_token.get_secret_value()))
        return answers.inline_result(credential, name, self.household.provider(name))

    def _asked(self, params: TokenParams) -> Asked:
        provider = choose(params.provider or self.household.default_provider).provider
        if provider == CLAUDE_CODE_PROVIDER:
            looked_at = self.household.looked_at()
        else:
            theirs = (keeper.profile for keeper in self._keepers.values() if keeper.profile.provider == provider)
            looked_at = nothing_served.looked_at_for(provider, {profile.source for profile in theirs})
        return Asked(
            provider=provider,
            agent=params.agent,
            profile=params.profile,
            looked_at=looked_at,
            store=self.household.store_location,
        )

    def would_serve(self, provider: str, agent: str) -> str | None:
        """The id of the profile that would be served now, None if none can (E31)."""
        for key in self._order(Selector(provider, agent, inherits=self.household.inherit_agents)):
            keeper = self._keepers[key]
            if not isinstance(keeper.decide(Wish(min_valid=0.0)), Refusal):
                return keeper.profile.id
        return None
