"""Imports and adoptions, through everything the daemon is made of but its socket."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tokenward.daemon import app
from tokenward.daemon.adopted import FILE, AdoptedFiles, Adoption
from tokenward.daemon.profile_models import ProfileListParams
from tokenward.daemon.source_models import SourceAdoptParams, SourceImportParams
from tokenward.daemon.token_models import TokenParams
from tokenward.daemon.ward import Ward
from tokenward.errors import ConfigurationFault, InvalidParams, ProfileUnavailable
from tokenward.sandbox import Sandbox

END = 4_102_444_800_000
ENTRY = "acme:me@x.com"
Opened = Callable[[], AbstractAsyncContextManager[Ward]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A daemon without a socket in this test's home; the test's own process stays as it is."""
    monkeypatch.setattr(app, "protect", lambda **_: None)

    @asynccontextmanager
    async def open_one() -> AsyncIterator[Ward]:
        async with app.in_process_service(config=None, state_dir=None) as ward:
            yield ward

    return open_one


def _store(home: Path, **profiles: dict[str, Any]) -> Path:
    path = home / ".clawdbot/agents/main/agent/auth-profiles.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "profiles": profiles, "notYetInvented": [1]}))
    path.chmod(0o600)
    return path


def _login(access: str = "at-1", refresh: str = "rt-1", end: int = END) -> dict[str, Any]:
    return {"type": "oauth", "provider": "acme", "access": access, "refresh": refresh, "expires": end}


def _key(text: str) -> dict[str, Any]:
    return {"type": "api_key", "provider": "acme", "key": text}


def _clawdbot(**more: Any) -> SourceImportParams:
    return SourceImportParams(source="clawdbot", **more)


def _adopt(path: Path, profile: str = "acme:there", **more: Any) -> SourceAdoptParams:
    return SourceAdoptParams(path=str(path), profile=profile, layout="clawdbot", entry=ENTRY, **more)


@pytest.mark.covers("L20")
async def test_what_is_imported_is_served_and_stays(own_home: Path, opened: Opened) -> None:
    """A copy in our own store outlives the daemon and the other program's file, which is as it was."""
    path = _store(own_home, **{"acme:key": _key("k-1"), ENTRY: _login()})
    before = path.read_bytes()
    async with opened() as ward:
        result = await ward.take_over(_clawdbot())
        assert [each.profile for each in result.imported] == ["acme:key", ENTRY]
        assert path.read_bytes() == before
    state = own_home / ".local/state/tokenward"
    records = list((state / "credentials").glob("*.json"))
    assert [each.stat().st_mode & 0o777 for each in records] == [0o600, 0o600]
    assert [each.stat().st_mode & 0o777 for each in (state, state / "credentials")] == [0o700, 0o700]
    assert not any(b"at-1" in each.read_bytes() or b"k-1" in each.read_bytes() for each in records)
    path.unlink()
    async with opened() as ward:
        assert (await ward.token(TokenParams(profile="acme:key"))).token == "k-1"
        assert (await ward.token(TokenParams(profile=ENTRY))).token == "at-1"
        assert ward.profile(ENTRY).source == "store"


async def test_a_dry_run_and_a_second_run_change_nothing(own_home: Path, opened: Opened) -> None:
    """The one says the same as a run would; the other finds everything kept."""
    _store(own_home, **{"acme:key": _key("k-1")})
    async with opened() as ward:
        planned = await ward.take_over(_clawdbot(dry_run=True))
        assert ward.keepers.keys().isdisjoint({"acme:key"})
        done = await ward.take_over(_clawdbot())
        assert planned.imported == done.imported
        again = await ward.take_over(_clawdbot())
        assert (again.imported, again.unchanged) == ([], ["acme:key"])


async def test_nothing_that_is_kept_is_replaced(own_home: Path, opened: Opened) -> None:
    """A name with another value is skipped, and can be imported under another."""
    _store(own_home, **{"acme:key": _key("k-1")})
    async with opened() as ward:
        await ward.take_over(_clawdbot())
        _store(own_home, **{"acme:key": _key("k-2")})
        result = await ward.take_over(_clawdbot())
        assert "taken" in result.skipped[0].reason
        assert (await ward.token(TokenParams(profile="acme:key"))).token == "k-1"
        await ward.take_over(_clawdbot(profiles=["acme:key"], rename="acme:second"))
        assert (await ward.token(TokenParams(profile="acme:second"))).token == "k-2"


