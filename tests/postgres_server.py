"""Debian's PostgreSQL, started for the tests alone, and treated as badly as a network and an operator would.

The problem: what many hosts agree about is agreed by the engine, so that a fake of it proves nothing; and what is
promised for the time when it is away can be seen only where it goes away.

Rules:
- It runs as a user of its own (``postgres``, where we are root, since it refuses root), with its data in a
  temporary folder, on a Unix socket and a loopback port that stays the same over its starts.
- It ends with us, however we end: its guard reads a pipe that only we hold, and ends it at the pipe's end.
- No sleeping: a start is over when the server answers, and an end when no process of it holds the standard output.
- Where the data need not survive a power cut (everywhere but where that is tested) nothing is synced; a killed
  server still loses nothing, for the kernel has what it wrote.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from fakes.authority import Issued

PATIENCE = 60.0  # seconds for a start or an end on a machine that is busy with other things
SUPERUSER = "postgres"
PROGRAMS = ("initdb", "postgres")

_POLL_SECONDS = 0.02  # for a start, which the server announces to nobody
_GUARD = '"$@" </dev/null & echo $!; exec >/dev/null; read -r _; kill -QUIT $! 2>/dev/null; wait'  # sh
_THRIFT = {"fsync": "off", "full_page_writes": "off"}
_USUAL = {
    "shared_buffers": "16MB",
    "max_connections": "100",
    "autovacuum_naptime": "5s",
    "log_connections": "off",
    "timezone": "UTC",
}


def programs() -> Path | None:
    """The folder of the newest PostgreSQL of this machine; None without one."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: -float(found.parent.name))
    on_path = [Path(found).resolve().parent for name in PROGRAMS[:1] if (found := shutil.which(name))]
    usable = [each for each in [*debian, *on_path] if all(os.access(each / name, os.X_OK) for name in PROGRAMS)]
    return usable[0] if usable else None


def programs_or_skip() -> Path:
    """As ``programs``; without them the test is skipped, and says so."""
    found = programs()
    if found is None:
        pytest.skip("NOT TESTED WITH POSTGRESQL: it is not installed (Debian: postgresql)")
    if os.geteuid() == 0 and _own_user() is None:
        pytest.skip("NOT TESTED WITH POSTGRESQL: we are root, it refuses root, and there is no user postgres")
    return found


def _own_user() -> pwd.struct_passwd | None:
    """Whom it runs as where we are root."""
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return None


