"""Published files of a real daemon, read by a shell and by Anthropic's SDK across rotations, stops and crashes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.command import finished
from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, direct
from e2e.stored_login import StoredLogin
from e2e.waiting import eventually
from tokenward.sandbox import Sandbox

TOKEN = f'[sinks.job]\nformat = "token"\nprofile = "{CLAUDE_PROFILE}"\n'
SDK = f'[sinks.sdk]\nformat = "anthropic-profile"\nprofile = "{CLAUDE_PROFILE}"\n'


def read_by_shell(path: Path) -> str:
    """What a shell's `$(cat FILE)` is."""
    said = subprocess.run(["/bin/sh", "-c", f'printf %s "$(cat {path})"'], capture_output=True, check=True)
    return said.stdout.decode()


def token_file(daemon: DaemonProcess) -> Path:
    """Where a token file is published that has no path of its own."""
    return daemon.socket_file.parent / "tokens" / "job"


def is_published(daemon: DaemonProcess) -> Callable[[], bool]:
    """Whether the first sink holds the value that its profile does."""

    def holds() -> bool:
        sink = daemon.call("sink.list")["sinks"][0]
        profile = daemon.call("profile.get", profile=CLAUDE_PROFILE)
        return bool(sink["state"] == "published" and sink["generation"] == profile["generation"])

    return holds


@pytest.fixture
def login(own_home: Path, sandbox: Sandbox) -> StoredLogin:
    """Claude Code's login, an hour long."""
    stored = StoredLogin(own_home)
    stored.write(sandbox.issue())
    return stored


def test_a_shell_reads_each_new_token(own_home: Path, sandbox: Sandbox, login: StoredLogin) -> None:
    """The file follows the rotation, is private, and goes when its sink leaves the configuration."""
    config = direct(sandbox.token_endpoint)
    with DaemonProcess(own_home, config=config + TOKEN) as daemon:
        path = token_file(daemon)
        eventually(is_published(daemon), daemon)
        assert read_by_shell(path) == login.access
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        first = login.access
        daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
        eventually(is_published(daemon), daemon)
        assert read_by_shell(path) == login.access != first
        daemon.configure(config)
        assert daemon.call("daemon.reload")["reloaded"]
        assert not path.exists()
        assert daemon.call("sink.list")["sinks"] == []
        assert login.members()["refreshToken"] not in daemon.log


def test_a_stop_leaves_a_valid_file_and_a_start_removes_a_left_one(
    own_home: Path, sandbox: Sandbox, login: StoredLogin
) -> None:
    """A restart breaks no reader; what was published at a path that is configured no more goes at the start."""
    config = direct(sandbox.token_endpoint)
    path = own_home / "job.token"
    with DaemonProcess(own_home, config=f'{config}{TOKEN}path = "{path}"\n') as daemon:
        eventually(is_published(daemon), daemon)
        assert daemon.terminate() == 0
        assert read_by_shell(path) == login.access
        daemon.configure(config)
        daemon.start()
        assert not path.exists()


def test_a_disabled_profile_is_not_published(own_home: Path, sandbox: Sandbox, login: StoredLogin) -> None:
    """The file goes, the command says why, and it comes back when the profile does."""
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint) + TOKEN) as daemon:
        path = token_file(daemon)
        eventually(path.exists, daemon)
        daemon.call("profile.disable", profile=CLAUDE_PROFILE)
        eventually(lambda: not path.exists(), daemon)
        eventually(lambda: daemon.call("sink.list")["sinks"][0]["state"] == "withdrawn", daemon)
        shown = finished(daemon, "sinks")
        assert shown.status == 0
        assert f"job: {CLAUDE_PROFILE} is disabled" in shown.said
        daemon.call("profile.enable", profile=CLAUDE_PROFILE)
        eventually(path.exists, daemon)
        assert read_by_shell(path) == login.access


