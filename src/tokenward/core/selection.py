"""Which profile answers a request: who may, and who first.

The problem: a user has several credentials for one provider, and the founding documents contradict each other
about which of them is the right one. It must not depend on the order of a dictionary either. So each of their
orders is one row of a table (``RESOLUTIONS``), and the user's configuration names the row.

Rules:
- Of one step of a row, what refreshes goes before what does not; ties by id.
- In ``config-first`` an API key that is written down sets the provider's OAuth credentials aside: they are
  neither served nor refreshed.
- An agent has its own profiles and no others. Where it inherits, main's come after its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from types import MappingProxyType

from tokenward.core.credential import MAIN_AGENT, Kind, Profile

OAUTH_KINDS = frozenset({Kind.OAUTH, Kind.SETUP_TOKEN, Kind.FEDERATED})
KEY_KINDS = frozenset({Kind.API_KEY, Kind.AUTH_TOKEN})


class Resolution(StrEnum):
    """The orders there are, as the configuration names them."""

    PROFILES_FIRST = "profiles-first"
    CONFIG_FIRST = "config-first"
    OAUTH_FIRST = "oauth-first"


class Origin(Enum):
    """By which way a credential came."""

    PROFILE = auto()
    """Logged in or added: our own store, and the login files of other programs."""
    ENVIRONMENT = auto()
    DOTENV = auto()
    CONFIG = auto()


_ORIGINS = {"environment": Origin.ENVIRONMENT, "dotenv": Origin.DOTENV, "config": Origin.CONFIG}
"""By the source's name; every other source is one of profiles."""
_ANY_KIND = OAUTH_KINDS | KEY_KINDS
_KIND_RANK = {Kind.OAUTH: 0, Kind.FEDERATED: 1, Kind.SETUP_TOKEN: 2, Kind.AUTH_TOKEN: 3, Kind.API_KEY: 4}

Step = tuple[Origin, Collection[Kind]]

RESOLUTIONS: Mapping[Resolution, tuple[Step, ...]] = MappingProxyType(
    {
        # Profiles, then $ANTHROPIC_OAUTH_TOKEN and $ANTHROPIC_API_KEY, then the configuration (Equabot).
        Resolution.PROFILES_FIRST: (
            (Origin.PROFILE, _ANY_KIND),
            (Origin.ENVIRONMENT, _ANY_KIND),
            (Origin.DOTENV, _ANY_KIND),
            (Origin.CONFIG, _ANY_KIND),
        ),
        # The configured key, the variable, the stored login (Polpo).
        Resolution.CONFIG_FIRST: (
            (Origin.CONFIG, _ANY_KIND),
            (Origin.ENVIRONMENT, _ANY_KIND),
            (Origin.DOTENV, _ANY_KIND),
            (Origin.PROFILE, _ANY_KIND),
        ),
        # A configured token, the stored login, the variable; keys only then, in the same order (NeuroLink).
        Resolution.OAUTH_FIRST: (
            (Origin.CONFIG, OAUTH_KINDS),
            (Origin.PROFILE, OAUTH_KINDS),
            (Origin.ENVIRONMENT, OAUTH_KINDS),
            (Origin.DOTENV, OAUTH_KINDS),
            (Origin.CONFIG, KEY_KINDS),
            (Origin.PROFILE, KEY_KINDS),
            (Origin.ENVIRONMENT, KEY_KINDS),
            (Origin.DOTENV, KEY_KINDS),
        ),
    }
)
"""The steps of each order, the first choice first."""


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

    @property
    def origin(self) -> Origin:
        """By which way it came."""
        return _ORIGINS.get(self.profile.source, Origin.PROFILE)


@dataclass(frozen=True, slots=True)
class Selector:
    """What a request asks for.

    Args:
        provider: the provider's own name.
        agent: the namespace of profiles.
        profile: exactly this one; None = any.
        kinds: the only kinds wanted; None = any.
        tier: the only tier wanted; None = any.
        inherits: whether main's profiles answer too, after the agent's own.
    """

    provider: str
    agent: str = MAIN_AGENT
    profile: str | None = None
    kinds: frozenset[Kind] | None = None
    tier: str | None = None
    inherits: bool = False

    def admits(self, candidate: Candidate) -> bool:
        """Whether a profile may answer."""
        profile = candidate.profile
        if not profile.enabled or not self._sees(profile.agent):
            return False
        if self.profile is not None:
            if profile.id != self.profile:
                return False
        elif profile.provider != self.provider:
            return False
        if self.kinds is not None and candidate.kind is not None and candidate.kind not in self.kinds:
            return False
        return self.tier is None or candidate.tier == self.tier

    def _sees(self, agent: str) -> bool:
        return agent == self.agent or (self.inherits and agent == MAIN_AGENT)


def rank(candidate: Candidate, selector: Selector, resolution: Resolution) -> tuple[bool, int, int, str]:
    """The place in the order; the least goes first."""
    # What holds nothing is looked at where a login would be: most empty places are login files.
    step_kind = Kind.OAUTH if candidate.kind is None else candidate.kind
    steps = RESOLUTIONS[resolution]
    step = next(
        number for number, (origin, kinds) in enumerate(steps) if origin is candidate.origin and step_kind in kinds
    )
    kind = _KIND_RANK[candidate.kind] if candidate.kind is not None else len(_KIND_RANK)
    return candidate.profile.agent != selector.agent, step, kind, candidate.profile.id


def in_order(
    candidates: Iterable[Candidate],
    selector: Selector,
    resolution: Resolution = Resolution.PROFILES_FIRST,
) -> list[str]:
    """The keys of the profiles that may answer, the first choice first."""
    admitted = [candidate for candidate in candidates if selector.admits(candidate)]
    ordered = sorted(admitted, key=lambda candidate: rank(candidate, selector, resolution))
    return [candidate.profile.key for candidate in ordered]


def set_aside(candidates: Collection[Candidate], resolution: Resolution) -> frozenset[str]:
    """The keys of the profiles that a written-down API key sets aside (``config-first`` only).

    Args:
        candidates: every profile that a person has not disabled.
        resolution: the order in force.
    """
    if resolution is not Resolution.CONFIG_FIRST:
        return frozenset()
    with_key = {
        (candidate.profile.agent, candidate.profile.provider)
        for candidate in candidates
        if candidate.origin is not Origin.PROFILE and candidate.kind in KEY_KINDS
    }
    return frozenset(
        candidate.profile.key
        for candidate in candidates
        if (candidate.profile.agent, candidate.profile.provider) in with_key and candidate.kind not in KEY_KINDS
    )
