"""Other programs' files as the running daemon treats them: imported, adopted, followed, refreshed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.claude_code import CLIENT_ID
from e2e.daemon_process import DaemonProcess
from tokenward.sandbox import Issued, Sandbox

ENTRY = "acme:me@x.com"
DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""


def _registered_at(sandbox: Sandbox) -> str:
    return f'[providers.acme]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "{CLIENT_ID}"\n'


def _store(path: Path, login: Issued) -> None:
    entry: dict[str, Any] = {
        "type": "oauth",
        "provider": "acme",
        "access": login.access_token,
        "refresh": login.refresh_token,
        "expires": int(login.expires_at * 1000),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name("written")
    written.write_text(json.dumps({"version": 1, "profiles": {ENTRY: entry}, "order": {"acme": [ENTRY]}}))
    written.chmod(0o600)
    written.replace(path)


@pytest.fixture
def path(own_home: Path) -> Path:
    """Where clawdbot's main agent keeps its profiles."""
    return own_home / ".clawdbot/agents/main/agent/auth-profiles.json"


@pytest.mark.covers("E21")
def test_an_adopted_login_is_kept_valid_in_its_own_file(own_home: Path, sandbox: Sandbox, path: Path) -> None:
    """It is refreshed when due and written back to its owner's file; a crash changes nothing of it."""
    _store(path, sandbox.issue(ttl_seconds=DUE))
    with DaemonProcess(own_home, config=_registered_at(sandbox)) as daemon, daemon.subscribe() as events:
        adopted = daemon.call(
            "source.adopt", path=str(path), profile="acme:there", layout="clawdbot", entry=ENTRY, refresh="direct"
        )
        assert adopted["refresh"] == "direct"
        renewed = events.wait_for("rotated", profile="acme:there", not_generation=adopted["generation"])
        token = daemon.call("token.get", profile="acme:there")
        assert token["generation"] == renewed["generation"]
        assert sandbox.liveness(token["token"]) == "live"
        document = json.loads(path.read_bytes())
        assert document["profiles"][ENTRY]["access"] == token["token"]
        assert document["order"] == {"acme": [ENTRY]}
        daemon.kill()
        daemon.start()
        assert daemon.call("token.get", profile="acme:there")["token"] == token["token"]
        assert sandbox.statistics().reuse_detected == 0


def test_an_adopted_file_is_watched(own_home: Path, sandbox: Sandbox, path: Path) -> None:
    """What its owner writes is news to the running daemon without anybody asking."""
    _store(path, sandbox.issue())
    with DaemonProcess(own_home) as daemon, daemon.subscribe() as events:
        adopted = daemon.call("source.adopt", path=str(path), profile="acme:there", layout="clawdbot", entry=ENTRY)
        newer = sandbox.issue()
        _store(path, newer)
        events.wait_for("rotated", profile="acme:there", not_generation=adopted["generation"])
        assert daemon.call("token.get", profile="acme:there")["token"] == newer.access_token
        assert sandbox.statistics().token_requests == 0


@pytest.mark.covers("E20")
def test_settings_with_an_old_mode_are_migrated_in_the_daemons_log(own_home: Path) -> None:
    """One line when they are loaded; the file is as it was, and no secret is in the log."""
    settings = own_home / ".equabot/equabot.json"
    settings.parent.mkdir()
    modes = "{profiles: {'anthropic:claude-cli': {mode: 'token'}}}"
    text = f"{{env: {{ANTHROPIC_API_KEY: 'sk-ant-api03-e',}}, auth: {modes}}}"
    settings.write_text(text)
    with DaemonProcess(own_home) as daemon:
        done = daemon.call("source.import", source="equabot")
        assert [each["profile"] for each in done["imported"]] == ["anthropic:equabot"]
        assert daemon.call("token.get", provider="anthropic")["token"] == "sk-ant-api03-e"
        assert daemon.log.count('Updated auth.profiles["anthropic:claude-cli"].mode → "oauth".') == 1
        assert "sk-ant-api03-e" not in daemon.log
    assert settings.read_text() == text
