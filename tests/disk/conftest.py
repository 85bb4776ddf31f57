"""What the tests of lock directories share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from disk.lock_directories import lock_at
from tokenward.disk.foreign_lock import ForeignLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The lock directory's name."""
    return tmp_path / ".oauth_refresh.lock"


@pytest.fixture
def lock(path: Path) -> Iterator[ForeignLock]:
    """A lock that is not held yet."""
    lock = lock_at(path)
    yield lock
    lock.release()
