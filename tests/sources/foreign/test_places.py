"""Files of other programs that are kept in place: the contract of a place, and what of a file survives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.place import PlaceContract, found_in, oauth_credential
from fakes.machine import FakeClock
from sources.foreign.stores import CLAWDBOT, END
from tokenward.core.credential import Credential, Kind, to_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Unreadable
from tokenward.errors import ConfigurationFault
from tokenward.ports import LockedPlace, LocksBusy, Stored
from tokenward.sources.foreign.places import LAYOUTS, WITH_ENTRIES, ClawdbotFile, Workshop, place_of
from tokenward.sources.login_file import LoginFile

ENTRY = "acme:me@x.com"
CODEX: dict[str, Any] = {
    "OPENAI_API_KEY": None,
    "auth_mode": "chatgpt",
    "tokens": {"id_token": "i", "access_token": "at-1", "refresh_token": "rt-1", "account_id": "acc"},
    "last_refresh": "2026-01-01T00:00:00Z",
}


def _workshop(while_waiting: Callable[[], object] = lambda: None) -> Workshop:
    clock = FakeClock()

    def wait(seconds: float) -> None:
        clock.advance(seconds)
        while_waiting()

    return Workshop(clock, wait, lambda: 0.5)


def _profiles(credential: Credential) -> dict[str, Any]:
    entry = {
        **CLAWDBOT["profiles"][ENTRY],
        "access": credential.access.reveal(),
        "refresh": credential.refresh.reveal() if credential.refresh else None,
        "expires": to_unix_milliseconds(credential.expires_at) if credential.expires_at else 0,
    }
    return {**CLAWDBOT, "profiles": {**CLAWDBOT["profiles"], ENTRY: entry}}


@dataclass
class _Rig:
    place: LoginFile
    document: Callable[[Credential], dict[str, Any]]

    def put(self, credential: Credential) -> None:
        self.place.path.write_text(json.dumps(self.document(credential)))

    def tear(self) -> None:
        self.place.path.write_text('{"version": 1, "profi')

    def vanish(self) -> None:
        self.place.path.unlink()


class _WithoutScopes(PlaceContract):
    def test_reads_what_its_owner_wrote(self, rig: Any) -> None:
        """Tokens and end; these programs have no room for scopes."""
        rig.put(oauth_credential())
        found, expected = found_in(rig.place.read()), oauth_credential()
        assert (found.kind, found.expires_at) == (Kind.OAUTH, expected.expires_at)
        assert found.generation == expected.generation


class TestClawdbotContract(_WithoutScopes):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _Rig:
        """Clawdbot writes its own store."""
        return _Rig(place_of("clawdbot", tmp_path / "auth-profiles.json", ENTRY, _workshop()), _profiles)


class TestPolpoContract(_WithoutScopes):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _Rig:
        """Polpo writes its own store."""
        return _Rig(place_of("polpo", tmp_path / "auth-profiles.json", ENTRY, _workshop()), _profiles)


@pytest.mark.parametrize("layout", sorted(WITH_ENTRIES))
def test_only_the_tokens_of_one_entry_change(tmp_path: Path, layout: str) -> None:
    """Everything else of the file has its value and its order, members unknown to us included."""
    path = tmp_path / "auth-profiles.json"
    path.write_text(json.dumps(CLAWDBOT, indent=2))
    path.chmod(0o600)
    place = place_of(layout, path, ENTRY, _workshop())
    held = found_in(place.read())
    new = oauth_credential(2)
    assert place.prepare_write().commit(held.generation, new) == Stored()
    written = json.loads(path.read_bytes())
    assert new.refresh is not None
    assert new.expires_at is not None
    changed = {
        "access": new.access.reveal(),
        "refresh": new.refresh.reveal(),
        "expires": to_unix_milliseconds(new.expires_at),
    }
    entry = {**CLAWDBOT["profiles"][ENTRY], **changed}
    assert written == {**CLAWDBOT, "profiles": {**CLAWDBOT["profiles"], ENTRY: entry}}
    assert list(written["profiles"]) == list(CLAWDBOT["profiles"])
    assert path.stat().st_mode & 0o777 == 0o600


def test_codexs_tokens_change_and_nothing_else(tmp_path: Path) -> None:
    """The id token, the account and the times are Codex's own."""
    path = tmp_path / "auth.json"
    path.write_text(json.dumps(CODEX))
    place = place_of("codex", path, None, _workshop())
    held = found_in(place.read())
    new = oauth_credential(2)
    place.prepare_write().commit(held.generation, new)
    assert new.refresh is not None
    tokens = {"access_token": new.access.reveal(), "refresh_token": new.refresh.reveal()}
    assert json.loads(path.read_bytes()) == {**CODEX, "tokens": {**CODEX["tokens"], **tokens}}


