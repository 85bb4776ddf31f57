"""The tables in the database: made and changed by numbered files, and never guessed at.

The problem: two hosts may be told to make the tables at one time, a change may be cut off in the middle, and a
host with an older program must not write into tables that it does not know.

Rules:
- Each migration is one transaction, with its own line in ``schema_version``, under a lock of the server.
- A newer version than ours is refused, in one line; an older one too, until ``fleet init`` is run.
- The tables belong to whoever ran ``fleet init``. The daemons' role gets rights on rows, and none to change
  tables: plain grants, which a person can read and check; functions with their owner's rights would hide as much
      behind one
  more thing to trust, since whoever may commit a value may write any.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from tokenward.errors import ConfigurationFault
from tokenward.ports.sharing import SharedStoreAway

if TYPE_CHECKING:
    from tokenward.stores.postgres.wire import Session, Wire

VERSION = "SELECT coalesce(max(version), 0) FROM tokenward.schema_version"
LOCK = 0x746F6B656E776172
"""Names the server's lock under which tables are changed ("tokenwar")."""
PATIENCE_SECONDS = 60.0
"""For a migration, which may wait for another's."""
_FILE = re.compile(r"(\d{4})_[a-z_]+\.sql")
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")

_FIRST = """CREATE SCHEMA IF NOT EXISTS tokenward;
CREATE TABLE IF NOT EXISTS tokenward.schema_version (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""

_GRANTS = """GRANT USAGE ON SCHEMA tokenward TO {role};
GRANT SELECT ON tokenward.schema_version TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON tokenward.records TO {role};
GRANT SELECT, INSERT, UPDATE ON tokenward.orphans TO {role};
GRANT SELECT, INSERT, UPDATE ON tokenward.keys TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON tokenward.hosts TO {role};
GRANT USAGE ON SEQUENCE tokenward.revisions TO {role};
"""


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The numbers and the SQL of all migrations, in order."""
    folder = resources.files("tokenward.stores.postgres") / "migrations"
    found = [(match, each) for each in folder.iterdir() if (match := _FILE.fullmatch(each.name))]
    return tuple(sorted((int(match[1]), each.read_text("utf-8")) for match, each in found))


def newest_version() -> int:
    """The version of the tables that this program works with."""
    return migrations()[-1][0]


def role_sql(role: str) -> str:
    """The statements that let a role do what daemons do, and nothing else; they may be run again.

    Raises:
        ConfigurationFault: if it is no name of a role.
    """
    if not _ROLE.fullmatch(role):
        raise ConfigurationFault(
            "that is no name of a role", hint="letters, digits, _, - and dots; it begins with a letter"
        )
    return _GRANTS.format(role=f'"{role}"')


def schema_sql() -> str:
    """All statements that make the tables, for whoever runs them by hand."""
    steps = [
        f"{sql.strip()}\nINSERT INTO tokenward.schema_version VALUES ({number});" for number, sql in migrations()
    ]
    return "\n\n".join([f"BEGIN;\n{_FIRST};", *steps, "COMMIT;"]) + "\n"


def migrate(wire: Wire) -> int:
    """Make the tables, or bring them to our version.

    Args:
        wire: the database, as a role that may create a schema in it.

    Returns:
        How many migrations were applied.

    Raises:
        SharedStoreAway: if the server did not answer, or refused.
        ConfigurationFault: if a newer program made the tables.
    """
    applied = 0
    while _apply_next(wire):
        applied += 1
    return applied


class KnownSchema:
    """Whether the tables are those that we work with; asked once, and again when the database was away.

    Args:
        wire: how it is reached.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._is_known = False

    def check(self) -> None:
        """Ask, unless it is known.

        Raises:
            SharedStoreAway: if they are not, with what to do.
        """
        if not self._is_known:
            ((row,),) = self._wire.run(VERSION, {})
            self.see(row[0])

    def see(self, version: int) -> None:
        """Take note of the version of the tables, which ``VERSION`` asks for.

        Raises:
            SharedStoreAway: as ``check``.
        """
        self._is_known = version == newest_version()
        if version > newest_version():
            raise SharedStoreAway(
                f"{self._wire.description}: a newer tokenward made its tables (version {version}, "
                f"ours is {newest_version()})",
                hint="upgrade tokenward on this host",
            )
        if not self._is_known:
            raise SharedStoreAway(
                f"{self._wire.description}: its tables are of version {version}, and we need {newest_version()}",
                hint="bring them up to date, as their owner: tokenward fleet init",
            )


def _apply_next(wire: Wire) -> bool:
    def act(session: Session) -> bool:
        session.run("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": LOCK})
        ((there,),) = session.run("SELECT to_regclass('tokenward.schema_version') IS NOT NULL")
        if not there:
            session.run(_FIRST)
        ((version,),) = session.run(VERSION)
        if version > newest_version():
            raise ConfigurationFault(
                f"a newer tokenward made the tables there (version {version}, ours is {newest_version()})",
                hint="upgrade tokenward on this host; nothing was changed",
            )
        following = [each for each in migrations() if each[0] > version]
        if following:
            number, sql = following[0]
            session.run(sql)
            session.run("INSERT INTO tokenward.schema_version VALUES (%(version)s)", {"version": number})
        return bool(following)

    return wire.transact(act, patience=PATIENCE_SECONDS)