async def test_only_what_was_asked_for(own_home: Path, opened: Opened) -> None:
    """What is there and was not asked for, and what was asked for and is not there, are both said."""
    _store(own_home, **{"acme:a": _key("k-a"), "acme:b": _key("k-b")})
    async with opened() as ward:
        result = await ward.take_over(_clawdbot(profiles=["acme:a", "acme:c"]))
        assert [each.profile for each in result.imported] == ["acme:a"]
        assert {each.name: each.reason for each in result.skipped} == {
            "acme:b": "it was not asked for",
            "acme:c": "it is not there",
        }
        with pytest.raises(InvalidParams):
            await ward.take_over(_clawdbot(rename="acme:x"))


@pytest.mark.covers("E5")
async def test_a_key_of_the_settings_is_served(own_home: Path, opened: Opened) -> None:
    """From JSON5 to a token, and this process's environment is as it was."""
    (own_home / ".equabot").mkdir()
    (own_home / ".equabot/equabot.json").write_text("{ env: { ANTHROPIC_API_KEY: 'sk-ant-api03-e', }, /* so */ }")
    before = dict(os.environ)
    async with opened() as ward:
        await ward.take_over(SourceImportParams(source="equabot"))
        token = await ward.token(TokenParams(provider="anthropic"))
        assert (token.token, token.profile) == ("sk-ant-api03-e", "anthropic:equabot")
    assert dict(os.environ) == before


async def test_an_adoption_outlives_the_daemon_and_ends_without_the_file(own_home: Path, opened: Opened) -> None:
    """It is written down privately, kept again at the next start, and let go by ``forget``; the file stays."""
    path = _store(own_home, **{ENTRY: _login()})
    before = path.read_bytes()
    async with opened() as ward:
        shown = await ward.adopt(_adopt(path))
        assert (shown.source, shown.location, shown.refresh) == ("adopted", str(path), "watch")
        assert "--refresh direct" in (shown.note or "")
    written = own_home / ".local/state/tokenward" / FILE
    assert written.stat().st_mode & 0o777 == 0o600
    assert "at-1" not in written.read_text()
    assert "rt-1" not in written.read_text()
    async with opened() as ward:
        assert (await ward.token(TokenParams(profile="acme:there"))).token == "at-1"
        assert [each.profile for each in (await ward.sources()).adopted] == ["acme:there"]
        await ward.forget("acme:there")
        assert "acme:there" not in ward.keepers
    async with opened() as ward:
        assert "acme:there" not in ward.keepers
    assert path.read_bytes() == before


async def test_an_adopted_file_is_followed(own_home: Path, opened: Opened) -> None:
    """What its owner writes is served from then on."""
    path = _store(own_home, **{ENTRY: _login()})
    async with opened() as ward:
        await ward.adopt(_adopt(path))
        _store(own_home, **{ENTRY: _login("at-2", "rt-2")})
        assert (await ward.token(TokenParams(profile="acme:there"))).token == "at-2"


async def test_what_cannot_be_adopted(own_home: Path, opened: Opened) -> None:
    """No login, no such entry, a taken name, the same login twice: refused, and nothing is written down."""
    path = _store(own_home, **{ENTRY: _login(), "acme:key": _key("k")})
    async with opened() as ward:
        await ward.take_over(_clawdbot(profiles=["acme:key"]))
        with pytest.raises(ConfigurationFault, match="no login"):
            await ward.adopt(
                SourceAdoptParams(path=str(path), profile="acme:x", layout="clawdbot", entry="acme:no")
            )
        with pytest.raises(ProfileUnavailable, match="taken"):
            await ward.adopt(_adopt(path, "acme:key"))
        await ward.adopt(_adopt(path))
        with pytest.raises(ProfileUnavailable, match="acme:there"):
            await ward.adopt(_adopt(path.parent / "./auth-profiles.json", "acme:twice"))
        assert [each.profile for each in (await ward.sources()).adopted] == ["acme:there"]


