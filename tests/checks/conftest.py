"""Every test of a check gets a user of its own."""

from pathlib import Path

import pytest

from checks.patient import Patient


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A user without anything."""
    return Patient(tmp_path)
