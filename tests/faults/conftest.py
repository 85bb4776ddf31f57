"""The hooks by which a run becomes the table of docs/reliability.md; see `faults.table`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID
from faults.table import FaultTable
from tokenward.sandbox import Sandbox

_table = FaultTable()
_HOUR = 3600.0
SOAK_SECONDS = 10.0
"""With every change; an hour by hand."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that has the table written."""
    parser.addoption(
        "--fault-table", type=Path, default=None, help="write the results of the fault tests into this document"
    )
    parser.addoption(
        "--soak-seconds", type=float, default=SOAK_SECONDS, help="how long each soak lasts (default: %(default)g)"
    )
    parser.addoption(
        "--fleet-seconds",
        type=float,
        default=0.0,
        help="how long each test of a fleet lasts, with twelve hosts (default: a few faults, with three)",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where a table is to be written, every fault test has its line."""
    if session.config.getoption("--fault-table", default=None) is not None:
        _table.collect(session.items)


def pytest_configure(config: pytest.Config) -> None:
    """Hear of the results of all tests."""
    config.pluginmanager.register(_table)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write, if asked to."""
    document = session.config.getoption("--fault-table", default=None)
    if document is not None:
        _table.write(document)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An authorization server that rotates and takes every reuse for a theft."""
    with Sandbox(client_id=CLIENT_ID, ttl_seconds=_HOUR) as running:
        yield running
