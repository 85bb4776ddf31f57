"""Claude Code's login in the Keychain of macOS, read by a program that behaves as ``security`` does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.place import FAR, PlaceRig, ReadablePlaceContract, ReadOnlyPlaceContract, found_in, oauth_credential
from fakes.machine import FakeClock
from fakes.security import FakeSecurity
from tokenward.core.credential import Credential, Secret, to_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Found, Reading, Unreadable
from tokenward.ports import LockedPlace, Place, Stored
from tokenward.sources import keychain
from tokenward.sources.claude_code import ClaudeCodeFile
from tokenward.sources.keychain import (
    BEAT_SECONDS,
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    KeychainItem,
    KeychainLogin,
    KeychainOrFile,
    claude_code_item,
)

LOCKED, CANCELLED = 36, 128


def document_of(credential: Credential) -> dict[str, Any]:
    """Claude Code's document with this login."""
    assert credential.refresh is not None
    assert credential.expires_at is not None
    login = {
        "accessToken": credential.access.reveal(),
        "refreshToken": credential.refresh.reveal(),
        "expiresAt": to_unix_milliseconds(credential.expires_at),
        "scopes": list(credential.scopes),
    }
    return {"claudeAiOauth": login, "mcpOAuth": {}}


@dataclass
class Mac:
    """A machine with a Keychain, and a home directory beside it."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.security = FakeSecurity(self.directory / "security")
        self.item = KeychainLogin(
            KeychainItem("Claude Code-credentials", "me"),
            environ={"HOME": str(self.directory)},
            clock=self.clock,
            security=str(self.security.program),
        )
        self.path = self.directory / ".credentials.json"
        file = ClaudeCodeFile(self.path, clock=self.clock, wait=self.clock.advance, entropy=lambda: 0.5)
        self.both = KeychainOrFile(self.item, file)

    def writes(self, credential: Credential) -> None:
        """Claude Code writes the item, and a minute goes by."""
        self.keeps(json.dumps(document_of(credential)))

    def keeps(self, secret: str) -> None:
        """Something stands in the item, and a minute goes by."""
        self.security.put(secret, self.clock.wall())
        self.clock.advance(60)

    def writes_file(self, credential: Credential) -> None:
        """Claude Code writes its file."""
        self.path.write_text(json.dumps(document_of(credential)))
        self.path.chmod(0o600)


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    """One without a login."""
    return Mac(tmp_path)


class ItemRig:
    """The item, and its owner; after each act of the owner the place is looked at, as at a beat."""

    def __init__(self, mac: Mac) -> None:
        self.mac = mac
        self.place: Place = mac.item

    def put(self, credential: Credential) -> None:
        """Claude Code writes."""
        self.mac.writes(credential)
        self.place.read()

    def tear(self) -> None:
        """Half a document stands there."""
        self.mac.keeps('{"claudeAiOauth":{"accessToken":"sk-ant-oat01-access-1","refreshToken":"sk-ant-ort01-refr')
        self.place.read()

    def vanish(self) -> None:
        """Claude Code deletes the item."""
        self.mac.security.remove()
        self.place.read()


class TestKeychainLogin(ReadOnlyPlaceContract):
    """The item keeps the contract of a place that its owner alone writes."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> PlaceRig:
        """The item alone."""
        return ItemRig(Mac(tmp_path))


class EitherRig(ItemRig):
    """The item and the file as one place."""

    def __init__(self, mac: Mac) -> None:
        super().__init__(mac)
        self.place = mac.both


class TestKeychainOrFile(ReadablePlaceContract):
    """Item and file together keep the contract of a place."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> PlaceRig:
        """Both, with the login in the item."""
        return EitherRig(Mac(tmp_path))


def reason(reading: Reading) -> str:
    """Why nothing can be read."""
    assert isinstance(reading, Unreadable), reading
    assert "\n" not in reading.reason
    assert "sk-ant" not in reading.reason
    return reading.reason


# Which item


@pytest.mark.parametrize(
    ("environ", "item"),
    [
        ({"USER": "me"}, KeychainItem("Claude Code-credentials", "me")),
        ({"USER": "j.doe_1-x"}, KeychainItem("Claude Code-credentials", "j.doe_1-x")),
        ({"USER": "jürgen"}, KeychainItem("Claude Code-credentials", "claude-code-user")),
        ({"USER": "a b"}, KeychainItem("Claude Code-credentials", "claude-code-user")),
        (
            {"USER": "me", "CLAUDE_CONFIG_DIR": "/Users/me/work"},
            KeychainItem("Claude Code-credentials-b6542e25", "me"),
        ),
    ],
)
def test_the_item_is_the_one_that_claude_code_uses(environ: dict[str, str], item: KeychainItem) -> None:
    """Service and account follow from the environment; another configuration directory has another item."""
    assert claude_code_item(environ) == item


def test_without_user_the_systems_table_has_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it has none either, the account is nobody's in particular."""
    monkeypatch.setattr(keychain, "_login_name", lambda: "me")
    assert claude_code_item({}).account == "me"
    monkeypatch.setattr(keychain, "_login_name", lambda: "")
    assert claude_code_item({}).account == "claude-code-user"


