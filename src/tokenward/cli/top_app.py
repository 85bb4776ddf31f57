"""The screen of ``tokenward top``: profiles with their last day, one of them in detail, and what a key did.

Rules: this module loads ``textual`` and is loaded only when somebody looks. The daemon is asked in worker threads,
so that no key waits for it; that it went away is said, and it is found again. Names go in as
``Text``, never as markup.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

from tokenward.cli.bars import bar, glyphs_for
from tokenward.cli.output import clean, duration
from tokenward.cli.status_watch import Picture, asked
from tokenward.cli.status_words import DISABLED, health, life_left, name, next_refresh, remarks, valid_for
from tokenward.cli.timeline import LEGEND, SPANS, STYLES, Day, Moment, axis, line, told
from tokenward.client import Client, Profile
from tokenward.errors import TokenwardError

TICK = 1.0
"""Seconds between two looks."""
_LIFE_CELLS = 6
_FEWEST_CELLS = 12
_EDGES = 4
"""Columns that the table's frame and scroll bar take."""
_LONGEST_NAME = 30
_SHORTEST_NAME = 8
NARROW = 72
"""Columns below which a name and a bar give way, so that health is seen without scrolling."""


class Top(App[None]):
    """The screen.

    Args:
        client: whom to ask.
        agent: only the profiles of this agent; None = all.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; }
    #profiles { height: auto; max-height: 50%; }
    #legend { height: auto; max-height: 3; color: $text-muted; }
    #detail { height: 1fr; border-top: solid $primary; padding: 0 1; }
    #said { height: auto; max-height: 3; }
    #pin { display: none; }
    #pin.asking { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "act('refresh')", "Refresh"),
        Binding("p", "pin", "Pin"),
        Binding("c", "act('clear')", "Clear"),
        Binding("d", "act('toggle')", "Disable/enable"),
        Binding("z", "zoom", "Zoom"),
        Binding("q,ctrl+c", "quit", "Quit", key_display="q"),
        Binding("escape", "leave_pin", show=False),
    ]

    def __init__(self, client: Client, agent: str | None) -> None:
        super().__init__()
        self._client = client
        self._agent = agent
        self._picture = Picture(None)
        self._day = Day(client.call)
        self._moments: list[Moment] = []
        self._span = 0
        self._glyphs = glyphs_for(self.console.encoding)
        self._chosen: str | None = None

    def compose(self) -> ComposeResult:
        """The parts, from the top."""
        yield Static(id="head", markup=False)
        yield DataTable(id="profiles", cursor_type="row", zebra_stripes=True)
        yield Static(LEGEND, id="legend", markup=False)
        with VerticalScroll(id="detail"):
            yield Static(id="moments", markup=False)
        yield Static(id="said", markup=False)
        yield Input(id="pin", placeholder="SESSION MODEL, as in: my-session claude-opus-5-5")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(DataTable).focus()
        self.set_interval(TICK, self.look)
        self.look()

    def on_resize(self) -> None:
        """Make the lines as long as there is room."""
        self._draw()

    # Looking

    @work(thread=True, exclusive=True, group="look")
    def look(self) -> None:
        """Ask for everything that is shown."""
        try:
            picture = asked(self._client, self._agent, None)
            moments = self._day.heard(int(time.time() * 1000))
        except TokenwardError as error:
            self.call_from_thread(self._gone, error.cause)
        else:
            self.call_from_thread(self._shown, picture, moments)

    def _gone(self, cause: str) -> None:
        self._picture = Picture(self._picture.status, self._picture.quotas, gone=cause)
        self._draw()

    def _shown(self, picture: Picture, moments: list[Moment]) -> None:
        self._picture, self._moments = picture, moments
        self._draw()

    def _draw(self) -> None:
        if not self.query(DataTable):
            return  # the screen is on its way out, and what was told before arrives
        status = self._picture.status
        if self._picture.gone is not None:
            head = f"{self._picture.gone}; waiting for it, and what is below is old"
        elif status is None:
            head = "asking the daemon"
        else:
            head = f"tokenward {status['version']}, pid {status['pid']}, up {duration(status['uptime'])}"
        self.query_one("#head", Static).update(Text(clean(head), "bold"))
        self._draw_table([] if status is None else status["profiles"])
        self._draw_detail()

    def _draw_table(self, profiles: list[Profile]) -> None:
        table: DataTable[Text] = self.query_one(DataTable)
        now_ms = int(time.time() * 1000)
        headings, rows = self._columns(profiles)
        widths = [max((cell.cell_len for cell in column), default=0) for column in zip(*rows, strict=True)]
        taken = sum(max(width, len(heading)) + 2 for width, heading in zip(widths, headings, strict=False))
        cells = max(_FEWEST_CELLS, self.size.width - taken - _EDGES)
        chosen = self._under_cursor()
        table.clear(columns=True)
        table.add_columns(*(Text(heading) for heading in headings), Text(axis(SPANS[self._span], cells)))
        for profile, row in zip(profiles, rows, strict=True):
            theirs = [moment for moment in self._moments if moment["profile"] == name(profile)]
            drawn = line(theirs, now_ms=now_ms, span=SPANS[self._span], cells=cells)
            styled = Text.assemble(*((mark, STYLES[mark]) for mark in drawn))
            table.add_row(*row, styled, key=name(profile))
        if chosen is not None and chosen in {name(profile) for profile in profiles}:
            table.move_cursor(row=table.get_row_index(chosen), animate=False)
        self._chosen = chosen

    def _columns(self, profiles: list[Profile]) -> tuple[tuple[str, ...], list[tuple[Text, ...]]]:
        """The headings left of the line of letters, and the cells below them, as far as there is room."""
        lives = [self._life(profile) for profile in profiles]
        words = [Text(health(profile)[0]) for profile in profiles]
        if self.size.width >= NARROW:
            names = [_shortened(profile, _LONGEST_NAME) for profile in profiles]
            dues = [Text(next_refresh(profile)) for profile in profiles]
            return ("profile", "valid for", "next", "health"), list(zip(names, lives, dues, words, strict=True))
        others = ("valid for", lives), ("health", words)
        taken = sum(
            2 + max(len(heading), *(cell.cell_len for cell in column)) for heading, column in others if column
        )
        room = max(_SHORTEST_NAME, min(_LONGEST_NAME, self.size.width - taken - _EDGES))
        names = [_shortened(profile, room) for profile in profiles]
        return ("profile", "valid for", "health"), list(zip(names, lives, words, strict=True))

    def _life(self, profile: Profile) -> Text:
        share, life = life_left(profile), Text(valid_for(profile))
        if share is None:
            return life
        cells = _LIFE_CELLS if self.size.width >= NARROW else _LIFE_CELLS // 2
        return Text.assemble(*bar(share, cells, self._glyphs), " ", life)

    def _draw_detail(self) -> None:
        profile = self._profile()
        lines: list[str] = []
        if profile is not None:
            theirs = [moment for moment in self._moments if moment["profile"] == name(profile)]
            kind = ", ".join(filter(None, (profile["kind"], profile["tier"], profile["source"])))
            lines = [f"{name(profile)}: {kind}", *remarks(profile), "", *told(theirs, process)]
        self.query_one("#moments", Static).update(Text("\n".join(map(clean, lines))))

    def _profile(self) -> Profile | None:
        profiles = [] if self._picture.status is None else self._picture.status["profiles"]
        named = {name(profile): profile for profile in profiles}
        return named.get(self._under_cursor() or "", profiles[0] if profiles else None)

    def _under_cursor(self) -> str | None:
        """The name in the row that the cursor is on now: a key acts on what is seen."""
        table: DataTable[Text] = self.query_one(DataTable)
        if not table.row_count:
            return self._chosen
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def on_data_table_row_highlighted(self) -> None:
        """Show the profile that the cursor is on."""
        if self.query(DataTable):  # as above
            self._draw_detail()

    # Acting

    def action_act(self, what: str) -> None:
        """Refresh, clear, disable or enable the profile that the cursor is on."""
        profile = self._profile()
        if profile is None:
            return
        if what == "toggle":
            what = "enable" if health(profile)[0] == DISABLED else "disable"
        self._say(f"{name(profile)}: {what} …")
        params = {"profile": profile["profile"], "agent": profile["agent"]}
        self.call_daemon(f"profile.{what}", params, f"{name(profile)}: {what} done")

    def action_zoom(self) -> None:
        """Show a shorter time, and after the shortest the longest."""
        self._span = (self._span + 1) % len(SPANS)
        self._draw()

    def action_pin(self) -> None:
        """Ask for the session and the model that are to use the profile and no other."""
        asking = self.query_one("#pin", Input)
        asking.add_class("asking")
        asking.focus()

    def action_leave_pin(self) -> None:
        """Ask no more."""
        asking = self.query_one("#pin", Input)
        asking.remove_class("asking")
        asking.value = ""
        self.query_one(DataTable).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pin what was typed."""
        words, profile = event.value.split(), self._profile()
        self.action_leave_pin()
        if len(words) != 2 or profile is None:
            self._say("nothing is pinned: type a session and a model")
            return
        session, model = words
        params = {"session": session, "model": f"{model}@{profile['profile']}"}
        self.call_daemon("session.pin", params, f"{session}: {model} with {profile['profile']} and no other")

    @work(thread=True, group="act")
    def call_daemon(self, method: str, params: Mapping[str, Any], done: str) -> None:
        """Call a method, and say what came of it.

        Args:
            method: its name.
            params: its parameters.
            done: what to say if it worked.
        """
        try:
            self._client.call(method, params)
        except TokenwardError as error:
            self.call_from_thread(self._say, f"{error.cause}; {error.hint}" if error.hint else error.cause)
        else:
            self.call_from_thread(self._say, done)
        self.call_from_thread(self.look)

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(Text(clean(text), "bold"))


def _shortened(profile: Profile, longest: int) -> Text:
    shown = Text(clean(name(profile)))
    shown.truncate(longest, overflow="ellipsis")
    return shown


def process(pid: int) -> str:
    """A process as a person knows it: its id, and its name as far as it still runs."""
    try:
        called = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"process {pid}"
    return clean(f"process {pid} ({called.strip()})")
