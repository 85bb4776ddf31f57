"""What hosts share, in PostgreSQL: a ``ports.SharedStore``.

The problem: two daemons that look at one record at one moment must not both act on it, and neither may trust its
own clock or hold a lock on the server while it asks a token endpoint.

Rules:
- Each decision is one statement of the server: an ``UPDATE`` whose ``WHERE`` names the revision (claim) or the
  generation (commit). In READ COMMITTED one that waited for another's looks again before it writes.
- Ages and ends of leases are the server's, by ``clock_timestamp()``.
- Revisions come from one sequence, so that none comes twice, also when a record is removed and made again.
- What the answer says is read in the transaction that decided.
- What a notification brought is read from what was heard; it is no older than what this host did itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tokenward.core.sharing import (
    Claimed,
    Committed,
    Condemnation,
    Outdated,
    Removal,
    SealedValue,
    SharedRecord,
)
from tokenward.stores.postgres.rows import ALL, ONE, record_of

if TYPE_CHECKING:
    from tokenward.stores.postgres.follower import Follower
    from tokenward.stores.postgres.wire import Parameters, Row, Wire

_FREE = "lease_holder = NULL, lease_taken = NULL, lease_until = NULL"
_CHANGED = "revision = nextval('tokenward.revisions'), changed_by = %(holder)s, changed_at = clock_timestamp()"

_CLAIM = """UPDATE tokenward.records SET lease_holder = %(holder)s, lease_taken = now.at,
    lease_until = now.at + make_interval(secs => %(seconds)s), revision = nextval('tokenward.revisions')
    FROM (SELECT clock_timestamp() AS at) AS now
    WHERE profile = %(profile)s AND revision = %(revision)s RETURNING 1"""
_GIVE_BACK = f"""UPDATE tokenward.records SET {_FREE}, revision = nextval('tokenward.revisions')
    WHERE profile = %(profile)s AND revision = %(revision)s RETURNING 1"""  # noqa: S608
_BEGIN = """INSERT INTO tokenward.records (profile, generation, key_id, sealed, changed_by)
    VALUES (%(profile)s, %(generation)s, %(key_id)s, %(sealed)s, %(holder)s)
    ON CONFLICT (profile) DO NOTHING RETURNING 1"""
_REPLACE = f"""UPDATE tokenward.records SET generation = %(generation)s, replaced = generation,
    key_id = %(key_id)s, sealed = %(sealed)s, condemned = NULL, {_FREE}, {_CHANGED}
    WHERE profile = %(profile)s AND generation = %(expected)s AND generation <> %(generation)s
    RETURNING 1"""  # noqa: S608
_KEEP = """INSERT INTO tokenward.orphans (profile, generation, key_id, sealed, kept_by)
    SELECT %(profile)s, %(generation)s, %(key_id)s, %(sealed)s, %(holder)s WHERE NOT EXISTS (
        SELECT FROM tokenward.records WHERE profile = %(profile)s AND %(generation)s IN (generation, replaced))
    ON CONFLICT (profile, generation) DO UPDATE SET kept_by = excluded.kept_by RETURNING id"""
_CONDEMN = f"""UPDATE tokenward.records SET condemned = %(reason)s, {_FREE}, {_CHANGED}
    WHERE profile = %(profile)s AND generation = %(expected)s RETURNING 1"""  # noqa: S608
_REMOVE = "DELETE FROM tokenward.records WHERE profile = %(profile)s AND generation = %(expected)s RETURNING 1"


class PostgresSharedStore:
    """One fleet's database.

    Args:
        wire: how it is reached.
        follower: tells of changes.
    """

    def __init__(self, wire: Wire, follower: Follower) -> None:
        self.description = wire.description
        self._wire = wire
        self._schema = follower.schema
        self._follower = follower
        self._heard = follower.heard

    def read(self, profile: str | None = None) -> Sequence[SharedRecord]:
        """See the port."""
        self._schema.check()
        if profile is None and (every := self._heard.take_all()) is not None:
            return every
        if profile is not None and (heard := self._heard.take(profile)) is not None:
            return [heard]
        (rows,) = self._wire.run(ALL if profile is None else ONE, {"profile": profile})
        records = [record_of(row) for row in rows]
        for record in records:
            self._heard.forget(record.profile, record.revision)
        return records

    def claim(self, seen: SharedRecord, *, holder: str, seconds: float) -> Claimed | Outdated:
        """See the port."""
        self._schema.check()
        given = {"profile": seen.profile, "revision": seen.revision, "holder": holder, "seconds": seconds}
        done, there = self._act(seen.profile, _CLAIM if seconds else _GIVE_BACK, given)
        record = _only(there)
        return Claimed(record) if done and record is not None else Outdated(record)

    def commit(
        self, profile: str, expected: str | None, change: SealedValue | Condemnation | Removal, *, holder: str
    ) -> Committed | Outdated:
        """See the port."""
        self._schema.check()
        given: dict[str, object] = {"profile": profile, "expected": expected, "holder": holder}
        match change:
            case SealedValue():
                given |= {"generation": change.generation, "key_id": change.key_id, "sealed": change.sealed}
                return self._store(profile, change, given)
            case Condemnation(reason):
                done, there = self._act(profile, _CONDEMN, given | {"reason": reason})
                return Committed(_only(there)) if done else Outdated(_only(there))
            case Removal():
                _, there = self._act(profile, _REMOVE, given)
                return Outdated(_only(there)) if there else Committed(None)

    async def subscribe(self, changed: Callable[[str | None], None]) -> None:
        """See the port."""
        await self._follower.follow(changed)

    def _store(self, profile: str, value: SealedValue, given: dict[str, object]) -> Committed | Outdated:
        write = _BEGIN if given["expected"] is None else _REPLACE
        _, kept, there = self._act(profile, f"{write};\n{_KEEP}", given)
        record = _only(there)
        if record is not None and record.value.generation == value.generation:
            return Committed(record)
        return Outdated(record, str(kept[0][0]) if kept else None)

    def _act(self, profile: str, script: str, given: Parameters) -> list[list[Row]]:
        """Do something to a record; the last of what comes back is what is there then."""
        self._heard.forget(profile)
        found = self._wire.run(f"{script};\n{ONE}", given)
        if (record := _only(found[-1])) is not None:
            self._heard.forget(profile, record.revision)
        return found


def _only(rows: Sequence[Row]) -> SharedRecord | None:
    return record_of(rows[0]) if rows else None
