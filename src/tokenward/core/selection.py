"""Which profile answers a request: who may, and who first.

The problem: a user has several credentials for one provider, and the founding documents contradict each other
about which of them is the right one. It must not depend on the order of a dictionary either. So each of their
orders is one row of a table (``RESOLUTIONS``), and the user's configuration names the row.

Rules:
- Of one step of a row, what refreshes goes before what does not; of one kind, whoever was used longest ago, and
  before them whoever never was; ties by id.
- An explicit order of an agent and a provider is the whole list: its profiles, in that order, without rotation.
  Whom it does not name is not used, and a name that nobody bears is passed over.
- A request that names a profile means it and nobody else, whatever the order says.
- Whoever is in a window (``Window``) is never served as if fine. If nobody else is left, the caller is told when
  the first recovers. Only one that was named or pinned, and only slows down (``COOLDOWN``), is served all the
  same, marked ``degraded: "cooling"``; if a person must act first (``DISABLED``), it is not served even then.
- In ``config-first`` an API key that is written down sets the provider's OAuth credentials aside: they are
  neither served nor refreshed.
- An agent has its own profiles and no others. Where it inherits, main's come after its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum, auto
from functools import cache
from types import MappingProxyType

from tokenward.core import protocol
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


NEVER = datetime.min.replace(tzinfo=UTC)
"""When somebody was last used who never was."""

COOLDOWN = "cooldown"
DISABLED = "disabled"
PERSON_MUST_ACT = frozenset({"auth", "auth_permanent", "auth_policy", "billing"})
"""The reasons that no waiting cures by itself: the window only says when to look again."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which a profile is better left alone.

    Args:
        until: its end, aware UTC; at this moment the profile is usable again.
        reason: the failure class that opened it.
        model: the only model it concerns; None = the whole profile.
    """

    until: datetime
    reason: str
    model: str | None = None

    @property
    def kind(self) -> str:
        """``COOLDOWN`` or ``DISABLED``."""
        return DISABLED if self.reason in PERSON_MUST_ACT else COOLDOWN


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a profile is not served now, and until when.

    Args:
        key: the profile's key.
        until: when the last of its windows ends, aware UTC.
        reason: of the window that disables it, else of the one that ends last.
        kind: ``COOLDOWN`` or ``DISABLED``.
    """

    key: str
    until: datetime
    reason: str
    kind: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile as selection sees it.

    Args:
        profile: whose it is.
        kind: the kind of what it holds; None if it holds nothing.
        tier: its tier, if known.
        last_used: when it was last served, aware UTC; None = never.
        windows: when it is better left alone; those that are over do no harm.
    """

    profile: Profile
    kind: Kind | None
    tier: str | None = None
    last_used: datetime | None = None
    windows: tuple[Window, ...] = ()

    @property
    def origin(self) -> Origin:
        """By which way it came."""
        return _ORIGINS.get(self.profile.source, Origin.PROFILE)

    def unusable(self, now: datetime, model: str | None) -> Unusable | None:
        """Why it should not serve a request for this model now; None if it may.

        Args:
            now: aware UTC.
            model: the model that the request names; None = none, and no model's own window counts.
        """
        if not self.windows:
            return None  # nearly always
        inside = [each for each in self.windows if each.until > now and each.model in {None, model}]
        if not inside:
            return None
        last = max(inside, key=lambda window: (window.kind == DISABLED, window.until))
        return Unusable(self.profile.key, max(each.until for each in inside), last.reason, last.kind)


@dataclass(frozen=True, slots=True)
class Selector:
    """What a request asks for.

    Args:
        provider: the provider's own name.
        agent: the namespace of profiles.
        profile: exactly this one, named by the request or pinned by a person; None = any.
        kinds: the only kinds wanted; None = any.
        tier: the only tier wanted; None = any.
        inherits: whether main's profiles answer too, after the agent's own.
        model: the model it is for; None = not said.
        order: the ids of the agent's explicit order, main's that it inherits among them; empty = none is set.
        inherited_order: main's explicit order, for those inherited where the agent has set none itself.
        preferred: the id that goes first as long as it is usable, whoever else is.
    """

    provider: str
    agent: str = MAIN_AGENT
    profile: str | None = None
    kinds: frozenset[Kind] | None = None
    tier: str | None = None
    inherits: bool = False
    model: str | None = None
    order: tuple[str, ...] = ()
    inherited_order: tuple[str, ...] = ()
    preferred: str | None = None

    @property
    def agents(self) -> tuple[str, ...]:
        """Whose profiles may answer, the agent's own first."""
        if self.inherits and self.agent != MAIN_AGENT:
            return self.agent, MAIN_AGENT
        return (self.agent,)

    def order_of(self, agent: str) -> tuple[str, ...]:
        """The explicit order that an agent's profiles stand in for this request; empty = none."""
        if self.profile is not None:
            return ()
        return self.order or (() if agent == self.agent else self.inherited_order)

    def admits(self, candidate: Candidate) -> bool:
        """Whether a profile may answer."""
        order = self.order_of(candidate.profile.agent)
        return self.fits(candidate) and (not order or candidate.profile.id in order)

    def fits(self, candidate: Candidate) -> bool:
        """Whether a profile may answer if no explicit order forbids it."""
        profile = candidate.profile
        if not profile.enabled or profile.agent not in self.agents:
            return False
        if self.profile is not None:
            if profile.id != self.profile:
                return False
        elif profile.provider != self.provider:
            return False
        return self.wants(candidate.kind) and (self.tier is None or candidate.tier == self.tier)

    def wants(self, kind: Kind | None) -> bool:
        """Whether a kind may answer; of what holds nothing, nobody knows yet."""
        return self.kinds is None or kind is None or kind in self.kinds