async def test_an_adoption_can_be_changed(own_home: Path, opened: Opened) -> None:
    """The same again with a consent replaces the first."""
    path = _store(own_home, **{ENTRY: _login()})
    async with opened() as ward:
        await ward.adopt(_adopt(path))
        shown = await ward.adopt(_adopt(path, refresh="direct"))
        assert "[providers.acme]" in (shown.note or "")
        assert [each.refresh for each in (await ward.sources()).adopted] == ["direct"]


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "1", "\xff", "{}", "[" * 100_000, '{"version": 2, "adopted": []}',
        '{"adopted": [], "more": 1}', '{"adopted": {"a": 1}}', '{"adopted": 1}', '{"adopted": null}',
        '{"adopted": [{}]}', '{"adopted": [1]}', '{"adopted": [["a:a", "/f", "l"]]}',
        '{"adopted": [{"profile": "a:a", "path": "/f"}]}',
        '{"adopted": [{"profile": "a:a", "path": "/f", "layout": "l", "more": 1}]}',
        '{"adopted": [{"profile": 1, "path": "/f", "layout": "l"}]}',
        '{"adopted": [{"profile": "a:a", "path": null, "layout": "l"}]}',
        '{"adopted": [{"profile": "a:a", "path": "/f", "layout": []}]}',
        '{"adopted": [{"profile": "a:a", "path": "/f", "layout": "l", "entry": 0}]}',
        '{"adopted": [{"profile": "a:a", "path": "/f", "layout": "l", "refresh": "both"}]}',
        '{"adopted": [{"profile": "a:a", "path": "/f", "layout": "l", "refresh": []}]}',
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_stops_the_start(tmp_path: Path, content: str) -> None:
    """To take it for empty would lose every adoption at the next one."""
    (tmp_path / FILE).write_text(content, "latin-1")
    with pytest.raises(ConfigurationFault, match=FILE):
        AdoptedFiles(tmp_path)
    assert (tmp_path / FILE).read_text("latin-1") == content


def test_the_list_is_what_was_put_there(tmp_path: Path) -> None:
    """Read again it is the same, sorted by profile."""
    files = AdoptedFiles(tmp_path)
    both = [Adoption(profile=name, path="/f", layout="polpo", entry="e") for name in ("b:b", "a:a")]
    for each in both:
        files.put(each)
    assert AdoptedFiles(tmp_path).all() == both[::-1]
    files.remove("a:a")
    assert AdoptedFiles(tmp_path).all() == both[:1]


@pytest.mark.covers("E21")
async def test_one_login_in_two_places_is_refreshed_once(own_home: Path, opened: Opened) -> None:
    """A copy in our store and the file it came from: warned of, one request, and both hold the new value."""
    with Sandbox() as sandbox:
        config = own_home / ".config/tokenward/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[providers.acme]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "tokenward-sandbox"\n'
        )
        config.chmod(0o600)
        login = sandbox.issue()
        end = int(login.expires_at * 1000)
        path = _store(own_home, **{ENTRY: _login(login.access_token, login.refresh_token, end)})
        async with opened() as ward:
            await ward.take_over(_clawdbot(rename="acme:here"))
            await ward.adopt(_adopt(path, refresh="direct"))
            notes = {each.profile: each.note for each in ward.profiles(ProfileListParams(provider="acme"))}
            assert "acme:there" in (notes["acme:here"] or "")
            assert "acme:here" in (notes["acme:there"] or "")
            async with anyio.create_task_group() as group:
                group.start_soon(ward.refresh, "acme:here")
                group.start_soon(ward.refresh, "acme:there")
            assert sandbox.statistics().token_requests == 1
            assert sandbox.statistics().reuse_detected == 0
            here, there = ward.keepers["acme:here"].credential, ward.keepers["acme:there"].credential
            assert here is not None
            assert there is not None
            assert here.generation == there.generation
            assert here.access.reveal() != login.access_token
        document = json.loads(path.read_bytes())
        assert document["profiles"][ENTRY]["access"] == here.access.reveal()
        assert document["notYetInvented"] == [1]
