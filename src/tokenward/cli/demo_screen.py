"""The demo on a terminal: one picture in which a token's life runs out and jumps back.

Rules: this module loads ``rich`` and is loaded only when somebody looks. A picture is made of a ``Scene`` and a
size, and of nothing else. A colour stands for one token, wherever it is seen. Commands to be copied are broken
where a shell lets them be.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tokenward.cli.demo_story import Call, Line, Scene, clock, counted

WIDEST = 110
"""Columns used at most: eyes do not follow longer lines."""
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue")
_MOODS = {"plain": "", "rotation": "bold", "trouble": "red"}
_LABEL = 9
_LIFE_LABEL = len("  19.9 of 20 s")
_NEWS_SECONDS = 2.5
"""How long a rotation is shown as news beside the token."""
ENOUGH_LINES = 4
"""Lines of what happened for which explanations give way: a rotation and what came of it, twice."""
FEWEST_LINES = 2
"""Lines of what happened that even the smallest terminal shows, though its last rows be lost."""


EXPLANATIONS = (
    (
        "Every second a program asks the daemon for a token and uses it. A token lives "
        "{ttl:g}\N{NO-BREAK SPACE}s here, and the daemon has it replaced before its end. A colour is one token."
    ),
    "A refresh token is good for one use; the server would call a second use reuse, and end the login.",
)
"""What a newcomer needs to know, the most needed first."""


class Screen:
    """The terminal, as long as the demo has it; what was on it before comes back."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, scene: Scene) -> None:
        """Draw a picture."""
        size = self._console.size
        self._live.update(picture(scene, width=size.width, height=size.height), refresh=True)


def picture(scene: Scene, *, width: int, height: int) -> RenderableType:
    """The whole screen; where it is low, the explanations give way to what happens.

    Args:
        scene: what it shows.
        width: columns of the terminal.
        height: rows of the terminal.
    """
    columns = min(width, WIDEST)
    facts = [*_token(scene, columns), *_counts(scene, columns)]
    below = [Text(""), *_ask(scene.commands, columns)]
    for paragraphs in (2, 1, 0):
        above = [*_head(scene, columns, paragraphs), *facts, _rule("what happens", columns)]
        room = height - len(above) - len(below)
        if room >= ENOUGH_LINES:
            break
    news = _news(scene.lines, max(FEWEST_LINES, room))
    padding = [Text("")] * (room - len(news))
    return Group(*above, *news, *padding, *below)


def _head(scene: Scene, columns: int, paragraphs: int) -> list[Text]:
    title, end = "tokenward demo", f"{clock(scene.elapsed)}   q ends it"
    head = [Text.assemble((title, "bold"), " " * (columns - len(title) - len(end)), (end, "dim")), Text("")]
    for explanation in (text.format(ttl=scene.ttl) for text in EXPLANATIONS[:paragraphs]):
        head += [Text(line) for line in textwrap.wrap(explanation, columns)]
    return [*head, Text("")] if paragraphs else head


def _token(scene: Scene, columns: int) -> list[Text]:
    token = scene.token
    if token is None:
        return [_labelled("token", Text("none yet", "dim")), Text(""), Text(""), Text("")]
    cells = columns - _LABEL - _LIFE_LABEL
    left = min(scene.ttl, max(0.0, token.expires_at - scene.now))
    mark = None if token.due_at is None else round((token.expires_at - token.due_at) / scene.ttl * cells)
    bar = _bar(left / scene.ttl, cells, colour=_colour(token.number), mark=mark)
    bar.append(f"  {left:4.1f} of {scene.ttl:g} s")
    caption = "" if mark is None else " " * mark + "╰ here the daemon refreshes"
    looks = Text.assemble(
        (f"no. {token.number}", f"bold {_colour(token.number)}"),
        f"   {token.looks}   generation {token.generation}",
    )
    if scene.rotated_at is not None and scene.elapsed - scene.rotated_at < _NEWS_SECONDS:
        looks.append("   rotated", f"bold {_colour(token.number)}")
    return [_labelled("token", bar), _labelled("", Text(caption, "dim")), _labelled("", looks), Text("")]


def _bar(share: float, cells: int, *, colour: str, mark: int | None) -> Text:
    """A life of which a share is left, in half cells, with a mark at one of them."""
    halves = round(share * cells * 2)
    bar = Text()
    for cell in range(cells):
        if 2 * cell + 1 < halves:
            bar.append("┿" if cell == mark else "━", colour)
        elif 2 * cell < halves:
            bar.append("╸", colour)
        else:
            bar.append("┆" if cell == mark else "╌", "dim")
    return bar


def _counts(scene: Scene, columns: int) -> list[Text]:
    agree = scene.granted == scene.rotations
    server = Text.assemble(
        f"{counted(scene.granted, 'refresh')} granted, {scene.rotations} held   reuse detected: ",
        (str(scene.reuse_detected), "bold green" if not scene.reuse_detected else "bold red"),
    )
    if not agree:
        server.append("   one is under way", "dim")
    api = Text.assemble(
        (scene.outcome or "not asked yet", "bold green" if scene.outcome.endswith("accepted") else "bold red"),
        f"   {counted(scene.accepted + scene.rejected, 'request')}: {scene.accepted} accepted, ",
        (f"{scene.rejected} rejected", "bold red" if scene.rejected else ""),
    )
    return [
        _labelled("server", server),
        _labelled("API", api),
        _labelled("", _strip(scene.calls, columns - _LABEL)),
        Text(""),
    ]


def _strip(calls: Sequence[Call], cells: int) -> Text:
    """The last requests, each in the colour of its token."""
    strip = Text()
    for call in calls[-cells:]:
        strip.append("✓" if call.accepted else "✗", _colour(call.token) if call.accepted else "bold red")
    return strip


def _news(lines: Sequence[Line], room: int) -> list[Text]:
    shown = [Text.assemble((f" {clock(line.at):>5}  ", "dim"), (line.text, _MOODS[line.mood])) for line in lines]
    for text in shown:
        text.no_wrap, text.overflow = True, "ellipsis"
    return shown[-room:]


def _ask(commands: Sequence[Sequence[str]], columns: int) -> list[Text]:
    asked = [_rule("ask it yourself, from another terminal", columns)]
    for parts in commands:
        asked += [Text(f"  {line}", no_wrap=True, overflow="ignore") for line in shell_lines(parts, columns - 2)]
    return asked


def shell_lines(parts: Sequence[str], width: int) -> list[str]:
    """A command in lines that a shell joins again; a part longer than a line stays whole.

    Args:
        parts: the command, in the parts between which it may be broken.
        width: columns.
    """
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) + len(" \\") <= width:
            lines[-1] += f" {part}"
        else:
            lines[-1] += " \\"
            lines.append(f"  {part}")
    return lines


def _rule(title: str, columns: int) -> Text:
    return Text.assemble((f"── {title} ", "dim"), ("─" * (columns - len(title) - 4), "dim"))


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((label.ljust(_LABEL), "dim"), text, no_wrap=True, overflow="ellipsis")


def _colour(number: int) -> str:
    return _COLOURS[(number - 1) % len(_COLOURS)]
