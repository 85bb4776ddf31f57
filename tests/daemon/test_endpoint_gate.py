"""The gate before a token endpoint: four at once, the most urgent first, and failures hold everybody back."""

from __future__ import annotations

import anyio
import pytest

from daemon.keeping import turns
from fakes.machine import CountingEntropy, FakeClock
from tokenward.daemon.endpoint_gate import IN_FLIGHT, EndpointGate


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> EndpointGate:
    """A gate under test."""
    return EndpointGate(clock, CountingEntropy())


class Visitors:
    """Tasks that pass the gate, and stay inside until they are let out."""

    def __init__(self, gate: EndpointGate) -> None:
        self._gate = gate
        self.inside: list[str] = []
        self.passed: list[str] = []
        self._out: dict[str, anyio.Event] = {}

    async def visit(self, name: str, urgency: float = 0.0) -> None:
        """Go in, stay, go out."""
        out = self._out[name] = anyio.Event()
        async with self._gate.slot(urgency):
            self.inside.append(name)
            self.passed.append(name)
            await out.wait()
            self.inside.remove(name)

    async def let_out(self, name: str) -> None:
        """Let one go, and the next come in."""
        self._out[name].set()
        await turns()


async def test_four_at_once(gate: EndpointGate) -> None:
    """The fifth waits until one of them has left."""
    visitors = Visitors(gate)
    async with anyio.create_task_group() as group:
        for number in range(IN_FLIGHT + 2):
            group.start_soon(visitors.visit, str(number))
        await turns()
        assert visitors.inside == ["0", "1", "2", "3"]
        await visitors.let_out("2")
        assert visitors.inside == ["0", "1", "3", "4"]
        group.cancel_scope.cancel()


async def test_the_most_urgent_goes_first(gate: EndpointGate) -> None:
    """Least life left first, and of equals who came first."""
    visitors = Visitors(gate)
    async with anyio.create_task_group() as group:
        for number in range(IN_FLIGHT):
            group.start_soon(visitors.visit, str(number))
        await turns()
        for name, urgency in (("late", 80.0), ("first equal", 5.0), ("second equal", 5.0), ("expired", -3.0)):
            group.start_soon(visitors.visit, name, urgency)
        await turns()
        for name in ("0", "1", "2", "3"):
            await visitors.let_out(name)
        assert visitors.passed[IN_FLIGHT:] == ["expired", "first equal", "second equal", "late"]
        group.cancel_scope.cancel()


@pytest.mark.parametrize("moment", ["waiting", "called", "called too late", "inside"])
async def test_a_place_is_never_lost_with_a_cancelled_visitor(moment: str, gate: EndpointGate) -> None:
    """Cancelled in the queue, in the very turn in which it is called in, or inside: four places remain."""
    visitors = Visitors(gate)
    async with anyio.create_task_group() as group:
        for number in range(IN_FLIGHT):
            group.start_soon(visitors.visit, str(number))
        await turns()
        quitter = anyio.CancelScope()

        async def quit_later() -> None:
            with quitter:
                await visitors.visit("quitter")

        group.start_soon(quit_later)
        await turns()
        if moment == "waiting":
            quitter.cancel()
            await turns()
        elif moment != "inside":
            for step in (gate._leave, quitter.cancel)[:: 1 if moment == "called" else -1]:
                step()
            await turns()
            gate._free -= 1  # the place that nobody left, above
        else:
            await visitors.let_out("0")
            quitter.cancel()
            await turns()
            group.start_soon(visitors.visit, "0")
            await turns()
        for number in range(IN_FLIGHT):
            await visitors.let_out(str(number))
        for number in range(IN_FLIGHT + 1):
            group.start_soon(visitors.visit, f"next {number}")
        await turns()
        assert len([name for name in visitors.inside if name.startswith("next")]) == IN_FLIGHT
        group.cancel_scope.cancel()


def test_failures_close_it_for_longer_and_longer(gate: EndpointGate, clock: FakeClock) -> None:
    """5 s doubling to 5 min, halved by this entropy; a success opens it and forgets."""
    assert gate.closed_for() == 0
    closed = []
    for _ in range(9):
        gate.failed(None)
        closed.append(gate.closed_for())
        clock.advance(gate.closed_for())
        assert gate.closed_for() == 0
    assert closed == [2.5, 5, 10, 20, 40, 80, 150, 150, 150]
    gate.failed(None)
    gate.succeeded()
    assert gate.closed_for() == 0
    gate.failed(None)
    assert gate.closed_for() == 2.5


def test_the_servers_word_is_obeyed_up_to_an_hour(gate: EndpointGate) -> None:
    """And a later, smaller one does not open it earlier."""
    gate.failed(100)
    assert gate.closed_for() == 100
    gate.failed(7)
    assert gate.closed_for() == 100
    gate.failed(1e9)
    assert gate.closed_for() == 3600


def test_a_suspend_counts_as_waiting(gate: EndpointGate, clock: FakeClock) -> None:
    """The boot clock runs on in suspend, and steps of the wall clock change nothing."""
    gate.failed(100)
    clock.step(-86_400)
    assert gate.closed_for() == 100
    clock.suspend(99)
    assert gate.closed_for() == 1


async def test_what_ends_first_goes_first_however_long_it_has_waited(gate: EndpointGate, clock: FakeClock) -> None:
    """Life left is counted from when each came: one that waits does not fall behind those that come later."""
    visitors = Visitors(gate)
    async with anyio.create_task_group() as group:
        for number in range(IN_FLIGHT):
            group.start_soon(visitors.visit, str(number))
        await turns()
        group.start_soon(visitors.visit, "ends in 90", 90.0)
        await turns()
        clock.advance(50.0)
        group.start_soon(visitors.visit, "ends in 135", 85.0)
        await turns()
        await visitors.let_out("0")
        assert visitors.passed[-1] == "ends in 90"
        group.cancel_scope.cancel()
