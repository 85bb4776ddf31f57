"""What happened, in the log: a line for each event that a person may want to find later.

The problem: an event is gone when nobody subscribes, and ``status`` shows only the last failure. Whoever asks in
the morning why a login died at night has the log, and nothing else.

Rules:
- One line an event, with profile, generation and cause as fields; never a token.
- The level says who should care: ``error`` = a person must act, ``warning`` = something fails or ends that may
  heal, ``info`` = something changed, ``debug`` = everyday life, as each refresh that goes well.
- A failure that goes on is said as ``core.repeats`` says; what ends it is said at once, and at ``info`` at least.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

from tokenward.core.redact import printable
from tokenward.core.repeats import Said, heard
from tokenward.daemon.event_hub import Happening, Trouble
from tokenward.daemon.logs import fields
from tokenward.ports import Clock

LINES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "appeared": (logging.DEBUG, "a credential is kept"),
        "rotated": (logging.DEBUG, "a new token is held"),
        "refresh_failed": (logging.WARNING, "the refresh failed"),
        "login_required": (logging.ERROR, "a person must log in"),
        "unsaved": (logging.ERROR, "the new token could not be saved, and is tried again"),
        "saved": (logging.INFO, "the new token is saved"),
        "logged_out": (logging.WARNING, "logged out where it lives"),
        "forgotten": (logging.INFO, "forgotten"),
        "sink_failed": (logging.WARNING, "a file could not be published"),
        "cooling": (logging.WARNING, "callers reported a failure, and it rests"),
        "recovered": (logging.DEBUG, "it serves again"),
        "usage_warning": (logging.WARNING, "a limit comes near"),
        "clock_stepped": (logging.DEBUG, "the clock stepped"),
        "reloaded": (logging.INFO, "the configuration was read again"),
        "shared_store_away": (logging.WARNING, "the shared store is away"),
        "shared_store_back": (logging.INFO, "the shared store is back"),
        "orphaned": (logging.WARNING, "a new token came too late, and is kept beside the records"),
        "stopping": (logging.DEBUG, "stopping"),
    }
)
"""Level and words by the event's type; another type is ``info``, in its own word."""
FAILING, COOLING = "refresh_failed", "cooling"
REPEATED = (FAILING, COOLING, "sink_failed")
ENDS_A_FAILURE = frozenset({"rotated", "appeared", "saved", "login_required", "logged_out", "forgotten"})

log = logging.getLogger(__name__)


class EventLog:
    """Writes events to the log; a listener of the event hub.

    Args:
        clock: says when a failure that goes on is said again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str | None], Said] = {}

    def __call__(self, event: Happening, trouble: Trouble | None) -> None:
        """Write one event, or keep it back."""
        level, words = LINES.get(event.type, (logging.INFO, event.type.replace("_", " ")))
        kept_back = 0
        if event.type in REPEATED:
            key = event.type, event.profile
            before = self._said.get(key)
            say, self._said[key] = heard(before, _what(event, trouble), now=self._clock.boottime())
            if not say:
                return
            kept_back = before.kept_back if before is not None else 0
        elif _ends_a_failure(event, trouble) and self._said.pop((FAILING, event.profile), None) is not None:
            level = max(level, logging.INFO)
        detail = printable(event.detail)
        log.log(
            level,
            "%s",
            f"{words}: {detail}" if detail else words,
            extra=fields(
                event=event.type,
                profile=event.profile,
                generation=event.generation,
                cause=None if trouble is None else trouble.cause,
                failures=None if trouble is None else trouble.failures,
                retry_in=None if trouble is None or trouble.retry_in is None else round(trouble.retry_in),
                kept_back=kept_back or None,
            ),
        )


def _what(event: Happening, trouble: Trouble | None) -> str:
    """What sets it apart from another that is said at once; the words of a window name its end."""
    if event.type == COOLING:
        return COOLING
    return event.detail if trouble is None else trouble.cause


def _ends_a_failure(event: Happening, trouble: Trouble | None) -> bool:
    """A refresh whose token lives no longer than the one before is told as rotated too, and goes on failing."""
    return event.type in ENDS_A_FAILURE and not (event.type == "rotated" and trouble is not None)
