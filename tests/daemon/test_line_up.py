"""Uses are noted on the roster, and come to the state when it is written or the profile goes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.warding import Warding, warding
from tokenward.daemon.routing_state import MAX_ENTRIES, RoutingState, Section
from tokenward.daemon.state_flush import FLUSH_SECONDS, StateFlush
from tokenward.daemon.token_models import TokenParams

A, B, C = "acme:a", "acme:b", "acme:c"


class Home:
    """Three logins, and a state that is written when it is time.

    Args:
        warding: who answers.
    """

    def __init__(self, warding: Warding) -> None:
        self.warding = warding
        self.state: RoutingState = warding.ward.household.routing
        self.spawned: list[Any] = []
        self.flush = StateFlush(
            self.state,
            clock=warding.clock,
            alarm=warding.alarm,
            spawn=self.spawned.append,
            writing=anyio.CapacityLimiter(1),
        )

    def ask(self, profile: str | None = None) -> str:
        """Who is served."""
        answer = self.warding.lane.ask(TokenParams(provider="acme", profile=profile))
        assert answer is not None
        return str(answer["profile"])

    def noted(self) -> Mapping[str, float]:
        """The last uses that the state knows."""
        return self.state.section(Section.LAST_USED)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and the writes that it starts end."""
        self.warding.alarm.advance(seconds)
        spawned, self.spawned[:] = list(self.spawned), []
        for each in spawned:
            await each()

    def on_disk(self) -> dict[str, Any]:
        """What the file says of last uses."""
        if not self.state.path.exists():
            return {}
        document: dict[str, dict[str, Any]] = json.loads(self.state.path.read_bytes())
        return document.get("last_used", {})


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """Everybody is kept."""
    async with warding(tmp_path) as made:
        for key in (A, B, C):
            made.log_in(key)
        await made.fill()
        yield Home(made)


async def test_any_number_of_uses_is_one_note_and_one_write(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds after the first of them; the order in which they were used is kept."""
    put: list[list[str]] = []
    put_all = home.state.put_all

    def counted(section: Section, entries: Mapping[str, Any]) -> None:
        put.append(list(entries))
        put_all(section, entries)

    monkeypatch.setattr(home.state, "put_all", counted)
    for _ in range(31):
        home.ask()
    assert put == []
    await home.pass_time(FLUSH_SECONDS)
    assert put == [[B, C, A]]
    assert home.on_disk() == home.noted()
    assert list(home.on_disk()) == [B, C, A]
    await home.pass_time(FLUSH_SECONDS)
    assert len(put) == 1
    home.ask()
    await home.pass_time(FLUSH_SECONDS)
    assert put == [[B, C, A], [B]]


async def test_a_decision_between_does_not_hide_a_use(home: Home) -> None:
    """The file was written meanwhile, without it; it is written again."""
    home.ask(A)
    home.state.set_disabled("acme:other", disabled=True)
    assert home.on_disk() == {}
    await home.pass_time(FLUSH_SECONDS)
    assert list(home.on_disk()) == [A]


async def test_a_stop_writes_the_last_uses(home: Home) -> None:
    """Before their alarm has rung."""
    home.ask(B)
    await home.flush.flush()
    assert list(home.on_disk()) == [B]


async def test_the_use_of_one_that_is_kept_anew_is_not_forgotten(home: Home) -> None:
    """Its keeper is replaced before the state was written: its turn has been."""
    assert home.ask() == A
    used = home.warding.ward.line.last_used(A)
    await home.warding.ward.keep([home.warding.of_store(key) for key in (B, C)])
    assert A not in home.warding.ward.keepers
    assert home.warding.ward.line.last_used(A) == used
    await home.warding.fill()
    assert home.warding.ward.line.last_used(A) == used
    assert [home.ask() for _ in range(3)] == [B, C, A]


async def test_a_namesake_of_one_that_was_forgotten_begins_anew(home: Home) -> None:
    """Its use, not written yet, goes with it."""
    assert home.ask() == A
    await home.warding.ward.forget(A)
    assert A not in home.noted()
    home.warding.log_in(A)
    await home.warding.fill()
    assert home.warding.ward.line.last_used(A) is None
    assert home.ask() == A


async def test_of_many_the_latest_uses_are_kept(home: Home) -> None:
    """More than a section holds, used between two writes: those used first are let go of."""
    many = [f"acme:m{number:05}" for number in range(MAX_ENTRIES + 50)]
    for key in many:
        home.warding.store.place(key).overwrite(home.warding.credential(1, left=3000.0))
    await home.warding.fill()
    for key in many:
        home.ask(key)
    home.state.gather()
    assert list(home.noted()) == many[50:]
