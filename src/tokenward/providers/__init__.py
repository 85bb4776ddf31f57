"""What is known of providers and models: data files, read by ``built_in_providers`` and ``model_files``.

Rule: they are ours, and a test checks every key of them; nothing checks them again at each start.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def packaged(name: str) -> dict[str, Any]:
    """What one of the files says.

    Args:
        name: the file's name.
    """
    # Not importlib.resources: it imports tempfile and zipfile, for archives that nobody runs us from.
    return tomllib.loads((Path(__file__).parent / name).read_text("utf-8"))
