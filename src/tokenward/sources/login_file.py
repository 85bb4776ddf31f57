"""A login in another program's JSON file: read for what it means, written so that only the tokens change.

The problem: programs keep a login among other things of theirs in one file, and rewrite, blank, tear or remove
it at any time. What differs between them is where in the file the tokens stand and which locks guard it; how
the file is read and written does not. That part is here.

Rules:
- What cannot be read is ``Unreadable``, and never an error (design I5).
- A write is a compare-and-swap on what the file holds at that moment. Everything but the tokens survives with
  its value and its order, and so do owner, mode and symlink (design I10).
- We never create the file, and never give it to more people than it was given to.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tokenward.core.credential import Credential, from_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.disk.atomic_file import (
    PreparedWrite,
    prepare_write,
    read_regular,
    remove_stale_temporaries,
    signature_of,
)
from tokenward.ports import Clock, HeldLocks, LocksBusy, NoLocks, PlaceWriter, Stored, Superseded

SECONDS_BELOW = 1e11
"""A Unix time below this is in seconds: in milliseconds it would lie in March 1973."""
GROWTH_BYTES = 4096
"""What a write may add to the file's size: new tokens may be longer than old ones."""

log = logging.getLogger(__name__)


class Layout(Protocol):
    """Where in a program's document the login stands."""

    def read(self, document: dict[str, Any]) -> Reading:
        """Say what the document means."""

    def updated(self, document: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The document with the login's new values and everything else as it was."""


def text_or_none(value: object) -> str | None:
    """A text that says something."""
    return value if isinstance(value, str) and value else None


def moment_or_none(value: object) -> datetime | None:
    """A Unix time in milliseconds, or in seconds where it can be nothing else; zero and nonsense = unknown."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    if value < SECONDS_BELOW:
        log.info("an expiry is in seconds where milliseconds belong; it is taken as seconds")
        value *= 1000
    return from_unix_milliseconds(value)


def encode_document(document: dict[str, Any]) -> bytes:
    """One line, characters unescaped, as JavaScript writes it (lone surrogates must be escaped)."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


class _Image(NamedTuple):
    reading: Reading
    document: dict[str, Any] | None
    size: int


class LoginFile:
    """One login in one file (``ports.Place``).

    Args:
        path: the file.
        layout: where in it the login stands.
        name: the source's name.
        clock: the machine's clocks.
    """

    def __init__(self, path: Path, layout: Layout, *, name: str, clock: Clock) -> None:
        self.path = path
        self._path = str(path)
        self.name = name
        self._layout = layout
        self._clock = clock

    @property
    def description(self) -> str:
        """The file's path."""
        return str(self.path)

    def signature(self) -> Hashable | None:
        """One stat of the file, links followed; what cannot be looked at has not changed as long as it cannot."""
        try:
            return signature_of(self._path)
        except OSError as error:
            return error.errno

    def tidy(self) -> None:
        """Remove temporary files that a process of ours left when it died."""
        with suppress(OSError):
            directory = Path(os.path.realpath(self.path)).parent
            remove_stale_temporaries(directory, self.path.name, now=self._clock.wall().timestamp())

    def read(self) -> Reading:
        """Look at the file; torn, huge, foreign or strange content is ``Unreadable``, never an error."""
        return self._image().reading

    def _image(self) -> _Image:
        try:
            image = read_regular(self.path)
        except FileNotFoundError:
            return _Image(Absent(), None, 0)
        except OSError as error:
            return _Image(Unreadable(f"{self.path.name}: {error.strerror or error}"), None, 0)
        try:
            document = json.loads(image.data)
        except (ValueError, RecursionError):
            return _Image(Unreadable(f"{self.path.name} is not whole JSON"), None, len(image.data))
        if not isinstance(document, dict):
            return _Image(Unreadable(f"{self.path.name} holds no JSON object"), None, len(image.data))
        return _Image(self._layout.read(document), document, len(image.data))

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        """Most programs have none."""
        return NoLocks()

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """What guards the file from the last reading to the rename; most programs have nothing.

        Raises:
            OSError: if it cannot be had.
        """
        yield

    def prepare_write(self) -> PlaceWriter:
        """Prove that the file can be replaced, by making the temporary file that will replace it.

        Raises:
            OSError: if it cannot, or if there is no file: we never create it.
        """
        return _LoginWriter(self, self.prepare())

    def prepare(self) -> PreparedWrite:
        """The proof alone; see ``prepare_write``."""
        return prepare_write(self.path, self._image().size + GROWTH_BYTES, create=False)

    def swap(
        self, prepared: PreparedWrite, expected_generation: str, credential: Credential
    ) -> Stored | Superseded:
        """Compare and write, under the write lock. A stub is written over, unless its owner says it is meant.

        The new value's own generation is written again: an earlier write may have missed its last sync.
        """
        image = self._image()
        match image.reading:
            case Found(credential=there) if there.generation not in {expected_generation, credential.generation}:
                return Superseded(image.reading)
            case Absent() | Blanked(login_ended=True) | Unreadable():
                return Superseded(image.reading)
            case _:
                pass
        assert image.document is not None  # noqa: S101 - what is found or blanked was read from a document
        prepared.commit(encode_document(self._layout.updated(image.document, credential)))
        return Stored()


class _LoginWriter:
    """One write of a login."""

    def __init__(self, place: LoginFile, prepared: PreparedWrite) -> None:
        self._place = place
        self._prepared = prepared

    def commit(self, expected_generation: str, credential: Credential) -> Stored | Superseded:
        """Compare and swap under the owner's write lock; see ``ports.PlaceWriter``."""
        with self._place.write_lock():
            return self._place.swap(self._fresh(), expected_generation, credential)

    def _fresh(self) -> PreparedWrite:
        """What was prepared, or a new one where the file was replaced by a link to elsewhere since."""
        if Path(os.path.realpath(self._place.path)) != self._prepared.real_path:
            self._prepared.discard()
            self._prepared = self._place.prepare()
        return self._prepared

    def discard(self) -> None:
        """Remove the temporary file, if it was not used."""
        self._prepared.discard()
