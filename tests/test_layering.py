"""The table of rooms holds: who may import whom (.importlinter; CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent


def test_the_table_of_rooms_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every contract is kept, for the tree as it stands."""
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True) == EXIT_STATUS_SUCCESS
