"""The status in one line, for what has room for no more: status bars, menus and prompts.

The problem: each of these programs has a language of its own, in which a name that a file gave may mean
something, and each asks every few seconds whether a daemon runs or not. So every text is escaped for its reader,
and no daemon is a line too.

Rules: words carry the meaning, never a colour alone. The profile that is shown is the one that was asked for, else
the one that needs attention most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tokenward.cli.output import clean
from tokenward.cli.status_words import (
    COOLING,
    DISABLED,
    OK,
    health,
    life_left,
    name,
    next_refresh,
    remarks,
    valid_for,
)
from tokenward.client import Profile

FORMATS = ("waybar", "xbar", "tmux", "prompt")
_DOWN = "tokenward: down"
_NONE = "no profiles"
_WORST_FIRST = ("unusable", "insufficient API access", "degraded", COOLING, OK, DISABLED)
"""A profile that a person disabled needs nobody's attention."""


def one_line(shape: str, profiles: Sequence[Profile], *, selected: str | None) -> str:
    """What a program of this shape is to show; ``xbar``'s menu has lines below the first.

    Args:
        shape: one of ``FORMATS``.
        profiles: all that are to be counted.
        selected: the profile that was asked for; None = all were.
    """
    return _SHAPES[shape](profiles, selected)


def down(shape: str, hint: str) -> str:
    """The line where no daemon answers.

    Args:
        shape: one of ``FORMATS``.
        hint: what to do about it.
    """
    if shape == "waybar":
        return _waybar_json(_DOWN, hint, "down", 0)
    if shape == "xbar":
        return "\n".join((_DOWN, "---", _xbar_text(hint)))
    return _DOWN


def worst(profiles: Sequence[Profile]) -> Profile | None:
    """The profile that needs attention most: the least healthy, of equals the one with the least life left."""
    return min(profiles, key=_urgency, default=None)


def _urgency(profile: Profile) -> tuple[int, float, str]:
    left = life_left(profile)
    return _WORST_FIRST.index(health(profile)[0]), 1.0 if left is None else left, name(profile)


def summary(profiles: Sequence[Profile], selected: str | None) -> str:
    """All in a few words: of one profile its life or its illness, of several how many are well, and who is not."""
    first = worst(profiles)
    if first is None:
        return _NONE
    word = health(first)[0]
    if selected is not None:
        life = valid_for(first)
        return clean(f"{name(first)} {life if word == OK and life != '-' else word}")
    well = sum(health(profile)[0] == OK for profile in profiles)
    wanted = sum(health(profile)[0] != DISABLED for profile in profiles)
    if well == wanted:
        return f"{well} ok"
    return clean(f"{well}/{wanted} ok, {name(first)} {word}")


def _waybar(profiles: Sequence[Profile], selected: str | None) -> str:
    first = worst(profiles)
    if first is None:
        return _waybar_json(_NONE, "add one: tokenward add anthropic:work --api-key", "empty", 0)
    left = life_left(first)
    tooltip = "\n".join(_lines(profiles))
    word = health(first)[0].partition(" ")[0]
    return _waybar_json(summary(profiles, selected), tooltip, word, 100 if left is None else round(left * 100))


def _waybar_json(text: str, tooltip: str, class_: str, percentage: int) -> str:
    shown = {"text": _pango(text), "tooltip": _pango(tooltip), "class": class_, "percentage": percentage}
    return json.dumps(shown, separators=(",", ":"))


def _pango(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _xbar(profiles: Sequence[Profile], selected: str | None) -> str:
    lines = [_xbar_text(summary(profiles, selected)), "---"]
    for profile in sorted(profiles, key=_urgency):
        lines.append(_xbar_text(_line(profile)))
        lines += [f"--{_xbar_text(remark)}" for remark in remarks(profile)]
    return "\n".join([*lines, "---", "Refresh | refresh=true"])


def _xbar_text(text: str) -> str:
    """A text that xbar takes neither for parameters nor for a deeper menu."""
    return clean(text).replace("|", "\N{BROKEN BAR}").lstrip("-")


def _tmux(profiles: Sequence[Profile], selected: str | None) -> str:
    return summary(profiles, selected).replace("#", "##")


def _prompt(profiles: Sequence[Profile], selected: str | None) -> str:
    """The shortest: a percent sign would be obeyed by zsh and a dollar by others, so neither is passed on."""
    return summary(profiles, selected).translate(str.maketrans("", "", "%$`\\!"))


def _lines(profiles: Sequence[Profile]) -> list[str]:
    return [_line(profile) for profile in sorted(profiles, key=_urgency)]


def _line(profile: Profile) -> str:
    word = health(profile)[0]
    parts = [f"{name(profile)}: {word}"]
    if (life := valid_for(profile)) != "-":
        parts.append(f"valid for {life}")
    if (due := next_refresh(profile)) != "-":
        parts.append(f"next refresh in {due}")
    return clean(", ".join(parts))


_SHAPES: dict[str, Callable[[Sequence[Profile], str | None], str]] = {
    "waybar": _waybar,
    "xbar": _xbar,
    "tmux": _tmux,
    "prompt": _prompt,
}
