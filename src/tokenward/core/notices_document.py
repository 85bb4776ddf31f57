"""How it is written down what a person was told, so that a restart does not tell it again.

Rule: a person may have edited the file, and another version may have written it: whatever makes no sense counts as
never told, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tokenward.core.credential import from_unix_milliseconds, to_unix_milliseconds
from tokenward.core.notices import DAYS, Key, Kind, Known

OF_THE_DAEMON = "daemon"
"""Where the state keeps what is no profile's; a profile's key has a colon."""
_LATEST = 4_102_444_800_000
"""The year 2100, in Unix milliseconds: a later moment was written by mistake."""
_LONGEST_MARK = 64


def to_documents(known: Mapping[Key, Known]) -> dict[str, dict[str, Any]]:
    """What is kept, by profile key."""
    documents: dict[str, dict[str, Any]] = {}
    for (profile, kind), each in known.items():
        moments = {"since": each.since, "told_at": each.told_at, "away_since": each.away_since}
        written = {name: to_unix_milliseconds(moment) for name, moment in moments.items() if moment is not None}
        rest = {"mark": each.mark or None, "stage": each.stage}
        documents.setdefault(profile or OF_THE_DAEMON, {})[kind.value] = {
            **written,
            **{name: value for name, value in rest.items() if value is not None},
        }
    return documents


def from_documents(documents: Mapping[str, Any]) -> dict[Key, Known]:
    """Read it back; whatever makes no sense is left out."""
    known: dict[Key, Known] = {}
    for key, document in documents.items():
        if not isinstance(document, dict):
            continue
        profile = "" if key == OF_THE_DAEMON else key
        for kind in Kind:
            each = _known(document.get(kind.value))
            if each is not None:
                known[(profile, kind)] = each
    return known


def _known(value: object) -> Known | None:
    if not isinstance(value, dict):
        return None
    since, mark, stage = _moment(value.get("since")), value.get("mark", ""), value.get("stage")
    if since is None or not isinstance(mark, str) or len(mark) > _LONGEST_MARK:
        return None
    return Known(
        mark,
        since,
        _moment(value.get("told_at")),
        stage if stage in DAYS and not isinstance(stage, bool) else None,
        _moment(value.get("away_since")),
    )


def _moment(value: object) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST:
        return None
    return from_unix_milliseconds(value)
