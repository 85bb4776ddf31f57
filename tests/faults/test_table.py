"""The table of docs/reliability.md says what the tests say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from faults.table import BEGIN, END, FaultTable, read_table

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "reliability.md"


def test_every_fault_has_its_line_and_every_line_its_fault(tmp_path: Path) -> None:
    """Collected anew, the tests have the ids and the words of the document; results are of another machine."""
    collected = tmp_path / "collected.md"
    collected.write_text(f"{BEGIN}\n{END}\n")
    pytest = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    command = [*pytest, str(TESTS / "faults"), str(TESTS / "e2e"), "--fault-table", str(collected)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    tests, said = read_table(collected), read_table(DOCUMENT)
    assert tests, "there are fault tests"
    assert said == tests, "write it again: pytest tests/faults tests/e2e --fault-table docs/reliability.md"


def test_only_the_table_of_the_document_is_replaced(tmp_path: Path) -> None:
    """The sentences around it stay, and a second writing changes nothing."""
    document = tmp_path / "copy.md"
    shutil.copy(DOCUMENT, document)
    FaultTable().write(document)
    once = document.read_text()
    assert once.partition(BEGIN)[0] == DOCUMENT.read_text().partition(BEGIN)[0]
    assert once.partition(END)[2] == DOCUMENT.read_text().partition(END)[2]
    FaultTable().write(document)
    assert document.read_text() == once
