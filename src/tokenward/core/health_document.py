"""How a profile's health is written down, so that a restart forgives nothing and forgets nothing.

The problem: the state file is written by hand, torn by crashes and read by other releases, and a number that was
read wrong must not lock a credential away for ever. Losing it all costs a few requests that fail.

Rules: whatever cannot be read is healthy, part by part. A window longer than seven days was never ours and is not
read. The only windows without an end are those of ``auth_permanent`` and ``auth_policy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tokenward.core.classify import FailureClass
from tokenward.core.health import LONGEST_WAIT, MOST_MODELS, Health, Streak, Window

MOST_FAILURES = 1_000_000
"""No streak is longer; a larger number is a mistake."""
LONGEST_MODEL_NAME = 128
_WITHOUT_END = frozenset({FailureClass.AUTH_PERMANENT, FailureClass.AUTH_POLICY})
_COOLDOWNS = frozenset(FailureClass) - _WITHOUT_END - {FailureClass.BILLING}


_WELL = Health()


def to_document(health: Health) -> dict[str, Any]:
    """Write health down as JSON values; a healthy profile is an empty object."""
    document: dict[str, Any] = {}
    for name in ("cooldown", "billing", "refused"):
        streak: Streak = getattr(health, name)
        if streak != Streak():
            document[name] = _streak_document(streak)
    if health.models:
        document["models"] = {name: _streak_document(streak) for name, streak in health.models}
    if health.last_failure is not None and health.last_failure_at is not None:
        document["last_failure"] = {"class": health.last_failure.value, "at": health.last_failure_at.isoformat()}
    return document


def _streak_document(streak: Streak) -> dict[str, Any]:
    window = streak.window
    return {
        "failures": streak.failures,
        "anchor": _text(streak.anchor),
        "window": None
        if window is None
        else {
            "reason": window.reason.value,
            "began": _text(window.began),
            "ends": _text(window.ends),
            "named": window.named,
        },
    }


def from_document(document: object) -> Health:
    """Read health back; what cannot be read is healthy.

    Args:
        document: JSON values, or anything else.
    """
    if not isinstance(document, Mapping):
        return _WELL
    last = document.get("last_failure")
    failure = _class(last.get("class")) if isinstance(last, Mapping) else None
    at = _moment(last.get("at")) if isinstance(last, Mapping) else None
    known = failure is not None and at is not None
    return Health(
        cooldown=_streak(document.get("cooldown"), _COOLDOWNS),
        billing=_streak(document.get("billing"), frozenset({FailureClass.BILLING})),
        refused=_streak(document.get("refused"), _WITHOUT_END),
        models=_models(document.get("models")),
        last_failure=failure if known else None,
        last_failure_at=at if known else None,
    )


def _models(value: object) -> tuple[tuple[str, Streak], ...]:
    if not isinstance(value, Mapping):
        return ()
    named = ((name, _streak(part, _COOLDOWNS)) for name, part in value.items() if _is_model_name(name))
    return tuple(sorted((pair for pair in named if pair[1] != Streak()), key=lambda pair: pair[0])[:MOST_MODELS])


def _is_model_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_MODEL_NAME


def _streak(value: object, reasons: frozenset[FailureClass]) -> Streak:
    if not isinstance(value, Mapping):
        return Streak()
    failures, window = value.get("failures"), _window(value.get("window"), reasons)
    anchor = _moment(value.get("anchor"))
    if isinstance(failures, bool) or not isinstance(failures, int) or not 0 < failures <= MOST_FAILURES:
        return Streak(window=window)
    return Streak(failures, anchor, window) if anchor is not None else Streak(window=window)


def _window(value: object, reasons: frozenset[FailureClass]) -> Window | None:
    if not isinstance(value, Mapping):
        return None
    reason, began, ends = _class(value.get("reason")), _moment(value.get("began")), _moment(value.get("ends"))
    if reason not in reasons or began is None:
        return None
    if ends is None:
        endless = reason in _WITHOUT_END and value.get("ends") is None
        return Window(reason, began, None) if endless else None
    if not began < ends <= began + LONGEST_WAIT:
        return None
    return Window(reason, began, ends, value.get("named") is True)


def _class(value: object) -> FailureClass | None:
    return FailureClass(value) if isinstance(value, str) and value in set(FailureClass) else None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(value: object) -> datetime | None:
    """An aware moment far enough from the ends of the calendar to reckon with; None = unreadable."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None and 1970 <= moment.year < 9000 else None
    except (ValueError, OverflowError):
        return None
