"""What waits for a person reaches a program of theirs, and the log, from a daemon as a process."""

from __future__ import annotations

import time
from pathlib import Path

from e2e.daemon_process import CLAUDE_PROFILE, PATIENCE, DaemonProcess, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Fault, Sandbox

DEAD = {"error": "invalid_grant", "error_description": "the login was revoked"}


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
