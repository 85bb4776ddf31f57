"""The one module that speaks to PostgreSQL: connections with deadlines, and its errors in one line.

The problem: a driver waits as long as the network does, and what it says when it fails may hold what it was given,
the password included.

Rules:
- One act is one connection: made, asked once, closed. Nothing is kept between acts, so that nothing is held while
  a token endpoint is asked, a pooler in transaction mode works, and idle hosts cost the server no more than a
  listener.
- Every act has one deadline for all of it, kept here by the monotonic clock, and by the server
  (``statement_timeout``) so that it does not go on without us. The resolver of host names alone keeps its own.
- An act is one script in one transaction and one round trip, in READ COMMITTED, and durable when it answers: a
  ``synchronous_commit`` below ``on`` is raised.
- What the driver or the server says goes out as one line, without control characters, and with every password
  masked.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import anyio
import psycopg
from anyio.to_thread import run_sync
from psycopg import conninfo, errors
from psycopg.abc import PQGen

from tokenward.core.credential import Secret
from tokenward.core.redact import printable
from tokenward.errors import ConfigurationFault
from tokenward.ports.sharing import SharedStoreAway
from tokenward.stores.postgres.authorities import system_authorities

Row: TypeAlias = tuple[Any, ...]
Parameters: TypeAlias = Mapping[str, object]
_Result = TypeVar("_Result")

PATIENCE_SECONDS = 8.0
"""One act, connecting included; a database that takes longer is as good as away."""
LARGEST_CAUSE = 300
"""Characters of what a server says."""
logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of connections that we close in the middle
URL_HINT = "write postgresql://ROLE@HOST:PORT/DATABASE, and the password into ~/.pgpass (mode 0600)"

_BEGIN = """BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT set_config('statement_timeout', {timeout}, true), set_config('lock_timeout', '0', true),
    set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local',
    'remote_write') THEN 'on' ELSE current_setting('synchronous_commit') END, true);
"""
_UNCUT = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A connection that only listens finds out within a minute that the network was cut."""
_MASKED = ("password", "sslpassword", "oauth_client_secret")


class _TimedConnection(psycopg.Connection[Row]):
    """A connection that waits for nothing beyond its deadline."""

    deadline = math.inf

    def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        left = self.deadline - time.monotonic()
        if math.isfinite(left):
            timeout = max(0.0, left if timeout is None else min(timeout, left))
        return super().wait(gen, interval, timeout)


