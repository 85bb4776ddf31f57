"""The terminal that pictures are drawn for.

Rule: loads ``rich``, and is loaded only when somebody looks.
"""

from __future__ import annotations

import shutil

from rich.console import Console


def console() -> Console:
    """A console as wide as the terminal is; for a dumb one ``rich`` takes 80 columns for granted."""
    made = Console(highlight=False)
    if made.is_dumb_terminal:
        size = shutil.get_terminal_size()
        return Console(highlight=False, width=size.columns, height=size.lines)
    return made
