"""What a session uses: a person's word is hard, what it got by itself is soft."""

import json

import pytest

from tokenward.core.pins import (
    ChosenModel,
    SessionPin,
    Sessions,
    split_profile,
    to_document,
)
from tokenward.core.selection import Selector
from tokenward.errors import InvalidParams, PinnedProfileUnavailable

ANY = Selector("anthropic")
WORK = "anthropic:user@work.com"
OPUS = ChosenModel("anthropic", "claude-opus-4-6")
OPUS_AT_WORK = ChosenModel("anthropic", "claude-opus-4-6", WORK)


def pinned(chosen: ChosenModel = OPUS_AT_WORK) -> Sessions:
    """A session "s" to which a person said this."""
    sessions = Sessions()
    sessions.pin("s", chosen)
    return sessions


def test_a_named_credential_is_hard() -> None:
    """For its provider it is the only one; other providers and other sessions are untouched."""
    sessions = pinned()
    assert sessions.selector("s", ANY) == Selector("anthropic", profile=WORK)
    assert sessions.selector("s", Selector("anthropic", profile=WORK)).profile == WORK
    assert sessions.selector("s", Selector("acme")) == Selector("acme")
    assert sessions.selector("s", Selector("anthropic", profile="acme:x")).profile == "acme:x"
    assert sessions.selector("other", ANY) == ANY
    with pytest.raises(PinnedProfileUnavailable):
        sessions.selector("s", Selector("anthropic", profile="anthropic:b"))


def test_neither_a_serving_nor_a_loss_loosens_a_hard_pin() -> None:
    """A fallback of another provider was served, and the profile vanished: it waits for its return."""
    sessions = pinned()
    before = sessions.get("s")
    sessions.note("s", Selector("acme"), "acme:x")
    sessions.note("s", ANY, "anthropic:b", 7)
    sessions.drop_vanished([])
    assert sessions.get("s") == before
    assert sessions.selector("s", ordered(ANY), 9).profile == WORK


def ordered(asked: Selector) -> Selector:
    """The same request under an explicit order."""
    return Selector(asked.provider, order=("anthropic:b",))


def test_a_reset_forgets_model_and_profile() -> None:
    """And says whether there was anything."""
    sessions = pinned()
    assert sessions.reset("s") is True
    assert sessions.get("s") is None
    assert sessions.selector("s", ANY) == ANY
    assert sessions.reset("s") is False


@pytest.mark.parametrize(
    ("session", "chosen"), [("s", ChosenModel("acme", "m", "anthropic:a")), ("", OPUS), ("s" * 257, OPUS)]
)
def test_a_pin_that_cannot_hold_is_refused(session: str, chosen: ChosenModel) -> None:
    """Nothing is remembered of it."""
    sessions = Sessions()
    with pytest.raises(InvalidParams):
        sessions.pin(session, chosen)
    assert len(sessions) == 0


def test_a_served_credential_stays_preferred() -> None:
    """Until the session is compacted, the order changes, or another provider was served."""
    sessions = Sessions()
    sessions.note("s", ANY, "anthropic:a", 1)
    stays = Selector("anthropic", preferred="anthropic:a")
    assert sessions.selector("s", ANY, 1) == stays
    assert sessions.selector("s", ANY, 2) == ANY
    assert sessions.selector("s", ordered(ANY), 1) == ordered(ANY)
    named = Selector("anthropic", profile="anthropic:b")
    assert sessions.selector("s", named, 1) == named
    sessions.note("s", ANY, "anthropic:b", 2)
    assert sessions.selector("s", ANY, 2).preferred == "anthropic:b"
    sessions.note("s", Selector("acme"), "acme:x")
    assert sessions.selector("s", ANY, 2) == ANY


