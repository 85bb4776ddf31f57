"""What the daemon logs under systemd is in the journal with its priority: by a real journald and `journalctl`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, direct
from e2e.real_journal import RealJournal, why_unavailable
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Fault, Sandbox

pytestmark = pytest.mark.skipif(
    why_unavailable() is not None, reason=f"NOT TESTED with a real journal: {why_unavailable()}"
)
UNAVAILABLE = Fault(status=503, body={"error": "temporarily_unavailable"})
DEAD = Fault(status=400, body={"error": "invalid_grant", "error_description": "revoked"})


def runs(home: Path, sandbox: Sandbox, journal: RealJournal, arguments: Sequence[str] = ()) -> DaemonProcess:
    """A daemon with a login that has ended, whose standard error is the journal's."""
    StoredLogin(home).write(sandbox.issue(ttl_seconds=-5))
    config = direct(sandbox.token_endpoint)
    return DaemonProcess(home, config=config, wrapper=journal.wrapper, arguments=arguments)


def test_each_level_has_its_priority(own_home: Path, sandbox: Sandbox) -> None:
    """6 for what changed, 4 for what may heal, 3 for what a person must do; no prefix, no time is left."""
    with RealJournal() as journal:
        sandbox.faults.next("token", UNAVAILABLE, times=1)
        sandbox.faults.next("token", DEAD, times=None)
        with runs(own_home, sandbox, journal) as daemon:
            error = journal.wait_for("a person must log in")
            daemon.terminate()
        journal.wait_for("stopped")
        begins = [each["MESSAGE"][:2] for each in journal.entries()]
        warning, start = journal.wait_for("the refresh failed"), journal.wait_for("serving")
    assert (start["PRIORITY"], warning["PRIORITY"], error["PRIORITY"]) == ("6", "4", "3")
    assert not {"<3", "<4", "<6", "20"} & set(begins)
    assert error["MESSAGE"].startswith("a person must log in: invalid_grant: revoked event=login_required")
    assert f"profile={CLAUDE_PROFILE}" in error["MESSAGE"]
    assert daemon.log == ""


def test_json_has_its_priority_too(own_home: Path, sandbox: Sandbox) -> None:
    """The message of an entry is then one JSON object, with the level that the priority says."""
    with RealJournal() as journal:
        sandbox.faults.next("token", DEAD, times=None)
        with runs(own_home, sandbox, journal, ["--log-format", "json"]) as daemon:
            error = journal.wait_for("a person must log in")
            daemon.terminate()
    assert error["PRIORITY"] == "3"
    assert json.loads(error["MESSAGE"])["level"] == "error"
