"""What is published for programs that cannot ask a socket.

The problem: a file is read by anybody at any moment, and may belong to somebody else.

Rule: a sink blocks, and is called in worker threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tokenward.core.credential import Kind, Secret


@dataclass(frozen=True, slots=True)
class Published:
    """What a sink is given of a credential: enough to use it, and never a refresh token (design I9).

    Args:
        profile: whose it is.
        provider: the provider's name.
        kind: which of the five kinds.
        token: the access token or key.
        generation: names the value; public.
        expires_at: when it ends, aware UTC; None = unknown.
        base_url: the API's root, where it is not the provider's usual one.
        headers: further headers that every request needs, names in lower case.
    """

    profile: str
    provider: str
    kind: Kind
    token: Secret
    generation: str
    expires_at: datetime | None = None
    base_url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Sink(Protocol):
    """A file, or a few, that we publish for programs that cannot ask a socket. Its methods block."""

    @property
    def paths(self) -> Sequence[Path]:
        """What it writes."""

    def publish(self, published: Published) -> bool:
        """Have the files say this, each whole and durable; what somebody else wrote there is left alone.

        Returns:
            Whether anything was written; files that say so already are left as they are.

        Raises:
            ConfigurationFault: if it must not be written there, or cannot say this; what was there before stands.
            OSError: if it could not be written; what was there before stands.
        """

    def withdraw(self) -> bool:
        """Take away what we published; what somebody else wrote there stays.

        Returns:
            Whether anything was removed.

        Raises:
            OSError: if it could not be removed.
        """
