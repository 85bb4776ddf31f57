"""The Keychain of macOS as a source, through everything the daemon is made of but its socket."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from contracts.place import oauth_credential
from fakes.security import FakeSecurity
from tokenward.core.credential import to_unix_milliseconds
from tokenward.daemon import app, equipment, examination
from tokenward.daemon.claude_logins import CLAUDE_PROFILE
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.options import Options
from tokenward.daemon.token_models import TokenParams
from tokenward.daemon.ward import Ward
from tokenward.errors import TokenwardError

Opened = Callable[..., AbstractAsyncContextManager[Ward]]
LOCKED = 36


def login(number: int) -> str:
    """What Claude Code keeps, with an hour of life left."""
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    credential = replace(oauth_credential(number), expires_at=expires_at)
    assert credential.refresh is not None
    return json.dumps(
        {
            "claudeAiOauth": {
                "accessToken": credential.access.reveal(),
                "refreshToken": credential.refresh.reveal(),
                "expiresAt": to_unix_milliseconds(expires_at),
                "scopes": list(credential.scopes),
            }
        }
    )


@pytest.fixture
def security(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSecurity:
    """The program, with the item of the user ``me``."""
    monkeypatch.setenv("USER", "me")
    return FakeSecurity(tmp_path / "security")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, security: FakeSecurity) -> Opened:
    """A daemon without a socket that takes this machine for a Mac, or for what is said."""
    monkeypatch.setattr(app, "protect", lambda **_: None)

    @asynccontextmanager
    async def open_one(config: Path | None = None, platform: str = "darwin") -> AsyncIterator[Ward]:
        equipped = partial(Equipment, platform=platform, security=str(security.program))
        monkeypatch.setattr(equipment, "Equipment", equipped)
        async with app.in_process_service(config=config, state_dir=None) as ward:
            yield ward

    return open_one


def file_with(home: Path, number: int) -> Path:
    """Claude Code's file with a login."""
    path = home / ".claude" / ".credentials.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(login(number))
    path.chmod(0o600)
    return path


async def test_a_login_in_the_keychain_is_served(opened: Opened, security: FakeSecurity) -> None:
    """Under Claude Code's profile, with the item as its place."""
    security.put(login(1), datetime.now(UTC) - timedelta(minutes=1))
    async with opened() as ward:
        token = await ward.token(TokenParams())
        assert (token.token, token.profile) == ("sk-ant-oat01-access-1", CLAUDE_PROFILE)
        location = ward.profile(CLAUDE_PROFILE).location
        assert location is not None
        assert location.startswith("Keychain item Claude Code-credentials of me, else /")


async def test_the_keychain_goes_before_the_file(opened: Opened, own_home: Path, security: FakeSecurity) -> None:
    """Both are looked at; the file alone is enough."""
    file_with(own_home, 1)
    async with opened() as ward:
        assert (await ward.token(TokenParams())).token == "sk-ant-oat01-access-1"
    security.put(login(2), datetime.now(UTC) - timedelta(minutes=1))
    async with opened() as ward:
        assert (await ward.token(TokenParams())).token == "sk-ant-oat01-access-2"


async def test_a_keychain_that_is_locked_later_loses_nothing(opened: Opened, security: FakeSecurity) -> None:
    """What was read before is served, and status says why nothing new is heard."""
    security.put(login(1), datetime.now(UTC) - timedelta(minutes=1))
    async with opened() as ward:
        security.put(login(2), datetime.now(UTC))
        security.refuse(LOCKED)
        keeper = ward.keepers[CLAUDE_PROFILE]
        keeper.lookout.look_again()
        await ward.look_everywhere()
        assert (await ward.token(TokenParams())).token == "sk-ant-oat01-access-1"
        assert "locked" in (ward.profile(CLAUDE_PROFILE).note or "")


async def test_where_it_was_looked_for_is_said(opened: Opened, security: FakeSecurity) -> None:
    """The item is among the places, found or not."""
    async with opened() as ward:
        with pytest.raises(TokenwardError) as refused:
            await ward.token(TokenParams())
    assert "Keychain item Claude Code-credentials of me: not found" in repr(refused.value.data())
    assert security.asked


@pytest.mark.parametrize("platform", ["linux", "darwin"])
async def test_elsewhere_or_with_a_path_nobody_asks_for_it(
    platform: str, opened: Opened, own_home: Path, security: FakeSecurity, tmp_path: Path
) -> None:
    """Another platform has no Keychain, and who configures a path means that file."""
    security.put(login(2), datetime.now(UTC) - timedelta(minutes=1))
    path = file_with(own_home, 1)
    config = tmp_path / "config.toml"
    config.write_text(f'[sources.claude-code]\npath = "{path}"\n' if platform == "darwin" else "")
    config.chmod(0o600)
    async with opened(config, platform) as ward:
        assert (await ward.token(TokenParams())).token == "sk-ant-oat01-access-1"
    assert security.asked == []


@pytest.mark.parametrize(
    ("platform", "config", "asked"),
    [("darwin", "", True), ("linux", "", False), ("darwin", '[sources.claude-code]\npath = "/x.json"\n', False)],
)
@pytest.mark.usefixtures("security")
def test_the_doctor_asks_for_it_where_the_daemon_does(
    platform: str, config: str, *, asked: bool, tmp_path: Path
) -> None:
    """The same item, without its secret; and nowhere else."""
    path = tmp_path / "config.toml"
    path.write_text(config)
    path.chmod(0o600)
    options = Options(dict(os.environ), config_file=path)
    words = examination._claude_keychain(options, options.load(), platform=platform)
    expected = ("/usr/bin/security", "find-generic-password", "-a", "me", "-s", "Claude Code-credentials")
    assert words == (expected if asked else None)
