"""The table of rooms holds: who may import whom (.importlinter; CONTRIBUTING.md)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def test_the_table_of_rooms_holds() -> None:
    """Every contract is kept, for the tree as it stands."""
    # In a process of its own: import-linter configures logging, and would mute the loggers of the tests after it.
    ran = subprocess.run(
        [sys.executable, "-c", LINT], cwd=ROOT, check=False, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
