"""A fleet at its worst: daemons in processes of their own share one login, while everything between them fails.

`pytest tests/faults/test_fleet.py --fleet-seconds 60` for twelve hosts, and a minute of each; with every change
there are three, and a storm ends when each of its faults has happened once.

Rule: nothing here depends on how fast the machine is. What is judged is the server's word: no refresh token was
spent twice, and no token was handed out after its end. That the login lives on is waited for, as a count.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.fleet import CLIENT, LEASE, Fleet, FleetDatabase
from faults.fleet_storm import HOST, ISLAND, Fault, Storm, database_faults, host_faults, network_faults, seeded
from faults.islands import Island, why_there_are_none
from postgres_server import PostgresServer, programs_or_skip
from tokenward.sandbox import HOLD_AFTER, Sandbox

FEW, MANY = 3, 12
"""Hosts, with every change and by hand."""
SHORT_LIFE, LIFE = 3.0, 5.0
"""Seconds an access token lives."""
GRACE = 30.0
"""Seconds in which the server takes a spent refresh token for a lost answer."""
SEED = 20261121
ISLANDS = 2

pytestmark = pytest.mark.timeout(0)

Record = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """A fleet, what may be cut, and how long it is tried.

    Args:
        fleet: it runs.
        islands: where two thirds of its hosts are; empty where there can be none.
        seconds: how long each storm is; 0 = until each fault has happened once.
    """

    fleet: Fleet
    islands: Mapping[str, Island]
    seconds: float

    def storm(self, faults: Mapping[str, Fault], record: Record) -> None:
        """Let them happen, and see the login live on afterwards, on every host."""
        before = self.fleet.sandbox.statistics()
        targets = {HOST: list(self.fleet.hosts), ISLAND: list(self.islands)}
        storm = Storm(faults, targets, seed=SEED)
        with seeded(SEED):
            storm.rage(faults=0 if self.seconds else len(faults), seconds=self.seconds)
            self.fleet.goes_on(1)
            self.fleet.verdict()
        record("figure", f"{self.fleet.figures(before)}; {storm.said()}")


def staged(request: pytest.FixtureRequest, *, reuse_grace: float, islands: Sequence[Island]) -> Iterator[Stage]:
    """A fleet whose hosts take turns in being on our side of the network and on the islands."""
    seconds: float = request.config.getoption("--fleet-seconds")
    hosts, life = (MANY, LIFE) if seconds else (FEW, SHORT_LIFE)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tw")))  # a socket's path is short
        sandbox = opened.enter_context(Sandbox(ttl_seconds=life, client_id=CLIENT, reuse_grace=reuse_grace))
        addresses = ["127.0.0.1", *(island.database_address for island in islands)]
        server = opened.enter_context(PostgresServer(programs_or_skip(), addresses=addresses))
        endpoints = [sandbox.token_endpoint, *(island.reach(sandbox.token_endpoint) for island in islands)]
        wrappers: list[list[str]] = [[], *(island.wrapper for island in islands)]
        sides = [number % len(addresses) for number in range(hosts)]
        fleet = Fleet(
            folder,
            FleetDatabase(server),
            sandbox,
            hosts=hosts,
            reuse_grace=reuse_grace or None,
            wrappers=[wrappers[side] for side in sides],
            addresses=[addresses[side] for side in sides],
            endpoints=[endpoints[side] for side in sides],
        )
        named = {f"island{number}": island for number, island in enumerate(islands)}
        yield Stage(opened.enter_context(fleet), named, seconds)


class TestAtAServerThatForgivesNothing:
    """It takes every refresh token that comes back for a theft, and ends the login."""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, request: pytest.FixtureRequest) -> Iterator[Stage]:
        """A fleet without a grace."""
        yield from staged(request, reuse_grace=0.0, islands=())

    @pytest.mark.fault(
        "fleet-calm",
        "hosts that share one login in PostgreSQL, all asked for it without a pause",
        "one refresh a life, whoever does it; no host hands out an expired token",
    )
    def test_one_refresh_a_life(self, stage: Stage, record_property: Record) -> None:
        """As many requests as lives, while every host serves each of them."""
        began, fleet = time.monotonic(), stage.fleet
        before, lives = fleet.verdict(), len(fleet.witness.lives)
        fleet.goes_on(1)
        while time.monotonic() - began < stage.seconds:
            fleet.goes_on(1)
        counted = fleet.verdict()
        assert counted.refreshes_granted - before.refreshes_granted == len(fleet.witness.lives) - lives
        assert all(len(hosts) == len(fleet.hosts) for hosts in list(fleet.witness.lives.values())[lives - 1 : -1])
        assert fleet.database.orphans() == 0
        record_property("figure", fleet.figures(before))

    @pytest.mark.fault(
        "fleet-database",
        "the database of a fleet is restarted, crashes, does not answer and cuts connections, at random moments",
        "no refresh token is spent twice, also if what the server answered could not be stored until it had ended "
        "and the lease had lapsed; all hosts go on",
    )
    def test_a_database_that_fails(self, stage: Stage, record_property: Record) -> None:
        """The host that has the answer and cannot store it is waited for; nobody asks the server again."""
        fleet, server = stage.fleet, stage.fleet.database.server
        before = fleet.verdict()
        fleet.sandbox.faults.next("token", HOLD_AFTER)
        assert fleet.sandbox.faults.wait_held()
        server.stop()
        fleet.sandbox.faults.release()
        fleet.witness.wait_until_unserved(list(fleet.hosts))
        time.sleep(LEASE)  # the fault is that it is away for longer
        server.start()
        fleet.goes_on(1)
        fleet.verdict()
        record_property("figure", f"away for a lease and a life: {fleet.figures(before)}")
        if stage.seconds:
            stage.storm(database_faults(fleet), record_property)


class TestAtAServerThatForgivesALostAnswer:
    """Within its grace it gives the same answer again: what a host took with it into its death is had again."""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, request: pytest.FixtureRequest) -> Iterator[Stage]:
        """A fleet with a grace, two thirds of it on islands."""
        with ExitStack() as opened:
            possible = why_there_are_none() is None
            islands = [opened.enter_context(Island(number)) for number in range(ISLANDS * possible)]
            yield from staged(request, reuse_grace=GRACE, islands=islands)

    @pytest.mark.fault(
        "fleet-holder-killed",
        "the host that holds the lease is killed when the server has rotated and before it was answered",
        "another host waits for the lease to lapse, has the answer again within the server's grace, and all go "
        "on; without a grace a person must log in, which no client can prevent",
    )
    def test_a_holder_that_dies_with_the_answer(self, stage: Stage, record_property: Record) -> None:
        """The one case that only the server can mend: it is counted, and mended."""
        fleet, before = stage.fleet, stage.fleet.verdict()
        fleet.sandbox.faults.next("token", HOLD_AFTER)
        holder = fleet.host_with_the_lease()
        assert fleet.sandbox.faults.wait_held()
        fleet.hosts[holder].kill()
        fleet.sandbox.faults.release()
        fleet.goes_on(1, without=holder)
        fleet.hosts[holder].start()
        fleet.goes_on(1)
        counted = fleet.verdict()
        assert counted.grace_replays - before.grace_replays == 1
        record_property("figure", fleet.figures(before))

    @pytest.mark.fault(
        "fleet-storm",
        "daemons are killed, and stopped for longer than a lease, the database fails, and hosts in two network "
        "namespaces are cut off from everything or from the database alone, at random moments",
        "as above; who is cut off serves what is valid still and refreshes nothing, and what a killed host had "
        "not stored is had again within the server's grace",
    )
    def test_a_storm(self, stage: Stage, record_property: Record) -> None:
        """Several at a time, and connections that stay open and say nothing."""
        faults = host_faults(stage.fleet) | database_faults(stage.fleet) | network_faults(stage.islands)
        stage.storm(faults, record_property)
        if not stage.islands:
            pytest.skip(f"{why_there_are_none()}: the storm held, but NO NETWORK THAT IS CUT IS TESTED")
