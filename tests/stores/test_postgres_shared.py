"""PostgreSQL keeps every promise of the port: with a real server, as a role with the least rights."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.to_thread import run_sync

from contracts.shared_store import GENEROUS_SECONDS, ME, SharedStoreContract, claimed, race, stored, value
from fakes.machine import CountingEntropy
from postgres_server import PostgresServer
from tokenward.core.credential import Secret
from tokenward.core.sharing import Orphan, SealedValue
from tokenward.errors import ConfigurationFault
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.postgres.administration import Administration
from tokenward.stores.postgres.follower import (
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    LOOK_SECONDS,
    RETURNS_PER_SECOND,
    Follower,
    wait_before,
)
from tokenward.stores.postgres.hosts import Host
from tokenward.stores.postgres.schema import migrate, migrations, role_sql, schema_sql
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.postgres.wire import PATIENCE_SECONDS, Wire

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


class Rig:
    """A database of a test's own, and its members.

    Args:
        server: where it is.
        port: at which members find it; None = the server's own.
        look_seconds: how often they look where they are not told.
    """

    def __init__(
        self, server: PostgresServer, *, port: int | None = None, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._server = server
        self._port = port or server.port
        self._look_seconds = look_seconds
        self.database = prepare(server)
        self._members = 0
        self.store = self.another()

    def wire(self, patience: float = PATIENCE_SECONDS) -> Wire:
        """As a member, on the way that members take."""
        url = self._server.url(self.database, user=ROLE)
        return Wire(Secret(url.replace(f":{self._server.port}/", f":{self._port}/")), patience=patience)

    def another(self, patience: float = PATIENCE_SECONDS) -> PostgresSharedStore:
        """A further member, who waits for so many seconds for one act."""
        self._members += 1
        host = Host(f"holder-{self._members}", "test", "0", lambda: ("key-1",))
        wire = self.wire(patience)
        follower = Follower(wire, host, CountingEntropy(), look_seconds=self._look_seconds)
        return PostgresSharedStore(wire, follower)

    def orphans(self) -> Sequence[Orphan]:
        """What came too late."""
        return Administration(self.wire()).orphans()

    def pass_time(self, seconds: float) -> None:
        """Let leases grow old."""
        self._server.run(
            "UPDATE tokenward.records SET lease_taken = lease_taken - make_interval(secs => %s),"
            " lease_until = lease_until - make_interval(secs => %s)",
            (seconds, seconds),
            database=self.database,
        )

    def go_away(self) -> None:
        """Refuse and cut everybody."""
        self._server.run(f'ALTER DATABASE "{self.database}" ALLOW_CONNECTIONS false')
        self._server.cut(self.database)

    def come_back(self) -> None:
        """Take everybody again."""
        self._server.run(f'ALTER DATABASE "{self.database}" ALLOW_CONNECTIONS true')

    def close(self) -> None:
        """Leave nothing of it."""
        self._server.drop(self.database)


@pytest.fixture
def rig(postgres_server: PostgresServer) -> Iterator[Rig]:
    """A database of the test's own on the server of the session."""
    rig = Rig(postgres_server)
    yield rig
    rig.close()


@asynccontextmanager
async def subscribed(rig: Rig) -> AsyncIterator[asyncio.Queue[str | None]]:
    """What the rig's store tells of, after the first word: that anything may have changed."""
    told: asyncio.Queue[str | None] = asyncio.Queue()
    async with anyio.create_task_group() as group:
        group.start_soon(rig.store.subscribe, told.put_nowait)
        with anyio.fail_after(GENEROUS_SECONDS):
            assert await told.get() is None
        yield told
        group.cancel_scope.cancel()


class TestPostgresSharedStore(SharedStoreContract):
    @pytest.fixture
    def rig(self, rig: Rig) -> Rig:
        """The contract's rig is that of this module."""
        return rig


