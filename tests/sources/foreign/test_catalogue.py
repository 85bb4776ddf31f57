"""Where foreign stores are looked for, and what is made of them as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fakes.machine import FakeClock
from sources.foreign.stores import CLAWDBOT, NEUROLINK, imported, obfuscated, skipped
from tokenward.errors import ConfigurationFault
from tokenward.sources.foreign.catalogue import ForeignStores
from tokenward.sources.foreign.places import Workshop, place_of

GROQ = {"groq": {"type": "api_key", "key": "k"}}
SETTINGS = b"{env: {ANTHROPIC_API_KEY: 'k'}, auth: {profiles: {'acme:me@x.com': {mode: 'token'}}}}"


def _write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def _tree(home: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.covers("E21")
def test_equabots_agents_are_read_one_at_a_time(tmp_path: Path) -> None:
    """The main agent's store with the settings' keys and modes; another agent is named, and read if asked for."""
    root = tmp_path / ".equabot"
    _write(root / "equabot.json", SETTINGS)
    _write(root / "agents/main/agent/auth-profiles.json", CLAWDBOT)
    bots = {"version": 1, "profiles": {"acme:bot": {"type": "api_key", "provider": "acme", "key": "k-bot"}}}
    _write(root / "agents/bot/agent/auth-profiles.json", bots)
    stores = ForeignStores(tmp_path, {})
    gathered = stores.read("equabot", None, "main")
    assert set(imported(gathered.entries)) == {"anthropic:default", "anthropic:manual", "anthropic:equabot"}
    left = skipped(gathered.entries)
    assert "another mode" in left["acme:me@x.com"]
    assert "--agent bot" in left["agent bot"]
    assert len(gathered.files) == 2
    assert "acme:bot" in imported(stores.read("equabot", None, "bot").entries)


def test_the_state_directory_is_moved_by_its_variable(tmp_path: Path) -> None:
    """``CLAWDBOT_STATE_DIR``; a relative one counts for nothing."""
    _write(tmp_path / "elsewhere/agents/main/agent/auth-profiles.json", CLAWDBOT)
    moved = ForeignStores(tmp_path, {"CLAWDBOT_STATE_DIR": str(tmp_path / "elsewhere")})
    assert len(moved.present("clawdbot")) == 1
    assert ForeignStores(tmp_path, {"CLAWDBOT_STATE_DIR": "elsewhere"}).present("clawdbot") == []


def test_a_stale_older_file_does_not_win(tmp_path: Path) -> None:
    """What stands in today's store and in ``oauth.json`` is taken from today's, and the other is named."""
    root = tmp_path / ".clawdbot"
    today = {"acme:default": {"type": "oauth", "provider": "acme", "access": "new", "refresh": "r2", "expires": 0}}
    _write(root / "agents/main/agent/auth-profiles.json", {"version": 1, "profiles": today})
    _write(root / "credentials/oauth.json", {"acme": {"access": "old", "refresh": "r1", "expires": 0}})
    entries = ForeignStores(tmp_path, {}).read("clawdbot", None, "main").entries
    assert imported(entries)["acme:default"].credential.access.reveal() == "new"
    assert "older file" in skipped(entries)["acme:default"]
    _write(root / "credentials/oauth.json", {"acme": {"access": "new", "refresh": "r2"}})
    assert skipped(ForeignStores(tmp_path, {}).read("clawdbot", None, "main").entries) == {}


def test_both_of_neurolinks_files_are_read(tmp_path: Path) -> None:
    """The login file and the XOR store, the latter by the path of the home directory."""
    login = {"type": "oauth", "oauth": {"accessToken": "a", "refreshToken": "r"}, "provider": "anthropic"}
    _write(tmp_path / ".neurolink/anthropic-credentials.json", login)
    _write(tmp_path / ".neurolink/tokens.json", obfuscated(NEUROLINK, str(tmp_path)))
    found = imported(ForeignStores(tmp_path, {}).read("neurolink", None, "main").entries)
    assert set(found) == {"anthropic:neurolink-login", "anthropic:work", "anthropic:key"}


@pytest.mark.parametrize(
    ("name", "file", "content", "profile"),
    [
        ("polpo", ".polpo/auth-profiles.json", CLAWDBOT, "acme:me@x.com"),
        ("polpo", ".polpo/polpo.json", {"providers": {"anthropic": "sk-ant-api03-p"}}, "anthropic:polpo"),
        ("prx", ".openprx/auth-profiles.json", {"profiles": {"a:b": {"kind": "token", "token": "t"}}}, "a:b"),
        ("codex", ".codex/auth.json", {"OPENAI_API_KEY": "sk-1", "tokens": None}, "openai:codex-key"),
        ("gh", ".config/gh/hosts.yml", b"github.com:\n    oauth_token: gho_1\n", "github:default"),
        ("pi", ".pi/agent/auth.json", {"groq": {"type": "api_key", "key": "k"}}, "groq:default"),
        ("openclaw", ".openclaw/agents/main/agent/auth.json", GROQ, "groq:default"),
    ],
)
def test_usual_places_are_read_and_never_touched(
    tmp_path: Path, name: str, file: str, content: Any, profile: str
) -> None:
    """By name or by path the same is found, and every file is afterwards what it was."""
    path = _write(tmp_path / file, content)
    before = _tree(tmp_path)
    stores = ForeignStores(tmp_path, {})
    assert stores.present(name) == [str(path)]
    assert profile in imported(stores.read(name, None, "main").entries)
    moved = path.rename(tmp_path / "moved.json")
    assert profile in imported(stores.read(name, str(moved), "main").entries)
    moved.rename(path)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("content", [b'{"profiles": {"a', b"[]", b"\x00" * 64, b"x" * (1024 * 1024 + 1)])
def test_a_torn_or_huge_file_stops_the_import(tmp_path: Path, content: bytes) -> None:
    """Half of a store looks like a small store, so nothing of it is taken."""
    _write(tmp_path / ".openprx/auth-profiles.json", content)
    with pytest.raises(ConfigurationFault, match=r"auth-profiles\.json"):
        ForeignStores(tmp_path, {}).read("prx", None, "main")


def test_a_store_of_thousands_is_refused(tmp_path: Path) -> None:
    """What is told of it would not fit into an answer."""
    _write(tmp_path / ".pi/agent/auth.json", {str(number): 1 for number in range(1001)})
    with pytest.raises(ConfigurationFault, match="more than 1000"):
        ForeignStores(tmp_path, {}).read("pi", None, "main")


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    """It would block the reader for ever."""
    (tmp_path / ".codex").mkdir()
    os.mkfifo(tmp_path / ".codex/auth.json")
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        ForeignStores(tmp_path, {}).read("codex", None, "main")


def test_an_unknown_program_and_an_empty_place_say_so(tmp_path: Path) -> None:
    """The names there are, and the places that were looked at."""
    stores = ForeignStores(tmp_path, {})
    with pytest.raises(ConfigurationFault) as unknown:
        stores.read("netscape", None, "main")
    assert "polpo" in unknown.value.hint
    with pytest.raises(ConfigurationFault, match=r"\.codex/auth\.json"):
        stores.read("codex", None, "main")


def test_gcloud_is_told_how() -> None:
    """Its store is nobody else's affair: the answer names the command that hands out a token."""
    stores = ForeignStores(Path("/nowhere"), {})
    with pytest.raises(ConfigurationFault) as refused:
        stores.read("gcloud", None, "main")
    assert '"config-helper", "--format=json"' in refused.value.hint
    with pytest.raises(ConfigurationFault, match="no layout") as unknown:
        place_of("nothing", Path("/x"), None, Workshop(FakeClock(), lambda _: None, lambda: 0.5))
    with pytest.raises(ConfigurationFault, match="gcloud") as layout:
        place_of("gcloud", Path("/x"), None, Workshop(FakeClock(), lambda _: None, lambda: 0.5))
    assert layout.value.hint == refused.value.hint != unknown.value.hint
