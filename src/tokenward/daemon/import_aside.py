"""Imports what is seldom needed, beside those who are served.

The problem: what answers the first ``status`` takes a tenth of a second to import, and on the event loop everybody
who wants a token would wait for it.
"""

from __future__ import annotations

import importlib
import sys

from anyio import to_thread


async def import_aside(*modules: str) -> None:
    """Import modules on a worker thread; at once if they are imported already.

    Args:
        modules: their full names.
    """
    for module in modules:
        if module not in sys.modules:
            await to_thread.run_sync(importlib.import_module, module)
