"""What reaches servers of others: the one HTTP client, and what issuers said, made when first asked for.

The problem: two HTTP clients, or two memories of an issuer's words, would not know of each other; and a daemon
that serves what other programs refresh asks no server at all.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tokenward import __version__

if TYPE_CHECKING:
    from tokenward.http import HttpClient
    from tokenward.oauth.metadata import MetadataCache
    from tokenward.ports import Clock


class Network:
    """One daemon's.

    Args:
        clock: says how old an issuer's words are.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @cached_property
    def http(self) -> HttpClient:
        """The one client."""
        from tokenward.http import HttpClient

        return HttpClient(user_agent=f"tokenward/{__version__}")

    @cached_property
    def metadata(self) -> MetadataCache:
        """What issuers said."""
        from tokenward.oauth.metadata import MetadataCache

        return MetadataCache(self.http, self._clock)

    async def aclose(self) -> None:
        """Let go of the client, if there is one."""
        if "http" in vars(self):
            await self.http.aclose()
