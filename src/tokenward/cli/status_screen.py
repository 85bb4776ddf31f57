"""The status on a terminal: a table with a shrinking bar for the life that each token has left.

Rules: this module loads ``rich`` and is loaded only when somebody looks. Texts go in as ``Text``, so that
brackets in a name are not taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tokenward.cli.output import clean, duration
from tokenward.cli.status import OK, health, name, next_refresh, valid_for
from tokenward.client import Profile, Status

_BAR_CELLS = 8
_UNKNOWN_GRANT = 3600.0
"""Seconds that a full bar means where nobody knows for how long the token was granted."""
_SHORT = 0.2
"""The part of a token's life that is left when its refresh is due at the latest (design section 4.1)."""


def show(status: Status) -> None:
    """Print one picture."""
    Console(highlight=False).print(picture(status))


def animate(pictures: Iterable[Status]) -> None:
    """Show one picture in the place of another until they end."""
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        for status in pictures:
            live.update(picture(status), refresh=True)


def picture(status: Status) -> RenderableType:
    """The daemon in one line, the table of profiles, and below it what needs attention."""
    head = Text(
        f"tokenward {clean(status['version'])}, pid {status['pid']}, up {duration(status['uptime'])}, "
        f"{clean(status['socket'])}"
    )
    if not status["profiles"]:
        return Group(head, Text("no profiles yet; add one: tokenward add anthropic:work --api-key"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("profile", "kind", "valid for", "next", "source", "health"):
        table.add_column(heading, no_wrap=True)
    remarks = []
    for profile in status["profiles"]:
        shown = clean(name(profile))
        word, why = health(profile)
        style = "green" if word == OK else "red" if profile["unusable"] else "yellow"
        table.add_row(
            Text(shown),
            Text(profile["kind"] or "-"),
            _bar(profile),
            Text(next_refresh(profile)),
            Text(clean(profile["source"])),
            Text(word, style),
        )
        remarks += [Text(f"{shown}: {clean(text)}") for text in (why, profile["note"]) if text]
    return Group(head, table, *remarks)


def _bar(profile: Profile) -> Text:
    words = valid_for(profile)
    left = profile["valid_for"]
    if left is None:
        return Text(words)
    share = min(1.0, max(0.0, left / _granted(profile)))
    filled = round(share * _BAR_CELLS)
    style = "green" if share > _SHORT else "yellow" if left > 0 else "red"
    return Text.assemble(("━" * filled, style), ("╌" * (_BAR_CELLS - filled), "dim"), " ", words)


def _granted(profile: Profile) -> float:
    start, end = profile["last_refresh_at_ms"], profile["expires_at_ms"]
    if start is None or end is None or end <= start:
        return _UNKNOWN_GRANT
    return (end - start) / 1000
