"""What persons do to a fleet: look at it, and change its key.

The problem: every record must at any moment be sealed by a key that the hosts hold, while the key is changed and
hosts go on; and a record that a host is replacing must not be sealed from under it.

Rules:
- The database knows keys by their public names alone, and refuses a record sealed by a key that it was not told
  of.
- One key is ``current``: it seals first values. A value that replaces another is sealed by the same key as that
  one.
- A record is sealed anew by compare-and-swap on its revision, and not while somebody holds its lease.
- No name of a key is ever removed, so that a value that comes late under a former key is stored and not lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tokenward.core.sharing import Orphan, SealedValue, SharedRecord
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.postgres.hosts import GREET, Host
from tokenward.stores.postgres.rows import ALL, record_of
from tokenward.stores.postgres.schema import KnownSchema

if TYPE_CHECKING:
    from tokenward.stores.postgres.wire import Row, Session, Wire

KeyState = Literal["coming", "current", "former"]

_HOSTS = """SELECT holder, host, version, key_ids, extract(epoch FROM clock_timestamp() - last_seen)::float8
    FROM tokenward.hosts ORDER BY last_seen DESC"""
_KEYS = """SELECT key_id, state, extract(epoch FROM clock_timestamp() - since)::float8,
    (SELECT count(*) FROM tokenward.records WHERE records.key_id = keys.key_id)
    + (SELECT count(*) FROM tokenward.orphans WHERE orphans.key_id = keys.key_id)
    FROM tokenward.keys ORDER BY since, key_id"""
_ORPHANS = """SELECT id, profile, generation, key_id, sealed, kept_by,
    extract(epoch FROM clock_timestamp() - kept_at)::float8 FROM tokenward.orphans ORDER BY id"""
_INTRODUCE = """INSERT INTO tokenward.keys (key_id, state)
    SELECT %(key_id)s, CASE WHEN EXISTS (SELECT FROM tokenward.keys WHERE state = 'current') THEN 'coming'
    ELSE 'current' END ON CONFLICT (key_id) DO NOTHING"""
_RESEAL = """UPDATE tokenward.records SET key_id = %(key_id)s, sealed = %(sealed)s,
    revision = nextval('tokenward.revisions') WHERE profile = %(profile)s AND revision = %(revision)s
    AND (lease_until IS NULL OR lease_until < clock_timestamp()) RETURNING 1"""
_RESEAL_ORPHAN = "UPDATE tokenward.orphans SET key_id = %(key_id)s, sealed = %(sealed)s WHERE id = %(id)s"


@dataclass(frozen=True, slots=True)
class FleetKey:
    """A key, by its public name.

    Args:
        key_id: its name.
        state: ``current`` seals first values; a ``coming`` one nothing yet; a ``former`` one what is not sealed
            anew.
        age: seconds since it is known.
        seals: how many records and orphans it seals.
    """

    key_id: str
    state: KeyState
    age: float
    seals: int


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host that subscribed.

    Args:
        holder: as in leases.
        host: the machine's name.
        version: of its program.
        key_ids: the keys it held then.
        age: seconds since it was seen.
    """

    holder: str
    host: str
    version: str
    key_ids: tuple[str, ...]
    age: float


class Administration:
    """One fleet's database, as persons see it.

    Args:
        wire: how it is reached.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.description = wire.description
        self._schema = KnownSchema(wire)

    def fleet_keys(self) -> Sequence[FleetKey]:
        """All keys, oldest first.

        Raises:
            SharedStoreAway: as every method here: if it does not answer, or its tables are not ours.
        """
        return [FleetKey(*row) for row in self._rows(_KEYS)]

    def current_key(self) -> str:
        """The name of the key that seals first values.

        Raises:
            SharedStoreAway: also if there is none yet.
        """
        rows = self._rows("SELECT key_id FROM tokenward.keys WHERE state = 'current'")
        if not rows:
            raise SharedStoreAway("the fleet has no key yet", hint="make the first one: tokenward fleet init")
        return str(rows[0][0])

    def hosts(self) -> Sequence[HostSeen]:
        """Who subscribed lately, the last first."""
        return [
            HostSeen(holder, host, version, tuple(key_ids), age)
            for holder, host, version, key_ids, age in self._rows(_HOSTS)
        ]

    def greet(self, host: Host) -> None:
        """Say that a host lives, and which keys it holds."""
        self._schema.check()
        self.wire.run(GREET, host.card(host.key_ids()))

    def records(self) -> Sequence[SharedRecord]:
        """All records, sorted by profile."""
        return [record_of(row) for row in self._rows(ALL)]

    def orphans(self) -> Sequence[Orphan]:
        """The values that came too late, oldest first."""
        return [
            Orphan(str(number), profile, SealedValue(generation, key_id, bytes(sealed)), kept_by, age)
            for number, profile, generation, key_id, sealed, kept_by, age in self._rows(_ORPHANS)
        ]

    def introduce(self, key_id: str) -> None:
        """Tell of a key: the first one is in force at once, another one is coming."""
        self._schema.check()
        self.wire.run(_INTRODUCE, {"key_id": key_id})

    def put_in_force(self, key_id: str) -> None:
        """Have this key seal first values from here on; the one before it is a former one."""
        self._schema.check()

        def act(session: Session) -> None:
            session.run("LOCK TABLE tokenward.keys IN SHARE ROW EXCLUSIVE MODE")
            session.run(
                "UPDATE tokenward.keys SET state = 'former' WHERE state = 'current' AND key_id <> %(key_id)s",
                {"key_id": key_id},
            )
            session.run(
                "UPDATE tokenward.keys SET state = 'current' WHERE key_id = %(key_id)s", {"key_id": key_id}
            )

        self.wire.transact(act, patience=self.wire.patience)

    def reseal(self, profile: str, revision: int, value: SealedValue) -> bool:
        """Replace how a record is sealed, and nothing else.

        Returns:
            Whether it was; not if it changed since, or somebody holds its lease.
        """
        (done,) = self.wire.run(
            _RESEAL,
            {"profile": profile, "revision": revision, "key_id": value.key_id, "sealed": value.sealed},
        )
        return bool(done)

    def reseal_orphan(self, orphan: Orphan, value: SealedValue) -> None:
        """Replace how an orphan is sealed, and nothing else."""
        self.wire.run(_RESEAL_ORPHAN, {"id": int(orphan.name), "key_id": value.key_id, "sealed": value.sealed})

    def _rows(self, query: str) -> list[Row]:
        self._schema.check()
        (rows,) = self.wire.run(query, {})
        return rows
