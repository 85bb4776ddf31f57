"""The wire to PostgreSQL: no act outlives its deadline, no password is told, and a pooler is seen through."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import anyio
import pytest
from anyio.to_thread import run_sync

from contracts.shared_store import GENEROUS_SECONDS, ME, stored
from fakes.machine import CountingEntropy
from fakes.pgbouncer import pgbouncer
from fakes.pooler import Pooler
from postgres_server import PostgresServer, programs_or_skip
from tokenward.core.credential import Secret
from tokenward.errors import ConfigurationFault
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.postgres.administration import Administration
from tokenward.stores.postgres.follower import Follower
from tokenward.stores.postgres.hosts import Host
from tokenward.stores.postgres.schema import migrate
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.postgres.wire import Session, Wire

PASSWORD = "canary/p@ss:word%"
QUOTED = "canary%2Fp%40ss%3Aword%25"


class PoolerBetween(Protocol):
    """Puts a pooler before the server at a port."""

    def __call__(self, port: int, *, passes: bool) -> AbstractContextManager[int]:
        """The pooler's port, while the context lasts."""


def fault_of(url: str, script: str = "SELECT 1", patience: float = 8.0) -> SharedStoreAway:
    """How an act fails."""
    with pytest.raises(SharedStoreAway) as caught:
        Wire(Secret(url), patience=patience).run(script, {})
    assert "canary" not in f"{caught.value!r} {caught.value} {caught.value.hint}"
    assert "\n" not in caught.value.cause + caught.value.hint
    assert caught.value.hint
    return caught.value


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """A server that asks for passwords, and that a test may stop."""
    with PostgresServer(programs_or_skip(), password=PASSWORD) as running:
        yield running


class TestFaults:
    def test_the_right_password_is_taken(self, guarded: PostgresServer) -> None:
        """From the URL, whatever characters it is made of; and it is not shown."""
        wire = Wire(Secret(guarded.url()))
        assert wire.run("SELECT current_user::text", {}) == [[("postgres",)]]
        assert "canary" not in wire.description
        assert f"postgres@127.0.0.1:{guarded.port}/postgres" in wire.description

    def test_a_wrong_password_says_where_passwords_come_from(self, guarded: PostgresServer) -> None:
        """With the role's name, and no part of the URL."""
        away = fault_of(guarded.url(password="canary-wrong"))
        assert 'password authentication failed for user "postgres"' in away.cause
        assert ".pgpass" in away.hint

    def test_another_role_leaves_the_password_behind(self, guarded: PostgresServer) -> None:
        """The URL's password is its own role's: it is not tried for another."""
        guarded.run("CREATE ROLE other LOGIN PASSWORD 'canary/p@ss:word%'")
        with pytest.raises(SharedStoreAway, match="no password supplied"):
            Wire(Secret(guarded.url()), role="other").run("SELECT 1", {})

    def test_a_name_that_is_wrong_says_which(self, guarded: PostgresServer) -> None:
        """The database's; the hint says where names are written."""
        away = fault_of(guarded.url("nowhere"))
        assert 'database "nowhere" does not exist' in away.cause
        assert "[store] shared" in away.hint

    def test_a_text_of_the_server_that_holds_the_password_is_masked(self, guarded: PostgresServer) -> None:
        """Whether it is as it was given, or quoted as in a URL."""
        said = {"said": f"it was {PASSWORD} and {QUOTED}"}
        with pytest.raises(SharedStoreAway) as caught:
            Wire(Secret(guarded.url())).run("SELECT %(said)s::int", said)
        assert "it was *** and ***" in caught.value.cause

    def test_nobody_there_is_one_line(self) -> None:
        """Refused by the kernel."""
        away = fault_of(f"postgresql://me:{QUOTED}@127.0.0.1:1/fleet")
        assert "Connection refused" in away.cause
        assert away.cause.startswith("postgresql://me@127.0.0.1:1/fleet: ")

    def test_a_statement_that_takes_too_long_is_ended(self, guarded: PostgresServer) -> None:
        """By the server itself, so that it does not go on without us."""
        away = fault_of(guarded.url(), "SELECT pg_sleep(3600)", patience=1.0)
        assert "did not answer within 1 s" in away.cause
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%3600%' AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + GENEROUS_SECONDS
        while guarded.run(asleep) != [(0,)]:  # the server's second begins a little later than ours
            assert time.monotonic() < deadline, "it goes on without us"

    def test_a_server_that_takes_questions_and_answers_none_is_away(self, guarded: PostgresServer) -> None:
        """Neither connecting nor asking waits for it beyond the deadline."""

        def act(session: Session) -> object:
            guarded.freeze()
            return session.run("SELECT 1")

        try:
            with pytest.raises(SharedStoreAway, match="did not answer"):
                Wire(Secret(guarded.url())).transact(act, patience=1.0)
            assert "did not answer within 1 s" in fault_of(guarded.url(), patience=1.0).cause
        finally:
            guarded.thaw()

    def test_a_connection_that_is_cut_in_the_middle_is_one_line(self, guarded: PostgresServer) -> None:
        """Whether it happened nobody knows; it is told as away."""

        def act(session: Session) -> object:
            guarded.cut()
            return session.run("SELECT 1")

        with pytest.raises(SharedStoreAway) as caught:
            Wire(Secret(guarded.url())).transact(act, patience=8.0)
        assert "terminating connection" in caught.value.cause

    @pytest.mark.parametrize("asked", ["off", "local", "remote_write", "on", "remote_apply"])
    def test_a_commit_is_durable_whatever_the_role_is_set_to(self, guarded: PostgresServer, asked: str) -> None:
        """What is less than ``on`` is raised to it; what is more stays."""
        guarded.run(f"ALTER ROLE postgres SET synchronous_commit = {asked}")
        ((row,),) = Wire(Secret(guarded.url())).run("SELECT current_setting('synchronous_commit')", {})
        assert row == ("remote_apply" if asked == "remote_apply" else "on",)
        guarded.run("ALTER ROLE postgres RESET synchronous_commit")

    def test_nothing_of_a_script_stays_if_one_statement_fails(self, guarded: PostgresServer) -> None:
        """One act is one transaction."""
        with pytest.raises(SharedStoreAway):
            Wire(Secret(guarded.url())).run("CREATE TABLE half (x int);\nSELECT 1 / 0", {})
        assert guarded.run("SELECT to_regclass('half')") == [(None,)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://me:canary@host/db",
        "host=h password=canary",
        "postgresql://h/d?canary=1",
        "postgresql://[canary",
    ],
)
def test_what_is_no_url_of_postgresql_is_refused_and_not_quoted(url: str) -> None:
    """It could hold a password; what one looks like is said instead."""
    with pytest.raises(ConfigurationFault) as caught:
        Wire(Secret(url))
    assert "canary" not in f"{caught.value!r} {caught.value.hint}"
    assert "postgresql://" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "verified"),
    [
        ("postgresql://me@db.acme.dev/fleet", False),
        ("postgresql://me@db.acme.dev/fleet?sslmode=require", False),
        ("postgresql://me@db.acme.dev/fleet?sslmode=verify-full", True),
        ("postgresql://me@db.acme.dev/fleet?sslrootcert=system", True),
        ("postgresql://me@127.0.0.1:5433/fleet", True),
        ("postgresql://me@127.0.0.1,db.acme.dev/fleet", False),
        ("postgresql://me@/fleet?host=/run/postgresql", True),
        ("postgresql:///fleet", True),
    ],
)
def test_a_server_that_need_not_prove_who_it_is_is_known_as_such(url: str, *, verified: bool) -> None:
    """Over a network only a certificate that is compared does."""
    assert Wire(Secret(url)).is_verified is verified


