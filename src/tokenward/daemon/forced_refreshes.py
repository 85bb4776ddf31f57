"""How often a login may be refreshed because somebody says so (design I11).

The problem: a program that rejects good tokens, or a person at a key, could rotate a login without end. And one
login may lie in two places, which are two profiles: a bucket for each would let it rotate twice as often, and a
reload, which makes keepers anew, would fill it.

So a bucket belongs to a family, and goes with it through its rotations: whoever holds the old refresh token still,
and whoever holds the new one, draw from the same. One that is full is the same as none, and is forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tokenward.core.bucket import Bucket
from tokenward.core.freshness import forced_refreshes
from tokenward.errors import RefreshFailed
from tokenward.ports import Clock


@dataclass(slots=True, eq=False, repr=False)
class _Shared:
    """What several families' names may stand for.

    Args:
        holds: how much is in it.
    """

    holds: Bucket


class ForcedRefreshBuckets:
    """All of them.

    Args:
        clock: they fill on its boot clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, _Shared] = {}

    def draw(self, family: str, profile: str) -> None:
        """Take one forced refresh.

        Args:
            family: whose, by name; of what has none, something else that is its own.
            profile: named in the error.

        Raises:
            RefreshFailed: if the bucket is empty.
        """
        now = self._clock.boottime()
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.holds.is_full(now)}
        bucket = self._buckets.setdefault(family, _Shared(forced_refreshes(at=now)))
        bucket.holds, seconds = bucket.holds.draw(now)
        if seconds > 0:
            raise RefreshFailed(
                f"too many forced refreshes of {profile}",
                hint="wait, or find the program that rejects tokens which are valid",
                retry_after=math.ceil(seconds),
            )

    def follow(self, before: str, after: str) -> None:
        """A login's refresh token was replaced: its bucket is that of the new family too.

        Args:
            before: the old family.
            after: the new one.
        """
        bucket = self._buckets.get(before)
        if bucket is not None and not bucket.holds.is_full(self._clock.boottime()):
            self._buckets.setdefault(after, bucket)