def test_a_served_credential_is_dropped_when_it_vanishes() -> None:
    """The model that a person chose remains."""
    sessions = Sessions()
    sessions.note("auto", ANY, "anthropic:a")
    sessions.pin("model", OPUS)
    sessions.note("model", ANY, "anthropic:a")
    assert sessions.selector("model", ANY).preferred == "anthropic:a"
    sessions.drop_vanished(["anthropic:a"])
    assert len(sessions) == 2
    sessions.drop_vanished(["anthropic:b"])
    assert sessions.get("auto") is None
    assert sessions.get("model") == SessionPin("anthropic", "claude-opus-4-6")


def document(sessions: Sessions) -> list[dict[str, object]]:
    """All of them, the longest unused first."""
    pins = {session: sessions.get(session) for session in sessions}
    return [{"session": session, **to_document(pin)} for session, pin in pins.items() if pin is not None]


def test_all_of_it_survives_being_written_and_read() -> None:
    """As JSON, in the order of use."""
    sessions = pinned()
    sessions.note("b", ordered(ANY), "anthropic:b", 3)
    sessions.note("a", ANY, "anthropic:a")
    again = Sessions.from_document(json.loads(json.dumps(document(sessions))))
    assert list(again) == list(sessions) == ["b", "a", "s"]
    assert [again.get(name) for name in again] == [sessions.get(name) for name in sessions]
    assert again.selector("s", ANY).profile == WORK


@pytest.mark.parametrize("document", [None, 5, "x", {}, [None, 1, [], {}, {"session": "s"}]])
def test_what_is_no_document_is_an_empty_one(document: object) -> None:
    """No wrong type stops the daemon."""
    assert len(Sessions.from_document(document)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"session": 5},
        {"session": ""},
        {"provider": None},
        {"provider": "acme"},
        {"model": None},
        {"profile": None},
        {"profile": 5},
        {"hard": "yes"},
        {"compactions": True},
        {"order": []},
    ],
)
def test_half_a_pin_is_none(wrong: dict[str, object]) -> None:
    """And the entries beside it are kept."""
    entry = document(pinned())[0]
    sessions = Sessions.from_document([{**entry, **wrong}, {**entry, "session": "good"}])
    assert list(sessions) == ["good"]


def test_the_longest_unused_goes_first_and_a_persons_word_last() -> None:
    """So many are remembered and no more."""
    sessions = Sessions(limit=3)
    sessions.pin("pinned", OPUS_AT_WORK)
    for name in ("a", "b", "a", "c"):
        sessions.note(name, ANY, "anthropic:a")
    assert list(sessions) == ["a", "c", "pinned"]
    for name in ("x", "y", "z"):
        sessions.pin(name, OPUS)
    assert list(sessions) == ["x", "y", "z"]


def test_a_fallback_of_another_provider_changes_no_choice() -> None:
    """The person's model is still the session's, and its provider's profile still preferred."""
    sessions = pinned(OPUS)
    sessions.note("s", ANY, "anthropic:a")
    before = sessions.get("s")
    sessions.note("s", Selector("acme"), "acme:x")
    assert sessions.get("s") == before == SessionPin("anthropic", "claude-opus-4-6", "anthropic:a")


def test_a_request_that_counts_no_compactions_does_not_undo_the_count() -> None:
    """Else the next one that counts would take another credential for nothing."""
    sessions = Sessions()
    sessions.note("s", ANY, "anthropic:a", 2)
    sessions.note("s", ANY, "anthropic:a")
    assert sessions.selector("s", ANY, 2).preferred == "anthropic:a"


@pytest.mark.parametrize(
    ("text", "model", "profile"),
    [
        ("opus", "opus", None),
        ("anthropic/opus@Anthropic:me@work.com", "anthropic/opus", "anthropic:me@work.com"),
        ("acme/m@2024@acme:me", "acme/m@2024", "acme:me"),
        ("@anthropic:me", "@anthropic:me", None),
        ("acme/m@v1", "acme/m@v1", None),
    ],
)
def test_the_profile_behind_a_reference_is_cut_off(text: str, model: str, profile: str | None) -> None:
    """And nothing else: ids and e-mail addresses have an ``@`` of their own."""
    assert split_profile(text) == (model, profile)
