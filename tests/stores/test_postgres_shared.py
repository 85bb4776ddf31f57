"""PostgreSQL keeps every promise of the port: with a real server, as a role with the least rights."""

from collections.abc import Iterator, Sequence

import pytest

from contracts.shared_store import SharedStoreContract
from fakes.machine import CountingEntropy
from postgres_server import PostgresServer
from tokenward.core.credential import Secret
from tokenward.core.sharing import Orphan
from tokenward.stores.postgres.administration import Administration
from tokenward.stores.postgres.follower import Follower, Host
from tokenward.stores.postgres.schema import migrate, role_sql
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.postgres.wire import Wire

ROLE = "fleet_member"
TEMPLATE = "fleet"


def prepare(server: PostgresServer) -> str:
    """A database with the tables, a key, and a role that may do what daemons do; its name."""

    def tables(url: str) -> None:
        wire = Wire(Secret(url))
        migrate(wire)
        Administration(wire).introduce("key-1")

    name = server.new_database(TEMPLATE, tables)
    if not server.run("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)):
        server.run(f"CREATE ROLE {ROLE} LOGIN")
    for statement in filter(str.strip, role_sql(ROLE).split(";")):
        server.run(statement, database=name)
    return name


class _Rig:
    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.database = prepare(server)
        self._members = 0
        self.store = self.another()

    def wire(self) -> Wire:
        return Wire(Secret(self._server.url(self.database, user=ROLE)))

    def another(self) -> PostgresSharedStore:
        self._members += 1
        host = Host(f"holder-{self._members}", "test", "0", lambda: ("key-1",))
        wire = self.wire()
        return PostgresSharedStore(wire, Follower(wire, host, CountingEntropy()))

    def orphans(self) -> Sequence[Orphan]:
        return Administration(self.wire()).orphans()

    def pass_time(self, seconds: float) -> None:
        self._server.run(
            "UPDATE tokenward.records SET lease_taken = lease_taken - make_interval(secs => %s),"
            " lease_until = lease_until - make_interval(secs => %s)",
            (seconds, seconds),
            database=self.database,
        )

    def go_away(self) -> None:
        self._server.run(f'ALTER DATABASE "{self.database}" ALLOW_CONNECTIONS false')
        self._server.cut(self.database)

    def come_back(self) -> None:
        self._server.run(f'ALTER DATABASE "{self.database}" ALLOW_CONNECTIONS true')

    def close(self) -> None:
        self._server.drop(self.database)


class TestPostgresSharedStore(SharedStoreContract):
    @pytest.fixture
    def rig(self, postgres_server: PostgresServer) -> Iterator[_Rig]:
        """A database of the test's own on the server of the session."""
        rig = _Rig(postgres_server)
        yield rig
        rig.close()