@pytest.mark.anyio
async def test_what_a_notification_is_about_needs_no_new_connection(
    rig: Rig, postgres_server: PostgresServer
) -> None:
    """A thousand hosts that are told of one commit must not connect a thousand times: it came with the telling."""
    async with subscribed(rig) as told:
        with anyio.fail_after(GENEROUS_SECONDS):
            record = await run_sync(stored, rig.another())
            assert await told.get() == ME
        assert await run_sync(rig.store.read, ME) == [record]
        held = await run_sync(claimed, rig.another(), record)
        await run_sync(lambda: rig.another().commit(ME, value(1).generation, value(2), holder="b"))
        with anyio.fail_after(GENEROUS_SECONDS):
            assert await told.get() == ME
        postgres_server.run(f'ALTER DATABASE "{rig.database}" ALLOW_CONNECTIONS false')
        (found,) = await run_sync(rig.store.read, ME)
        assert found.value == value(2)
        assert found.revision > held.revision
        with pytest.raises(SharedStoreAway):
            await run_sync(rig.store.read, ME)


@pytest.mark.anyio
async def test_who_comes_back_has_read_everything_already(rig: Rig, postgres_server: PostgresServer) -> None:
    """The records come on the connection that listens: to come back is one connection, and not two."""
    record = stored(rig.another())
    async with subscribed(rig):
        postgres_server.run(f'ALTER DATABASE "{rig.database}" ALLOW_CONNECTIONS false')
        assert await run_sync(rig.store.read) == [record]
        with pytest.raises(SharedStoreAway):
            await run_sync(rig.store.read)


@pytest.mark.anyio
async def test_an_idle_host_learns_that_nobody_answers(rig: Rig) -> None:
    """It is told to look when no new connection can be had, and once; its status would say nothing else."""
    async with subscribed(rig) as told:
        with anyio.fail_after(GENEROUS_SECONDS):
            await run_sync(rig.go_away)
            assert await told.get() is None
            with pytest.raises(SharedStoreAway):
                await run_sync(rig.store.read)
            await run_sync(rig.come_back)
            assert await told.get() is None
        assert await run_sync(rig.store.read) == []


@pytest.mark.anyio
async def test_a_host_is_seen_while_it_subscribes(rig: Rig) -> None:
    """With its name, its version and the keys that it holds."""
    async with subscribed(rig):
        pass
    (seen,) = Administration(rig.wire()).hosts()
    assert (seen.holder, seen.host, seen.version, seen.key_ids) == ("holder-1", "test", "0", ("key-1",))
    assert seen.age >= 0


def test_a_role_may_do_what_daemons_do_and_nothing_else(rig: Rig) -> None:
    """No table is changed by it, and no orphan and no name of a key deleted."""
    stored(rig.store)
    wire = rig.wire()
    for forbidden in (
        "DROP TABLE tokenward.records",
        "ALTER TABLE tokenward.records ADD COLUMN x int",
        "CREATE TABLE tokenward.mine (x int)",
        "DELETE FROM tokenward.orphans",
        "DELETE FROM tokenward.keys",
        "UPDATE tokenward.schema_version SET version = 9",
        "TRUNCATE tokenward.records",
    ):
        with pytest.raises(SharedStoreAway) as caught:
            wire.run(forbidden, {})
        assert "permission denied" in caught.value.cause or "must be owner" in caught.value.cause
        assert caught.value.hint.endswith(f"tokenward fleet init --role {ROLE}")
    assert len(rig.store.read()) == 1


def test_a_key_that_the_fleet_was_not_told_of_seals_nothing(rig: Rig) -> None:
    """Others could not know it: the engine itself refuses the record, and nothing is there."""
    with pytest.raises(SharedStoreAway) as caught:
        rig.store.commit(ME, None, SealedValue("g", "unknown", b"sealed"), holder="a")
    assert caught.value.hint == "the fleet does not know the key: tokenward fleet status"
    assert list(rig.store.read()) == []


