"""Usage in a daemon of its own: reported on the socket, warned of, shown, and there after a restart."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.command import Command
from e2e.daemon_process import PATIENCE, DaemonProcess

KEY = "anthropic:work"
HEADERS = {"Anthropic-RateLimit-Requests-Limit": "50", "anthropic-ratelimit-requests-remaining": "5"}


def with_a_key(daemon: DaemonProcess) -> None:
    """Keep a profile to report of."""
    daemon.call("profile.add", profile=KEY, kind="api_key", credential={"access_token": "sk-ant-api03-1"})


def counted(daemon: DaemonProcess) -> int:
    """How many answers were reported."""
    (usage,) = daemon.call("usage.get", profile=KEY)["profiles"]
    return int(usage["request_count"])


def on_disk(daemon: DaemonProcess) -> dict[str, Any]:
    """The routing state, once it says something of usage."""
    path, deadline = daemon.state / "state.json", time.monotonic() + PATIENCE
    while not (path.exists() and "usage" in (document := json.loads(path.read_bytes()))):
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.05)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return dict(document)


@pytest.mark.covers("N56", "N58")
def test_a_stop_writes_what_was_reported(own_home: Path) -> None:
    """At once, and not at the next flush; the command shows it, and a subscriber was warned."""
    with DaemonProcess(own_home) as daemon:
        with_a_key(daemon)
        with daemon.subscribe() as events:
            daemon.call("usage.report", profile=KEY, headers=HEADERS)
            assert events.wait_for("usage_warning", profile=KEY)["detail"] == "5 requests of 50 left"
        with Command(daemon, "usage") as command:
            assert command.end() == 0
            assert command.lines[1].split()[-4:] == ["5/50", "-", "1", "ok"]
        assert daemon.terminate() == 0
        assert KEY in on_disk(daemon)["usage"]
        daemon.start()
        assert counted(daemon) == 1


def test_a_crash_loses_no_more_than_the_last_seconds(own_home: Path) -> None:
    """It is written while the daemon runs, too; a torn file stops no start."""
    with DaemonProcess(own_home) as daemon:
        with_a_key(daemon)
        daemon.call("usage.report", profile=KEY, headers=HEADERS)
        on_disk(daemon)
        daemon.kill()
        daemon.start()
        assert counted(daemon) == 1
        daemon.kill()
        (daemon.state / "state.json").write_bytes(b'{"usage": {')
        daemon.start()
        assert counted(daemon) == 0
        assert "cannot be read" in daemon.log
        assert (daemon.state / "state.json.unreadable").exists()
