"""What people decided about profiles and no secret depends on: ``state.json``.

The problem: that a profile is disabled must outlast a restart, and must not be written into the credential's
record, which may be another program's file.

Rules (design section 5):
- Losing the file loses no secret: what cannot be read counts as empty, is said once, and is written over.
- A decision of a person is durable before it is answered. Members that we do not know are kept.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from tokenward.disk.atomic_file import read_regular, replace_file

STATE_NAME = "state.json"
LARGEST_STATE_BYTES = 4 * 1024 * 1024
"""Some hundred bytes a profile; anything larger is another file."""
_DISABLED = "disabled"

log = logging.getLogger(__name__)


class RoutingState:
    """The file, and what it says.

    Args:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._document = _read(path)

    @property
    def disabled(self) -> frozenset[str]:
        """The keys of the profiles that are neither served nor refreshed."""
        named = self._document.get(_DISABLED)
        return frozenset(filter(_is_text, named)) if isinstance(named, list) else frozenset()

    def set_disabled(self, key: str, *, disabled: bool) -> None:
        """Decide for one profile, durably; blocks on the disk.

        Args:
            key: the profile's key.
            disabled: whether it rests from now on.

        Raises:
            OSError: if it could not be written; the decision is then as before.
        """
        keys = self.disabled | {key} if disabled else self.disabled - {key}
        document = {**self._document, "version": 1, _DISABLED: sorted(keys)}
        replace_file(self._path, json.dumps(document, indent=1).encode())
        self._document = document


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_regular(path, limit=LARGEST_STATE_BYTES).data)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read (%s): profiles that were disabled serve again", path, type(error).__name__)
        return {}
    return document if isinstance(document, dict) else {}
