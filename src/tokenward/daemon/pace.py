"""How many calls a second one process may have carried out, over all its connections.

The problem: one program in a loop (a watcher that asks for ``daemon.status`` as fast as it is answered, a client
that takes a refusal for a reason to ask at once) keeps the one core we run on busy, and every other program of the
user waits behind it. No bound on connections or on overlapping requests ends that.

Rules:
- Counted is what the dispatcher carries out. What the lane answers costs a few microseconds and is not counted,
  also while the bucket is empty: whoever only needs a token that lies ready never meets this.
- A bucket belongs to a process, as the kernel named it when it connected: all its connections, on all sockets,
  draw from the same. Where the kernel names none (0: it is outside our pid namespace), its user has one bucket.
- A line is carried out whole or not at all: a batch draws for each of its requests.
- What comes too soon is refused at once and not queued: a queue would only hide the loop from who could end it.
- A full bucket is forgotten when a new one is made, which bounds how many there are: to keep N of them from being
  full takes N times the rate, and one core does not carry out more than some tens of it.

A call takes 0.1 ms of a core (``daemon.hello``) to 0.45 ms (a ``token.get`` of a profile that there is not), on
the machine of docs/performance.md. So 500 a second are at most a quarter of a core, or half of a slow one, and the
burst is less than two seconds' work. A command makes a handful of calls; a script that adds a thousand profiles
makes a thousand, each of which waits for the disk.
"""

from __future__ import annotations

import logging
import math

from tokenward.core.bucket import Bucket, full_bucket
from tokenward.daemon.message import Work
from tokenward.daemon.peer import Peer
from tokenward.errors import RATE_LIMIT, RefreshFailed
from tokenward.ports import Clock

CALLS_PER_SECOND = 500.0
"""Of one process, for as long as it likes."""
BURST = 4000
"""Calls of one process that may come at once."""

logger = logging.getLogger(__name__)


class Pace:
    """The buckets of all processes that call.

    Args:
        clock: they fill on its monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._buckets: dict[tuple[int, int], Bucket] = {}
        self._told: set[tuple[int, int]] = set()
        self.refused = 0
        """How many calls came too soon."""

    def admit(self, peer: Peer, work: Work) -> Work:
        """What may be carried out of a line: all of it, or nothing.

        Args:
            peer: who sent it.
            work: what it asks for.

        Returns:
            The work, or what is left of it: refusals.
        """
        if not work.requests:
            return work
        try:
            self.draw(peer, len(work.requests))
        except RefreshFailed as too_soon:
            return work.refused(too_soon.code, too_soon.cause, too_soon.data())
        return work

    def draw(self, peer: Peer, calls: int) -> None:
        """Take what the calls of one line need.

        Args:
            peer: who calls.
            calls: how many, at most ``BURST``.

        Raises:
            RefreshFailed: if they come too soon; ``retry_after`` is in whole seconds.
        """
        now = self._monotonic()
        who = (peer.pid, 0) if peer.pid else (0, peer.uid)
        bucket = self._buckets.get(who)
        if bucket is None:
            self._forget_full(now)
            bucket = full_bucket(BURST, 1 / CALLS_PER_SECOND, at=now)
        elif bucket.is_full(now):
            self._told.discard(who)
        self._buckets[who], seconds = bucket.draw(now, calls)
        if seconds > 0:
            self.refused += calls
            self._tell(who, peer)
            raise RefreshFailed(
                f"this process asks more than {CALLS_PER_SECOND:.0f} times a second",
                hint="wait for retry_after seconds; a token that lies ready may be asked for at any pace",
                error_class=RATE_LIMIT,
                retry_after=math.ceil(seconds),
            )

    def _forget_full(self, now: float) -> None:
        self._buckets = {who: bucket for who, bucket in self._buckets.items() if not bucket.is_full(now)}
        self._told &= self._buckets.keys()

    def _tell(self, who: tuple[int, int], peer: Peer) -> None:
        """Once, until it has been quiet: the log is not its to fill."""
        if who not in self._told:
            self._told.add(who)
            logger.warning("process %s (user %d) asks too often; some of it is refused", peer.pid, peer.uid)
