"""``tokenward events``: lines as they happen, one or all."""

import json
import threading
from collections.abc import Callable

import pytest

from client.fake_daemon import FakeDaemon, event
from tokenward.cli.main import main


def after_subscribing(daemon: FakeDaemon, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as somebody listens."""

    def drive() -> None:
        daemon.wait_for(daemon.subscribed)
        act()

    driver = threading.Thread(target=drive)
    driver.start()
    return driver


def test_without_follow_it_waits_for_one(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One event, one line, exit 0."""
    driver = after_subscribing(daemon, lambda: daemon.publish(event(detail="by\x1b hand")))
    assert main(["events"]) == 0
    driver.join()
    assert capsys.readouterr().out == "2023-11-14T22:13:20Z rotated anthropic:work 0123456789ab by  hand\n"


def test_follow_goes_on_to_the_end(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Every event as a line of JSON; the daemon's end is exit 1 and said."""

    def act() -> None:
        for kind in ("rotated", "unsaved", "stopping"):
            daemon.publish(event(kind))
        daemon.hang_up()

    driver = after_subscribing(daemon, act)
    assert main(["events", "--follow", "--json", "anthropic:work"]) == 1
    driver.join()
    said = capsys.readouterr()
    assert [json.loads(line)["type"] for line in said.out.splitlines()] == ["rotated", "unsaved", "stopping"]
    assert "no more events" in said.err
    assert daemon.params("events.subscribe") == {"profiles": ["anthropic:work"]}