@pytest.mark.covers("E21")
def test_clawdbots_lock_is_taken_where_clawdbot_takes_it(tmp_path: Path) -> None:
    """``<store>.lock`` is a directory while we hold it; one that its owner holds is waited for in vain."""
    path = tmp_path / "auth-profiles.json"
    path.write_text(json.dumps(CLAWDBOT))
    place = place_of("equabot", path, ENTRY, _workshop())
    locks = place.acquire_locks(0.0)
    assert not isinstance(locks, LocksBusy)
    assert (tmp_path / "auth-profiles.json.lock").is_dir()
    other = place_of("clawdbot", path, ENTRY, _workshop()).acquire_locks(0.0)
    assert isinstance(other, LocksBusy)
    locks.release()
    assert not (tmp_path / "auth-profiles.json.lock").exists()


def test_while_clawdbots_lock_is_waited_for_people_can_see_it(tmp_path: Path) -> None:
    """Which lock it is; before and after that nothing."""
    path = tmp_path / "auth-profiles.json"
    path.write_text(json.dumps(CLAWDBOT))
    (tmp_path / "auth-profiles.json.lock").mkdir()
    seen: list[str | None] = []
    workshop = _workshop(lambda: seen.append(place.waits_for))
    place = ClawdbotFile(path, ENTRY, workshop)
    assert isinstance(place, LockedPlace)
    assert isinstance(place.acquire_locks(workshop.clock.monotonic() + 1.0), LocksBusy)
    assert seen == ["auth-profiles.json.lock is held by the program that owns the file"]
    assert place.waits_for is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (None, Absent()),
        ("text", Unreadable(f"{ENTRY} is not an object")),
        ({"type": "oauth", "access": "", "refresh": ""}, Blanked(login_ended=False)),
        ({"type": "of-2030"}, Unreadable(f"{ENTRY} is of a type that tokenward does not know")),
        (
            {"type": "oauth", "access": "a\nb", "refresh": "r"},
            Unreadable("it has characters that no token has"),
        ),
    ],
)
def test_what_is_no_login_is_said_to_be_what_it_is(tmp_path: Path, entry: Any, expected: object) -> None:
    """Removed, blanked, strange and newer entries are told apart."""
    profiles = {} if entry is None else {ENTRY: entry}
    path = tmp_path / "auth-profiles.json"
    path.write_text(json.dumps({"version": 1, "profiles": profiles}))
    assert place_of("polpo", path, ENTRY, _workshop()).read() == expected


def test_keys_are_kept_in_place_too(tmp_path: Path) -> None:
    """A static entry is watched like a login."""
    path = tmp_path / "auth-profiles.json"
    path.write_text(json.dumps(CLAWDBOT))
    key = found_in(place_of("equabot", path, "anthropic:default", _workshop()).read())
    token = found_in(place_of("equabot", path, "anthropic:manual", _workshop()).read())
    assert (key.kind, token.kind) == (Kind.API_KEY, Kind.SETUP_TOKEN)
    assert token.expires_at is not None
    assert to_unix_milliseconds(token.expires_at) == END


def test_every_layout_makes_a_place_and_others_are_refused(tmp_path: Path) -> None:
    """A file of many credentials needs the name of one."""
    for layout in LAYOUTS:
        entry = ENTRY if layout in WITH_ENTRIES else None
        assert place_of(layout, tmp_path / "f", entry, _workshop()).read() == Absent()
    for layout in WITH_ENTRIES:
        with pytest.raises(ConfigurationFault, match="many"):
            place_of(layout, tmp_path / "f", None, _workshop())
    with pytest.raises(ConfigurationFault, match="netscape"):
        place_of("netscape", tmp_path / "f", None, _workshop())
