"""What can be counted and measured of a daemon, as families of metrics.

The problem: a fleet is watched by its numbers, and numbers that cost a request something, that name a token, or
that grow with what callers send, are worse than none.

Rules:
- Everything is read when it is asked for; on the way of a request stands an increment of an integer at most.
- Labels have few values: profiles that are kept, methods that there are, the types of our errors. Never a text.
- Names carry their unit, as seconds and Unix time (openmetrics.io; prometheus.io/docs/practices/naming).
- ``exposition`` alone knows how families are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tokenward.core.credential import profile_key
from tokenward.core.lifecycle import Event, Phase
from tokenward.core.notices import Kind
from tokenward.daemon.broker import Broker
from tokenward.daemon.daemon_models import DaemonStatusResult
from tokenward.daemon.event_hub import EventHub
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.notices import Notices
from tokenward.daemon.profile_models import ProfileResult
from tokenward.daemon.rpc_server import RpcServer
from tokenward.daemon.shared_records import SharedRecords

LANE = "token.get", "lane"
"""Method and path of what the lane answers."""
OUTCOMES = (
    Event.REFRESHED,
    Event.FUTILE,
    Event.ADOPTED,
    Event.FAILED,
    Event.REJECTED,
    Event.SAVE_FAILED,
    Event.SAVED,
)
"""How a flight can end; the words of ``core.lifecycle``."""

QUESTIONS = ("reads", "claims", "releases", "commits")
"""What a shared store is asked; the names of ``SharedRecords.tally``."""

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Args:
        name: without the suffix of its kind; ends in the unit, if it has one.
        kind: how it behaves.
        help: one sentence.
        samples: labels and values.
        unit: the unit.
    """

    name: str
    kind: Literal["gauge", "counter", "info"]
    help: str
    samples: tuple[Sample, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at.

    Args:
        keepers: everybody, by key.
        broker: chooses among them.
        hub: tells subscribers.
        notices: tells people.
        server: answers callers; None before it does.
        shared: what is shared with other hosts; None = nothing is.
    """

    keepers: Mapping[str, Keeper]
    broker: Broker
    hub: EventHub
    notices: Notices
    server: RpcServer | None
    shared: SharedRecords | None = None


def families(watched: Watched, status: DaemonStatusResult) -> list[Family]:
    """Everything there is to say now.

    Args:
        watched: what is looked at.
        status: the daemon as a whole, with its profiles.
    """
    return [
        *_of_the_daemon(watched, status),
        *_of_sharing(watched.shared),
        *_of_calls(watched),
        *_of_profiles(status.profiles),
        *_of_flights(watched.keepers, status.profiles),
    ]


def _of_the_daemon(watched: Watched, status: DaemonStatusResult) -> Iterator[Family]:
    yield _gauge("tokenward_up", "Whether a daemon answers.", [({}, 1.0)])
    yield Family("tokenward_build", "info", "The daemon's version.", (({"version": status.version}, 1.0),))
    yield _seconds(
        "tokenward_start_timestamp_seconds", "When the daemon started.", [({}, status.started_at_ms / 1e3)]
    )
    yield _gauge("tokenward_connections", "Open connections.", [({}, status.connections)])
    yield _gauge("tokenward_subscribers", "Connections that get events.", [({}, status.subscribers)])
    yield _counter(
        "tokenward_subscribers_lost",
        "Subscribers cut off because they did not read.",
        [({}, float(watched.hub.lost))],
    )
    yield _gauge(
        "tokenward_store_trouble",
        "Whether the store's key cannot be used as it should.",
        [({}, float(status.store_trouble is not None))],
    )
    yield _gauge(
        "tokenward_config_error",
        "Whether the configuration file last read is wrong, and older settings are in force.",
        [({}, float(status.config_error is not None))],
    )
    yield _counter(
        "tokenward_notices",
        "What a person was told, or would have been.",
        [({"event": kind.value}, float(watched.notices.told[kind])) for kind in Kind],
    )
    yield _counter(
        "tokenward_notice_failures",
        "Notices whose program failed.",
        [({}, float(watched.notices.failed))],
    )


def _of_sharing(shared: SharedRecords | None) -> Iterator[Family]:
    if shared is None:
        return
    tally = shared.tally
    yield _gauge(
        "tokenward_shared_store_up", "Whether the shared store answers.", [({}, float(shared.away is None))]
    )
    yield _counter(
        "tokenward_shared_store_questions",
        "What the shared store was asked.",
        [({"kind": kind}, float(tally[kind])) for kind in QUESTIONS],
    )
    yield _counter(
        "tokenward_shared_store_unanswered",
        "Questions that it did not answer.",
        [({}, float(tally["unanswered"]))],
    )
    yield _counter(
        "tokenward_shared_store_conflicts",
        "Leases that another host took in the same moment.",
        [({}, float(tally["conflicts"]))],
    )
    yield _counter(
        "tokenward_shared_store_orphans",
        "New tokens that came too late, and are kept beside the records.",
        [({}, float(tally["orphans"]))],
    )


def _of_calls(watched: Watched) -> Iterator[Family]:
    server = watched.server
    if server is None:
        return
    degraded = watched.broker.degraded
    counted = {(*LANE, "ok"): server.lane_answers - degraded.total()}
    counted |= {(*LANE, reason): times for reason, times in degraded.items()}
    counted |= {(method, "dispatcher", result): times for (method, result), times in server.calls.items()}
    yield _counter(
        "tokenward_calls",
        "Calls that were answered; result is ok, why a token is less than was asked for, or an error's type.",
        [
            ({"method": method, "path": path, "result": result}, float(times))
            for (method, path, result), times in sorted(counted.items())
        ],
    )
    yield _counter(
        "tokenward_calls_refused",
        "Calls that were not carried out because their process calls too often.",
        [({}, float(server.pace.refused))],
    )


def _of_profiles(profiles: Iterable[ProfileResult]) -> Iterator[Family]:
    kept = [(_labels(profile), profile) for profile in profiles]
    yield _gauge(
        "tokenward_profile_phase",
        "1 for the phase that the profile is in; see docs/lifecycle.md.",
        [
            ({**labels, "phase": phase.value}, float(phase.value == profile.phase))
            for labels, profile in kept
            for phase in Phase
        ],
    )
    yield _gauge(
        "tokenward_profile_usable",
        "Whether a token of the profile can be served now.",
        [(labels, float(profile.unusable is None)) for labels, profile in kept],
    )
    yield _gauge(
        "tokenward_profile_refresh_failures",
        "Refreshes that failed in a row.",
        [
            (labels, 0.0 if profile.last_failure is None else profile.last_failure.failures)
            for labels, profile in kept
        ],
    )
    yield _gauge(
        "tokenward_profile_windows",
        "Windows in which the profile does not serve, as callers reported failures; of models too.",
        [
            ({**labels, "kind": kind, "reason": reason}, float(times))
            for labels, profile in kept
            for (kind, reason), times in sorted(Counter((it.kind, it.reason) for it in profile.cooling).items())
        ],
    )
    yield _seconds(
        "tokenward_token_remaining_seconds",
        "Seconds of life that the access token has left, by the clock that leaves less.",
        [(labels, profile.valid_for) for labels, profile in kept if profile.valid_for is not None],
    )
    for name, said, moments in (
        ("token_expiry", "When the access token ends.", [it.expires_at_ms for _, it in kept]),
        ("login_end", "When the login ends, whatever is refreshed.", [it.login_ends_at_ms for _, it in kept]),
        ("next_refresh", "When a refresh is due.", [it.next_refresh_at_ms for _, it in kept]),
        ("last_refresh", "When the last refresh ended well.", [it.last_refresh_at_ms for _, it in kept]),
    ):
        pairs = zip(kept, moments, strict=True)
        samples = [(labels, moment / 1e3) for (labels, _), moment in pairs if moment is not None]
        yield _seconds(f"tokenward_{name}_timestamp_seconds", said, samples)


def _of_flights(keepers: Mapping[str, Keeper], profiles: Iterable[ProfileResult]) -> Iterator[Family]:
    flights = sum(keeper.phase is Phase.REFRESHING for keeper in keepers.values())
    yield _gauge("tokenward_flights", "Refreshes under way.", [({}, float(flights))])
    yield _counter(
        "tokenward_refreshes",
        "Refreshes and attempts to save, by how they ended; see docs/lifecycle.md.",
        [
            ({**_labels(profile), "outcome": outcome.value}, float(keeper.outcomes.get(outcome, 0)))
            for profile in profiles
            if (keeper := keepers[profile_key(profile.profile, profile.agent)]).refresher is not None
            for outcome in OUTCOMES
        ],
    )


def _labels(profile: ProfileResult) -> Labels:
    return {"profile": profile.profile, "provider": profile.provider, "agent": profile.agent}


def _gauge(name: str, said: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "gauge", said, tuple(samples))


def _counter(name: str, said: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "counter", said, tuple(samples))


def _seconds(name: str, said: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "gauge", said, tuple(samples), "seconds")
