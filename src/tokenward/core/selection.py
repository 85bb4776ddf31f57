"""Which profile answers a request: who may, and who first.

The problem: a user has several credentials for one provider, and "the right one" must not depend on the order
of a dictionary. Here the order is: what was logged in or added, before the environment, before the
configuration; of these, what refreshes before what does not; and ties by id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenward.core.credential import Kind, Profile

OAUTH_KINDS = frozenset({Kind.OAUTH, Kind.SETUP_TOKEN, Kind.FEDERATED})
KEY_KINDS = frozenset({Kind.API_KEY, Kind.AUTH_TOKEN})

_SOURCE_RANK = {"environment": 1, "dotenv": 2, "config": 3}
_KIND_RANK = {Kind.OAUTH: 0, Kind.FEDERATED: 1, Kind.SETUP_TOKEN: 2, Kind.AUTH_TOKEN: 3, Kind.API_KEY: 4}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile as selection sees it.

    Args:
        profile: whose it is.
        kind: the kind of what it holds; None if it holds nothing.
        tier: its tier, if known.
    """

    profile: Profile
    kind: Kind | None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """What a request asks for.

    Args:
        provider: the provider's own name.
        agent: the namespace of profiles.
        profile: exactly this one; None = any.
        kinds: the only kinds wanted; None = any.
        tier: the only tier wanted; None = any.
    """

    provider: str
    agent: str = "main"
    profile: str | None = None
    kinds: frozenset[Kind] | None = None
    tier: str | None = None

    def admits(self, candidate: Candidate) -> bool:
        """Whether a profile may answer."""
        profile = candidate.profile
        if not profile.enabled or profile.agent != self.agent:
            return False
        if self.profile is not None:
            if profile.id != self.profile:
                return False
        elif profile.provider != self.provider:
            return False
        if self.kinds is not None and candidate.kind is not None and candidate.kind not in self.kinds:
            return False
        return self.tier is None or candidate.tier == self.tier


def rank(candidate: Candidate) -> tuple[int, int, str]:
    """The place in the order; the least goes first."""
    kind = _KIND_RANK[candidate.kind] if candidate.kind is not None else len(_KIND_RANK)
    return _SOURCE_RANK.get(candidate.profile.source, 0), kind, candidate.profile.id


def in_order(candidates: Iterable[Candidate], selector: Selector) -> list[str]:
    """The ids of the profiles that may answer, the first choice first."""
    admitted = [candidate for candidate in candidates if selector.admits(candidate)]
    return [candidate.profile.id for candidate in sorted(admitted, key=rank)]
