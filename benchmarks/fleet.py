"""What a login that many hosts share costs its database: time, questions, and being told.

The problem: whether PostgreSQL carries ten hosts or ten thousand is decided by a few numbers: what one act costs
the server, what a sleeping listener costs it, how long a notification takes to the last of many, and how long a
value takes from the claim to another host's memory.

Rules:
- The server is Debian's own, syncs what it writes, asks for passwords (scram), and runs beside us on loopback: the
  network is left out, the disk is not.
- The acts are those of our adapter, each on a connection of its own, as daemons make them.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import psycopg
from anyio import to_thread

from benchmarks.figures import Figure, milliseconds
from benchmarks.sampling import Series
from benchmarks.stage import SOURCES, Effort, Stage
from tokenward.core.credential import Secret
from tokenward.core.sharing import SealedValue
from tokenward.daemon.machine import SystemEntropy
from tokenward.stores.postgres.administration import Administration
from tokenward.stores.postgres.follower import CHANNEL, Follower
from tokenward.stores.postgres.hosts import Host
from tokenward.stores.postgres.schema import migrate, role_sql
from tokenward.stores.postgres.shared_store import PostgresSharedStore
from tokenward.stores.postgres.wire import Wire

if TYPE_CHECKING:
    from postgres_server import PostgresServer

LISTENERS = (1, 10, 100, 500)
PROFILE = "acme:team"
KEY_ID = "measured"
ROLE = "fleet_daemon"
PASSWORD = "measured"  # noqa: S105 - of a server that lives for a minute
SEALED_BYTES = 1500
"""As long as the record of an OAuth login is."""
PATIENCE = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Costs:
    """What the simulation is fed with.

    Args:
        act: seconds of the server's processor time for a read on a connection of its own, scram included.
        pooled_act: the same on a connection that is there already, as a pooler keeps it.
        told: seconds that each further listener adds until the last of them is told.
        connection: bytes of memory of one listening connection, at the server.
    """

    act: float
    pooled_act: float
    told: float
    connection: float


class Database:
    """A fleet's database on a server of its own.

    Args:
        server: it runs.
    """

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.name = server.new_database()
        owner = Wire(Secret(server.url(self.name)))
        migrate(owner)
        Administration(owner).introduce(KEY_ID)
        server.run(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        for statement in filter(str.strip, role_sql(ROLE).split(";")):
            server.run(statement, database=self.name)
        self.url = server.url(self.name, user=ROLE, password=PASSWORD)
        self._values = 0

    def store(self, holder: str) -> PostgresSharedStore:
        """As one host has it."""
        wire = Wire(Secret(self.url))
        entropy = SystemEntropy()
        return PostgresSharedStore(wire, Follower(wire, Host(holder, holder, "0", lambda: (KEY_ID,)), entropy))

    def value(self) -> SealedValue:
        """Another value."""
        self._values += 1
        return SealedValue(f"generation-{self._values}", KEY_ID, os.urandom(SEALED_BYTES))

    def counted(self) -> tuple[int, int]:
        """Transactions and connections until now."""
        query = "SELECT xact_commit + xact_rollback, sessions FROM pg_stat_database WHERE datname = %s"
        ((transactions, sessions),) = self.server.run(query, [self.name])
        return int(transactions), int(sessions)

    def processor_time(self) -> float:
        """Seconds that the server and all its processes that have ended took."""
        stat = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, stat[11:15])) / _TICKS


@contextmanager
def database() -> Iterator[Database | None]:
    """A database; None where PostgreSQL is not installed."""
    sys.path.append(str(SOURCES / "tests"))
    from postgres_server import PostgresServer, programs

    binaries = programs()
    if binaries is None:
        sys.stderr.write("NOT MEASURED: PostgreSQL is not installed (Debian: postgresql)\n")
        yield None
        return
    settings = {"max_connections": "600", "shared_buffers": "128MB"}
    with PostgresServer(binaries, password="owner's", is_synced=True, settings=settings) as server:  # noqa: S106
        yield Database(server)


def measure(stage: Stage) -> list[Figure]:
    """Everything."""
    figures, _ = measured(stage.effort)
    return figures


def measured(effort: Effort) -> tuple[list[Figure], Costs | None]:
    """Everything, and what of it the simulation is fed with; nothing without a PostgreSQL."""
    with database() as where:
        if where is None:
            return [], None
        rounds = max(2, effort.trips // 4)
        store = where.store("first")
        store.commit(PROFILE, None, where.value(), holder="first")
        published = anyio.run(_published, where, rounds)
        act, act_figure = _act(where, store, rounds)
        pooled = _pooled_act(where, rounds)
        most = [count for count in LISTENERS if count <= effort.crowd]
        told = {count: _told(where, store, count, max(1, rounds // 5)) for count in most}
        memory = _memory(where, most[-1])
        queries = anyio.run(_queries, where, min(10, most[-1]))
    fan_out = [
        Figure(
            f"a commit until the last of {count} listeners was told, p50",
            series.median * 1e3,
            unit="ms",
            detail=f"p99 {milliseconds(series.p99)}",
        )
        for count, series in told.items()
    ]
    kept = Figure("the same on a connection that is kept, as by a pooler", pooled * 1e3, unit="ms")
    figures = [*published, act_figure, kept, *queries, *fan_out]
    figures.append(Figure("memory of a listening connection, at the server", memory / _MIB, unit="MB"))
    return figures, Costs(act, pooled, _for_each(told), memory)


def _for_each(told: dict[int, Series]) -> float:
    """Seconds that each further listener adds."""
    few, many = min(told), max(told)
    return max(0.0, told[many].median - told[few].median) / max(1, many - few)


async def _published(where: Database, rounds: int) -> list[Figure]:
    """From the beginning of a claim to another host's having read the value, without the request between them."""
    ours, theirs = where.store("winner"), where.store("loser")
    whole, claims, commits, reads = Series(), Series(), Series(), Series()
    heard = anyio.Event()

    def changed(_profile: str | None) -> None:
        heard.set()

    def claim_and_commit() -> None:
        (seen,) = ours.read(PROFILE)
        value, began = where.value(), time.perf_counter()
        ours.claim(seen, holder="winner", seconds=50)
        claimed = time.perf_counter()
        ours.commit(PROFILE, seen.value.generation, value, holder="winner")
        claims.seconds.append(claimed - began)
        commits.seconds.append(time.perf_counter() - claimed)

    async with anyio.create_task_group() as group:
        group.start_soon(theirs.subscribe, changed)
        await heard.wait()
        for _ in range(rounds):
            heard = anyio.Event()
            before = time.perf_counter()
            await to_thread.run_sync(claim_and_commit)
            with anyio.fail_after(PATIENCE):
                await heard.wait()
            told = time.perf_counter()
            await to_thread.run_sync(theirs.read, PROFILE)
            reads.seconds.append(time.perf_counter() - told)
            whole.seconds.append(time.perf_counter() - before)
        group.cancel_scope.cancel()
    steps = {"claim": claims, "commit": commits, "the other's read": reads}
    parts = ", ".join(f"{name} {milliseconds(series.median)}" for name, series in steps.items())
    return [
        Figure(
            "read, claim, commit, and another host that is told and reads: all of it, p50",
            whole.median * 1e3,
            unit="ms",
            detail=f"p99 {milliseconds(whole.p99)}; {parts}",
        )
    ]


