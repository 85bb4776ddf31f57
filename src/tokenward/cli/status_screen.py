"""The status on a terminal: a table with a shrinking bar for the life that each token has left.

Rules: this module loads ``rich`` and is loaded only when somebody looks. Texts go in as ``Text``, so that
brackets in a name are not taken for markup. Columns are chosen by their worth until the terminal is full; who is
meant, for how long and how well it is are always there. A colour only repeats a word or a shape.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tokenward.cli.bars import Glyphs, bar, glyphs_for
from tokenward.cli.consoles import console
from tokenward.cli.output import as_seen, clean, duration
from tokenward.cli.status_watch import Picture
from tokenward.cli.status_words import (
    DISABLED,
    OK,
    Quotas,
    health,
    last_refresh,
    life_left,
    login_end,
    name,
    next_refresh,
    remarks,
    used,
    valid_for,
)
from tokenward.client import Event, Profile, Status

_SHORT = 0.2
"""The part of a token's life that is left when its refresh is due at the latest (design section 4.1)."""
_HIGH = 0.8
"""The part of a quota from which on its bar is yellow."""
NARROW = 72
"""Columns below which bars are half as long."""
_LIFE_CELLS, _QUOTA_CELLS = 8, 4
_GAP = 2
_NAME = "profile"
_SHORTEST_NAME = 8
"""Columns that a name keeps on the narrowest of terminals."""
NEWS_SECONDS = 3.0
"""How long a rotation is shown in its row."""
_LOG_LINES = 8
_ROTATIONS = frozenset({"rotated", "appeared"})
_NOTHING_YET = "no profiles yet; add one: tokenward add anthropic:work --api-key"


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture depends on besides the status.

    Args:
        width: columns of the terminal.
        glyphs: what bars are drawn with.
        fresh: the names of profiles that rotated a moment ago.
    """

    width: int
    glyphs: Glyphs
    fresh: frozenset[str] = frozenset()


def show(picture: Picture) -> None:
    """Print one picture."""
    terminal = console()
    terminal.print(drawn(picture, Look(terminal.width, glyphs_for(terminal.encoding))))


def animate(pictures: Iterable[Picture]) -> None:
    """Show one picture in the place of another, above a log of what happens, until they end."""
    terminal = console()
    log: deque[Event] = deque(maxlen=_LOG_LINES)
    rotated: dict[str, float] = {}
    last = Picture(None)
    with Live(console=terminal, auto_refresh=False, vertical_overflow="crop") as live:
        for picture in pictures:
            log.extend(picture.news)
            now = time.monotonic()
            rotated |= {event.profile: now for event in picture.news if event.profile and event.type in _ROTATIONS}
            fresh = frozenset(key for key, at in rotated.items() if now - at < NEWS_SECONDS)
            last = picture if picture.status is not None else Picture(last.status, last.quotas, gone=picture.gone)
            look = Look(terminal.width, glyphs_for(terminal.encoding), fresh)
            live.update(watching(last, look, log), refresh=True)


def watching(picture: Picture, look: Look, log: Iterable[Event]) -> RenderableType:
    """A picture with what happened below it."""
    lines = [Text(_event_line(event), "bold" if event.type in _ROTATIONS else "") for event in log]
    if picture.gone is not None:
        gone = Text(f"{clean(picture.gone)}; waiting for it, and what is above is old", "bold red")
        return Group(drawn(picture, look), Text(), *lines, gone)
    return Group(drawn(picture, look), Text(), *lines, Text("Ctrl-C ends this", "dim"))


def drawn(picture: Picture, look: Look) -> RenderableType:
    """The daemon in one line, the table of profiles, and below it what needs attention."""
    status = picture.status
    if status is None:
        return Text("no daemon answers")
    if not status["profiles"]:
        return Group(_head(status), Text(_NOTHING_YET))
    notes = [
        Text(f"{clean(name(profile))}: {clean(remark)}")
        for profile in status["profiles"]
        for remark in remarks(profile)
    ]
    return Group(_head(status), _table(status["profiles"], picture.quotas, look), *notes)


def _head(status: Status) -> Text:
    return Text(
        f"tokenward {clean(status['version'])}, pid {status['pid']}, up {duration(status['uptime'])}, "
        f"{as_seen(status['socket'])}"
    )


def _table(profiles: Sequence[Profile], quotas: Quotas, look: Look) -> Table:
    cells = {heading: [cell(each, quotas, look) for each in profiles] for heading, cell in _COLUMNS.items()}
    chosen = columns_that_fit(
        {heading: max(each.cell_len for each in column) for heading, column in cells.items() if _is_known(column)},
        look.width,
    )
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    others = sum(
        _GAP + max(len(heading), *(each.cell_len for each in cells[heading]))
        for heading in chosen
        if heading != _NAME
    )
    for heading in chosen:
        widest = max(_SHORTEST_NAME, look.width - others) if heading == _NAME else None
        table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=widest)
    for row in zip(*(cells[heading] for heading in chosen), strict=True):
        table.add_row(*row)
    return table


def columns_that_fit(widths: Mapping[str, int], total: int) -> list[str]:
    """The columns to show, in their order.

    Args:
        widths: of the cells of every column of which something is known.
        total: columns of the terminal.
    """
    chosen = [heading for heading in _WORTH[:_ALWAYS] if heading in widths]
    room = total - sum(max(len(heading), widths[heading]) + _GAP for heading in chosen) + _GAP
    for heading in _WORTH[_ALWAYS:]:
        if heading in widths and (needed := max(len(heading), widths[heading]) + _GAP) <= room:
            chosen.append(heading)
            room -= needed
    return [heading for heading in _COLUMNS if heading in chosen]


def _is_known(column: list[Text]) -> bool:
    return any(cell.plain != "-" for cell in column)


def _health(profile: Profile, _quotas: Quotas, look: Look) -> Text:
    if name(profile) in look.fresh:
        return Text("rotated now", "reverse bold")
    word = health(profile)[0]
    if word == DISABLED:
        return Text(word, "dim")  # as a person wants it
    return Text(word, "green" if word == OK else "red" if profile["unusable"] else "yellow")


def _life(profile: Profile, _quotas: Quotas, look: Look) -> Text:
    share, words = life_left(profile), valid_for(profile)
    if share is None:
        return Text(words)
    left = profile["valid_for"] or 0.0
    style = "green" if share > _SHORT else "yellow" if left > 0 else "red"
    return _bar(share, _LIFE_CELLS, style, words, look)


def _quota(quota: str) -> Callable[[Profile, Quotas, Look], Text]:
    def cell(profile: Profile, quotas: Quotas, look: Look) -> Text:
        share = used(quotas, profile, quota)
        if share is None:
            return Text("-")
        style = "green" if share < _HIGH else "yellow" if share < 1 else "red"
        return _bar(share, _QUOTA_CELLS, style, f"{share:.0%}", look)

    return cell


def _bar(share: float, cells: int, style: str, words: str, look: Look) -> Text:
    full, empty = bar(share, cells if look.width >= NARROW else cells // 2, look.glyphs)
    return Text.assemble((full, style), (empty, "dim"), " ", words)


def _words(words: Callable[[Profile], str | None]) -> Callable[[Profile, Quotas, Look], Text]:
    return lambda profile, _quotas, _look: Text(clean(words(profile) or "-"))


_COLUMNS: Mapping[str, Callable[[Profile, Quotas, Look], Text]] = {
    "profile": _words(name),
    "kind": _words(lambda profile: profile["kind"]),
    "tier": _words(lambda profile: profile["tier"]),
    "valid for": _life,
    "last": _words(last_refresh),
    "next": _words(next_refresh),
    "login ends": _words(login_end),
    "source": _words(lambda profile: profile["source"]),
    "5 h used": _quota("five_hours"),
    "7 d used": _quota("seven_days"),
    "health": _health,
}
_WORTH = (
    *("profile", "health", "valid for"),
    *("next", "5 h used", "7 d used", "kind", "source", "last", "tier", "login ends"),
)
"""The columns by their worth; the first three are always shown."""
_ALWAYS = 3


def _event_line(event: Event) -> str:
    moment = time.strftime("%H:%M:%S", time.localtime(event.at_ms / 1000))
    words = (moment, event.profile or "daemon", event.type.replace("_", " "), event.detail)
    return clean("  ".join(filter(None, words)))
