"""When a person is told, by a notice on the desktop or a command, that something waits for them.

The problem: a login that dies at night is found out in the middle of the work; and a program that tells too
often is switched off, after which it tells nothing. So only what a person must do is told, and seldom.

Rules:
- A matter is told when it has lasted as long as its kind wants (``TABLE``), and again only after its interval.
- A matter that comes back soon after it went, or after a restart, is the same one, and is not told anew. Another
  ``mark`` (another token that died, another end of a login) makes it another one, which is still not told within
  ``QUIET`` of the last.
- The end of a login is told as it comes near: in 7, 3 and 1 days. An end that has only just been set is not told:
  a server that moves it with each refresh, or gives logins of a day, would have it told every day.
- More than ``MOST_AT_ONCE`` of one kind at once are one notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum, auto
from types import MappingProxyType
from typing import NamedTuple

from tokenward.core.lifecycle import Phase

QUIET = timedelta(minutes=15)
MOST_AT_ONCE = 3
FAILURES = 3
"""In a row, before a refresh that fails can be a matter at all."""
DAYS = (1, 3, 7)
"""Before the end of a login."""


class Kind(StrEnum):
    """What a person must do something about."""

    LOGIN_REQUIRED = auto()
    LOGIN_ENDING = auto()
    STORE_LOCKED = auto()
    UNSAVED = auto()
    REFRESH_FAILING = auto()


class Pace(NamedTuple):
    """How patiently matters of one kind are told.

    Args:
        lasting: how long it must have lasted.
        again: after which time it is told again; None = never.
        remembered: how long it may be away and still be the same.
    """

    lasting: timedelta
    again: timedelta | None
    remembered: timedelta


_DAY = timedelta(days=1)

TABLE: Mapping[Kind, Pace] = MappingProxyType(
    {
        Kind.LOGIN_REQUIRED: Pace(timedelta(0), _DAY, _DAY),
        Kind.LOGIN_ENDING: Pace(timedelta(hours=12), None, _DAY),
        # A keyring is opened by a login to the desktop, which may follow the daemon's start.
        Kind.STORE_LOCKED: Pace(timedelta(minutes=2), _DAY, timedelta(hours=1)),
        Kind.UNSAVED: Pace(timedelta(minutes=1), timedelta(hours=6), timedelta(hours=1)),
        # A laptop on a train is no matter.
        Kind.REFRESH_FAILING: Pace(timedelta(minutes=30), _DAY, timedelta(hours=2)),
    }
)


class Standing(NamedTuple):
    """How one profile stands.

    Args:
        profile: its key.
        phase: of its refreshes.
        generation: the value held.
        failures: how many refreshes failed in a row.
        reason: why the last one did.
        login_ends_at: when the login ends, whatever is refreshed.
        command: what a person types to log in anew.
    """

    profile: str
    phase: Phase
    generation: str = ""
    failures: int = 0
    reason: str = ""
    login_ends_at: datetime | None = None
    command: str = ""


class Matter(NamedTuple):
    """Something that waits for a person.

    Args:
        kind: what.
        profile: whose, by key; empty = the daemon's.
        summary: one line for people.
        detail: what more is known; may come from outside.
        hint: the command that helps.
        mark: what sets it apart from another of the same kind and profile.
        stage: the days that are left, where they count.
    """

    kind: Kind
    profile: str
    summary: str
    detail: str = ""
    hint: str = ""
    mark: str = ""
    stage: int | None = None


class Known(NamedTuple):
    """What is remembered of a matter.

    Args:
        mark: the matter's.
        since: when it was first seen.
        told_at: when it was told last; None = not yet.
        stage: what was told last.
        away_since: when it was first missed; None = it stands.
    """

    mark: str
    since: datetime
    told_at: datetime | None = None
    stage: int | None = None
    away_since: datetime | None = None


Key = tuple[str, Kind]
"""Profile and kind."""


class Review(NamedTuple):
    """What follows from a look.

    Args:
        due: what is told now.
        known: what is remembered from now on.
    """

    due: tuple[Matter, ...]
    known: Mapping[Key, Known]


def matters(standings: Iterable[Standing], *, locked: str | None, now: datetime) -> list[Matter]:
    """Everything that waits for a person.

    Args:
        standings: the profiles that do not rest.
        locked: why the store's key cannot be used; None if it can.
        now: on the wall clock, aware.
    """
    found = []
    if locked is not None:
        found.append(
            Matter(
                Kind.STORE_LOCKED,
                "",
                "tokenward's store is locked",
                locked,
                "unlock it, then: tokenward store status",
            )
        )
    for standing in standings:
        matter = _of(standing)
        if matter is not None:
            found.append(matter)
        ending = _ending(standing, now)
        if ending is not None and standing.phase is not Phase.LOGIN_REQUIRED:
            found.append(ending)
    return found


def _of(standing: Standing) -> Matter | None:
    name, reason = standing.profile, standing.reason
    match standing.phase:
        case Phase.LOGIN_REQUIRED:
            summary = f"{name} needs a login"
            return Matter(Kind.LOGIN_REQUIRED, name, summary, reason, standing.command, mark=standing.generation)
        case Phase.UNSAVED:
            summary = f"the new token of {name} could not be saved"
            return Matter(Kind.UNSAVED, name, summary, reason, "tokenward status")
        case Phase.BACKOFF | Phase.REFRESHING if standing.failures >= FAILURES:
            summary = f"{name} could not be refreshed {standing.failures} times"
            return Matter(Kind.REFRESH_FAILING, name, summary, reason, "tokenward status")
        case _:
            return None


def _ending(standing: Standing, now: datetime) -> Matter | None:
    end = standing.login_ends_at
    if end is None or end <= now:
        return None
    stage = next((days for days in DAYS if end - now <= timedelta(days=days)), None)
    if stage is None:
        return None
    within = "a day" if stage == 1 else f"{stage} days"
    return Matter(
        Kind.LOGIN_ENDING,
        standing.profile,
        f"the login of {standing.profile} ends within {within}",
        f"it ends at {end:%Y-%m-%d %H:%M} UTC, whatever is refreshed",
        standing.command,
        mark=end.isoformat(timespec="minutes"),
        stage=stage,
    )


def review(standing: Iterable[Matter], known: Mapping[Key, Known], *, now: datetime) -> Review:
    """What is to be told now, and what to remember.

    Args:
        standing: what waits for a person now.
        known: what was remembered after the last look.
        now: on the wall clock, aware.
    """
    due: list[Matter] = []
    after: dict[Key, Known] = {}
    for matter in standing:
        key = (matter.profile, matter.kind)
        before = _continued(known.get(key), matter, now)
        if _is_due(matter, before, now):
            due.append(matter)
            before = before._replace(told_at=now, stage=matter.stage)
        after[key] = before
    for key, before in known.items():
        if key not in after and (kept := _missed(key[1], before, now)) is not None:
            after[key] = kept
    return Review(tuple(_gathered(due)), after)


def _continued(before: Known | None, matter: Matter, now: datetime) -> Known:
    """The same matter goes on, or another begins; a clock that was set back makes everything new."""
    if before is None or before.since > now or (before.told_at is not None and before.told_at > now):
        return Known(matter.mark, now)
    if before.mark != matter.mark:
        return Known(matter.mark, now, before.told_at)
    if before.away_since is not None and now - before.away_since >= TABLE[matter.kind].remembered:
        return Known(matter.mark, now)
    return before._replace(away_since=None)


def _is_due(matter: Matter, known: Known, now: datetime) -> bool:
    pace = TABLE[matter.kind]
    if now - known.since < pace.lasting:
        return False
    if known.told_at is None:
        return True
    if known.told_at < known.since:  # that was another one
        return now - known.told_at >= QUIET
    if matter.stage != known.stage:
        return True
    return pace.again is not None and now - known.told_at >= pace.again


def _missed(kind: Kind, before: Known, now: datetime) -> Known | None:
    """A matter that does not stand now: remembered for a while if it was told."""
    away = before.away_since or now
    if before.told_at is None or away > now or now - away >= TABLE[kind].remembered:
        return None
    return before._replace(away_since=away)


def _gathered(due: Iterable[Matter]) -> Iterable[Matter]:
    by_kind: dict[Kind, list[Matter]] = {}
    for matter in due:
        by_kind.setdefault(matter.kind, []).append(matter)
    for kind, many in by_kind.items():
        if len(many) <= MOST_AT_ONCE:
            yield from many
            continue
        named = ", ".join(matter.profile for matter in many[:MOST_AT_ONCE])
        rest = len(many) - MOST_AT_ONCE
        words = kind.replace("_", " ")
        yield Matter(kind, "", f"{len(many)} profiles: {words}", f"{named} and {rest} more", "tokenward status")
