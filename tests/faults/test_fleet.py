"""A fleet at its worst: daemons in processes of their own share one login, while everything between them fails."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.fleet import CLIENT, LIFE, Fleet, FleetDatabase
from faults.fleet_storm import Storm, database_faults, host_faults, seeded
from postgres_server import PostgresServer, programs_or_skip
from tokenward.sandbox import Sandbox

HOSTS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that these tests may stop."""
    with PostgresServer(programs_or_skip()) as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> FleetDatabase:
    """A fleet's database on it."""
    return FleetDatabase(server)


@pytest.fixture
def folder() -> Iterator[Path]:
    """For homes; short, as a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="tw") as made:
        yield Path(made)


def test_database_storm(folder, database) -> None:
    seed = 1
    with (
        Sandbox(ttl_seconds=LIFE, client_id=CLIENT) as sandbox,
        Fleet(folder, database, sandbox, hosts=HOSTS) as fleet,
        seeded(seed),
    ):
        storm = Storm(database_faults(fleet), list(fleet.hosts), seed=seed)
        storm.rage(faults=20)
        fleet.goes_on(2)
        counted = fleet.verdict()
        print(
            storm.said(),
            counted,
            fleet.witness.calls,
            fleet.witness.refused,
            len(fleet.witness.lives),
            database.orphans(),
        )


def test_host_storm(folder, database) -> None:
    seed = 1
    with (
        Sandbox(ttl_seconds=LIFE, client_id=CLIENT, reuse_grace=30) as sandbox,
        Fleet(folder, database, sandbox, hosts=HOSTS, reuse_grace=30) as fleet,
        seeded(seed),
    ):
        storm = Storm(host_faults(fleet) | database_faults(fleet), list(fleet.hosts), seed=seed)
        storm.rage(faults=30)
        fleet.goes_on(2)
        counted = fleet.verdict()
        print(
            storm.said(),
            counted,
            fleet.witness.calls,
            fleet.witness.refused,
            len(fleet.witness.lives),
            database.orphans(),
        )
