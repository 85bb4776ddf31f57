"""The usage on a terminal: a table with a growing bar for the part of each quota that is used up.

Rules: this module loads ``rich`` and is loaded only when somebody looks. Texts go in as ``Text``, so that brackets
in a name are not taken for markup. A column of which nothing is known is left out.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tokenward.cli.consoles import console
from tokenward.cli.output import clean
from tokenward.cli.usage import NOTHING, OK, REPORT_HINT, Usage, left, name, percent, state, until

_BAR_CELLS = 6
_IN_FULL = 10_000
"""Below, a number is shown as it is."""
_HIGH = 0.8
"""The part from which on a bar is yellow."""


def show(usages: list[Usage]) -> None:
    """Print one picture."""
    console().print(picture(usages))


def picture(usages: list[Usage]) -> RenderableType:
    """The table of profiles, and below it what needs attention."""
    if not usages:
        return Text("no profiles yet; add one: tokenward add anthropic:work --api-key")
    columns = {
        "5 hours": [_bar(usage["rate_limit"]["five_hours"]) for usage in usages],
        "7 days": [_bar(usage["rate_limit"]["seven_days"]) for usage in usages],
        "requests": [_left(usage["rate_limit"]["requests"]) for usage in usages],
        "tokens": [_left(usage["rate_limit"]["tokens"]) for usage in usages],
    }
    known = {heading: cells for heading, cells in columns.items() if any(cell.plain != "-" for cell in cells)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("profile", *known):
        table.add_column(heading, no_wrap=True)
    for number, usage in enumerate(usages):
        table.add_row(Text(clean(name(usage))), *(cells[number] for cells in known.values()))
    remarks = [_remark(usage) for usage in usages if state(usage) not in {OK, NOTHING}]
    if all(state(usage) == NOTHING for usage in usages):
        remarks.append(Text(f"{NOTHING}: {REPORT_HINT}"))
    return Group(table, *remarks)


def _remark(usage: Usage) -> Text:
    return Text(f"{clean(name(usage))}: {state(usage)}", "red" if usage["is_rate_limited"] else "yellow")


def _left(allowance: Usage) -> Text:
    """What is left; large numbers in thousands, so that 80 columns do."""
    remaining = allowance["remaining"]
    shown = {part: amount if amount is None else _short(amount) for part, amount in allowance.items()}
    return Text(left(shown), "red" if remaining == 0 else "")


def _short(amount: int) -> str:
    return str(amount) if amount < _IN_FULL else f"{amount // 1000}k"


def _bar(quota: Usage) -> Text:
    used = quota["utilization"]
    if used is None:
        return Text("-")
    share = min(1.0, max(0.0, used))
    filled = round(share * _BAR_CELLS)
    style = "green" if share < _HIGH else "yellow" if share < 1 else "red"
    resets = "" if quota["resets_at_ms"] is None else f" {until(quota['resets_at_ms'])}"
    return Text.assemble(
        ("━" * filled, style), ("╌" * (_BAR_CELLS - filled), "dim"), f" {percent(used)}", (resets, "dim")
    )
