"""The stream of events: what it delivers, and how it ends."""

import pytest

from client.fake_daemon import FakeDaemon, HangUp, Json, Refusal, event
from tokenward import errors
from tokenward.client import Client


def test_events_arrive_as_they_happen(daemon: FakeDaemon) -> None:
    """A subscriber sees each event once, in order, also while the client does other calls."""
    with Client() as client, client.events(["anthropic:work"]) as events:
        daemon.wait_for(daemon.subscribed)
        daemon.publish(event("rotated"))
        daemon.publish(event("login_required", detail="log in again"))
        assert next(events).type == "rotated"
        assert client.token().profile == "anthropic:work"
        second = next(events)
        assert (second.type, second.detail) == ("login_required", "log in again")
    assert daemon.params("events.subscribe") == {"profiles": ["anthropic:work"]}


def test_waiting_for_an_event_has_an_end(daemon: FakeDaemon) -> None:
    """Without an event in time there is None, and the stream goes on."""
    with Client() as client, client.events() as events:
        assert events.wait(0.01) is None
        assert not events.ended
        daemon.wait_for(daemon.subscribed)
        daemon.publish(event())
        assert events.wait(20) is not None


@pytest.mark.parametrize("last", ["lost", "stopping"])
def test_the_stream_ends_after_the_daemons_last_word(daemon: FakeDaemon, last: str) -> None:
    """`lost` and `stopping` are delivered, and then the iteration ends without an error."""
    with Client() as client, client.events() as events:
        daemon.wait_for(daemon.subscribed)
        daemon.publish(event(last))
        assert next(events).type == last
        daemon.hang_up()
        assert list(events) == []
        assert events.ended


def test_a_daemon_that_ends_without_a_word_is_an_error(daemon: FakeDaemon) -> None:
    """A crash is not an end of the events."""
    with Client() as client, client.events() as events:
        daemon.wait_for(daemon.subscribed)
        daemon.hang_up()
        with pytest.raises(errors.DaemonUnreachable):
            next(events)


def test_a_refused_subscription_raises_what_the_daemon_said(daemon: FakeDaemon) -> None:
    """An error instead of the subscription is raised when subscribing, not at the first event."""

    def refuse(_: Json) -> Json:
        raise Refusal("PermissionDenied")

    daemon.answers["events.subscribe"] = refuse
    with Client() as client, pytest.raises(errors.PermissionDenied):
        client.events()


def test_a_connection_lost_while_subscribing_is_an_error(daemon: FakeDaemon) -> None:
    """A daemon that hangs up instead of answering is unreachable."""

    def hang_up(_: Json) -> Json:
        raise HangUp

    daemon.answers["events.subscribe"] = hang_up
    with Client() as client, pytest.raises(errors.DaemonUnreachable):
        client.events()
