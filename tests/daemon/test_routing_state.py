"""The routing state: what is durable at once, what may be lost, and what a bad file costs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tokenward.daemon.routing_state import MAX_ENTRIES, OF_PROFILES, SET_ASIDE, STATE_NAME, RoutingState, Section
from tokenward.disk.atomic_file import replace_file

KEY = "acme:me"
WRITE = "tokenward.daemon.routing_state.replace_file"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file lies."""
    return tmp_path / STATE_NAME


def on_disk(path: Path) -> Any:
    """What the file says."""
    return json.loads(path.read_bytes())


def refuse_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every write fail as on a full disk."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WRITE, full)


def test_what_was_put_is_known_at_once_and_on_disk_after_a_write(path: Path) -> None:
    """No write by itself; the one who writes is told; a new process reads it."""
    state, told = RoutingState(path), []
    state.changed = lambda: told.append("changed")
    state.put(Section.USAGE, KEY, {"n": 1})
    assert state.section(Section.USAGE) == {KEY: {"n": 1}}
    assert (state.dirty, told, path.exists()) == (True, ["changed"], False)
    state.write()
    assert not state.dirty
    assert path.stat().st_mode & 0o777 == 0o600
    assert RoutingState(path).section(Section.USAGE) == {KEY: {"n": 1}}


def test_what_is_written_already_is_not_written_again(path: Path) -> None:
    """A write without a change touches nothing."""
    state = RoutingState(path)
    state.write()
    assert not path.exists()


def test_what_was_dropped_is_gone(path: Path) -> None:
    """At once, and after a restart; dropping what is not there is no change."""
    state = RoutingState(path)
    state.put(Section.PINS, "s", "x")
    state.write()
    state.drop(Section.PINS, "another")
    assert not state.dirty
    state.drop(Section.PINS, "s")
    assert (state.section(Section.PINS), state.dirty) == ({}, True)
    state.write()
    assert RoutingState(path).section(Section.PINS) == {}


def test_a_decision_is_durable_when_it_returns(path: Path) -> None:
    """And takes with it what was put before; None lets go of it."""
    state = RoutingState(path)
    state.put(Section.LAST_USED, KEY, 7)
    state.decide(Section.ORDERS, "main/acme", ["acme:b", "acme:a"])
    assert on_disk(path) == {"version": 1, "last_used": {KEY: 7}, "orders": {"main/acme": ["acme:b", "acme:a"]}}
    assert state.section(Section.ORDERS) == {"main/acme": ["acme:b", "acme:a"]}
    assert not state.dirty
    state.decide(Section.ORDERS, "main/acme", None)
    assert on_disk(path) == {"version": 1, "last_used": {KEY: 7}}
    assert state.section(Section.ORDERS) == {}


def test_a_decision_that_cannot_be_written_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is as before, in memory and on disk; what may be lost stays in memory and is written later."""
    state = RoutingState(path)
    state.set_disabled(KEY, disabled=True)
    state.put(Section.USAGE, KEY, {"n": 1})
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        refuse_writes(patched)
        with pytest.raises(OSError, match="No space"):
            state.decide(Section.ORDERS, "main/acme", ["acme:a"])
        with pytest.raises(OSError, match="No space"):
            state.set_disabled(KEY, disabled=False)
        with pytest.raises(OSError, match="No space"):
            state.write()
    assert path.read_bytes() == before
    assert state.section(Section.ORDERS) == {}
    assert state.disabled == {KEY}
    assert state.dirty
    state.write()
    assert on_disk(path) == {"version": 1, "disabled": [KEY], "usage": {KEY: {"n": 1}}}


def test_a_write_of_which_nobody_knows_whether_it_happened_is_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure after the rename left the refused decision on disk: the next write takes it back."""
    state, really = RoutingState(path), replace_file

    def renamed_only(where: Path, data: bytes) -> None:
        really(where, data)
        raise OSError(5, "the directory could not be synced")

    with monkeypatch.context() as patched:
        patched.setattr(WRITE, renamed_only)
        with pytest.raises(OSError, match="synced"):
            state.set_disabled(KEY, disabled=True)
    assert on_disk(path)["disabled"] == [KEY]
    assert state.dirty
    state.write()
    assert "disabled" not in on_disk(path)


