"""Which files we published, so that no other file is ever written over or removed.

The problem: a path in the configuration may be mistyped, and a sink that leaves the configuration while no daemon
runs leaves a token behind. Neither the path nor the file says whose the content is.

Rules:
- What is about to be written is noted before it is written: wherever the process dies, the file is known as ours.
- Only digests of contents are kept, never the contents; a file that holds anything else is somebody else's.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from tokenward.disk.atomic_file import FileTooLarge, read_regular, replace_file

FILE_NAME = "published.json"
LARGEST_PUBLISHED = 256 * 1024
"""A published file is a token and a few words around it."""
_LARGEST_RECORD = 1024 * 1024
_KEPT = 2
"""What is there and what is about to replace it."""


class PublicationRecord:
    """What was published, by path; several threads may use it.

    Args:
        path: where it is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._files = _read(path)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known to be published."""
        return not self._files

    def note(self, path: Path, data: bytes) -> None:
        """Say durably that this content, if the file has it, is ours.

        Raises:
            OSError: if that could not be written.
        """
        with self._lock:
            known = self._files.get(str(path), [])
            digest = _digest(data)
            if known[-1:] != [digest]:
                self._write({**self._files, str(path): [*known, digest][-_KEPT:]})

    def forget(self, path: Path) -> None:
        """The file is gone.

        Raises:
            OSError: if that could not be written.
        """
        with self._lock:
            if str(path) in self._files:
                self._write({name: known for name, known in self._files.items() if name != str(path)})

    def is_ours(self, path: Path) -> bool:
        """Whether the file holds what we published; blocks.

        Raises:
            OSError: if it cannot be read.
        """
        known = self._files.get(str(path))
        try:
            return known is not None and _digest(read_regular(path, LARGEST_PUBLISHED).data) in known
        except FileTooLarge:
            return False

    def remove_leftovers(self, kept: Collection[Path]) -> list[Path]:
        """Remove what was published by sinks that are no longer configured.

        Args:
            kept: the paths of those that are.

        Returns:
            What was removed; what cannot be removed now is tried again at the next call.
        """
        removed = []
        for path in [Path(name) for name in self._files if Path(name) not in kept]:
            try:
                if self.is_ours(path):
                    path.unlink()
                    removed.append(path)
            except FileNotFoundError:
                pass
            except OSError:
                continue
            with suppress(OSError):
                self.forget(path)
        return removed

    def _write(self, files: dict[str, list[str]]) -> None:
        replace_file(self._path, json.dumps({"version": 1, "files": files}).encode() + b"\n")
        self._files = files


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> dict[str, list[str]]:
    """What the record says; one that is missing or torn says nothing."""
    try:
        files = json.loads(read_regular(path, _LARGEST_RECORD).data)["files"]
        return {str(name): [str(each) for each in known] for name, known in files.items()}
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}
