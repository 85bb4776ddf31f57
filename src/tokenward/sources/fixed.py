"""A credential that somebody wrote down once: in the environment of the daemon, or in its configuration.

The problem: a key that stands in a variable or in ``config.toml`` is served like any other, but it has no file
of its own that could change, and nothing may ever be written back to where it stands.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable

from tokenward.core.credential import Credential
from tokenward.core.reading import Absent, Found, Reading
from tokenward.ports import HeldLocks, LocksBusy, NoLocks, PlaceWriter


class ReadOnlyPlace:
    """What every place that is only read has of ``ports.Place``.

    Args:
        name: the source's name.
        description: where exactly, for people; an absolute path is watched.
    """

    def __init__(self, *, name: str, description: str) -> None:
        self.name = name
        self.description = description

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        """Nobody writes here while we look."""
        return NoLocks()

    def prepare_write(self) -> PlaceWriter:
        """Refused: what stands there is its owner's.

        Raises:
            OSError: always.
        """
        raise OSError(errno.EROFS, "what stands there is never written by tokenward", self.description)


class FixedReading(ReadOnlyPlace):
    """A place that never changes (``ports.Place``).

    Args:
        reading: what stands there.
        name: the source's name.
        description: where exactly, for people.
    """

    def __init__(self, reading: Reading, *, name: str, description: str) -> None:
        super().__init__(name=name, description=description)
        self._reading = reading
        self._signature = _signature(reading)

    def signature(self) -> Hashable | None:
        """Always the same."""
        return self._signature

    def read(self) -> Reading:
        """What stands there."""
        return self._reading


class FixedCredential(FixedReading):
    """A credential that never changes (``ports.Place``).

    Args:
        credential: what stands there.
        name: the source's name.
        description: where exactly, for people.
    """

    def __init__(self, credential: Credential, *, name: str, description: str) -> None:
        super().__init__(Found(credential), name=name, description=description)


def _signature(reading: Reading) -> str | None:
    match reading:
        case Found(credential):
            return credential.generation
        case Absent():
            return None
        case _:
            return type(reading).__name__