@contextmanager
def real(port: int, *, passes: bool) -> Iterator[int]:
    """PgBouncer itself, before the server at a port; its own port."""
    with pgbouncer(port, "session" if passes else "transaction") as at:
        yield at


@contextmanager
def played(port: int, *, passes: bool) -> Iterator[int]:
    """What we take a pooler to do, where no real one is installed."""
    with Pooler(port, passes=passes).running() as pooler:
        yield pooler.port


@pytest.mark.anyio
@pytest.mark.parametrize("between", [real, played])
@pytest.mark.parametrize("passes", [True, False], ids=["session mode", "transaction mode"])
async def test_behind_a_pooler_changes_are_seen(
    postgres_server: PostgresServer, postgres_database: str, between: PoolerBetween, *, passes: bool
) -> None:
    """By notifications where they pass; where they do not, that is found out, and it is looked at now and then."""
    direct = Wire(Secret(postgres_database))
    await run_sync(migrate, direct)
    await run_sync(Administration(direct).introduce, "key-1")
    told: asyncio.Queue[str | None] = asyncio.Queue()
    host = Host("h", "h", "0", tuple)
    with between(postgres_server.port, passes=passes) as port:
        wire = Wire(Secret(postgres_database.replace(f":{postgres_server.port}/", f":{port}/")))
        looks = 1e6 if passes else 0.05  # so that only the one way can tell of anything
        follower = Follower(wire, host, CountingEntropy(), look_seconds=looks)
        store = PostgresSharedStore(wire, follower)
        async with anyio.create_task_group() as group:
            group.start_soon(store.subscribe, told.put_nowait)
            with anyio.fail_after(GENEROUS_SECONDS):
                assert await told.get() is None
                await run_sync(stored, store)
                assert await told.get() == ME
                if not passes:
                    await run_sync(direct.run, "DELETE FROM tokenward.records", {})
                    assert await told.get() == ME
            group.cancel_scope.cancel()
