"""Where the daemon's log goes, and in what form.

The problem: under systemd every line has a time already and wants a priority, on a terminal it wants a time;
and libraries log URLs, headers and form bodies at levels that somebody will one day switch on.

Rules: one line an event, to standard error; libraries that speak HTTP or OAuth stay at WARNING, whatever is
asked for.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

QUIET = ("httpx", "httpcore", "authlib", "apscheduler", "watchfiles", "asyncio")

_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""sd-daemon(3): the kernel's levels, as a prefix that journald takes off again."""


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


def start_logging(level: str, environ: Mapping[str, str]) -> None:
    """Send the log to standard error.

    Args:
        level: a level's name.
        environ: tells whether standard error is the journal's.
    """
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal(environ.get("JOURNAL_STREAM", "")):
        handler.setFormatter(_Journal("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_journal(stream: str) -> bool:
    """systemd.exec(5): ``JOURNAL_STREAM`` names device and inode of the journal's end of a pipe."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
