"""Who refreshes the logins that were made under another program's client_id, and where they are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.equipped import configured, environment, equipped, in_force
from tokenward.daemon.claude_logins import CLAUDE_PROFILE, NEUROLINK_PROFILE, ClaudeLogins
from tokenward.daemon.equipment import Equipment
from tokenward.daemon.household import Kept
from tokenward.daemon.refresher import DelegateRefresher, DirectRefresher
from tokenward.sources.claude_code import ClaudeCodeFile
from tokenward.sources.claude_code_command import ClaudeCodeCommand
from tokenward.sources.keychain import KeychainOrFile


def logins(equipment: Equipment, home: Path, text: str = "") -> ClaudeLogins:
    """Those of one configuration."""
    settings = configured(home, text, equipment.environ)
    return ClaudeLogins(settings, equipment, in_force(equipment, settings))


def claude_installed(home: Path) -> Path:
    """A Claude Code on the daemon's path."""
    program = home / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def only(kept: list[Kept]) -> Kept:
    """The one."""
    (found,) = kept
    return found


@pytest.mark.parametrize(
    ("setting", "is_installed", "refresher", "note"),
    [
        ("auto", True, DelegateRefresher, None),
        (
            "auto",
            False,
            None,
            'so this login is only watched; to let tokenward refresh it, set refresh = "direct"',
        ),
        ("delegate", True, DelegateRefresher, None),
        ("delegate", False, None, 'refresh = "delegate" needs Claude Code'),
        ("direct", True, DirectRefresher, None),
        ("direct", False, DirectRefresher, None),
        ("watch", True, None, None),
        ("watch", False, None, None),
    ],
)
async def test_the_setting_alone_says_who_refreshes(
    own_home: Path, setting: str, refresher: type | None, note: str | None, *, is_installed: bool
) -> None:
    """Nothing but `direct` spends the refresh token; without Claude Code the rest only watches, and says so."""
    if is_installed:
        claude_installed(own_home)
    async with equipped(own_home) as equipment:
        text = f'[sources.claude-code]\nrefresh = "{setting}"\n'
        kept = only(logins(equipment, own_home, text).all_kept())
    assert (kept.profile.id, kept.profile.provider) == (CLAUDE_PROFILE, "anthropic")
    assert (None if kept.refresher is None else type(kept.refresher)) is refresher
    assert (kept.note is None) is (note is None)
    assert (note or "") in (kept.note or "")


async def test_claude_code_is_asked_by_its_path_in_a_clean_environment(own_home: Path) -> None:
    """A credential of the daemon's environment would be used in place of the login; what is named is passed on."""
    program = claude_installed(own_home)
    environ = environment(own_home, ANTHROPIC_API_KEY="sk-ant-api03-1", LANG="C.UTF-8", CORP="proxy")
    async with equipped(own_home, environ) as equipment:
        kept = only(logins(equipment, own_home, '[sources.claude-code]\nenv = ["CORP"]\n').all_kept())
    assert isinstance(kept.refresher, DelegateRefresher)
    command = kept.refresher._delegate
    assert isinstance(command, ClaudeCodeCommand)
    assert command._command == str(program)
    assert command._environ == {name: value for name, value in environ.items() if name != "ANTHROPIC_API_KEY"}


async def test_a_claude_code_that_is_installed_later_replaces_the_keeper(own_home: Path) -> None:
    """What the keeper is made of differs then, and else is the same."""
    async with equipped(own_home) as equipment:
        before = only(logins(equipment, own_home).all_kept())
        assert only(logins(equipment, own_home).all_kept()).made_of == before.made_of
        claude_installed(own_home)
        assert only(logins(equipment, own_home).all_kept()).made_of != before.made_of


async def test_a_configured_path_is_that_file_alone(own_home: Path) -> None:
    """On a Mac the Keychain goes before the file, unless a person named a file."""
    path = own_home / "elsewhere.json"
    async with equipped(own_home, platform="darwin") as equipment:
        named = logins(equipment, own_home, f'[sources.claude-code]\npath = "{path}"\n')
        assert isinstance(only(named.all_kept()).place, ClaudeCodeFile)
        assert named.looked_at() == [(f"Claude Code's login {path}", False)]
        usual = logins(equipment, own_home)
        assert isinstance(only(usual.all_kept()).place, KeychainOrFile)
        item, file = usual.looked_at()
        assert item[0].startswith("Claude Code's login, Keychain item ")
        assert file == (f"Claude Code's login {own_home}/.claude/.credentials.json", False)


async def test_a_login_that_is_not_to_be_kept_is_not_found(own_home: Path) -> None:
    """Its file is there, and nobody looks into it."""
    path = own_home / ".claude" / ".credentials.json"
    path.parent.mkdir()
    path.write_text("{}")
    async with equipped(own_home) as equipment:
        assert logins(equipment, own_home).looked_at() == [(f"Claude Code's login {path}", True)]
        ignored = logins(equipment, own_home, "[sources.claude-code]\nenabled = false\n")
        assert ignored.all_kept() == []
        assert ignored.looked_at() == [(f"Claude Code's login {path}", False)]


@pytest.mark.parametrize(("refresh", "refresher"), [("watch", None), ("direct", DirectRefresher)])
async def test_neurolinks_login_is_kept_if_a_person_says_so(
    own_home: Path, refresh: str, refresher: type | None
) -> None:
    """Only watched, unless its refresh was consented to; and never by default."""
    text = "[sources.claude-code]\nenabled = false\n\n[sources.neurolink]\n"
    async with equipped(own_home) as equipment:
        assert logins(equipment, own_home, text).all_kept() == []
        kept = only(logins(equipment, own_home, f'{text}enabled = true\nrefresh = "{refresh}"\n').all_kept())
    assert kept.profile.id == NEUROLINK_PROFILE
    assert (None if kept.refresher is None else type(kept.refresher)) is refresher
