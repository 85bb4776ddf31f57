"""The token alone in a file: for ``Authorization: Bearer $(cat FILE)``.

Rule: the token and a line break, nothing else. When it ends stands nowhere, so the file goes when the token does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenward.ports import Published
from tokenward.sinks.published_file import PublishedFile


class TokenFileSink:
    """One token file (``ports.Sink``).

    Args:
        file: where.
    """

    def __init__(self, file: PublishedFile) -> None:
        self._file = file

    @property
    def paths(self) -> Sequence[Path]:
        """The one file."""
        return (self._file.path,)

    def publish(self, published: Published) -> bool:
        """Write the token; see ``ports.Sink``."""
        return self._file.publish(published.token.reveal().encode() + b"\n")

    def withdraw(self) -> bool:
        """Remove it; see ``ports.Sink``."""
        return self._file.withdraw()
