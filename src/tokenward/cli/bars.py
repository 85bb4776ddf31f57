"""Bars of characters, for the life that a token has left and for the part of a quota that is used up.

Rules: a bar is read by its shape, and its number stands beside it: colour only repeats what they say. Where the
terminal's encoding has no lines, a bar is made of ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of a bar.

    Args:
        full: a cell that counts.
        empty: one that does not.
    """

    full: str
    empty: str


LINES = Glyphs("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT DOUBLE DASH HORIZONTAL}")
ASCII = Glyphs("#", ".")


def glyphs_for(encoding: str) -> Glyphs:
    """The best that an encoding can carry."""
    try:
        (LINES.full + LINES.empty).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return LINES


def bar(share: float, cells: int, glyphs: Glyphs) -> tuple[str, str]:
    """The full and the empty part of a bar.

    Args:
        share: how much is full, 1.0 = all; what lies outside is taken for the end it is nearer to.
        cells: the length of both together.
        glyphs: what to draw with.
    """
    filled = round(min(1.0, max(0.0, share)) * cells)
    return glyphs.full * filled, glyphs.empty * (cells - filled)
