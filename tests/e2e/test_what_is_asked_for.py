"""What a caller may ask for, and where it is told to send what it gets, with the real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.daemon_process import DaemonProcess, RpcError
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Sandbox

KEY = "sk-ant-api03-" + "k" * 95


@pytest.mark.covers("P10", "P29")
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", "https://api.anthropic.com"),
        ('[providers.anthropic]\napi_url = "https://proxy.example/"\n', "https://proxy.example"),
    ],
    ids=["default", "configured"],
)
def test_the_address_goes_with_every_token(own_home: Path, sandbox: Sandbox, config: str, expected: str) -> None:
    """Anthropic's own by default; the configured one without its slash, for logins as for keys."""
    StoredLogin(own_home).write(sandbox.issue())
    with DaemonProcess(own_home, config=config, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        login = daemon.call("token.get", kinds=["oauth"])
        key = daemon.call("token.get", kinds=["api_key"])
    assert (login["base_url"], key["base_url"], key["token"]) == (expected, expected, KEY)


@pytest.mark.covers("N61", "N62")
def test_the_subscription_alias_and_the_method_choose_the_kind(own_home: Path, sandbox: Sandbox) -> None:
    """`anthropic-subscription` and `auth_method` leave only what fits, and what fits nothing is refused."""
    with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        with pytest.raises(RpcError) as refused:
            daemon.call("token.get", provider="anthropic-subscription")
        StoredLogin(own_home).write(sandbox.issue())
        subscription = daemon.call("token.get", provider="anthropic-subscription")
        by_method = {
            method: daemon.call("token.get", auth_method=method)["kind"] for method in ("api_key", "oauth")
        }
        by_tier = {tier: daemon.call("token.get", tier=tier)["kind"] for tier in ("max_5", "api")}
    assert refused.value.data["type"] == "NoCredentials"
    assert (subscription["kind"], subscription["billing"]) == ("oauth", "subscription")
    assert by_method == {"api_key": "api_key", "oauth": "oauth"}
    assert by_tier == {"max_5": "oauth", "api": "api_key"}
