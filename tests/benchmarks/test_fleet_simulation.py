"""The simulation of a fleet's database counts what it says, and notices a herd that is not spread."""

from __future__ import annotations

import math

import pytest

from benchmarks import fleet_simulation
from benchmarks.fleet import Costs
from benchmarks.fleet_simulation import herd, load, picture, table

MEASURED = Costs(act=0.0095, pooled_act=0.0001, told=0.0001, connection=1.2 * 1024 * 1024)


def test_every_host_comes_back() -> None:
    """A server that has time for all lets each in at its first attempt, within the longest wait."""
    calm = herd(1000, MEASURED)
    assert calm.attempts == 1000
    assert calm.half < calm.last < 61


def test_a_server_that_is_overrun_refuses_and_they_come_again() -> None:
    """More hosts than it serves in the longest wait: some try more than once, and all are back in the end."""
    overrun = herd(1000, MEASURED, processors=0.2)
    assert overrun.attempts > 1000
    assert herd(1000, MEASURED).last < overrun.last < math.inf
    assert herd(1000, MEASURED, processors=0.05).last == math.inf


def test_hosts_that_do_not_wait_are_a_herd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the follower's jitter all of them are there in the first second."""
    spread = herd(1000, MEASURED).most
    monkeypatch.setattr(fleet_simulation, "wait_before", lambda *_: 0.5)
    assert herd(1000, MEASURED).most >= 1000 > 10 * spread


def test_more_hosts_ask_more() -> None:
    """Of everything that is told; and table and picture have a place for each."""
    few, many = load(10, MEASURED), load(1000, MEASURED)
    assert few.memory < many.memory
    assert few.acts < many.acts < many.looks
    assert few.told < many.told
    assert table([few, many], MEASURED).count("\n") == 4
    assert "questions a second, by looking" in picture([few, many])
