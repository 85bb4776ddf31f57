"""How a record is asked for, and made of the row that comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.core.sharing import Lease, SealedValue, SharedRecord

if TYPE_CHECKING:
    from tokenward.stores.postgres.wire import Row

_RECORD = """profile, revision, generation, key_id, sealed, lease_holder,
    extract(epoch FROM clock_timestamp() - lease_taken)::float8,
    extract(epoch FROM lease_until - clock_timestamp())::float8, condemned"""
ONE = f"SELECT {_RECORD} FROM tokenward.records WHERE profile = %(profile)s"  # noqa: S608 - constants
ALL = f'SELECT {_RECORD} FROM tokenward.records ORDER BY profile COLLATE "C"'  # noqa: S608
SOME = f"SELECT {_RECORD} FROM tokenward.records WHERE profile = ANY (%(profiles)s)"  # noqa: S608


def record_of(row: Row) -> SharedRecord:
    """A row of one of these questions, as a record."""
    profile, revision, generation, key_id, sealed, holder, age, left, condemned = row
    lease = None if holder is None else Lease(holder, age, left)
    return SharedRecord(profile, revision, SealedValue(generation, key_id, bytes(sealed)), lease, condemned)
