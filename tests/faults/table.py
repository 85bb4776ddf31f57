"""Every fault that the suite provokes is a line in docs/reliability.md, and every line there is a test.

The problem: a list of what a program survives is written once and believed for ever. So this one is not written:
a test says with `@pytest.mark.fault(id, what, expected)` which fault it is, and a run writes the table.

    pytest tests/faults tests/e2e --fault-table docs/reliability.md

Rules:
- A test in this directory without the mark stops the writing of a table, and so do two descriptions of one id.
  Tests elsewhere may carry the mark; several tests of one id are one line.
- The part of an id before its first hyphen is its group. A figure is what a test gives as
  `record_property("figure", "87 crash points")`.
- Only what lies between the two markers of the file is replaced; the sentences around it are written by people.
- What was not run says why. `test_table` compares everything but the results, which belong to one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BEGIN = "<!-- faults: written by pytest --fault-table -->"
END = "<!-- faults: end -->"
HEAD = ("| fault | what happens | what must hold | result of the run |", "|---|---|---|---|")
GROUPS = ("crash", "power", "disk", "server", "network", "time", "rival", "socket", "leak", "soak", "fleet")
"""In the order of the table."""


@dataclass
class Row:
    """One line.

    Args:
        fault: its id.
        what: what happens.
        expected: what must hold.
    """

    fault: str
    what: str
    expected: str
    passed: int = 0
    failed: int = 0
    skipped: dict[str, None] = field(default_factory=dict)
    figures: dict[str, None] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """All but the result."""
        return f"| `{self.fault}` | {self.what} | {self.expected} |"

    @property
    def result(self) -> str:
        """What came of its tests."""
        outcome = [f"not run: {'; '.join(self.skipped)}"] if self.skipped else []
        if self.failed:
            outcome.insert(0, "**FAILED**")
        elif self.passed:
            outcome.insert(0, "; ".join(["held", *self.figures]))
        return ". ".join(outcome)


def row_of(item: pytest.Item) -> Row | None:
    """The line a test belongs to.

    Raises:
        pytest.UsageError: if its mark is not one, or it lies here and has none.
    """
    mark = item.get_closest_marker("fault")
    if mark is None:
        if item.path.parent == Path(__file__).parent and item.path.name != "test_table.py":
            raise pytest.UsageError(f"{item.nodeid} is in tests/faults and says of no fault that it is its test")
        return None
    row = Row(*mark.args, **mark.kwargs)
    if row.fault.partition("-")[0] not in GROUPS:
        raise pytest.UsageError(f"{item.nodeid}: {row.fault!r} is of no group; there are {', '.join(GROUPS)}")
    return row


class FaultTable:
    """The lines of one run; a plugin, since a conftest hears of the tests below it only."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._tests: dict[str, Row] = {}

    def collect(self, items: Iterable[pytest.Item]) -> None:
        """Take a line of every test that is one's.

        Raises:
            pytest.UsageError: as `row_of`, and if one id is described in two ways.
        """
        for item in items:
            row = row_of(item)
            if row is None:
                continue
            known = self.rows.setdefault(row.fault, row)
            if known.said != row.said:
                raise pytest.UsageError(f"{row.fault} is described in two ways, once by {item.nodeid}")
            self._tests[item.nodeid] = known

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came of one phase of one test."""
        row = self._tests.get(report.nodeid)
        if row is None:
            return
        if report.skipped and isinstance(report.longrepr, tuple):
            row.skipped[report.longrepr[2].removeprefix("Skipped: ")] = None
        elif report.failed:
            row.failed += 1
        elif report.when == "call":
            row.passed += 1
            row.figures.update((str(value), None) for name, value in report.user_properties if name == "figure")

    def lines(self) -> list[str]:
        """The whole table."""
        ordered = sorted(self.rows.values(), key=lambda row: GROUPS.index(row.fault.partition("-")[0]))
        return [*HEAD, *(f"{row.said} {row.result} |" for row in ordered)]

    def write(self, document: Path) -> None:
        """Replace the table in a document."""
        before, _, rest = document.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        document.write_text("\n".join([before + BEGIN, "", *self.lines(), "", END + after]))


def read_table(document: Path) -> Mapping[str, str]:
    """The ids of a document's table, with all that is said of each but the result."""
    table = document.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return {line.split("`")[1]: "|".join(line.split("|")[:4]) + "|" for line in rows}