Rank = tuple[bool, int, bool, int, int, datetime, str]


def rank(candidate: Candidate, selector: Selector, resolution: Resolution) -> Rank:
    """The place in the order of one who is admitted; the least goes first."""
    profile = candidate.profile
    inherited, preferred = profile.agent != selector.agent, profile.id == selector.preferred
    order = selector.order_of(profile.agent)
    if not order:
        step, kind = step_and_kind(candidate, resolution)
        return not preferred, 0, inherited, step, kind, candidate.last_used or NEVER, profile.id
    place = order.index(profile.id)
    if selector.order:  # it says itself where those stand that are inherited
        return not preferred, place, inherited, 0, 0, NEVER, profile.id
    return not preferred, 0, inherited, place, 0, NEVER, profile.id


def step_and_kind(candidate: Candidate, resolution: Resolution) -> tuple[int, int]:
    """The step of the row that a profile stands at, and the place of its kind within."""
    return _step_and_kind(candidate.origin, candidate.kind, resolution)


@cache
def _step_and_kind(origin: Origin, kind: Kind | None, resolution: Resolution) -> tuple[int, int]:
    """One of some seventy answers, asked for ten thousand times at a start."""
    # What holds nothing is looked at where a login would be: most empty places are login files.
    step_kind = Kind.OAUTH if kind is None else kind
    steps = enumerate(RESOLUTIONS[resolution])
    step = next(number for number, (where, kinds) in steps if where is origin and step_kind in kinds)
    return step, len(_KIND_RANK) if kind is None else _KIND_RANK[kind]


def in_order(
    candidates: Iterable[Candidate],
    selector: Selector,
    resolution: Resolution = Resolution.PROFILES_FIRST,
) -> list[str]:
    """The keys of the profiles that may answer, the first choice first, whatever windows they are in."""
    admitted = [candidate for candidate in candidates if selector.admits(candidate)]
    ordered = sorted(admitted, key=lambda candidate: rank(candidate, selector, resolution))
    return [candidate.profile.key for candidate in ordered]


@dataclass(frozen=True, slots=True)
class Turn:
    """One who is to be asked.

    Args:
        key: the profile's key.
        degraded: what its answer must say of it; None = nothing.
    """

    key: str
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Everybody who may answer one request.

    Args:
        usable: the keys of those in no window, the first choice first.
        unusable: the others, the soonest recovery first.
    """

    usable: tuple[str, ...]
    unusable: tuple[Unusable, ...] = ()

    def turns(self, selector: Selector) -> tuple[Turn, ...]:
        """Who is to be asked, one after the other, until one serves.

        If nobody does and ``recovery`` is not None, the answer is ``AllUnavailable`` with it, or
        ``ProfileUnavailable`` / ``PinnedProfileUnavailable`` where the selector names a profile.
        """
        fine = tuple(Turn(key) for key in self.usable)
        if selector.profile is None:
            return fine
        cooling = (each for each in self.unusable if each.kind == COOLDOWN)
        return fine + tuple(Turn(each.key, protocol.DEGRADED_COOLING) for each in cooling)

    @property
    def recovery(self) -> Unusable | None:
        """The first who will be usable again; None if nobody is in a window."""
        return self.unusable[0] if self.unusable else None


def soonest_first(unusable: Iterable[Unusable]) -> tuple[Unusable, ...]:
    """In the order in which they recover; ties by key."""
    return tuple(sorted(unusable, key=lambda each: (each.until, each.key)))


def shortlist(
    candidates: Iterable[Candidate], selector: Selector, resolution: Resolution, now: datetime
) -> Shortlist:
    """Everybody who may answer, as it is now; for many requests over many profiles there is ``Roster``.

    Args:
        candidates: everybody there is.
        selector: what is asked for.
        resolution: the order in force.
        now: aware UTC.
    """
    by_key = {candidate.profile.key: candidate for candidate in candidates}
    keys = in_order(by_key.values(), selector, resolution)
    reasons = {key: by_key[key].unusable(now, selector.model) for key in keys}
    usable = tuple(key for key in keys if reasons[key] is None)
    return Shortlist(usable, soonest_first(why for why in reasons.values() if why is not None))


def set_aside(candidates: Iterable[Candidate], resolution: Resolution) -> frozenset[str]:
    """The keys of the profiles that a written-down API key sets aside (``config-first`` only).

    Args:
        candidates: every profile that a person has not disabled.
        resolution: the order in force.
    """
    if resolution is not Resolution.CONFIG_FIRST:
        return frozenset()
    able = list(candidates)
    with_key = {
        (candidate.profile.agent, candidate.profile.provider)
        for candidate in able
        if candidate.origin is not Origin.PROFILE and candidate.kind in KEY_KINDS
    }
    return frozenset(
        candidate.profile.key
        for candidate in able
        if (candidate.profile.agent, candidate.profile.provider) in with_key and candidate.kind not in KEY_KINDS
    )
