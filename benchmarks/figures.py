"""What was found, beside what was to be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Args:
        what: what was measured, and to what.
        measured: the figure.
        bound: what it is to be at most, or at least; None = it is only told.
        at_least: whether more is better.
        unit: of the figure; "x" for a ratio.
        detail: the absolute values behind it.
    """

    what: str
    measured: float
    bound: float | None = None
    at_least: bool = False
    unit: str = "x"
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        if self.bound is None:
            return True
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def row(self) -> tuple[str, str, str, str, str]:
        """The cells: what, target, measured, whether it is met, detail."""
        unit = "" if self.unit == "x" else f" {self.unit}"
        target = "" if self.bound is None else f"{'≥' if self.at_least else '≤'} {self.bound:g}{unit}"
        verdict = "" if self.bound is None else ("yes" if self.is_met else "**no**")
        return self.what, target, f"{self.measured:.3g}{unit}", verdict, self.detail


def markdown(figures: list[Figure]) -> str:
    """The table as Markdown."""
    head = "| what | target | measured | met | behind it |\n|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(figure.row())} |\n" for figure in figures)


def milliseconds(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"