class Wire:
    """One database, as one role.

    Args:
        url: a connection URI of libpq; what it leaves out comes from where libpq looks (``PGPASSFILE``, a
            service).
        role: as whom, instead of the URL's role, and then without the URL's password.
        patience: seconds an act may take in all.

    Raises:
        ConfigurationFault: if it is not one.
    """

    def __init__(self, url: Secret, *, role: str | None = None, patience: float = PATIENCE_SECONDS) -> None:
        text = url.reveal()
        try:
            if not text.startswith(("postgresql://", "postgres://")):
                raise errors.ProgrammingError("not a URI")
            self._said = conninfo.conninfo_to_dict(text)
        except psycopg.Error:
            raise ConfigurationFault("[store] shared is not the URL of a PostgreSQL", hint=URL_HINT) from None
        if role is not None:
            self._said = {name: said for name, said in self._said.items() if name != "password"} | {"user": role}
        self._patience = patience
        self.role = str(self._said.get("user") or "")
        self.database = str(self._said.get("dbname") or self.role)
        self.description = self._described()

    def run(self, script: str, parameters: Parameters) -> list[list[Row]]:
        """Run statements in one transaction; the rows of each that has some, in order.

        Raises:
            SharedStoreAway: if it did not answer in time, or refused. It may or may not have happened.
        """
        deadline = time.monotonic() + self._patience
        try:
            connection = _TimedConnection.connect(
                autocommit=True, cursor_factory=psycopg.ClientCursor, **self._options()
            )
            connection.deadline = deadline
            try:
                return _all_rows(connection.execute(self.framed(script), parameters))
            finally:
                connection.close()
        except psycopg.Error as error:
            raise self._away(error, is_late=time.monotonic() >= deadline) from None

    def transact(self, act: Callable[[Session], _Result], *, patience: float) -> _Result:
        """Do something of several steps in one transaction; for what a person waits for.

        Args:
            act: does it; what it raises rolls back.
            patience: seconds for all of it.

        Raises:
            SharedStoreAway: as ``run``.
        """
        deadline = time.monotonic() + patience
        try:
            connection = _TimedConnection.connect(**self._options())
            connection.deadline = deadline
            with connection:
                return act(Session(connection))
        except psycopg.Error as error:
            raise self._away(error, is_late=time.monotonic() >= deadline) from None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listening]:
        """A connection that can be told of what happens, while the context lasts.

        Raises:
            SharedStoreAway: if it cannot be had, or, inside the context, is lost.
        """
        try:
            with anyio.fail_after(self._patience):
                connection = await psycopg.AsyncConnection.connect(autocommit=True, **self._options())
            try:
                yield Listening(connection, self)
            finally:
                await connection.close()
        except (psycopg.Error, TimeoutError) as error:
            raise self._away(error, is_late=isinstance(error, TimeoutError)) from None

    @property
    def patience(self) -> float:
        """Seconds an act may take."""
        return self._patience

    @property
    def is_verified(self) -> bool:
        """Whether whoever answers must prove that he is the server, or cannot be anybody else."""
        hosts = str(self._said.get("host") or "").split(",")
        if all(not host or host.startswith(("/", "127.")) or host in {"localhost", "::1"} for host in hosts):
            return True
        verifies = self._said.get("sslmode") in {"verify-ca", "verify-full"}
        return verifies or self._said.get("sslrootcert") == "system"

    def framed(self, script: str) -> bytes:
        """A script as one transaction with our settings."""
        return (_BEGIN.format(timeout=f"'{max(1, int(self._patience * 1000))}'") + script + ";\nCOMMIT").encode()

    def _options(self) -> dict[str, Any]:
        given = {
            "connect_timeout": max(2, math.ceil(self._patience / 2)),
            "application_name": "tokenward",
            **_UNCUT,
        }
        return {**given, "tcp_user_timeout": 30_000, **self._said, **system_authorities(self._said)}

    def _described(self) -> str:
        host, port = self._said.get("host"), self._said.get("port")
        where = str(host or "") + (f":{port}" if port else "")
        return printable(f"postgresql://{self.role + '@' if self.role else ''}{where}/{self.database}")

    def _away(self, error: psycopg.Error | TimeoutError, *, is_late: bool) -> SharedStoreAway:
        if is_late or isinstance(error, errors.QueryCanceled):
            cause = f"did not answer within {self._patience:g} s"
        else:
            cause = self._one_line(str(error))
        return SharedStoreAway(f"{self.description}: {cause}", hint=_way_out(error, cause, self.role))

    def _one_line(self, text: str) -> str:
        first = next((line for line in text.splitlines() if line.strip()), "it failed")
        for name in _MASKED:
            if secret := str(self._said.get(name) or ""):
                first = first.replace(secret, "***").replace(quote(secret, safe=""), "***")
        said = first.rpartition("failed: ")[2].removeprefix("connection is bad: ")
        for severity in ("FATAL:", "ERROR:"):
            said = said.strip().removeprefix(severity)
        return printable(said.strip())[:LARGEST_CAUSE] or "it failed"