def _act(where: Database, store: PostgresSharedStore, rounds: int) -> tuple[float, Figure]:
    """A read: what it takes the server, and whoever waits for it."""
    series = Series()
    _settled(where)
    before = where.processor_time()
    for _ in range(rounds * 4):
        began = time.perf_counter()
        store.read(PROFILE)
        series.seconds.append(time.perf_counter() - began)
    _settled(where)
    spent = (where.processor_time() - before) / len(series.seconds)
    what = "processor time of the server for one act on a connection of its own (scram)"
    detail = f"whoever waits for it: p50 {milliseconds(series.median)}, p99 {milliseconds(series.p99)}"
    return spent, Figure(what, spent * 1e3, unit="ms", detail=detail)


def _pooled_act(where: Database, rounds: int) -> float:
    """A read of one record on a connection that is there, until the server's clock has moved enough to be read."""
    script, count = "SELECT * FROM tokenward.records WHERE profile = %s", rounds * 40
    _settled(where)
    before = where.processor_time()
    with psycopg.connect(where.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for _ in range(count):
            connection.execute(script, [PROFILE]).fetchall()
    _settled(where)
    return (where.processor_time() - before) / count


def _settled(where: Database) -> None:
    """Wait until no connection but our own is there: what a process took is counted when it has ended."""
    deadline = time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = %s"
    while where.server.run(query, [where.name]) != [(0,)]:
        if time.monotonic() > deadline:
            raise TimeoutError("connections do not end")
        time.sleep(0.05)


def _told(where: Database, store: PostgresSharedStore, listeners: int, rounds: int) -> Series:
    """From the beginning of a commit until the last of so many connections was told."""
    series = Series()
    with _listening(where, listeners) as connections, selectors.DefaultSelector() as waiting:
        for each in connections:
            waiting.register(each.pgconn.socket, selectors.EVENT_READ, each)
        for _ in range(rounds):
            (seen,) = store.read(PROFILE)
            value, told = where.value(), set[int]()
            began = time.perf_counter()
            store.commit(PROFILE, seen.value.generation, value, holder="first")
            while len(told) < listeners:
                ready = waiting.select(PATIENCE)
                if not ready:
                    raise TimeoutError(f"{len(told)} of {listeners} were told")
                for key, _ in ready:
                    key.data.pgconn.consume_input()
                    if key.data.pgconn.notifies() is not None:
                        told.add(key.fd)
            series.seconds.append(time.perf_counter() - began)
    return series


@contextmanager
def _listening(where: Database, count: int) -> Iterator[list[psycopg.Connection[tuple[object, ...]]]]:
    with ExitStack() as opened:
        connections = [opened.enter_context(psycopg.connect(where.url, autocommit=True)) for _ in range(count)]
        for each in connections:
            each.execute(f'LISTEN "{CHANNEL}"'.encode())
        yield connections


def _memory(where: Database, listeners: int) -> float:
    """Bytes of each listening connection that it shares with no other."""
    with _listening(where, listeners) as connections:
        found = [_private(each.info.backend_pid) for each in connections]
    return sum(found) / len(found)


def _private(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


async def _queries(where: Database, hosts: int) -> list[Figure]:
    """What one refresh costs a fleet: of so many hosts one claims and commits, and all read what they are told."""
    stores = [where.store(f"h{number}") for number in range(hosts)]
    arrived, have_read = Turnstile(hosts), Turnstile(hosts)

    async def read(store: PostgresSharedStore, through: Turnstile) -> None:
        await to_thread.run_sync(store.read, PROFILE)
        through.pass_through()

    async with anyio.create_task_group() as group:
        for store in stores:

            def changed(profile: str | None, store: PostgresSharedStore = store) -> None:
                group.start_soon(read, store, arrived if profile is None else have_read)

            group.start_soon(store.subscribe, changed)
        await arrived.all_passed()
        before = await _counted(where)
        await to_thread.run_sync(_refreshed, where, stores[0])
        await have_read.all_passed()
        after = await _counted(where)
        group.cancel_scope.cancel()
    transactions, connections = (there - here for here, there in zip(before, after, strict=True))
    detail = f"a read, a claim, a commit; the others read where they listen; {transactions} transactions in all"
    return [Figure(f"a refresh of a login of {hosts} hosts: connections", connections, unit="", detail=detail)]


def _refreshed(where: Database, store: PostgresSharedStore) -> None:
    (seen,) = store.read(PROFILE)
    store.claim(seen, holder="h0", seconds=50)
    store.commit(PROFILE, seen.value.generation, where.value(), holder="h0")


class Turnstile:
    """Waits until so many have passed.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._left = count
        self._open = anyio.Event()

    def pass_through(self) -> None:
        """One more."""
        self._left -= 1
        if self._left == 0:
            self._open.set()

    async def all_passed(self) -> None:
        """Wait for the last of them."""
        with anyio.fail_after(PATIENCE):
            await self._open.wait()


async def _counted(where: Database) -> tuple[int, int]:
    """Transactions and connections, once the server knows of all: a process tells when it ends, or in a second."""
    await anyio.sleep(1.5)
    return await to_thread.run_sync(where.counted)
