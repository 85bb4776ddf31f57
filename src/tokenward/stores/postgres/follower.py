"""Who is told what changes in the database: listening while that works, looking now and then where it does not.

The problem: a notification is lost whenever the connection is, none passes a pooler in transaction mode, and a
thousand hosts that lost their connections at one moment come back at one moment.

Rules:
- After every new connection anything may have changed, and that is what is told; also when none can be had.
- A connection whose other end is a pooler is tried: does what we tell ourselves arrive? If not, it is given back,
  and the revisions are looked at every ``LOOK_SECONDS``, each host at moments of its own.
- Who was cut off waits a random part of a time that doubles, up to ``LONGEST_WAIT_SECONDS``, and that is never so
  short that more than ``RETURNS_PER_SECOND`` hosts would come back in a second.
- What a notification is about is read on the connection that brought it, so that a thousand hosts do not connect
  anew at the moment of a commit.
- Idle costs one sleeping connection, and one question every ``GREETING_SECONDS``, which also says that this host
  lives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
from anyio.to_thread import run_sync

from tokenward.core.sharing import SharedRecord
from tokenward.ports import Entropy
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.postgres.heard import Heard
from tokenward.stores.postgres.hosts import GREET, Host
from tokenward.stores.postgres.rows import ALL, SOME, record_of
from tokenward.stores.postgres.schema import VERSION, KnownSchema

if TYPE_CHECKING:
    from tokenward.stores.postgres.wire import Listening, Wire

log = logging.getLogger(__name__)

CHANNEL = "tokenward_changed"
LOOK_SECONDS = 15.0
"""Where notifications do not pass: how late a change is seen, at most half as much again."""
GREETING_SECONDS = 600.0
"""How often a host says that it lives, and makes sure that it missed nothing."""
LOST_FOR_GOOD = 2
"""Failures after which it is told that anything may have changed: whoever looks then learns that nobody answers.
The first may be a connection that was cut, and who looked at once would do so with all the others."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
RETURNS_PER_SECOND = 100
"""A new connection with its first questions costs a server some 10 ms of a processor, and others want it, too."""
HEARING_SECONDS = 2.0
"""How long our own notification may take, before we say that none pass."""

_HOSTS = "SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'tokenward.hosts'::regclass"
"""About how many there are, without counting them."""
_LOOK = "SELECT profile, revision FROM tokenward.records"


def wait_before(attempt: int, fraction: float, hosts: float = 0.0) -> float:
    """Seconds to wait before trying again: capped exponential back-off with full jitter, wide enough for all.

    Args:
        attempt: how many failed in a row, from 1.
        fraction: a random number in [0, 1).
        hosts: about how many come back with us.
    """
    doubled = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempt, 16))
    return fraction * max(doubled, hosts / RETURNS_PER_SECOND)


class Follower:
    """Tells one subscriber of changes.

    Args:
        wire: how the database is reached.
        host: who we are.
        entropy: for jitter.
        look_seconds: how often it is looked at where notifications do not pass.
    """

    def __init__(self, wire: Wire, host: Host, entropy: Entropy, *, look_seconds: float = LOOK_SECONDS) -> None:
        self.heard = Heard()
        self.schema = KnownSchema(wire)
        self._wire = wire
        self._host = host
        self._entropy = entropy
        self._look_seconds = look_seconds
        self._failures = 0
        self._hosts = 0.0
        self._seen: Mapping[str, int] = {}

    async def follow(self, changed: Callable[[str | None], None]) -> None:
        """See ``ports.SharedStore.subscribe``."""
        while True:
            try:
                if not await self._listen(changed):
                    await self._look_now_and_then(changed)
            except SharedStoreAway as away:
                self._failures += 1
                log.debug("the listening connection is lost: %s", away.cause)
                if self._failures == LOST_FOR_GOOD:
                    changed(None)
            await anyio.sleep(wait_before(max(1, self._failures), self._entropy.fraction(), self._hosts))

    async def _listen(self, changed: Callable[[str | None], None]) -> bool:
        """Tell of what is heard until the connection is lost; False = nothing can be heard here."""
        key_ids = await run_sync(self._host.key_ids)
        async with self._wire.listening() as connection:
            own = f"tokenward_{self._entropy.token(8).hex()}"
            hears = not await connection.is_pooled() or await connection.hears(own, within=HEARING_SECONDS)
            if hears:
                await connection.listen(CHANNEL)
            records = await self._greet(connection, key_ids)
            self._seen = _revisions(records)
            if not hears:
                return False
            self.heard.put_all(records)
            try:
                self._arrived(changed)
                while True:
                    told = await connection.told(within=self._jittered(GREETING_SECONDS))
                    if told:
                        await self._pass_on(connection, sorted(set(told)), changed)
                    else:
                        key_ids = await run_sync(self._host.key_ids)
                        self._compare(_revisions(await self._greet(connection, key_ids)), changed)
            finally:
                self.heard.forget_all()

    async def _pass_on(
        self, connection: Listening, profiles: list[str], changed: Callable[[str | None], None]
    ) -> None:
        (rows,) = await connection.run(SOME, {"profiles": profiles})
        found = {record.profile: record for record in map(record_of, rows)}
        for profile in profiles:
            if profile in found:
                self.heard.put(found[profile])
            else:
                self.heard.forget(profile)
            changed(profile)

    async def _look_now_and_then(self, changed: Callable[[str | None], None]) -> None:
        log.info("notifications do not pass: the shared store is looked at every %g s", self._look_seconds)
        self._arrived(changed)
        looks = max(1, int(GREETING_SECONDS / self._look_seconds))
        for _ in range(looks):  # then it is tried again whether they pass
            await anyio.sleep(self._jittered(self._look_seconds))
            (rows,) = await run_sync(self._wire.run, _LOOK, {})
            self._compare(dict(rows), changed)

    async def _greet(self, connection: Listening, key_ids: Sequence[str]) -> Sequence[SharedRecord]:
        script = f"{VERSION};\n{GREET};\n{_HOSTS};\n{ALL}"
        ((version,),), ((hosts,),), rows = await connection.run(script, self._host.card(key_ids))
        self.schema.see(version)
        self._hosts = hosts
        return [record_of(row) for row in rows]

    def _arrived(self, changed: Callable[[str | None], None]) -> None:
        log.debug("the listening connection stands")
        self._failures = 0
        changed(None)

    def _compare(self, found: Mapping[str, int], changed: Callable[[str | None], None]) -> None:
        for profile in found.keys() | self._seen.keys():
            if found.get(profile) != self._seen.get(profile):
                changed(profile)
        self._seen = found

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.5 + self._entropy.fraction())


def _revisions(records: Sequence[SharedRecord]) -> Mapping[str, int]:
    return {record.profile: record.revision for record in records}