def test_a_view_that_is_being_walked_over_survives_a_decision(path: Path) -> None:
    """Decisions come from other threads."""
    state = RoutingState(path)
    state.put(Section.PINS, "a", 1)
    state.put(Section.PINS, "b", 2)
    seen = []
    for key in state.section(Section.PINS):
        state.decide(Section.PINS, f"{key}-new", 3)
        seen.append(key)
    assert seen == ["a", "b"]


def test_a_change_during_a_write_is_written_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put while the disk worked is neither in that write nor forgotten."""
    state, really = RoutingState(path), replace_file

    def slow(where: Path, data: bytes) -> None:
        monkeypatch.setattr(WRITE, really)
        state.put(Section.USAGE, KEY, {"n": 2})
        state.forget("acme:gone")
        really(where, data)

    state.set_disabled("acme:gone", disabled=True)
    state.put(Section.USAGE, KEY, {"n": 1})
    monkeypatch.setattr(WRITE, slow)
    state.set_disabled("acme:b", disabled=True)
    assert on_disk(path)["usage"] == {KEY: {"n": 1}}
    assert state.dirty
    state.write()
    assert on_disk(path) == {"version": 1, "disabled": ["acme:b"], "usage": {KEY: {"n": 2}}}


def test_a_forgotten_profile_leaves_nothing(path: Path) -> None:
    """Its health, its use, its usage and that it was disabled go; a session that is named like it stays."""
    state = RoutingState(path)
    state.set_disabled(KEY, disabled=True)
    for section in Section:
        state.put(section, KEY, 1)
        state.put(section, "acme:other", 2)
    told: list[str] = []
    state.changed = lambda: told.append("changed")
    state.forget(KEY)
    state.forget("acme:never")
    assert told == ["changed"]
    state.write()
    profiles = {section.value: {"acme:other": 2} for section in OF_PROFILES}
    both = {KEY: 1, "acme:other": 2}
    decided = {"orders": both, "pins": both, "choices": both}
    assert on_disk(path) == {"version": 1, "disabled": [], **profiles, **decided}


def test_a_section_is_bounded_and_what_was_put_longest_ago_goes(path: Path) -> None:
    """A caller that invents a session for each request does not fill the disk; what is in use stays."""
    state = RoutingState(path)
    for number in range(MAX_ENTRIES):
        state.put(Section.PINS, f"s{number}", number)
    state.put(Section.PINS, "s0", "again")
    state.put(Section.PINS, "new", 1)
    state.decide(Section.PINS, "newer", 1)
    held = state.section(Section.PINS)
    assert len(held) == MAX_ENTRIES
    assert (held["s0"], "s1" in held, "s2" in held, "s3" in held) == ("again", False, False, True)
    state.write()
    assert list(RoutingState(path).section(Section.PINS)) == list(held)


@pytest.mark.parametrize("torn", [b"", b"{torn", b"[]", b"7", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_torn_file_counts_as_empty_once(path: Path, torn: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once and set aside, and what is learnt then is kept."""
    path.write_bytes(torn)
    with caplog.at_level(logging.WARNING):
        state = RoutingState(path)
        state.put(Section.USAGE, KEY, {"n": 1})
        state.write()
        assert RoutingState(path).section(Section.USAGE) == {KEY: {"n": 1}}
    assert len(caplog.records) == 1
    assert "cannot be read" in caplog.text
    assert path.with_name(STATE_NAME + SET_ASIDE).read_bytes() == torn


def test_what_we_do_not_know_is_kept(path: Path) -> None:
    """Members of a newer version, and a section that is no mapping, until something is put there."""
    path.write_text(
        '{"version": 9, "later": {"a": 1}, "usage": [1], "disabled": ["acme:a", 7], "health": {"x": 1}}'
    )
    state = RoutingState(path)
    assert state.section(Section.USAGE) == {}
    assert state.disabled == {"acme:a"}
    state.put(Section.LAST_USED, KEY, 1)
    state.drop(Section.HEALTH, "x")
    state.write()
    assert on_disk(path) == {
        "version": 1, "later": {"a": 1}, "usage": [1], "disabled": ["acme:a", 7], "last_used": {KEY: 1},
    }  # fmt: skip
    state.put(Section.USAGE, KEY, {})
    state.write()
    assert on_disk(path)["usage"] == {KEY: {}}
