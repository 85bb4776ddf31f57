"""What came with a notification is good for one read, and never older than what this host did itself."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.shared_store import ME, value
from tokenward.core.sharing import SharedRecord
from tokenward.stores.postgres.heard import FRESH_SECONDS, Heard

RECORD = SharedRecord(ME, 7, value())


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> _Clock:
    """A clock that the test moves."""
    return _Clock()


@pytest.fixture
def heard(clock: _Clock) -> Heard:
    """Nothing was heard yet."""
    return Heard(clock)


def test_a_record_is_taken_once(heard: Heard) -> None:
    """The next read asks the engine."""
    heard.put(RECORD)
    assert heard.take("another:one") is None
    assert heard.take(ME) == RECORD
    assert heard.take(ME) is None


def test_it_goes_stale(heard: Heard, clock: _Clock) -> None:
    """A claim is told to nobody, so that what was heard long ago says little."""
    heard.put(RECORD)
    clock.now += FRESH_SECONDS
    assert heard.take(ME) is None


def test_what_we_did_ourselves_is_newer(heard: Heard) -> None:
    """A read that was on its way when we acted brings nothing back that is older than the act."""
    heard.put(RECORD)
    heard.forget(ME, 9)
    assert heard.take(ME) is None
    heard.put(replace(RECORD, revision=8))
    assert heard.take(ME) is None
    heard.put(replace(RECORD, revision=9))
    assert heard.take(ME) == replace(RECORD, revision=9)


def test_an_act_without_an_answer_forgets_what_was_heard(heard: Heard) -> None:
    """And lowers nothing that was known."""
    heard.forget(ME, 9)
    heard.forget(ME)
    heard.put(RECORD)
    assert heard.take(ME) is None


def test_all_of_them_are_taken_once_and_only_if_nothing_came_since(heard: Heard, clock: _Clock) -> None:
    """Neither after we acted, nor after another change was heard, nor when it is stale."""
    heard.put_all([RECORD])
    assert heard.take_all() == [RECORD]
    assert heard.take_all() is None
    spoils: list[Callable[[], None]] = [
        lambda: heard.forget("another:one"),
        lambda: heard.put(RECORD),
        heard.forget_all,
        lambda: clock.pass_by(FRESH_SECONDS),
    ]
    for spoil in spoils:
        heard.put_all([RECORD])
        spoil()
        assert heard.take_all() is None


def test_without_a_connection_nothing_is_known(heard: Heard) -> None:
    """What changes then is told to nobody."""
    heard.put(RECORD)
    heard.forget_all()
    assert heard.take(ME) is None