class Session:
    """A transaction that is open while its ``transact`` lasts."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def run(self, script: str, parameters: Parameters | None = None) -> list[Row]:
        """Run a statement, or several without parameters; the rows of the last."""
        cursor = self._connection.execute(script.encode(), parameters)
        return cursor.fetchall() if cursor.description is not None else []


class Listening:
    """A connection that is told of what happens."""

    def __init__(self, connection: psycopg.AsyncConnection[Row], wire: Wire) -> None:
        self._connection = connection
        self._wire = wire

    async def run(self, script: str, parameters: Parameters) -> list[list[Row]]:
        """As ``Wire.run``, on this connection."""
        with anyio.fail_after(self._wire.patience):
            cursor = psycopg.AsyncClientCursor(self._connection)
            await cursor.execute(self._wire.framed(script), parameters)
            return await _all_rows_async(cursor)

    async def is_pooled(self) -> bool:
        """Whether something that is not the server answers us: the number of our process is not the server's."""
        with anyio.fail_after(self._wire.patience):
            row = await (await self._connection.execute("SELECT pg_backend_pid()")).fetchone()
        return row is None or row[0] != self._connection.info.backend_pid

    async def listen(self, channel: str) -> None:
        """Be told of a channel from here on."""
        with anyio.fail_after(self._wire.patience):
            await self._connection.execute(f'LISTEN "{channel}"'.encode())

    async def hears(self, channel: str, *, within: float) -> bool:
        """Whether what is told on a channel of our own arrives while we wait.

        It is told on another connection: a pooler lets pass what comes while our own transaction is answered.

        Args:
            channel: a name that nobody else has.
            within: seconds.
        """
        await self.listen(channel)
        await run_sync(self._wire.run, f'NOTIFY "{channel}"', {})
        heard = False
        async for notice in self._connection.notifies(timeout=within, stop_after=1):
            heard = heard or notice.channel == channel
        return heard

    async def told(self, *, within: float) -> Sequence[str]:
        """What was told, as soon as there is something; empty after so many seconds."""
        return [notice.payload async for notice in self._connection.notifies(timeout=within, stop_after=1)]


def _all_rows(cursor: psycopg.Cursor[Row]) -> list[list[Row]]:
    found = []
    while True:
        if cursor.description is not None:
            found.append(cursor.fetchall())
        if not cursor.nextset():
            return found[1:]  # the first is that of the settings


async def _all_rows_async(cursor: psycopg.AsyncCursor[Row]) -> list[list[Row]]:
    found = []
    while True:
        if cursor.description is not None:
            found.append(await cursor.fetchall())
        if not cursor.nextset():
            return found[1:]


def _way_out(error: BaseException, cause: str, role: str) -> str:
    """What a person can do; from the error's class where the server gave one, else from what it says."""
    match error:
        case errors.UndefinedTable() | errors.InvalidSchemaName() | errors.UndefinedColumn():
            return "make its tables as their owner: tokenward fleet init"
        case errors.InsufficientPrivilege():
            return f"give the role what it needs, as the tables' owner: tokenward fleet init --role {role}"
        case errors.ForeignKeyViolation():
            return "the fleet does not know the key: tokenward fleet status"
        case errors.ReadOnlySqlTransaction():
            return "that is a standby: name the primary, or add target_session_attrs=read-write to the URL"
    words = cause.lower()
    if "password" in words or "authentication" in words or "pg_hba" in words:
        return "check role and password: ~/.pgpass (mode 0600), PGPASSFILE, and the server's pg_hba.conf"
    if "certificate" in words or "ssl" in words:
        return _way_to_trust(words)
    if "does not exist" in words:
        return "check the names in [store] shared, or create them at the server"
    if "invalid" in words:
        return URL_HINT
    return "see that the server runs and can be reached from here; what is still valid is served meanwhile"


def _way_to_trust(words: str) -> str:
    if "does not match host name" in words:
        return "name the host in [store] shared as its certificate does; hostaddr=ADDRESS says where it is"
    if "certificate verify failed" in words or "root certificate file" in words:
        return "add the server's CA to [store] shared: sslrootcert=FILE, or for a public one sslrootcert=system"
    return "check sslmode and sslrootcert in [store] shared"
