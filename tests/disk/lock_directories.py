"""Lock directories for tests: ours, and somebody else's."""

from __future__ import annotations

import os
from pathlib import Path

from tokenward.disk.foreign_lock import ForeignLock

NOW = 1_795_000_000.0
STALE = 60.0
HEARTBEAT = 5.0


def lock_at(path: Path) -> ForeignLock:
    """A lock with Claude Code's timings."""
    return ForeignLock(path, stale_seconds=STALE, heartbeat_seconds=HEARTBEAT)


def make_held(path: Path, *, age: float = 1.0) -> os.stat_result:
    """A lock of somebody else's, touched so many seconds ago."""
    path.mkdir()
    os.utime(path, (NOW - age, NOW - age))
    return path.stat()
