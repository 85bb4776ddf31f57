"""A short run of the simulation, in which every fault of the script happens: its promises hold."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from benchmarks.simulation import Simulation, Tally, broken
from tokenward.core import health
from tokenward.core.roster import Roster

HOURS = 2.0


@pytest.fixture
def tally() -> Tally:
    """What became of forty agents and six profiles."""
    return Simulation(hours=HOURS).run()


def test_every_promise_is_kept_while_everything_fails(tally: Tally) -> None:
    """No needless wait, no token spent twice or served after its end, no window prolonged; and all was tried."""
    assert broken(tally) == []
    assert set(tally.failures) == {"auth", "billing", "overloaded", "rate_limit"}
    assert "login_required" in {reason for _, _, reason in tally.spans[2]}
    assert min(tally.waits, tally.windows, tally.inside, tally.rotations, tally.refreshes) > 0
    assert tally.served > 0.95 * tally.calls


def test_a_call_that_waits_for_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A roster that lets profiles rest for longer than their health says breaks the first promise."""
    wake = Roster._wake

    def late(self: Roster, rota: Any, agent: str, now: datetime) -> None:
        wake(self, rota, agent, now - timedelta(minutes=5))

    monkeypatch.setattr(Roster, "_wake", late)
    assert "no call waits while somebody could serve" in broken(Simulation(hours=HOURS).run())


def test_a_prolonged_window_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A health that counts failures inside a window breaks the third promise."""
    monkeypatch.setattr(health, "_covering", lambda *_: None)
    assert "no window is prolonged by failures inside it" in broken(Simulation(hours=HOURS).run())
