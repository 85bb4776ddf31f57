"""What callers reported of a profile, as ``profile.get`` and ``status`` show it.

Rule: that a window keeps a profile from serving is said before what its keeper would say, unless a person let it
rest; a window of one model alone keeps nobody from serving.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tokenward.core import selection
from tokenward.core.classify import FailureClass
from tokenward.core.credential import to_unix_milliseconds
from tokenward.core.health import NEVER, Window
from tokenward.core.protocol import DEGRADED_COOLING
from tokenward.daemon.health_book import Shown, words
from tokenward.daemon.keeper import Keeper
from tokenward.daemon.line_up import LineUp
from tokenward.daemon.profile_models import HealthResult, ProfileResult


def with_health(shown: ProfileResult, keeper: Keeper, line: LineUp, *, billing_url: str | None) -> ProfileResult:
    """A profile, with what callers reported of it.

    Args:
        shown: the profile as its keeper shows it.
        keeper: the keeper.
        line: knows the rest.
        billing_url: where its provider's funds are added, if the configuration says so.
    """
    key = keeper.profile.key
    windows = line.health.shown(key)
    failure = line.health.of(key).last_failure
    changes: dict[str, Any] = {
        "cooling": [_result(each) for each in windows],
        "last_report": None if failure is None else failure.value,
        "last_used_at_ms": _ms(line.last_used(key)),
    }
    whole = [each for each in windows if each.model is None]
    if whole and keeper.resting is None:
        if _kind(whole[0]) == selection.DISABLED:
            changes["unusable"] = shown.unusable or _out_of_use(whole[0].window, billing_url)
        else:
            changes["degraded"] = DEGRADED_COOLING
    return shown.model_copy(update=changes)


def _result(shown: Shown) -> HealthResult:
    return HealthResult.model_validate(
        {
            "kind": _kind(shown),
            "reason": shown.window.reason.value,
            "until_ms": _ms(shown.window.ends),
            "model": shown.model,
            "errors": shown.failures,
        }
    )


def _out_of_use(window: Window, billing_url: str | None) -> str:
    if billing_url is None or window.reason is not FailureClass.BILLING:
        return words(window, None)
    return f"{words(window, None)}; add funds at {billing_url}"


def _kind(shown: Shown) -> str:
    return selection.Window(shown.window.ends or NEVER, shown.window.reason.value).kind


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_unix_milliseconds(moment)