class PostgresServer:
    """A server; use it as a context manager, which makes, starts and ends it.

    Args:
        binaries: the folder of its programs.
        password: the superuser's, asked for by scram-sha-256 of everybody; None = everybody is trusted.
        is_synced: whether it syncs what it writes, as a real one does.
        settings: further lines of its configuration, by name.
        addresses: what it listens on besides its Unix socket.
        proof: its certificate and key: it speaks TLS with whoever wants to, by TCP; None = with nobody.
    """

    def __init__(
        self,
        binaries: Path,
        *,
        password: str | None = None,
        is_synced: bool = False,
        settings: Mapping[str, str] | None = None,
        addresses: Sequence[str] = ("127.0.0.1",),
        proof: Issued | None = None,
    ) -> None:
        self._binaries = binaries
        self._password = password
        self._settings = {**_USUAL, **({} if is_synced else _THRIFT), **(settings or {})}
        self._addresses = addresses
        self._proof = proof
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid = -1
        self._templates: set[str] = set()
        self._made = 0
        self.folder = Path()
        self.port = 0

    # Where it is

    @property
    def pid(self) -> int:
        """The process id of the one that starts all others of it."""
        return self._pid

    @property
    def log(self) -> str:
        """What it has written, over all its starts."""
        written = self.folder / "log"
        return written.read_text(errors="replace") if written.exists() else ""

    def url(
        self,
        database: str = SUPERUSER,
        *,
        user: str = SUPERUSER,
        password: str | None = None,
        address: str | None = "127.0.0.1",
        **parameters: str,
    ) -> str:
        """Where a database is.

        Args:
            database: its name.
            user: who asks; a role of the server's.
            password: the role's; None = the superuser's, if that one asks.
            address: by TCP to this address; None = by the Unix socket.
            parameters: of libpq, put behind the question mark.
        """
        if password is None and user == SUPERUSER:
            password = self._password
        who = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        if address is None:
            parameters = {"host": str(self.folder), "port": str(self.port), **parameters}
        where = f"{address}:{self.port}" if address is not None else ""
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        return f"postgresql://{who}@{where}/{quote(database, safe='')}{'?' * bool(asked)}{asked}"

    # Its databases

    def run(self, statement: str, parameters: Sequence[Any] = (), *, database: str = SUPERUSER) -> list[Any]:
        """Run one statement as the superuser, outside any transaction, and return its rows."""
        with psycopg.connect(self.url(database, address=None), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str | None = None, prepare: Callable[[str], None] | None = None) -> str:
        """Make a database and return its name.

        Args:
            template: the name of a set of tables: made once, copied each time; None = an empty database.
            prepare: makes that set in the database whose URL it is given; it may leave no connection behind.
        """
        if template is not None and template not in self._templates:
            self.run(f'CREATE DATABASE "{template}"')
            if prepare is not None:
                prepare(self.url(template, address=None))
            self._templates.add(template)
        self._made += 1
        name = f"test{self._made}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template1"}"')
        return name

    def drop(self, database: str) -> None:
        """Delete a database, whoever is connected to it."""
        with psycopg.connect(self.url(address=None), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def cut(self, database: str | None = None) -> int:
        """End all connections to one database, or to all, and return how many there were."""
        ended = self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND (%s::text IS NULL OR datname = %s)",
            (database, database),
        )
        return len(ended)

    # Its life

    def make(self) -> None:
        """Make its data, in a new temporary folder that its user may enter."""
        self.folder = Path(tempfile.mkdtemp(prefix="tw-pg-", dir=_enterable()))
        self.port = free_port()
        identity = self._identity()
        if "user" in identity:
            os.chown(self.folder, identity["user"], identity["group"])
        method = "trust" if self._password is None else "scram-sha-256"
        words = ["--username", SUPERUSER, "--auth", method, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        words += ["--no-instructions", "--pgdata", str(self.folder / "data")]
        if self._password is not None:
            written = self.folder / "password"
            written.write_text(self._password)
            words += ["--pwfile", str(written)]
        done = subprocess.run(
            [self._binaries / "initdb", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            check=False,
            **identity,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb: {done.stdout.decode()} {done.stderr.decode()}")
        lines = {
            "listen_addresses": ",".join(self._addresses),
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **self._settings,
        }
        if self._proof is not None:
            lines |= {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
            self._prove(self._proof, identity)
        with (self.folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        with (self.folder / "data" / "pg_hba.conf").open("a") as access:
            access.write(f"host all all samenet {method}\n")

    def _prove(self, proof: Issued, identity: Mapping[str, Any]) -> None:
        for name, content in (("server.crt", proof.certificate), ("server.key", proof.key)):
            written = self.folder / "data" / name
            written.touch(mode=0o600)
            written.write_bytes(content)
            if "user" in identity:
                os.chown(written, identity["user"], identity["group"])

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: if it ends instead, or does neither within `PATIENCE` seconds.
        """
        if self._guard is not None:
            raise RuntimeError("it runs already")
        with (self.folder / "log").open("ab") as log:
            self._guard = guard = subprocess.Popen(
                ["sh", "-c", _GUARD, "guard", self._binaries / "postgres", "-D", self.folder / "data"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                bufsize=0,
                **self._identity(),
            )
        assert guard.stdout is not None
        self._pid = int(guard.stdout.readline())
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.url(address=None), connect_timeout=10).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or self._has_ended(_POLL_SECONDS):
                    self.close()
                    raise RuntimeError(f"PostgreSQL did not start: {error}; {self.log[-2000:]}") from None
            else:
                return

    def stop(self) -> None:
        """Shut it down as an operator does who waits for nobody: every connection ends, and all is on disk."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would; the next start recovers what was committed."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop all processes of it, so that it takes connections and questions and answers none (Linux)."""
        _stop_process(self._pid)  # first, so that it makes no more of them
        for pid in self._children():
            _stop_process(pid)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in [*self._children(), self._pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it if it runs, and leave nothing of it."""
        guard, self._guard = self._guard, None
        if guard is None or guard.stdin is None or guard.stdout is None:
            return
        with suppress(ProcessLookupError, FileNotFoundError):
            self.thaw()
        guard.stdin.close()  # a server that runs still is ended by its guard then
        try:
            guard.wait(PATIENCE)
        finally:
            guard.stdout.close()

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _children(self) -> list[int]:
        tasks = Path(f"/proc/{self._pid}/task/{self._pid}/children")
        return [int(pid) for pid in tasks.read_text().split()]

    def _end(self, number: int) -> None:
        if self._guard is None:
            raise RuntimeError("it does not run")
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)
        if not self._has_ended(PATIENCE):
            raise RuntimeError(f"PostgreSQL does not end; {self.log[-2000:]}")
        self.close()

    def _has_ended(self, patience: float) -> bool:
        """Whether, within so many seconds, the last of its processes has let go of the standard output."""
        assert self._guard is not None
        assert self._guard.stdout is not None
        return bool(select.select([self._guard.stdout], [], [], patience)[0])

    @staticmethod
    def _identity() -> dict[str, Any]:
        """Whose processes these are: a session of their own, so that no key press reaches them."""
        user = _own_user()
        if os.geteuid() != 0 or user is None:
            return {"start_new_session": True}
        return {"start_new_session": True, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _stop_process(pid: int) -> None:
    """Stop a process, and wait until it is stopped: the signal only asks for it."""
    deadline = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGSTOP)
        while (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TZX"
        ):  # one that has ended waits for its parent, which is stopped
            if time.monotonic() > deadline:
                raise RuntimeError(f"process {pid} does not stop")
            time.sleep(_POLL_SECONDS)


def _enterable() -> str:
    """The folder for temporary files, if others may enter it."""
    usual = Path(tempfile.gettempdir()).resolve()
    is_open = all(each.stat().st_mode & 0o001 for each in [usual, *usual.parents])
    return str(usual) if is_open or os.geteuid() != 0 else "/tmp"


def free_port() -> int:
    """A loopback port that nobody listens at."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port
