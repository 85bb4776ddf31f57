"""Which credential the real daemon serves, for whom, and what it remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, RpcError
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Sandbox

KEY = "sk-ant-api03-from-the-environment"
PROFILES_FIRST, CONFIG_FIRST = (
    '[default]\nresolution = "profiles-first"\n',
    '[default]\nresolution = "config-first"\n',
)


def test_the_order_is_taken_over_at_a_reload(own_home: Path, sandbox: Sandbox) -> None:
    """A login is set aside for a key, and serves again when the configuration says so."""
    StoredLogin(own_home).write(sandbox.issue())
    with DaemonProcess(own_home, config=CONFIG_FIRST, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        assert daemon.call("token.get")["token"] == KEY
        with pytest.raises(RpcError, match="set aside for an API key"):
            daemon.call("token.get", profile=CLAUDE_PROFILE)
        daemon.configure(PROFILES_FIRST)
        assert daemon.call("daemon.reload")["reloaded"]
        assert daemon.call("token.get")["profile"] == CLAUDE_PROFILE
        assert daemon.call("provider.get", provider="anthropic")["serves"] == CLAUDE_PROFILE


def test_agents_and_decisions_outlast_a_restart(own_home: Path) -> None:
    """One id of two agents stays two credentials; who was disabled still rests."""
    key = {"profile": "anthropic:default", "kind": "api_key"}
    with DaemonProcess(own_home) as daemon:
        for agent in ("main", "b"):
            credential = {"access_token": f"sk-ant-api03-{agent}"}
            daemon.call("profile.add", **key, credential=credential, agent=agent)
        daemon.call("profile.disable", profile="anthropic:default")
        assert daemon.terminate() == 0
        daemon.start()
        assert daemon.call("token.get", agent="b")["token"] == "sk-ant-api03-b"
        with pytest.raises(RpcError, match="disabled"):
            daemon.call("token.get")
        daemon.call("profile.enable", profile="anthropic:default")
        assert daemon.call("token.get")["token"] == "sk-ant-api03-main"
        with pytest.raises(RpcError, match="No API key found for provider") as refusal:
            daemon.call("token.get", agent="c")
        assert str(daemon.state / "credentials") in refusal.value.message