# How it is read


def test_a_secret_beyond_ascii_is_read(mac: Mac) -> None:
    """``security`` prints it as hexadecimal digits."""
    document = {**document_of(oauth_credential()), "mcpOAuth": {"name": "Zoë"}}
    mac.keeps(json.dumps(document, ensure_ascii=False))
    assert found_in(mac.item.read()).generation == oauth_credential().generation


def test_the_secret_is_asked_for_only_when_its_date_is_new(mac: Mac) -> None:
    """Looking often costs a date each time, and shows no dialog."""
    mac.writes(oauth_credential(1))
    for _ in range(3):
        assert found_in(mac.item.read()).generation == oauth_credential(1).generation
    assert (mac.security.secrets_given, len(mac.security.asked)) == (1, 4)
    mac.writes(oauth_credential(2))
    assert found_in(mac.item.read()).generation == oauth_credential(2).generation
    assert mac.security.secrets_given == 2


def test_a_second_write_within_a_second_is_seen(mac: Mac) -> None:
    """The date is the same: a secret that was read too soon after its writing is read again."""
    mac.security.put(json.dumps(document_of(oauth_credential(1))), mac.clock.wall())
    assert found_in(mac.item.read()).generation == oauth_credential(1).generation
    mac.security.put(json.dumps(document_of(oauth_credential(2))), mac.clock.wall())
    mac.clock.advance(5)
    assert found_in(mac.item.read()).generation == oauth_credential(2).generation
    mac.item.read()
    assert mac.security.secrets_given == 2


def test_its_signature_runs_nothing_and_asks_for_a_look_at_each_beat(mac: Mac) -> None:
    """Between beats it is the same, whatever stands there; also after a time asleep."""
    mac.writes(oauth_credential(1))
    mac.item.read()
    asked = len(mac.security.asked)
    before = mac.item.signature()
    mac.security.put("{}", mac.clock.wall())
    assert mac.item.signature() == before
    mac.clock.suspend(BEAT_SECONDS)
    assert mac.item.signature() != before
    assert len(mac.security.asked) == asked


def test_an_item_that_was_absent_is_looked_for_again(mac: Mac) -> None:
    """A login that comes is seen at the next beat, although absence has no signature."""
    assert mac.item.read() == Absent()
    assert mac.item.signature() is None
    mac.clock.advance(BEAT_SECONDS)
    assert mac.item.signature() is not None


def test_security_gets_a_clean_environment_and_no_secret(mac: Mac) -> None:
    """Its arguments name the item; its environment is what it was given."""
    mac.writes(oauth_credential())
    mac.item.read()
    words = ["find-generic-password", "-a", "me", "-s", "Claude Code-credentials"]
    assert [said for said, _ in mac.security.asked] == [words, [*words, "-w"]]
    assert all(set(names) <= {"HOME", "LC_CTYPE"} for _, names in mac.security.asked)


# What cannot be read


@pytest.mark.parametrize(
    ("status", "why"), [(LOCKED, "unlock-keychain"), (51, "password"), (CANCELLED, "password"), (1, "status 1")]
)
def test_a_refusal_is_no_news(status: int, why: str, mac: Mac) -> None:
    """Never absent, and the reason says what helps."""
    mac.writes(oauth_credential())
    mac.security.refuse(status)
    assert why in reason(mac.item.read())
    assert mac.item.signature() is not None


def test_a_refused_secret_is_asked_for_again_and_ever_more_seldom(mac: Mac) -> None:
    """Each time may be a dialog: after 20 s, doubling to 5 min; what is unlocked is read then."""
    mac.writes(oauth_credential())
    mac.security.refuse(LOCKED)
    delay = FIRST_RETRY_SECONDS
    for times in range(1, 8):
        reason(mac.item.read())
        assert mac.security.secrets_given == times
        mac.clock.advance(delay - 1)
        reason(mac.item.read())
        assert mac.security.secrets_given == times
        mac.clock.advance(1)
        delay = min(2 * delay, LONGEST_RETRY_SECONDS)
    mac.security.refuse(0)
    assert found_in(mac.item.read()).generation == oauth_credential().generation


