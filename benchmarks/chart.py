"""Pictures for docs/images, as SVG that needs no program to draw it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 45
COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#6b7280")
"""Told apart by people who see colours differently, and on a light and a dark page."""
GREY = "#808080"

Points = Sequence[tuple[float, float]]
Span = tuple[float, float, str]


def curves(title: str, lines: Mapping[str, Points], *, across: str, up: str, names_below: bool = False) -> str:
    """Curves over two logarithmic axes.

    Args:
        title: above it.
        lines: by name, the points of each; above zero.
        across: what goes to the right.
        up: what goes up.
        names_below: the names of the curves stand in the lower corner, where all of them rise.
    """
    points = [point for line in lines.values() for point in line]
    x_ends = _decades([x for x, _ in points])
    y_ends = _decades([y for _, y in points])
    x_at = _axis(x_ends, LEFT, WIDTH - RIGHT)
    y_at = _axis(y_ends, HEIGHT - BOTTOM, TOP)
    parts = [_text(LEFT, 20, title, bold=True), _text((LEFT + WIDTH) / 2, HEIGHT - 8, across, anchor="middle")]
    parts.append(_text(LEFT, TOP - 6, up))
    for exponent in range(x_ends[0], x_ends[1] + 1):
        parts.append(_grid(x_at(10.0**exponent), TOP, x_at(10.0**exponent), HEIGHT - BOTTOM))
        side = "end" if exponent == x_ends[1] else "middle"
        parts.append(_text(x_at(10.0**exponent), HEIGHT - BOTTOM + 16, _number(10.0**exponent), anchor=side))
    for exponent in range(y_ends[0], y_ends[1] + 1):
        parts.append(_grid(LEFT, y_at(10.0**exponent), WIDTH - RIGHT, y_at(10.0**exponent)))
        parts.append(_text(LEFT - 6, y_at(10.0**exponent) + 4, _number(10.0**exponent), anchor="end"))
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        at = HEIGHT - BOTTOM - 8 - 14 * (len(lines) - 1 - number) if names_below else TOP - 6 + 14 * number
        parts.append(_text(WIDTH - RIGHT - 4 * names_below, at, name, anchor="end", colour=colour))
    return _document(HEIGHT, title, parts)


def lanes(title: str, rows: Mapping[str, Sequence[Span]], *, total: float, ticks: int, unit: str) -> str:
    """Spans of time, a lane each.

    Args:
        title: above it.
        rows: by name, the spans of each: beginning, end, and what it was.
        total: the end of time.
        ticks: so many parts of it are marked.
        unit: what the marks count.
    """
    height = TOP + 24 * len(rows) + BOTTOM
    reasons = sorted({reason for spans in rows.values() for _, _, reason in spans})
    colours = dict(zip(reasons, COLOURS, strict=False))
    scale = (WIDTH - LEFT - RIGHT) / total
    parts = [_text(LEFT, 16, title, bold=True)]
    for number, reason in enumerate(reasons):
        parts.append(_text(LEFT + 130 * number, 32, f"■ {reason}", colour=colours[reason]))
    for tick in range(ticks + 1):
        x = LEFT + (WIDTH - LEFT - RIGHT) * tick / ticks
        parts.append(_grid(x, TOP, x, height - BOTTOM))
        parts.append(_text(x, height - BOTTOM + 16, f"{total / ticks * tick:g}", anchor="middle"))
    parts.append(_text((LEFT + WIDTH) / 2, height - 8, unit, anchor="middle"))
    for row, (name, spans) in enumerate(rows.items()):
        y = TOP + 24 * row
        parts.append(_text(LEFT - 6, y + 16, name, anchor="end"))
        parts.append(_grid(LEFT, y + 12, WIDTH - RIGHT, y + 12))
        for begin, end, reason in spans:
            width = max(0.6, (min(end, total) - begin) * scale)
            parts.append(
                f'<rect x="{LEFT + begin * scale:.1f}" y="{y + 4}" width="{width:.1f}" height="16" '
                f'fill="{colours[reason]}"/>'
            )
    return _document(height, title, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _axis(ends: tuple[int, int], first: float, last: float) -> _Axis:
    return _Axis(ends[0], (last - first) / (ends[1] - ends[0]), first)


class _Axis:
    """Where a value lies on a logarithmic axis."""

    def __init__(self, low: int, decade: float, first: float) -> None:
        self._low, self._decade, self._first = low, decade, first

    def __call__(self, value: float) -> float:
        return self._first + (math.log10(value) - self._low) * self._decade


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GREY}" stroke-opacity="0.35"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False, colour: str = GREY) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'


def _document(height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12">'
    )
    return "\n".join([head, *parts, "</svg>\n"])
