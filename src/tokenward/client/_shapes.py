"""What the daemon's answers look like to a Python program.

Rules: the members are those of the models in ``tokenward.daemon.service``, which the client must not import;
a test compares the two. Members that are not listed here are ignored in ``Token`` and ``Event`` and kept in
the dictionaries. Times are Unix milliseconds where a name ends in ``_ms``, else seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, TypeVar

from tokenward.errors import TokenwardError

Kind = Literal["api_key", "auth_token", "setup_token", "oauth", "federated"]
Degraded = Literal["short", "refresh_failing", "unsaved", "cooling"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is valid now, and everything needed to use it.

    Args:
        token: the access token or key; not in the repr.
        kind: the credential's kind.
        token_type: RFC 6749 5.1 ``token_type``.
        profile: the profile that served it.
        provider: the profile's provider.
        source: where the credential came from.
        generation: the public name of this value; goes into ``report`` and ``newer_than``.
        expires_at_ms: Unix milliseconds; None = unknown.
        valid_for: seconds of life left when the daemon answered; None = unknown.
        headers: the headers that a request needs, the token included; not in the repr.
        base_url: where requests go, if the provider or the profile says so.
        billing: who pays for requests made with it.
        tier: the rate-limit tier, if known.
        degraded: why the token is less than what was asked for, if it is.
        model: the id of the model to use; None = the provider has no default.
        model_note: why it is not the model that was asked for, or what is wrong with it.
    """

    token: str = field(repr=False)
    kind: Kind
    token_type: str
    profile: str
    provider: str
    source: str
    generation: str
    expires_at_ms: int | None
    valid_for: float | None
    headers: dict[str, str] = field(repr=False, hash=False)
    base_url: str | None
    billing: Literal["api", "subscription"] | None
    tier: str | None
    degraded: Degraded | None
    model: str | None = None
    model_note: str | None = None

    @staticmethod
    def from_result(result: Mapping[str, Any]) -> Token:
        """Build one from the result of ``token.get``.

        Raises:
            TokenwardError: if a member is missing.
        """
        return _built(Token, result)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a profile or to the daemon.

    Args:
        type: ``rotated``, ``login_required``, …; ``lost`` says that events were dropped and the feed ends.
        profile: whose event it is; None = the daemon's.
        generation: the credential's value after it.
        at_ms: Unix milliseconds.
        detail: one line for people.
    """

    type: str
    profile: str | None
    generation: str | None
    at_ms: int
    detail: str

    @staticmethod
    def from_params(params: Mapping[str, Any]) -> Event:
        """Build one from the params of an ``event`` notification.

        Raises:
            TokenwardError: if a member is missing.
        """
        return _built(Event, params)


class Hello(TypedDict):
    """Who answers."""

    name: str
    version: str
    protocol: int
    pid: int


class Report(TypedDict):
    """What to do after a report."""

    failure: str | None
    action: Literal["none", "retry", "rotate", "wait", "login"]
    retry_after: float | None
    billing_url: str | None


class LastFailure(TypedDict):
    """The last failed refresh."""

    failure: str
    reason: str
    at_ms: int
    failures: int


class Health(TypedDict):
    """What keeps a profile from serving, as callers reported it."""

    kind: Literal["cooldown", "disabled"]
    reason: str
    until_ms: int | None
    model: str | None
    errors: int


class Profile(TypedDict):
    """A profile as ``status`` shows it."""

    profile: str
    provider: str
    agent: str
    kind: Kind | None
    source: str
    location: str
    phase: str
    enabled: bool
    generation: str | None
    expires_at_ms: int | None
    valid_for: float | None
    login_ends_at_ms: int | None
    refresh: Literal["direct", "delegate", "mint", "watch", "none"]
    next_refresh_at_ms: int | None
    last_refresh_at_ms: int | None
    last_failure: LastFailure | None
    unusable: str | None
    degraded: Degraded | None
    note: str | None
    billing: Literal["api", "subscription"] | None
    tier: str | None
    insufficient_access: str | None
    cooling: list[Health]
    last_report: str | None
    last_used_at_ms: int | None
    granted_life: float | None
    waits_for: str | None


class RestrictedSocket(TypedDict):
    """A socket that hands out tokens of some profiles and does nothing else."""

    path: str
    profiles: list[str]
    uids: list[int]
    trouble: str | None


class SharedStoreShown(TypedDict):
    """The engine in which hosts share credentials."""

    location: str
    holder: str
    away_since_ms: int | None
    trouble: str | None
    hint: str | None
    profiles: int
    orphans: int


class Status(TypedDict):
    """The daemon as a whole."""

    version: str
    pid: int
    protocol: int
    started_at_ms: int
    uptime: float
    socket: str
    state_directory: str
    config: str | None
    config_error: str | None
    store_key: str
    store_trouble: str | None
    sink_troubles: list[str]
    connections: int
    subscribers: int
    restricted_sockets: list[RestrictedSocket]
    shared_store: SharedStoreShown | None
    profiles: list[Profile]


class Reload(TypedDict):
    """Whether the configuration was taken over."""

    reloaded: bool
    error: str | None


_Shape = TypeVar("_Shape", Token, Event)


def _built(shape: type[_Shape], members: Mapping[str, Any]) -> _Shape:
    try:
        return shape(**{member.name: members[member.name] for member in fields(shape)})
    except KeyError as missing:
        raise TokenwardError(
            f"the daemon's answer has no member {missing}",
            hint="restart the daemon: it is of another version than this client",
        ) from None
