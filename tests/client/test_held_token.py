"""How long a token is used without a question, and what a daemon that is away, slow or changed means for it."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from client.fake_daemon import TOKEN, FakeDaemon, Hang, Json, Refusal
from tokenward import errors
from tokenward.client._held_token import KEPT_SECONDS, HeldToken


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's."""
    return Clock()


@pytest.fixture
def held(daemon: FakeDaemon, clock: Clock) -> Iterator[HeldToken]:
    """A token of a provider, with the usual minute of life."""
    one = HeldToken(None, clock=clock, provider="anthropic")
    yield one
    one.close()


def lasting(daemon: FakeDaemon, valid_for: float | None) -> None:
    """Have the daemon serve a new generation with each question, with so many seconds of life."""
    count = iter(range(1, 100))
    daemon.answers["token.get"] = lambda _: {**TOKEN, "generation": f"{next(count):012x}", "valid_for": valid_for}


@pytest.mark.parametrize(
    ("valid_for", "kept"),
    [(None, KEPT_SECONDS), (3600.0, KEPT_SECONDS), (100.0, 40.0), (60.0, 1.0), (5.0, 1.0), (0.5, 0.5)],
)
def test_a_token_is_asked_for_again_in_time(
    daemon: FakeDaemon, held: HeldToken, clock: Clock, valid_for: float | None, kept: float
) -> None:
    """At the latest after a minute, when `min_valid` is left, and never past its end; not with every request."""
    lasting(daemon, valid_for)
    first = held.current()
    clock.now += kept - 0.01
    assert held.current() is held.settled() is first
    clock.now += 0.01
    assert held.settled() is None
    assert held.current() is not first


def test_a_clock_that_is_put_back_asks(daemon: FakeDaemon, held: HeldToken, clock: Clock) -> None:
    """An hour that comes twice does not make a token live an hour longer."""
    lasting(daemon, 3600.0)
    first = held.current()
    clock.now -= 3600
    assert held.current() is not first


def test_a_living_token_is_used_while_the_daemon_is_away(
    daemon: FakeDaemon, held: HeldToken, clock: Clock
) -> None:
    """Without a daemon the token serves to its end, and not past it; back again, the daemon is asked."""
    lasting(daemon, 300.0)
    first = held.current()
    path = daemon.path
    daemon.close()
    clock.now += 299
    assert held.current() is first
    clock.now += 1
    with pytest.raises(errors.DaemonUnreachable):
        held.current()
    with FakeDaemon(path):
        assert held.current().generation == TOKEN["generation"]


def test_what_the_daemon_says_is_obeyed(daemon: FakeDaemon, held: HeldToken, clock: Clock) -> None:
    """A profile that was disabled is not served from memory."""
    lasting(daemon, 3600.0)
    held.current()

    def refuse(_: Json) -> Json:
        raise Refusal("AllUnavailable")

    daemon.answers["token.get"] = refuse
    clock.now += KEPT_SECONDS
    with pytest.raises(errors.AllUnavailable):
        held.current()


def test_a_slow_daemon_holds_up_nobody_who_has_a_token(
    daemon: FakeDaemon, held: HeldToken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread asks, the others go on with what lives; and it asks with little patience."""
    lasting(daemon, 3600.0)
    first = held.current()
    usual = daemon.answers["token.get"]
    release = threading.Event()

    def late(params: Json) -> Json:
        release.wait(20)
        return usual(params)

    daemon.answers["token.get"] = late
    clock.now += KEPT_SECONDS
    asking = threading.Thread(target=held.current)
    asking.start()
    daemon.wait_for(lambda: len(daemon.requests) == 2)
    assert held.current() is first
    release.set()
    asking.join()
    assert held.current() is not first
    assert daemon.params("token.get")["timeout"] == 2.0
    assert len(daemon.requests) == 2


def test_a_daemon_that_does_not_answer_is_left_alone_for_a_while(
    daemon: FakeDaemon, held: HeldToken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a question without an answer the token that lives is used for five seconds without another."""
    lasting(daemon, 3600.0)
    first = held.current()
    clock.now += KEPT_SECONDS

    def hang(_: Json) -> Json:
        raise Hang

    daemon.answers["token.get"] = hang
    monkeypatch.setattr("tokenward.client._held_token._IMPATIENCE_SECONDS", 0.01)
    monkeypatch.setattr("tokenward.client.GRACE", 0.01)
    assert held.current() is first
    clock.now += 4.9
    assert held.current() is first
    assert len(daemon.requests) == 2
    lasting(daemon, 3600.0)
    clock.now += 0.1
    assert held.current() is not first


def test_a_token_in_doubt_is_asked_about_once(daemon: FakeDaemon, held: HeldToken) -> None:
    """After trouble the daemon may have another; trouble with a token that is not held any more asks nothing."""
    lasting(daemon, 3600.0)
    first = held.current()
    held.doubt(first.generation)
    assert held.settled() is None
    second = held.current()
    assert second is not first
    held.doubt(first.generation)
    assert held.current() is held.current() is second
    daemon.close()
    held.doubt(second.generation)
    assert held.current() is second
    assert held.settled() is second


def test_a_refused_token_is_never_used_again(daemon: FakeDaemon, held: HeldToken) -> None:
    """If nothing newer can be had, not even the daemon's absence brings the refused one back."""
    lasting(daemon, 3600.0)
    first = held.current()
    daemon.close()
    with pytest.raises(errors.DaemonUnreachable):
        held.newer_than(first.generation)
    with pytest.raises(errors.DaemonUnreachable):
        held.current()


def test_who_was_refused_the_token_before_gets_the_one_that_is_held(daemon: FakeDaemon, held: HeldToken) -> None:
    """A late refusal of an old generation asks for nothing."""
    lasting(daemon, 3600.0)
    first = held.current()
    second = held.newer_than(first.generation)
    assert held.newer_than(first.generation) is second
    assert [each["params"].get("newer_than") for each in daemon.requests] == [None, first.generation]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on: forking is the point
def test_a_child_process_does_not_wait_for_a_thread_of_its_parent(daemon: FakeDaemon, held: HeldToken) -> None:
    """Forked while another thread asked, a child asks on a connection of its own."""
    held._turn.acquire()
    in_child(lambda: held.current().profile == "anthropic:work")
    held._turn.release()
    assert daemon.methods() == ["token.get"]


def in_child(check: Callable[[], bool]) -> None:
    """Run a check in a child of fork(), which must end well."""
    child = os.fork()
    if child == 0:
        outcome = 1
        try:
            outcome = 0 if check() else 2
        finally:
            os._exit(outcome)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