def test_a_dialog_that_nobody_answers_ends(mac: Mac, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is bounded, and it is no news."""
    mac.writes(oauth_credential())
    monkeypatch.setattr(keychain, "PATIENCE_SECONDS", 0.05)
    mac.security.hang()
    assert "had not ended" in reason(mac.item.read())


def test_without_security_nothing_is_known(mac: Mac) -> None:
    """A program that is not there says nothing about the item."""
    mac.security.program.unlink()
    assert "cannot be run" in reason(mac.item.read())


@pytest.mark.parametrize("secret", ["sk-ant-oat01-x", "[1]", "abc", "ff", "x" * 100_000])
def test_what_is_no_login_is_unreadable(secret: str, mac: Mac) -> None:
    """Strange, huge or not text: no news, and nothing of it is shown."""
    mac.keeps(secret)
    reason(mac.item.read())


def test_a_stub_is_a_stub_there_too(mac: Mac) -> None:
    """The document means what it means in the file."""
    mac.keeps('{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}')
    assert mac.item.read() == Blanked(login_ended=False)
    mac.keeps('{"mcpOAuth":{}}')
    assert mac.item.read() == Absent()


# Item and file


def test_the_item_goes_before_the_file(mac: Mac) -> None:
    """And where it is removed, the file counts, as for Claude Code."""
    mac.writes_file(oauth_credential(1))
    assert found_in(mac.both.read()).generation == oauth_credential(1).generation
    mac.writes(oauth_credential(2))
    assert found_in(mac.both.read()).generation == oauth_credential(2).generation
    mac.security.remove()
    assert found_in(mac.both.read()).generation == oauth_credential(1).generation


def test_a_change_of_either_changes_the_signature(mac: Mac) -> None:
    """The file's at once, the item's at the beat."""
    mac.both.read()
    assert mac.both.signature() is None
    mac.writes_file(oauth_credential(1))
    first = mac.both.signature()
    assert first is not None
    mac.writes(oauth_credential(2))
    assert mac.both.signature() != first


def test_a_file_counts_where_the_keychain_cannot_be_opened(mac: Mac) -> None:
    """Over SSH Claude Code keeps its login there."""
    mac.writes(oauth_credential(1))
    mac.security.refuse(LOCKED)
    assert "locked" in reason(mac.both.read())
    mac.writes_file(oauth_credential(2))
    assert found_in(mac.both.read()).generation == oauth_credential(2).generation


def test_an_old_file_never_replaces_a_login_that_was_seen_in_the_item(mac: Mac) -> None:
    """The Keychain was locked meanwhile: no news."""
    mac.writes_file(oauth_credential(1))
    mac.writes(oauth_credential(2))
    assert isinstance(mac.both.read(), Found)
    mac.writes(oauth_credential(3))
    mac.security.refuse(LOCKED)
    assert "locked" in reason(mac.both.read())


def test_only_a_login_in_the_file_can_be_written(mac: Mac) -> None:
    """With an item no proof is given, so no refresh token is spent; without one it is Claude Code's file."""
    mac.writes_file(oauth_credential(1))
    locks = mac.both.acquire_locks(FAR)
    assert (mac.directory / ".oauth_refresh.lock").is_dir()
    assert isinstance(mac.both, LockedPlace)
    assert mac.both.waits_for is None
    writer = mac.both.prepare_write()
    new = oauth_credential(2)
    assert writer.commit(oauth_credential(1).generation, new) == Stored()
    assert found_in(mac.both.read()).access == Secret(new.access.reveal())
    assert not hasattr(locks, "reason")
    mac.writes(oauth_credential(3))
    for status in (0, LOCKED):
        mac.security.refuse(status)
        with pytest.raises(OSError, match="never written"):
            mac.both.prepare_write()


def test_the_clock_of_the_date_is_utc(mac: Mac) -> None:
    """A secret written two seconds before it was read is settled, whatever the machine's time zone."""
    mac.security.put(json.dumps(document_of(oauth_credential())), mac.clock.wall() - timedelta(seconds=2))
    mac.item.read()
    mac.item.read()
    assert mac.security.secrets_given == 1
