"""The store and the settings of Equabot, OpenClaw and clawdbot."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from sources.foreign.stores import CLAWDBOT, END, imported, skipped
from tokenward.core.credential import Kind, to_unix_milliseconds
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign import clawdbot, clawdbot_settings

SETTINGS = b"""
{ // what a person writes
  env: { ANTHROPIC_API_KEY: 'sk-ant-api03-env', EDITOR: "vi", vars: { ACME_API_KEY: "k-acme", }, },
  /* modes, no secrets */
  auth: { profiles: { "anthropic:claude-cli": { provider: "anthropic", mode: "token" },
                      "anthropic:other": { mode: "token" }, }, },
  models: { providers: { groq: { apiKey: "${GROQ_KEY}", baseUrl: "https://x" }, xai: { apiKey: "${NOT_SET}" } } },
  agents: { defaults: { model: { primary: "anthropic/claude-opus-4-5" } } },
}
"""


def _settings(environ: dict[str, str] | None = None) -> clawdbot_settings.ClawdbotSettings:
    document = clawdbot_settings.parse(SETTINGS, "equabot.json")
    return clawdbot_settings.read(document, environ or {}, owner="equabot")


@pytest.mark.covers("E21")
def test_every_type_is_read_as_what_it_is() -> None:
    """Keys, setup tokens and OAuth logins keep their tokens, their ends and the names their owner gave them."""
    found = imported(clawdbot.read(CLAWDBOT))
    assert {name: each.credential.kind for name, each in found.items()} == {
        "anthropic:default": Kind.API_KEY,
        "anthropic:manual": Kind.SETUP_TOKEN,
        "acme:me@x.com": Kind.OAUTH,
    }
    login = found["acme:me@x.com"].credential
    assert (login.access.reveal(), login.refresh and login.refresh.reveal()) == ("at-1", "rt-1")
    assert login.expires_at is not None
    assert to_unix_milliseconds(login.expires_at) == END
    assert "same refresh token" in (found["acme:me@x.com"].note or "")


def test_the_copy_of_claude_codes_login_is_left() -> None:
    """It is kept where Claude Code keeps it, and a second copy would be a second holder of one refresh token."""
    assert "Claude Code" in skipped(clawdbot.read(CLAWDBOT))["anthropic:claude-cli"]


@pytest.mark.covers("E19")
@pytest.mark.parametrize(
    ("mode", "stored", "fits"),
    [
        ("oauth", "token", True),
        ("oauth", "oauth", True),
        ("token", "oauth", False),
        ("api_key", "api_key", True),
        ("api_key", "token", False),
        (None, "token", True),
    ],
)
def test_which_modes_fit_which_types(mode: str | None, stored: str, fits: bool) -> None:  # noqa: FBT001 - a case
    """Mode ``oauth`` takes OAuth logins and setup tokens; another mode only its own type."""
    modes = {} if mode is None else {"p:x": mode}
    values = {"access": "a", "refresh": "r", "token": "t", "key": "k"}
    entries = clawdbot.read({"profiles": {"p:x": {"type": stored, "provider": "p", **values}}}, modes)
    assert bool(imported(entries)) is fits
    assert fits or "another mode" in skipped(entries)["p:x"]


@pytest.mark.covers("E20")
def test_an_old_mode_is_migrated_on_load_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """``token`` becomes ``oauth`` for Claude Code's profile alone, in memory; a second load has nothing to do."""
    caplog.set_level("INFO")
    document = clawdbot_settings.parse(SETTINGS, "equabot.json")
    given = json.dumps(document)
    migrated = clawdbot_settings.migrated(document)
    assert caplog.messages == ['Updated auth.profiles["anthropic:claude-cli"].mode → "oauth".']
    assert migrated["auth"]["profiles"] == {
        "anthropic:claude-cli": {"provider": "anthropic", "mode": "oauth"},
        "anthropic:other": {"mode": "token"},
    }
    assert json.dumps(document) == given
    caplog.clear()
    assert clawdbot_settings.migrated(migrated) == migrated
    assert caplog.messages == []


@pytest.mark.covers("E5")
def test_a_key_in_the_settings_counts_where_the_environment_has_none() -> None:
    """JSON5 is read; the ``env`` block's keys are found, and the process environment is as it was."""
    before = dict(os.environ)
    found = imported(_settings({"GROQ_KEY": "gsk-1"}).entries)
    assert {name: each.credential.access.reveal() for name, each in found.items()} == {
        "anthropic:equabot": "sk-ant-api03-env",
        "acme:equabot": "k-acme",
        "groq:equabot-config": "gsk-1",
    }
    assert dict(os.environ) == before


@pytest.mark.covers("E5")
def test_the_environment_goes_before_the_settings() -> None:
    """A key that the process environment has is not taken from the settings, and that is said."""
    environ = {"ANTHROPIC_API_KEY": "sk-ant-api03-process"}
    entries = _settings(environ).entries
    assert "anthropic:equabot" not in imported(entries)
    assert "goes first" in skipped(entries)["env.ANTHROPIC_API_KEY"]
    assert "not set" in skipped(entries)["models.providers.xai.apiKey"]
    assert environ == {"ANTHROPIC_API_KEY": "sk-ant-api03-process"}


@pytest.mark.parametrize("data", [b"{env: {", b"[1]", b"\xff\xfe", b"{" * 100_000, b" " * 300_000])
def test_torn_settings_are_an_error_of_one_line(data: bytes) -> None:
    """What is no JSON5 object is refused with the file's name and nothing of its content."""
    with pytest.raises(ConfigurationFault, match=r"equabot\.json") as refused:
        clawdbot_settings.parse(data, "equabot.json")
    assert "\n" not in refused.value.cause


def test_a_file_of_an_older_version_is_read() -> None:
    """``auth.json`` and ``oauth.json`` hold one credential a provider, under no name of its own."""
    older = {
        "anthropic": {"type": "oauth", "access": "a", "refresh": "r", "expires": END},
        "openai": {"access": "b", "refresh": "s", "expires": END},
        "groq": {"type": "api_key", "key": "gsk-1"},
        "odd": 7,
    }
    entries = clawdbot.read(older)
    assert set(imported(entries)) == {"anthropic:default", "openai:default", "groq:default"}
    assert set(skipped(entries)) == {"odd"}


@pytest.mark.parametrize(
    "stored",
    [
        {"type": "oauth", "access": "", "refresh": "", "expires": 0},
        {"type": "oauth"},
        {"type": "token", "token": " "},
        {"type": "api_key", "key": None},
        {"type": "api_key", "key": "two\nlines"},
        {"type": "oauth", "access": "x" * 70_000, "refresh": "r"},
        {"type": "of-2030", "key": "k"},
        "a string",
    ],
)
def test_what_is_no_credential_is_skipped_and_the_others_are_read(stored: Any) -> None:
    """Blanked, torn, oversized and newer entries cost nobody else anything, and no value is shown."""
    entries = clawdbot.read({"profiles": {"p:bad": stored, "p:good": {"type": "api_key", "key": "k"}}})
    assert set(imported(entries)) == {"p:good"}
    assert "xxx" not in skipped(entries)["p:bad"]
