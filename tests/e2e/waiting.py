"""Waiting for what a daemon of a test does and announces to nobody.

Rule: a wait is bounded, and its failure shows what the daemon logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from e2e.daemon_process import PATIENCE, DaemonProcess


def eventually(holds: Callable[[], bool], daemon: DaemonProcess) -> None:
    """Wait until something is so, for what no event announces."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.02)
