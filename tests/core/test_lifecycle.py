"""Every phase meets every event here: a change of the machine's table is a change of this table."""

import re
from itertools import product
from pathlib import Path

import pytest

from tokenward.core.lifecycle import TABLE, Effect, Event, IllegalEvent, Phase, diagram, step

EXPECTED = """
empty           loaded       ready           cancel_alarm publish schedule_refresh
empty           lost         empty
empty           due          empty
empty           refreshed    illegal
empty           futile       illegal
empty           adopted      illegal
empty           failed       illegal
empty           rejected     illegal
empty           save_failed  illegal
empty           saved        illegal
empty           forgotten    gone            cancel_alarm drop announce_forgotten

ready           loaded       ready           cancel_alarm publish schedule_refresh
ready           lost         empty           cancel_alarm drop announce_logged_out
ready           due          refreshing      cancel_alarm start_flight
ready           refreshed    illegal
ready           futile       illegal
ready           adopted      illegal
ready           failed       illegal
ready           rejected     login_required  cancel_alarm announce_login_required
ready           save_failed  illegal
ready           saved        illegal
ready           forgotten    gone            cancel_alarm drop announce_forgotten

refreshing      loaded       refreshing      publish
refreshing      lost         refreshing
refreshing      due          refreshing
refreshing      refreshed    ready           publish schedule_refresh
refreshing      futile       backoff         publish schedule_retry announce_failing
refreshing      adopted      ready           publish schedule_refresh
refreshing      failed       backoff         schedule_retry announce_failing
refreshing      rejected     login_required  announce_login_required
refreshing      save_failed  unsaved         publish schedule_retry announce_unsaved
refreshing      saved        illegal
refreshing      forgotten    illegal

backoff         loaded       ready           cancel_alarm publish schedule_refresh
backoff         lost         empty           cancel_alarm drop announce_logged_out
backoff         due          refreshing      cancel_alarm start_flight
backoff         refreshed    illegal
backoff         futile       illegal
backoff         adopted      illegal
backoff         failed       illegal
backoff         rejected     illegal
backoff         save_failed  illegal
backoff         saved        illegal
backoff         forgotten    gone            cancel_alarm drop announce_forgotten

unsaved         loaded       ready           cancel_alarm publish schedule_refresh
unsaved         lost         empty           cancel_alarm drop announce_logged_out
unsaved         due          unsaved         cancel_alarm start_save
unsaved         refreshed    illegal
unsaved         futile       illegal
unsaved         adopted      ready           cancel_alarm publish schedule_refresh
unsaved         failed       illegal
unsaved         rejected     illegal
unsaved         save_failed  unsaved         schedule_retry
unsaved         saved        ready           schedule_refresh announce_saved
unsaved         forgotten    gone            cancel_alarm drop announce_forgotten

login_required  loaded       ready           cancel_alarm publish schedule_refresh
login_required  lost         empty           cancel_alarm drop announce_logged_out
login_required  due          login_required
login_required  refreshed    illegal
login_required  futile       illegal
login_required  adopted      illegal
login_required  failed       illegal
login_required  rejected     illegal
login_required  save_failed  illegal
login_required  saved        illegal
login_required  forgotten    gone            cancel_alarm drop announce_forgotten

gone            loaded       gone
gone            lost         gone
gone            due          gone
gone            refreshed    illegal
gone            futile       illegal
gone            adopted      illegal
gone            failed       illegal
gone            rejected     illegal
gone            save_failed  illegal
gone            saved        illegal
gone            forgotten    gone
"""
ROWS = [line.split() for line in EXPECTED.splitlines() if line]
ALL_STEPS = [(phase, event, result) for phase, row in TABLE.items() for event, result in row.items()]
DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_expected_table_names_every_pair_once() -> None:
    """No phase or event was added without a decision about each of its pairs."""
    named = [(row[0], row[1]) for row in ROWS]
    assert sorted(named) == sorted((str(phase), str(event)) for phase, event in product(Phase, Event))


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
def test_what_follows(row: list[str]) -> None:
    """Phase and effects, in their order, are exactly these; or the event is refused and says which."""
    before, event, after, *effects = row
    if after == "illegal":
        with pytest.raises(IllegalEvent, match=f"{event} cannot happen in phase {before}") as refused:
            step(Phase(before), Event(event))
        assert (refused.value.phase, refused.value.event) == (before, event)
    else:
        result = step(Phase(before), Event(event))
        assert (str(result.phase), [str(effect) for effect in result.effects]) == (after, effects)


@pytest.mark.parametrize("event", [Event.LOADED, Event.LOST, Event.DUE, Event.FORGOTTEN])
@pytest.mark.parametrize("phase", Phase)
def test_what_the_world_reports_is_legal_everywhere(phase: Phase, event: Event) -> None:
    """Timers, watchers and users are late and repeat themselves; only FORGOTTEN must wait for a flight's end."""
    assert (event in TABLE[phase]) is not (phase is Phase.REFRESHING and event is Event.FORGOTTEN)


