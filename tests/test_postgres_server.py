"""The PostgreSQL of the tests: what it does to others it must really do, or what is shown with it is nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from postgres_server import PATIENCE, PostgresServer, programs_or_skip


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """A server that asks for passwords, for this module to ill-treat."""
    with PostgresServer(
        programs_or_skip(), password="a password: / @", settings={"max_connections": "20"}
    ) as running:
        yield running


class TestDatabases:
    def test_each_test_has_one_of_its_own(self, postgres_server: PostgresServer) -> None:
        """What a template was prepared with is in every copy of it, and what one copy gets is in no other."""

        def prepare(url: str) -> None:
            with psycopg.connect(url) as connection:
                connection.execute("CREATE TABLE kept (word text)")

        one, other = (postgres_server.new_database("kept words", prepare) for _ in range(2))
        postgres_server.run("INSERT INTO kept VALUES (%s)", ["mine"], database=one)
        assert postgres_server.run("SELECT word FROM kept", database=one) == [("mine",)]
        assert postgres_server.run("SELECT word FROM kept", database=other) == []
        postgres_server.drop(one)
        postgres_server.drop(other)

    def test_it_is_reached_as_a_user_would(self, postgres_server: PostgresServer, postgres_database: str) -> None:
        """By TCP on loopback, and by a Unix socket."""
        for url in (postgres_database, postgres_server.url(address=None)):
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)


class TestLife:
    def test_it_asks_for_passwords(self, guarded: PostgresServer) -> None:
        """Where it has a password, nobody gets in without."""
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(guarded.url(password="another"))
        assert guarded.run("SHOW max_connections") == [("20",)]

    def test_connections_are_cut(self, guarded: PostgresServer) -> None:
        """All of one database end, and nobody else's."""
        database = guarded.new_database()
        with psycopg.connect(guarded.url(database)) as cut, psycopg.connect(guarded.url()) as spared:
            assert guarded.cut(database) == 1
            with pytest.raises(psycopg.OperationalError):
                cut.execute("SELECT 1")
            assert spared.execute("SELECT 1").fetchone() == (1,)

    @pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.kill], ids=["stopped", "killed"])
    def test_it_comes_back_with_what_was_committed(self, guarded: PostgresServer, end: object) -> None:
        """Where it was, at the same port; while it is away nobody gets in, and open connections are dead."""
        assert callable(end)
        guarded.run("CREATE TABLE IF NOT EXISTS lasting (word text)")
        before = guarded.run("SELECT count(*) FROM lasting")[0][0]
        guarded.run("INSERT INTO lasting VALUES ('kept')")
        with psycopg.connect(guarded.url()) as open_then:
            end(guarded)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(guarded.url())
            guarded.start()
            with pytest.raises(psycopg.OperationalError):
                open_then.execute("SELECT 1")
        assert guarded.run("SELECT count(*) FROM lasting") == [(before + 1,)]

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_frozen_it_takes_questions_and_answers_none(self, guarded: PostgresServer) -> None:
        """Neither old nor new connections hear anything, until it goes on; then both do."""
        with psycopg.connect(guarded.url(), autocommit=True) as connection:
            guarded.freeze()
            connection.pgconn.send_query(b"SELECT 1")
            states = [
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                for pid in [guarded.pid, connection.info.backend_pid]
            ]
            guarded.thaw()
            assert states == ["T", "T"]
            while connection.pgconn.get_result() is not None:
                pass
        assert guarded.run("SELECT 1") == [(1,)]

    def test_it_does_not_outlive_a_killed_test_run(self, tmp_path: Path) -> None:
        """Whoever started it is killed, and it ends too: the last to hold the run's pipe lets go of it."""
        programs_or_skip()
        code = (
            "import sys; sys.path[:0] = sys.argv[1:]\n"
            "from postgres_server import PostgresServer, programs\n"
            "server = PostgresServer(programs())\n"
            "server.make(); server.start()\n"
            "print(server.pid, server.folder, flush=True)\n"
            "sys.stdin.read()"
        )
        folder = Path()
        with subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as run:
            assert run.stdout is not None
            pid, named = run.stdout.readline().split()
            folder = Path(named.decode())
            run.send_signal(signal.SIGKILL)
            run.wait()
        lock = folder / "data" / "postmaster.pid"
        deadline = time.monotonic() + PATIENCE
        while lock.exists():
            assert time.monotonic() < deadline, f"{pid.decode()} still runs"
            time.sleep(0.02)
        shutil.rmtree(folder)
