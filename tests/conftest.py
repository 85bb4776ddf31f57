"""No test ever sees the home, the settings or the credentials of the person who runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_server import PostgresServer, programs_or_skip

FORGOTTEN = ("ANTHROPIC_", "CLAUDE_", "PG", "TOKENWARD_", "XDG_")
KEPT = frozenset({"TOKENWARD_TEST_CLAUDE", "TOKENWARD_TEST_OIDC_PROVIDER"})


def pytest_configure() -> None:
    """What tests start can be interrupted, though they run in a shell's background, where SIGINT is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test, and an environment without anybody's credentials."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(FORGOTTEN) and name not in KEPT:
            monkeypatch.delenv(name)
    return home


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """What a command run in this process does to its umask ends with its test."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def anyio_backend() -> str:
    """The one event loop that we run on: APScheduler 3 knows no other."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests that leave it running; who stops it makes one of his own."""
    with PostgresServer(programs_or_skip()) as running:
        yield running


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of the test's own, as its owner."""
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop(name)
