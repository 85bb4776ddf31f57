"""Every promise of the port holds through the real PgBouncer, which gives each transaction another connection."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
import pytest
from anyio.to_thread import run_sync

from contracts.shared_store import GENEROUS_SECONDS, SharedStoreContract, stored, the_record, value
from fakes.pgbouncer import pgbouncer
from postgres_server import PostgresServer
from stores.test_postgres_shared import ROLE, Rig, subscribed
from tokenward.core.sharing import SharedRecord
from tokenward.ports.sharing import SharedStoreAway


@pytest.fixture(scope="module")
def pooler_port(postgres_server: PostgresServer) -> Iterator[int]:
    """One in transaction mode for all tests here."""
    with pgbouncer(postgres_server.port, "transaction", ROLE) as port:
        yield port


class TestThroughPgBouncer(SharedStoreContract):
    @pytest.fixture
    def rig(self, postgres_server: PostgresServer, pooler_port: int) -> Iterator[Rig]:
        """Members that look often, since nothing is told through it."""
        rig = Rig(postgres_server, port=pooler_port, look_seconds=0.05)
        yield rig
        rig.close()

    def test_when_it_is_away_every_act_says_so_and_changes_nothing(self, rig: Rig) -> None:  # type: ignore[override]
        """It lets its clients wait for a server that is away: our own deadline ends that."""
        seen = stored(rig.store)
        rig.go_away()
        impatient = rig.another(patience=1.0)
        for act in (
            impatient.read,
            lambda: impatient.claim(seen, holder="a", seconds=40),
            lambda: impatient.commit(seen.profile, value(1).generation, value(2), holder="a"),
        ):
            with pytest.raises(SharedStoreAway) as caught:
                act()
            assert caught.value.cause
            assert "\n" not in caught.value.cause
        rig.come_back()
        assert _when_it_is_back(rig) == seen

    @pytest.mark.anyio
    async def test_a_subscriber_learns_that_the_engine_was_away(self, rig: Rig) -> None:  # type: ignore[override]
        """Its own connection is the pooler's and stays; by looking it misses nothing that happens afterwards."""
        await run_sync(stored, rig.store)
        async with subscribed(rig) as told:
            for number in (1, 2):
                await run_sync(rig.go_away)
                await run_sync(rig.come_back)
                await run_sync(_when_it_is_back, rig)
                await run_sync(stored, rig.store, number, f"a:{number}")
                with anyio.fail_after(GENEROUS_SECONDS):
                    while await told.get() != f"a:{number}":
                        pass


def _when_it_is_back(rig: Rig) -> SharedRecord:
    """The record, as soon as the pooler has found out that the server takes connections again."""
    deadline = time.monotonic() + GENEROUS_SECONDS
    while True:
        try:
            return the_record(rig.store)
        except SharedStoreAway:
            assert time.monotonic() < deadline, "the server is back, and nobody is let through"
