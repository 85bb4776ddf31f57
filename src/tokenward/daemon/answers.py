"""What a keeper's state looks like from outside: the token a caller gets, and the line that ``status`` shows.

The problem: one answer is given ten thousand times between two refreshes, and differs only in the seconds of
life that are left. So it is encoded once for a generation, with a gap for that number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tokenward.core import headers
from tokenward.core.credential import Credential, Kind, to_unix_milliseconds
from tokenward.core.lifecycle import Phase
from tokenward.core.serving import Decision, Refusal, Serve, Wish
from tokenward.core.subscription_tier import insufficient_access, tier_of
from tokenward.daemon.keeper import Keeper
from tokenward.provider_files import Provider

if TYPE_CHECKING:
    from tokenward.daemon.profile_models import LastFailure, ProfileResult
    from tokenward.daemon.provider_models import ProviderResult
    from tokenward.daemon.rpc_types import Degraded

ACCESS_HINT = "log in with a Pro or Max account, or use an API key: tokenward login anthropic --method api-key"
_GAP = 0.987654321
"""Stands where the seconds go until they are known; no token, name or URL is a number."""


def token_members(keeper: Keeper, provider: Provider, degraded: str | None) -> dict[str, Any]:
    """The answer to ``token.get`` from what a keeper holds now: what a ``TokenResult`` has, in its order."""
    credential = keeper.credential
    assert credential is not None  # noqa: S101 - only asked when something is served
    left = keeper.left()
    whose = (keeper.profile.id, keeper.profile.provider, keeper.profile.source)
    members = _members(credential, provider, whose=whose, left=left, degraded=degraded)
    said = keeper.profile
    members["base_url"] = said.base_url or members["base_url"]
    members["headers"].update(said.headers)
    return members


def inline_members(credential: Credential, provider_name: str, provider: Provider) -> dict[str, Any]:
    """The same for a credential that the caller brought itself: shaped, never kept."""
    whose = (f"{provider_name}:inline", provider_name, "request")
    return _members(credential, provider, whose=whose, left=None, degraded=None)


def _members(
    credential: Credential,
    provider: Provider,
    *,
    whose: tuple[str, str, str],
    left: float | None,
    degraded: str | None,
) -> dict[str, Any]:
    profile, provider_name, source = whose
    return {
        "token": credential.access.reveal(),
        "kind": credential.kind.value,
        "token_type": credential.token_type,
        "profile": profile,
        "provider": provider_name,
        "source": source,
        "generation": credential.generation,
        "expires_at_ms": _milliseconds(credential.expires_at),
        "valid_for": None if left is None or math.isinf(left) else round(left, 3),
        "headers": headers.advice(credential, provider.headers),
        "base_url": provider.registration.base_url,
        "billing": provider.headers.billing.get(credential.kind),
        "tier": provider.tier or tier_of(credential),
        "degraded": degraded,
        "model": provider.default_model,
        "model_note": provider.default_model_note,
    }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_unix_milliseconds(moment)


class EncodedAnswer:
    """One answer, encoded, with a gap for the seconds that are left.

    Args:
        members: the answer (``token_members``).
        credential: what it was made of; another one makes another answer.
    """

    __slots__ = ("_after", "_before", "_whole", "credential")

    def __init__(self, members: Mapping[str, Any], credential: Credential) -> None:
        self.credential = credential
        self._whole: bytes | None = None
        if members["valid_for"] is None:
            self._whole = encode(members)
            self._before = self._after = b""
            return
        encoded = encode({**members, "valid_for": _GAP})
        self._before, self._after = encoded.split(b'"valid_for":' + str(_GAP).encode(), 1)
        self._before += b'"valid_for":'

    def with_life(self, left: float) -> bytes:
        """The answer with so many seconds of life."""
        if self._whole is not None:
            return self._whole
        return b"%b%.3f%b" % (self._before, left, self._after)


def encode(document: Mapping[str, object]) -> bytes:
    """An answer, as it is given once."""
    return json.dumps(document, separators=(",", ":")).encode()


def profile_result(keeper: Keeper, provider: Provider) -> ProfileResult:
    """The profile as ``status`` shows it."""
    from tokenward.daemon.profile_models import ProfileResult  # a token needs none of them

    credential = keeper.credential
    left = keeper.left()
    decision = keeper.decide(Wish(min_valid=0.0, tried=True))
    known_life = left is not None and math.isfinite(left)
    insufficient = _insufficient_access(credential, provider)
    return ProfileResult(
        profile=keeper.profile.id,
        provider=keeper.profile.provider,
        agent=keeper.profile.agent,
        kind=None if credential is None else credential.kind.value,
        source=keeper.profile.source,
        location=keeper.place.description,
        phase=keeper.phase.value,
        enabled=keeper.profile.enabled,
        generation=None if credential is None else credential.generation,
        expires_at_ms=None if credential is None else _milliseconds(credential.expires_at),
        valid_for=round(left, 3) if left is not None and known_life else None,
        login_ends_at_ms=None if credential is None else _milliseconds(credential.login_ends_at),
        refresh=_mode(keeper),
        next_refresh_at_ms=_milliseconds(keeper.next_attempt),
        last_refresh_at_ms=_milliseconds(keeper.last_refresh),
        last_failure=_last_failure(keeper),
        unusable=_unusable(keeper, decision),
        degraded=_degraded(keeper, decision.degraded if isinstance(decision, Serve) else None),
        note=_note(keeper, insufficient),
        billing=None if credential is None else provider.headers.billing.get(credential.kind),
        tier=None if credential is None else (provider.tier or tier_of(credential)),
        insufficient_access=insufficient,
        granted_life=keeper.granted_life(),
        waits_for=None if keeper.refresher is None else keeper.refresher.waits_for(),
    )


def _insufficient_access(credential: Credential | None, provider: Provider) -> str | None:
    if credential is None or provider.headers.billing.get(credential.kind) != "subscription":
        return None
    return insufficient_access(credential, tier=provider.tier or tier_of(credential))


def provider_result(name: str, provider: Provider, *, serves: str | None) -> ProviderResult:
    """The provider as ``provider.get`` shows it."""
    from tokenward.daemon.provider_models import ProviderResult

    return ProviderResult(
        provider=name,
        env_var=provider.api.env_var,
        api_type=provider.api.type_name,
        model_prefix=provider.api.model_prefix,
        base_url=provider.registration.base_url,
        base_url_overridden=provider.api.base_url_overridden,
        serves=serves,
    )


_UNUSABLE = {
    Refusal.NOTHING_HELD: "no credentials",
    Refusal.EXCLUDED: "refused",
    Refusal.EXPIRED: "expired",
    Refusal.REFRESH_FAILING: "expired, refresh failing",
    Refusal.LOGIN_REQUIRED: "login required",
}


def _unusable(keeper: Keeper, decision: Decision) -> str | None:
    """Why it cannot serve: that it rests, before anything else, since that is what a person decided."""
    if keeper.resting is not None:
        return keeper.resting.value
    return _UNUSABLE[decision] if isinstance(decision, Refusal) else None


def _degraded(keeper: Keeper, served: str | None) -> Degraded | None:
    """What a caller would hear now, and what it would not yet: a failing refresh of a token with life left."""
    if keeper.phase is Phase.UNSAVED:
        return "unsaved"
    if served is None and keeper.phase not in {Phase.BACKOFF, Phase.LOGIN_REQUIRED}:
        return None
    return "refresh_failing"


def _mode(keeper: Keeper) -> Literal["direct", "delegate", "mint", "watch", "none"]:
    credential = keeper.credential
    if keeper.refresher is not None:
        return keeper.refresher.mode
    return "watch" if credential is not None and credential.kind is Kind.OAUTH else "none"


def _note(keeper: Keeper, insufficient: str | None) -> str | None:
    """What a person should know; how a refresh could be had is no news of what has nothing to refresh."""
    credential = keeper.credential
    static = credential is not None and not credential.refreshable
    if keeper.lookout.trouble is None and insufficient is not None:
        return f"insufficient API access: {insufficient}; {ACCESS_HINT}"
    return keeper.lookout.trouble or (None if static else keeper.note)


def _last_failure(keeper: Keeper) -> LastFailure | None:
    from tokenward.daemon.profile_models import LastFailure  # a token needs none of them

    failure = keeper.attempts.failure
    if failure is None:
        return None
    return LastFailure(
        failure=failure.cause,
        reason=failure.reason,
        at_ms=to_unix_milliseconds(failure.at),
        failures=failure.count,
    )