def test_a_file_that_cannot_be_written_stops_no_refresh(
    own_home: Path, sandbox: Sandbox, login: StoredLogin
) -> None:
    """The refresh goes on, status and event say what is wrong with the file, and what is there is not touched."""
    path = own_home / "precious"
    path.write_text("theirs")
    with DaemonProcess(own_home, config=f'{direct(sandbox.token_endpoint)}{TOKEN}path = "{path}"\n') as daemon:
        eventually(lambda: daemon.call("sink.list")["sinks"][0]["state"] == "failing", daemon)
        daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
        assert daemon.call("token.get", profile=CLAUDE_PROFILE)["token"] == login.access
        (trouble,) = daemon.call("daemon.status")["sink_troubles"]
        assert f"{path} holds what tokenward did not write" in trouble
        assert path.read_text() == "theirs"


def test_the_command_runs_after_each_change_without_a_token(
    own_home: Path, sandbox: Sandbox, login: StoredLogin
) -> None:
    """It finds the new token in the file, and none in its environment."""
    seen = own_home / "seen"
    script = own_home / "bin" / "on-change"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\n/usr/bin/env > {seen}.tmp\n/bin/cat "$TOKENWARD_PATH" >> {seen}.tmp\n'
        f"/bin/mv {seen}.tmp {seen}\n"
    )
    script.chmod(0o700)
    config = f'{direct(sandbox.token_endpoint)}{TOKEN}on_change = ["{script}"]\n'
    with DaemonProcess(own_home, config=config, env={"MY_SECRET": "hunter2"}) as daemon:
        eventually(lambda: seen.exists() and login.access in seen.read_text(), daemon)
        daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
        eventually(lambda: login.access in seen.read_text(), daemon)
    *variables, token = seen.read_text().splitlines()
    assert token == login.access
    assert "TOKENWARD_EVENT=published" in variables
    assert not any(login.access in each or "hunter2" in each for each in variables)


def test_anthropics_sdk_goes_on_through_a_rotation(own_home: Path, sandbox: Sandbox, login: StoredLogin) -> None:
    """It is given the profile's name and nothing else, and never asks the token endpoint itself."""
    config = f'{direct(sandbox.token_endpoint)}api_url = "{sandbox.base_url}"\n{SDK}'
    directory = own_home / "anthropic"
    with DaemonProcess(own_home, config=f'{config}path = "{directory}"\n') as daemon:
        eventually(is_published(daemon), daemon)
        ask = [
            "import sys",
            "from anthropic import Anthropic",
            "client = Anthropic(profile='sdk', max_retries=1)",
            "for _ in sys.stdin:",
            "    message = client.messages.create(model='claude-sonnet-4-6', max_tokens=8,",
            "        messages=[{'role': 'user', 'content': 'ping'}])",
            "    print(message.content[0].text, flush=True)",
        ]
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ANTHROPIC_CONFIG_DIR": str(directory)}
        with subprocess.Popen(
            [sys.executable, "-c", "\n".join(ask)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write("\n")
            program.stdin.flush()
            assert "pong" in program.stdout.readline()
            first = login.access
            daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            sandbox.revoke(first)
            eventually(is_published(daemon), daemon)
            program.stdin.write("\n")
            program.stdin.flush()
            assert "pong" in program.stdout.readline()
            program.stdin.close()
        document = json.loads((directory / "credentials" / "sdk.json").read_bytes())
    assert document["access_token"] == login.access
    assert "refresh" not in json.dumps(document)
    assert sandbox.statistics().token_requests == 1, "the daemon's own"


def test_a_crash_leaves_a_whole_file_that_the_next_start_brings_up_to_date(
    own_home: Path, sandbox: Sandbox, login: StoredLogin
) -> None:
    """Killed while it rotates: the file is the old token or the new one; after a start it is the new one."""
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint) + TOKEN) as daemon:
        path = token_file(daemon)
        eventually(is_published(daemon), daemon)
        first = login.access
        connection = daemon.connect()
        connection.send("profile.refresh", {"profile": CLAUDE_PROFILE})
        sandbox.wait_for_request("/oauth/token")
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        connection.close()
        assert read_by_shell(path) in {first, login.access}
        daemon.start()
        eventually(is_published(daemon), daemon)
        assert read_by_shell(path) == login.access
        assert [entry.name for entry in path.parent.iterdir()] == ["job"]
