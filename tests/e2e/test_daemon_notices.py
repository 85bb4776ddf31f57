"""What waits for a person reaches a program of theirs, and the log, from a daemon as a process."""

from __future__ import annotations

import html
import time
from pathlib import Path

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, PATIENCE, DaemonProcess, direct
from e2e.notice_board import MISSING, NoticeBoard
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Fault, Sandbox

DEAD = {"error": "invalid_grant", "error_description": "the login was revoked"}
HOSTILE = "--help <b>\"gone\"</b> & 'ever' $(id) %s"
desktop = pytest.mark.skipif(bool(MISSING), reason=f"NOT TESTED on a desktop: {', '.join(MISSING)} not installed")


def test_a_login_that_dies_is_told_once(own_home: Path, sandbox: Sandbox) -> None:
    """The command runs with the profile and the way out, the log has it as an error, a restart tells nobody."""
    told = own_home / "told"
    command = own_home / "tell"
    command.write_text(f'#!/bin/sh\necho "$TOKENWARD_EVENT $TOKENWARD_PROFILE: $TOKENWARD_HINT" >> {told}\n')
    command.chmod(0o700)
    stored = StoredLogin(own_home)
    stored.write(sandbox.issue(ttl_seconds=-5))
    sandbox.faults.next("token", Fault(status=400, body=DEAD), times=None)
    config = f'[events]\non_event = ["{command}"]\n\n{direct(sandbox.token_endpoint)}'
    with DaemonProcess(own_home, config=config, arguments=["--log-level", "debug"]) as daemon:
        deadline = time.monotonic() + PATIENCE
        while not told.exists() or not told.read_text():
            assert time.monotonic() < deadline, daemon.log
            time.sleep(0.02)
        daemon.terminate()
        first = daemon.log
        assert f"ERROR a person must log in: {DEAD['error']}: {DEAD['error_description']}" in first
        assert f"profile={CLAUDE_PROFILE}" in first
        daemon.start()
        daemon.wait_for("profile.get", lambda it: it["phase"] == "login_required", profile=CLAUDE_PROFILE)
        daemon.terminate()
    assert told.read_text() == f"login_required {CLAUDE_PROFILE}: claude auth login\n"
    login = stored.members()
    assert not any(login[name] in daemon.log for name in ("accessToken", "refreshToken"))


@desktop
def test_a_notice_arrives_on_a_real_desktop(own_home: Path, sandbox: Sandbox) -> None:
    """By the real notify-send on a real session bus: who, the way out, and no markup of what a server said."""
    sandbox.faults.next("token", Fault(status=400, body={**DEAD, "error_description": HOSTILE}), times=None)
    stored = StoredLogin(own_home)
    stored.write(sandbox.issue(ttl_seconds=-5))
    config = f'[events]\non_event = ["notify"]\n\n{direct(sandbox.token_endpoint)}'
    with NoticeBoard(own_home) as board:
        around = {"PATH": "/usr/bin:/bin", "DBUS_SESSION_BUS_ADDRESS": board.address}
        with DaemonProcess(own_home, config=config, env=around) as daemon:
            notice = board.wait()
            daemon.terminate()
        assert board.is_empty()
    said, hint = notice.body.rsplit("\n", 1)
    assert (notice.program, notice.icon, notice.urgency) == ("tokenward", "dialog-password", 1)
    assert notice.summary == f"{CLAUDE_PROFILE} needs a login"
    assert html.unescape(said) == f"{DEAD['error']}: {HOSTILE}"
    assert "<" not in said
    assert hint == "claude auth login"
    assert "a notice could not be shown" not in daemon.log


@desktop
def test_a_desktop_without_notices_is_said_in_the_log(own_home: Path, sandbox: Sandbox) -> None:
    """Nobody shows notices on this bus: the log has the program, and why it failed."""
    sandbox.faults.next("token", Fault(status=400, body=DEAD), times=None)
    StoredLogin(own_home).write(sandbox.issue(ttl_seconds=-5))
    config = f'[events]\non_event = ["notify"]\n\n{direct(sandbox.token_endpoint)}'
    with NoticeBoard(own_home, attended=False) as board:
        around = {"PATH": "/usr/bin:/bin", "DBUS_SESSION_BUS_ADDRESS": board.address}
        with DaemonProcess(own_home, config=config, env=around) as daemon:
            deadline = time.monotonic() + PATIENCE
            while "a notice could not be shown: notify-send: " not in daemon.log:
                assert time.monotonic() < deadline, daemon.log
                time.sleep(0.02)
            daemon.terminate()
    assert "a notice could not be shown: notify-send: it ended with status 1; try it by hand" in daemon.log
