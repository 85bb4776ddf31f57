"""The profiles of Anthropic's SDKs: read as the SDKs read them, refused where they refuse."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.place import PlaceContract, found_in, oauth_credential
from fakes.machine import FakeClock
from tokenward.core.credential import Credential, Kind, to_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Found, Unreadable
from tokenward.ports import Stored
from tokenward.sources import anthropic_profile
from tokenward.sources.anthropic_profile import AnthropicProfileFile, config_of

CONFIG: dict[str, Any] = {"version": "1.0", "authentication": {"type": "user_oauth", "client_id": "mine"}}
SECRET: dict[str, Any] = {
    "version": "1.0",
    "type": "oauth_token",
    "access_token": "sk-ant-oat01-a",
    "refresh_token": "sk-ant-ort01-r",
    "expires_at": 1_999_999_999,
    "scope": "user:inference",
    "unknown": {"ü": [1, None]},
}


def write(path: Path, document: object, mode: int = 0o600) -> None:
    """Write a file as its owner does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    path.chmod(mode)


@dataclass
class _Rig:
    place: AnthropicProfileFile

    def put(self, credential: Credential) -> None:
        assert credential.expires_at is not None
        secret = {
            **SECRET,
            "access_token": credential.access.reveal(),
            "refresh_token": credential.refresh.reveal() if credential.refresh else None,
            "expires_at": to_unix_milliseconds(credential.expires_at) // 1000,
            "scope": " ".join(credential.scopes),
        }
        write(self.place.path, secret)

    def tear(self) -> None:
        self.place.path.write_text('{"version": "1.0", "acc')

    def vanish(self) -> None:
        self.place.path.unlink()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with one profile of ours."""
    directory = tmp_path / "anthropic"
    write(directory / "configs" / "work.json", CONFIG, 0o644)
    (directory / "credentials").mkdir(mode=0o700)
    return directory


@pytest.fixture
def place(directory: Path) -> AnthropicProfileFile:
    """Its secret, which is not there yet."""
    return AnthropicProfileFile(directory, "work", clock=FakeClock())


class TestContract(PlaceContract):
    @pytest.fixture
    def rig(self, place: AnthropicProfileFile) -> _Rig:
        """The SDK writes its own file."""
        return _Rig(place)


def test_times_are_seconds(place: AnthropicProfileFile) -> None:
    """And no end, or zero, is an unknown end."""
    write(place.path, SECRET)
    credential = found_in(place.read())
    assert credential.expires_at is not None
    assert to_unix_milliseconds(credential.expires_at) == 1_999_999_999_000
    for end in (0, None, True, "soon"):
        write(place.path, {**SECRET, "expires_at": end})
        assert found_in(place.read()).expires_at is None


def test_a_write_keeps_what_it_does_not_know(place: AnthropicProfileFile) -> None:
    """Only tokens and end change, the end in seconds; the mode stays what the SDKs demand."""
    write(place.path, SECRET)
    held = found_in(place.read())
    new = oauth_credential(7)
    assert new.expires_at is not None
    assert new.refresh is not None
    assert place.prepare_write().commit(held.generation, new) == Stored()
    assert json.loads(place.path.read_bytes()) == {
        **SECRET,
        "access_token": new.access.reveal(),
        "refresh_token": new.refresh.reveal(),
        "expires_at": int(new.expires_at.timestamp()),
    }
    assert place.path.stat().st_mode & 0o777 == 0o600


def test_without_a_refresh_token_it_is_static(place: AnthropicProfileFile) -> None:
    """The pattern of a daemon that publishes access tokens."""
    write(place.path, {"access_token": "sk-ant-oat01-a"})
    assert found_in(place.read()).kind is Kind.SETUP_TOKEN


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ({**SECRET, "access_token": ""}, Blanked(login_ended=False)),
        ({**SECRET, "type": "api_key"}, Unreadable("its type is not oauth_token")),
        ({**SECRET, "access_token": 7}, Unreadable("it has tokens that are not strings")),
    ],
)
def test_stubs_and_strange_content(place: AnthropicProfileFile, secret: object, expected: object) -> None:
    """Never a credential, never an error."""
    write(place.path, secret)
    assert place.read() == expected


def test_what_the_sdks_refuse_is_refused(place: AnthropicProfileFile, directory: Path, tmp_path: Path) -> None:
    """A secret that others may read, a symbolic link, a configuration that others may write."""
    for mode in (0o640, 0o604, 0o660):
        write(place.path, SECRET, mode)
        reading = place.read()
        assert isinstance(reading, Unreadable)
        assert "chmod 600" in reading.reason
    write(tmp_path / "elsewhere.json", SECRET)
    place.path.unlink()
    place.path.symlink_to(tmp_path / "elsewhere.json")
    assert "symbolic link" in str(place.read())
    place.path.unlink()
    write(place.path, SECRET)
    before = place.signature()
    (directory / "configs" / "work.json").chmod(0o664)
    assert place.signature() != before
    assert "others may write it" in str(place.read())


@pytest.mark.parametrize(
    "config",
    [
        [],
        {"authentication": {"type": "oidc_federation"}},
        {"authentication": None},
        {**CONFIG, "base_url": "http://thief.example"},
    ],
)
def test_other_profiles_are_said_to_be_what_they_are(
    place: AnthropicProfileFile, directory: Path, config: object
) -> None:
    """A profile without a stored login, or one that sends it over plain http, is not served."""
    write(place.path, SECRET)
    write(directory / "configs" / "work.json", config, 0o644)
    assert isinstance(place.read(), Unreadable)
    (directory / "configs" / "work.json").write_text('{"version"')
    assert isinstance(place.read(), Unreadable)


def test_what_a_profile_is_for(directory: Path) -> None:
    """Root, client, workspace and another place for the secret."""
    config = {
        **CONFIG,
        "base_url": "https://gw.example/v1",
        "workspace_id": "wrkspc_1",
        "authentication": {**CONFIG["authentication"], "credentials_path": "elsewhere/secret.json"},
    }
    write(directory / "configs" / "work.json", config, 0o644)
    read = config_of(directory, "work")
    assert (read.base_url, read.client_id, read.workspace) == ("https://gw.example", "mine", "wrkspc_1")
    assert read.credentials == directory / "elsewhere" / "secret.json"
    profile = anthropic_profile.kept_profile("work", read)
    assert (profile.id, profile.base_url) == ("anthropic:work", "https://gw.example")
    assert profile.headers == (("anthropic-workspace-id", "wrkspc_1"),)


def test_a_secret_without_a_configuration_is_read(directory: Path) -> None:
    """The configuration is optional to us; without one nothing is refreshed."""
    place = AnthropicProfileFile(directory, "bare", clock=FakeClock())
    assert place.read() == Absent()
    write(place.path, SECRET)
    assert isinstance(place.read(), Found)
    assert config_of(directory, "bare").client_id is None


def test_which_profile_the_sdks_would_take(directory: Path, tmp_path: Path) -> None:
    """The variable, then the file `active_config`, then `default`; the directory by variable or below home."""
    assert anthropic_profile.active_name(directory, {}) == "default"
    (directory / "active_config").write_text("work\n")
    assert anthropic_profile.active_name(directory, {}) == "work"
    assert anthropic_profile.active_name(directory, {"ANTHROPIC_PROFILE": "other"}) == "other"
    assert anthropic_profile.directory_in({}, tmp_path) == tmp_path / ".config" / "anthropic"
    assert anthropic_profile.directory_in({"ANTHROPIC_CONFIG_DIR": "/x"}, tmp_path) == Path("/x")


@pytest.mark.parametrize("name", ["", "../work", ".hidden", "a/b", " a", "a b", "ä"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    """A name is one file's name and a part of a profile's id."""
    assert anthropic_profile.name_fault(name)
    assert anthropic_profile.name_fault("work") is None
