"""The queue says at every moment what a search through all requests says."""

import weakref
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tokenward.core.alarm_queue import AlarmQueue

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

keys = st.sampled_from("abcdef")
moments = st.integers(min_value=-4, max_value=4).map(lambda seconds: NOON + seconds * SECOND)


class QueueAndSearch(RuleBasedStateMachine):
    """A queue, and beside it the plain list of what is requested, in the order in which it was."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: AlarmQueue[int] = AlarmQueue()
        self.requests: list[tuple[str, datetime, int]] = []
        self.made = 0

    @rule(key=keys, when=moments)
    def put(self, key: str, when: datetime) -> None:
        """A profile asks, or asks anew."""
        self.made += 1
        self.queue.put(key, when, self.made)
        self._forget(key)
        self.requests.append((key, when, self.made))

    @rule(key=keys)
    def drop(self, key: str) -> None:
        """A profile gives up, or had asked for nothing."""
        self.queue.drop(key)
        self._forget(key)

    @rule(now=moments, most=st.integers(min_value=0, max_value=8))
    def ring(self, now: datetime, most: int) -> None:
        """What is due comes out, the earliest first and of one moment the oldest."""
        due = sorted((each for each in self.requests if each[1] <= now), key=lambda each: each[1])[:most]
        assert list(self.queue.due(now, most)) == [what for _, _, what in due]
        for each in due:
            self.requests.remove(each)

    @invariant()
    def knows_the_next(self) -> None:
        """The nearest moment is the smallest of all."""
        assert self.queue.next() == min((when for _, when, _ in self.requests), default=None)

    def _forget(self, key: str) -> None:
        self.requests = [each for each in self.requests if each[0] != key]


TestQueueAndSearch = QueueAndSearch.TestCase
TestQueueAndSearch.settings = settings(derandomize=True, deadline=None, max_examples=100, stateful_step_count=30)


def filled(names: str) -> AlarmQueue[str]:
    """A queue with a request for each name, a second apart."""
    queue: AlarmQueue[str] = AlarmQueue()
    for number, name in enumerate(names):
        queue.put(name, NOON + number * SECOND, name)
    return queue


def test_what_is_dropped_or_replaced_while_others_ring_does_not_come() -> None:
    """Though it was due when the first of them rang; the one in its place comes at its own time."""
    queue = filled("abcd")
    rang = []
    for name in queue.due(NOON + 9 * SECOND, 9):
        rang.append(name)
        queue.drop("b")
        queue.put("c", NOON + 20 * SECOND, "another c")
    assert rang == ["a", "d"]
    assert list(queue.due(NOON + 20 * SECOND, 9)) == ["another c"]


def test_whoever_requests_the_past_again_and_again_holds_nobody_up() -> None:
    """What is requested while others ring waits for the next call, and takes one place in it."""
    queue = filled("abcde")
    rang = []
    for _ in range(3):
        for name in queue.due(NOON + 9 * SECOND, 2):
            rang.append(name)
            if name == "a":
                queue.put("a", NOON, "a")
    assert rang == ["a", "b", "a", "c", "a", "d"]


def test_whoever_stops_in_the_middle_has_lost_nothing() -> None:
    """What was not given out is there at the next call."""
    queue = filled("abc")
    for name in queue.due(NOON + 9 * SECOND, 9):
        assert name == "a"
        break
    assert queue.next() == NOON + SECOND
    assert list(queue.due(NOON + 9 * SECOND, 9)) == ["b", "c"]


class Payload:
    """What a request holds on to."""


@pytest.mark.parametrize("way", ["dropped", "replaced"])
def test_what_is_over_is_let_go_of(way: str) -> None:
    """Never more than a quarter of what is wanted, however often somebody asks anew far from the front."""
    queue: AlarmQueue[Payload | None] = AlarmQueue()
    for number in range(8):
        queue.put(f"near {number}", NOON, None)
    kept: weakref.WeakSet[Payload] = weakref.WeakSet()
    for number in range(100):
        payload = Payload()
        kept.add(payload)
        queue.put("far", NOON + (1 + number) * SECOND, payload)
        if way == "dropped":
            queue.drop("far")
        del payload
        assert len(kept) <= 3
    for number in range(8):
        queue.drop(f"near {number}")
    queue.drop("far")
    assert not kept
