"""The real PgBouncer in front of a PostgreSQL of the tests, where it is installed.

Rules: it runs as a user of its own where we are root, since it refuses root; it has ended when the context has.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from postgres_server import PATIENCE, SUPERUSER, free_port

_POLL_SECONDS = 0.02  # for a start, which it announces to nobody


@contextmanager
def pgbouncer(server_port: int, mode: Literal["session", "transaction"], *roles: str) -> Iterator[int]:
    """One while the context lasts; its port on loopback.

    Args:
        server_port: where PostgreSQL listens, which trusts everybody.
        mode: how long a client keeps a connection of the server.
        roles: who may use it besides the superuser.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        pytest.skip("NOT TESTED WITH PGBOUNCER: it is not installed (Debian: pgbouncer)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tw-pgb-", dir="/tmp") as made:
        folder = Path(made)
        (folder / "users").write_text("".join(f'"{role}" ""\n' for role in (SUPERUSER, *roles)))
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder / 'users'}\n"
            f"pool_mode = {mode}\nserver_login_retry = 0.1\nlogfile = {folder / 'log'}\n"
        )
        identity = _identity()
        for path in (folder, folder / "users", folder / "ini"):
            if identity:
                os.chown(path, identity["user"], identity["group"])
        process = subprocess.Popen(
            [program, "-q", str(folder / "ini")], cwd="/", stderr=subprocess.DEVNULL, **identity
        )
        try:
            _wait_until_it_answers(process, port, folder / "log")
            yield port
        finally:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{SUPERUSER}", connect_timeout=10).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text() if log.exists() else ""
                raise RuntimeError(f"PgBouncer did not start: {error}; {said[-2000:]}") from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