class TestSchema:
    def test_tables_are_made_once(self, postgres_database: str) -> None:
        """Also by two at one time; who comes later finds nothing to do."""
        wires = [Wire(Secret(postgres_database)) for _ in range(4)]
        assert sorted(race([lambda wire=wire: migrate(wire) for wire in wires])) == [0, 0, 0, len(migrations())]  # type: ignore[type-var]
        assert list(Administration(wires[0]).records()) == []

    def test_a_database_without_tables_says_how_to_make_them(self, postgres_database: str) -> None:
        """One line, and the command."""
        wire = Wire(Secret(postgres_database))
        store = PostgresSharedStore(wire, Follower(wire, Host("h", "h", "0", tuple), CountingEntropy()))
        with pytest.raises(SharedStoreAway) as caught:
            store.read()
        assert caught.value.hint == "make its tables as their owner: tokenward fleet init"

    @pytest.mark.parametrize(("version", "way"), [(99, "upgrade tokenward on this host"), (0, "fleet init")])
    def test_tables_of_another_version_are_left_alone(
        self, postgres_database: str, version: int, way: str
    ) -> None:
        """A newer program made them, or an older one: nothing is read, and nothing is written."""
        wire = Wire(Secret(postgres_database))
        migrate(wire)
        wire.run("UPDATE tokenward.schema_version SET version = %(version)s", {"version": version})
        store = PostgresSharedStore(wire, Follower(wire, Host("h", "h", "0", tuple), CountingEntropy()))
        for act in (store.read, lambda: store.commit(ME, None, value(1), holder="a")):
            with pytest.raises(SharedStoreAway) as caught:
                act()
            assert str(version) in caught.value.cause
            assert way in caught.value.hint

    def test_a_newer_schema_is_not_migrated(self, postgres_database: str) -> None:
        """An old program does nothing to tables that it does not know."""
        wire = Wire(Secret(postgres_database))
        migrate(wire)
        wire.run("UPDATE tokenward.schema_version SET version = 99", {})
        with pytest.raises(ConfigurationFault, match="newer tokenward"):
            migrate(wire)

    def test_a_migration_is_whole_or_not_there(
        self, postgres_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that fails in the middle leaves nothing; put right, it is applied."""
        wire = Wire(Secret(postgres_database))
        broken = ((1, "CREATE TABLE tokenward.half (x int); SELECT 1 / 0"),)
        with monkeypatch.context() as patched:
            patched.setattr("tokenward.stores.postgres.schema.migrations", lambda: broken)
            with pytest.raises(SharedStoreAway, match="division by zero"):
                migrate(wire)
        assert migrate(wire) == len(migrations())

    def test_the_printed_sql_makes_the_same_tables(self, postgres_database: str) -> None:
        """For a person who runs it by hand; afterwards there is nothing to do."""
        wire = Wire(Secret(postgres_database))
        wire.transact(
            lambda session: session.run(schema_sql().replace("BEGIN;", "").replace("COMMIT;", "")), patience=60
        )
        assert migrate(wire) == 0

    @pytest.mark.parametrize("name", ["", 'x"; DROP TABLE a; --', "1x", "a b", "a" * 64])
    def test_what_is_no_name_of_a_role_is_no_sql(self, name: str) -> None:
        """It is refused before it is part of a statement."""
        with pytest.raises(ConfigurationFault):
            role_sql(name)


def test_those_who_were_cut_off_come_back_one_by_one() -> None:
    """The wait doubles up to its end, and is a random part of that: never all of it at once, never more."""
    assert wait_before(1, 0.5) == FIRST_WAIT_SECONDS
    assert [wait_before(attempt, 0.999) for attempt in range(1, 60)] == sorted(
        wait_before(attempt, 0.999) for attempt in range(1, 60)
    )
    assert wait_before(59, 0.999) < LONGEST_WAIT_SECONDS
    assert wait_before(59, 0.0) == 0
    assert wait_before(1, 0.5, hosts=100 * RETURNS_PER_SECOND) == 50
    assert wait_before(1, 0.5, hosts=1) == FIRST_WAIT_SECONDS
