"""A credential that somebody wrote down once: in the environment of the daemon, or in its configuration.

The problem: a key that stands in ``ANTHROPIC_API_KEY`` or in ``config.toml`` is served like any other, but it
has no file of its own that could change, and nothing may ever be written back to where it stands.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable, Mapping

from tokenward.core.credential import Credential, Kind, Secret
from tokenward.core.reading import Found, Reading
from tokenward.ports import HeldLocks, LocksBusy, NoLocks, PlaceWriter

ANTHROPIC_API_KEY = "ANTHROPIC_API_KEY"
SETUP_TOKEN_PREFIX = "sk-ant-oat01-"  # noqa: S105 - how a setup token begins, not one


class FixedCredential:
    """A place that never changes (``ports.Place``).

    Args:
        credential: what stands there.
        name: the source's name.
        description: where exactly, for people.
    """

    def __init__(self, credential: Credential, *, name: str, description: str) -> None:
        self.name = name
        self.description = description
        self._credential = credential

    def signature(self) -> Hashable | None:
        """Always the same."""
        return self._credential.generation

    def read(self) -> Reading:
        """What stands there."""
        return Found(self._credential)

    def acquire_locks(self, deadline: float) -> HeldLocks | LocksBusy:  # noqa: ARG002 - the port's signature
        """Nobody else writes here."""
        return NoLocks()

    def prepare_write(self) -> PlaceWriter:
        """Refused: what the user wrote down is the user's.

        Raises:
            OSError: always.
        """
        raise OSError(errno.EROFS, "what stands there is never written by tokenward", self.description)


def from_environment(environ: Mapping[str, str]) -> FixedCredential | None:
    """The key in ``ANTHROPIC_API_KEY``, if one is set (P6); what begins like a setup token is one (P9)."""
    key = environ.get(ANTHROPIC_API_KEY, "").strip()
    if not key:
        return None
    kind = Kind.SETUP_TOKEN if key.startswith(SETUP_TOKEN_PREFIX) else Kind.API_KEY
    return FixedCredential(Credential(kind, Secret(key)), name="environment", description=f"${ANTHROPIC_API_KEY}")
