"""``docs/reference/events.md``: every type of event, from the table beside the code."""

from __future__ import annotations

from typing import get_args

from tokenward.daemon.event_meanings import EVENT_MEANINGS
from tokenward.daemon.event_models import Event
from tokenward.reference.schema_words import cell, table

_HEAD = """# The events

`tokenward events --follow` prints them, and `events.subscribe` on the socket sends each as a notification `event`:
`type`, `profile` (null = the daemon's own), `generation`, `at_ms` (Unix milliseconds) and `detail`, one line for
people. An event never holds a token.

"""


def page() -> str:
    """The page."""
    rows = [(f"`{name}`", cell(EVENT_MEANINGS.get(name, ""))) for name in types()]
    return _HEAD + table(("type", "what it says"), rows)


def types() -> tuple[str, ...]:
    """The types that exist, in the order of the code."""
    return get_args(Event.model_fields["type"].annotation)
