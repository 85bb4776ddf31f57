"""Models, tiers and header advice with the real daemon, its configuration and its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.daemon_process import DaemonProcess, RpcError
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Sandbox

KEY = "sk-ant-api03-" + "k" * 95
SONNET_4, OPUS_4 = "claude-sonnet-4-20250514", "claude-opus-4-20250514"
CONFIG = '[default]\nmodel = "opus-4.5"\n[providers.anthropic]\nbeta_features = true\n'


@pytest.mark.covers("P4", "P11", "N9")
def test_the_default_model_comes_from_where_somebody_said_it(own_home: Path) -> None:
    """Nobody: the founding document's; the configuration; the variable, which wins; and a reload changes it."""
    key = {"ANTHROPIC_API_KEY": KEY}
    with DaemonProcess(own_home, env=key) as daemon:
        answer = daemon.call("token.get")
        assert (answer["model"], "was retired" in answer["model_note"]) == (SONNET_4, True)
        daemon.configure(CONFIG)
        assert daemon.call("daemon.reload")["reloaded"]
        assert daemon.call("token.get")["model"] == "claude-opus-4-5"
    with DaemonProcess(own_home, config=CONFIG, env={**key, "ANTHROPIC_MODEL": "claude-sonnet-5"}) as daemon:
        assert daemon.call("token.get")["model"] == "claude-sonnet-5"
        assert daemon.call("model.list")["default"] == "claude-sonnet-5"


@pytest.mark.covers("N14")
@pytest.mark.parametrize(
    ("config", "said", "tier", "model"),
    [
        ("", "max", "max", OPUS_4),
        ('[providers.anthropic]\ntier = "free"\n', None, "free", "claude-3-5-haiku-20241022"),
        ('[providers.anthropic]\ntier = "free"\n', "max_20", "max_20", OPUS_4),
        ('[providers.anthropic]\ntier = "free"\n', "platinum", "free", "claude-3-5-haiku-20241022"),
        ("", None, "api", SONNET_4),
    ],
)
def test_a_configured_tier_has_its_default(
    own_home: Path, config: str, said: str | None, tier: str, model: str
) -> None:
    """Where the environment or the configuration names a tier, and only there; the environment wins."""
    env = {"ANTHROPIC_API_KEY": KEY} | ({"ANTHROPIC_SUBSCRIPTION_TIER": said} if said else {})
    with DaemonProcess(own_home, config=config, env=env) as daemon:
        answer = daemon.call("token.get")
    assert (answer["tier"], answer["model"]) == (tier, model)


@pytest.mark.covers("P4")
def test_the_default_provider_and_its_model(own_home: Path) -> None:
    """A provider of the user's own, with an id that nobody else knows."""
    config = '[default]\nprovider = "acme"\nmodel = "big-1"\n[providers.acme]\napi_key = "k-acme"\n'
    with DaemonProcess(own_home, config=config) as daemon:
        answer = daemon.call("token.get")
        assert (answer["provider"], answer["model"]) == ("acme", "big-1")
        assert daemon.call("model.list")["default"] == "big-1"


@pytest.mark.covers("N48", "N49")
def test_betas_by_kind_and_by_the_caller(own_home: Path, sandbox: Sandbox) -> None:
    """Those of the documents for a key; a login's own with the caller's behind, each once."""
    StoredLogin(own_home).write(sandbox.issue())
    with DaemonProcess(own_home, config=CONFIG, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        key = daemon.call("token.get", kinds=["api_key"])
        asked = ["claude-code-20250219", "oauth-2025-04-20"]
        login = daemon.call("token.get", kinds=["oauth"], betas=asked)
        plain = daemon.call("token.get", kinds=["oauth"])
    assert key["headers"]["anthropic-beta"].split(",") == [
        "extended-cache-ttl-2025-04-11",
        "claude-code-20250219",
        "interleaved-thinking-2025-05-14",
        "fine-grained-tool-streaming-2025-05-14",
    ]
    of_login = ["oauth-2025-04-20", "interleaved-thinking-2025-05-14"]
    assert login["headers"]["anthropic-beta"].split(",") == [*of_login, "claude-code-20250219"]
    assert plain["headers"]["anthropic-beta"].split(",") == of_login
    assert {"tier", "billing", "base_url"} <= plain.keys()


@pytest.mark.covers("N15", "N66", "E25")
def test_models_are_asked_for_over_the_socket(own_home: Path) -> None:
    """Each method once, with the errors that it may answer with."""
    with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": KEY}) as daemon:
        assert daemon.call("model.resolve", model="Anthropic/Opus-4")["model"] == OPUS_4
        assert daemon.call("model.info", model=OPUS_4)["minimum_tier"] == "max"
        assert {each["table"] for each in daemon.call("model.list")["tables"]} == {"current", "documents"}
        fallen = daemon.call("model.for_tier", model=OPUS_4, tier="pro")
        assert (fallen["model"], bool(fallen["warning"])) == (SONNET_4, True)
        assert daemon.call("model.for_tier", model=OPUS_4)["tier"] == "api"
        assert daemon.call("model.validate_access", model=OPUS_4, tier="pro")["allowed"] is False
        assert daemon.call("token.get", model="anthropic:sonnet-4.5")["model"] == "claude-sonnet-4-5"
        for method, params, code, words in (
            (
                "model.resolve",
                {"model": "anthropic/nope", "strict": True},
                -32007,
                "Unknown model: anthropic/nope",
            ),
            ("token.get", {"model": "gpt-5"}, -32007, "Unknown model: gpt-5"),
            ("model.validate_access", {"model": OPUS_4, "tier": "pro", "strict": True}, -32008, "not available"),
        ):
            with pytest.raises(RpcError, match=words) as refused:
                daemon.call(method, **params)
            assert refused.value.code == code