def test_gone_is_the_end() -> None:
    """Nothing leads out of it, and nothing is done in it."""
    assert {(result.phase, result.effects) for result in TABLE[Phase.GONE].values()} == {(Phase.GONE, ())}


def test_a_flight_starts_only_into_refreshing_and_from_outside_it() -> None:
    """REFRESHING means that a flight is under way, and there is never a second one (design I1)."""
    starting = {(phase, result.phase) for phase, _, result in ALL_STEPS if Effect.START_FLIGHT in result.effects}
    assert starting == {(Phase.READY, Phase.REFRESHING), (Phase.BACKOFF, Phase.REFRESHING)}
    entering = {
        result
        for phase, _, result in ALL_STEPS
        if result.phase is Phase.REFRESHING and phase is not Phase.REFRESHING
    }
    assert all(Effect.START_FLIGHT in result.effects for result in entering)


def test_no_step_starts_work_and_publishes() -> None:
    """What is published is durable; what is under way is not (design I2)."""
    for phase, event, result in ALL_STEPS:
        works = {Effect.START_FLIGHT, Effect.START_SAVE} & set(result.effects)
        assert not works or Effect.PUBLISH not in result.effects, (phase, event)


def test_only_due_starts_work() -> None:
    """No report of the world and no result starts a request by itself."""
    for phase, event, result in ALL_STEPS:
        if {Effect.START_FLIGHT, Effect.START_SAVE} & set(result.effects):
            assert event is Event.DUE, phase


def test_only_the_owner_or_the_user_drops_a_credential() -> None:
    """No failure and no rejection forgets what is held (design I5)."""
    dropping = {event for _, event, result in ALL_STEPS if Effect.DROP in result.effects}
    assert dropping == {Event.LOST, Event.FORGOTTEN}


def test_only_a_verdict_leads_to_login_required() -> None:
    """A person is called for REJECTED alone (design I4)."""
    leading = {
        event
        for phase, event, result in ALL_STEPS
        if result.phase is Phase.LOGIN_REQUIRED and phase is not Phase.LOGIN_REQUIRED
    }
    assert leading == {Event.REJECTED}


def test_new_material_always_helps() -> None:
    """From every phase but the end, LOADED publishes; and it ends every trouble."""
    for phase in set(Phase) - {Phase.GONE}:
        result = step(phase, Event.LOADED)
        assert Effect.PUBLISH in result.effects
        assert result.phase is (Phase.REFRESHING if phase is Phase.REFRESHING else Phase.READY)


def test_every_phase_but_the_end_can_become_ready_and_gone() -> None:
    """There is no trap from which only a restart helps."""
    reached = {phase: {phase} for phase in Phase}
    for _ in Phase:
        for phase, _event, result in ALL_STEPS:
            reached[phase] |= reached[result.phase]
    for phase in set(Phase) - {Phase.GONE}:
        assert {Phase.READY, Phase.GONE} <= reached[phase]


def test_a_failure_always_plans_the_next_attempt() -> None:
    """Whoever enters BACKOFF or UNSAVED has set the alarm that leads out of it."""
    for phase, event, result in ALL_STEPS:
        if result.phase in {Phase.BACKOFF, Phase.UNSAVED} and event is not Event.DUE:
            assert Effect.SCHEDULE_RETRY in result.effects, (phase, event)


def test_every_effect_and_every_event_has_a_use() -> None:
    """What the table never asks for should not be in the lists."""
    assert {effect for _, _, result in ALL_STEPS for effect in result.effects} == set(Effect)
    assert {event for _, event, _ in ALL_STEPS} == set(Event)


def test_the_diagram_shows_every_step_that_does_something() -> None:
    """One arrow a step; steps without any consequence are left out."""
    arrows = re.findall(r"^    (\w+) --> (\w+): (\w+)", diagram(), re.MULTILINE)
    assert sorted(arrows) == sorted(
        (row[0], row[2], row[1]) for row in ROWS if row[2] != "illegal" and (row[2] != row[0] or row[3:])
    )
    assert diagram().startswith("stateDiagram-v2\n    [*] --> empty\n")
    assert diagram().endswith("\n    gone --> [*]")


def test_the_documented_diagram_is_the_tables() -> None:
    """docs/lifecycle.md shows ``lifecycle.diagram()``; after a change of the table paste its output there."""
    fenced = re.findall(
        r"^```mermaid\n(.*?)\n```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert fenced == [diagram()]


@pytest.mark.parametrize("word", [*Phase, *Event])
def test_the_document_explains_every_word(word: str) -> None:
    """Each phase and each event of the diagram has its row in docs/lifecycle.md."""
    assert re.search(rf"^\| `{word}` \| \S", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
