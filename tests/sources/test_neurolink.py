"""NeuroLink's login file: read as it is, written so that only the tokens change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.place import PlaceContract
from fakes.machine import FakeClock
from tokenward.core.credential import Credential, Kind, Secret, to_unix_milliseconds
from tokenward.core.reading import Absent, Blanked, Found, Unreadable
from tokenward.ports import Stored
from tokenward.sources.neurolink import NeuroLinkFile

DOCUMENT = {
    "type": "oauth",
    "oauth": {
        "accessToken": "sk-ant-oat01-old",
        "refreshToken": "sk-ant-ort01-old",
        "expiresAt": 1_893_456_000_000,
        "tokenType": "Bearer",
        "scope": "user:profile user:inference",
        "unknownInside": [1, 2.5, None],
    },
    "provider": "anthropic",
    "subscriptionTier": "max",
    "updatedAt": 1_736_160_000_000,
    "unknownBeside": {"ü": "😀"},
}


@dataclass
class _Rig:
    place: NeuroLinkFile

    def put(self, credential: Credential) -> None:
        login = {
            "accessToken": credential.access.reveal(),
            "refreshToken": credential.refresh.reveal() if credential.refresh else None,
            "expiresAt": to_unix_milliseconds(credential.expires_at) if credential.expires_at else None,
            "scope": " ".join(credential.scopes),
        }
        self.place.path.write_text(json.dumps({**DOCUMENT, "oauth": login}))

    def tear(self) -> None:
        self.place.path.write_text('{"type": "oauth", "oau')

    def vanish(self) -> None:
        self.place.path.unlink()


@pytest.fixture
def place(tmp_path: Path) -> NeuroLinkFile:
    """A place where nothing is yet."""
    return NeuroLinkFile(tmp_path / "anthropic-credentials.json", clock=FakeClock())


def _write(place: NeuroLinkFile, document: object) -> None:
    place.path.write_text(json.dumps(document))
    place.path.chmod(0o600)


class TestContract(PlaceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _Rig:
        """NeuroLink writes its own file."""
        return _Rig(NeuroLinkFile(tmp_path / "anthropic-credentials.json", clock=FakeClock()))


@pytest.mark.covers("N28")
def test_an_oauth_login_is_read(place: NeuroLinkFile) -> None:
    """The documented file is an OAuth credential with its end in milliseconds, its scopes and its plan."""
    _write(place, DOCUMENT)
    reading = place.read()
    assert isinstance(reading, Found)
    credential = reading.credential
    assert credential.kind is Kind.OAUTH
    assert credential.access == Secret("sk-ant-oat01-old")
    assert credential.refresh == Secret("sk-ant-ort01-old")
    assert credential.expires_at is not None
    assert to_unix_milliseconds(credential.expires_at) == 1_893_456_000_000
    assert credential.scopes == ("user:profile", "user:inference")
    assert credential.subscription == "max"


@pytest.mark.covers("N34")
def test_a_round_trip_keeps_everything_but_the_tokens(place: NeuroLinkFile) -> None:
    """After a write, unknown members inside and beside have their values, and the tokens are the new ones."""
    _write(place, DOCUMENT)
    reading = place.read()
    assert isinstance(reading, Found)
    new = Credential(
        Kind.OAUTH, Secret("sk-ant-oat01-new"), Secret("sk-ant-ort01-new"), reading.credential.expires_at
    )
    writer = place.prepare_write()
    assert writer.commit(reading.credential.generation, new) == Stored()
    written = json.loads(place.path.read_bytes())
    tokens = {"accessToken": "sk-ant-oat01-new", "refreshToken": "sk-ant-ort01-new"}
    assert written == {**DOCUMENT, "oauth": {**DOCUMENT["oauth"], **tokens}}  # type: ignore[dict-item]
    assert place.path.stat().st_mode & 0o777 == 0o600
    again = place.read()
    assert isinstance(again, Found)
    assert again.credential.generation == new.generation


@pytest.mark.covers("N35")
def test_an_end_in_seconds_is_taken_as_seconds(place: NeuroLinkFile, caplog: pytest.LogCaptureFixture) -> None:
    """A number that can only be seconds is converted, and the log says so."""
    caplog.set_level("INFO", logger="tokenward.sources.login_file")
    _write(place, {**DOCUMENT, "oauth": {"accessToken": "a", "refreshToken": "r", "expiresAt": 1_893_456_000}})
    reading = place.read()
    assert isinstance(reading, Found)
    assert reading.credential.expires_at is not None
    assert to_unix_milliseconds(reading.credential.expires_at) == 1_893_456_000_000
    assert "taken as seconds" in caplog.text


def test_an_api_key_is_read(place: NeuroLinkFile) -> None:
    """The other type of NeuroLink's file is a key."""
    _write(place, {"type": "api-key", "apiKey": "sk-ant-api03-x", "provider": "anthropic"})
    reading = place.read()
    assert isinstance(reading, Found)
    assert (reading.credential.kind, reading.credential.refresh) == (Kind.API_KEY, None)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"type": "oauth"}, Absent()),
        ({"type": "api-key", "apiKey": ""}, Blanked(login_ended=False)),
        ({"type": "oauth", "oauth": {"accessToken": "", "refreshToken": ""}}, Blanked(login_ended=False)),
        ({"type": "oauth", "oauth": []}, Unreadable("oauth is not an object")),
        (
            {"type": "oauth", "oauth": {"accessToken": 7, "refreshToken": "r"}},
            Unreadable("oauth has tokens that are not strings"),
        ),
        ([1], Unreadable("anthropic-credentials.json holds no JSON object")),
    ],
)
def test_what_holds_no_login_is_no_credential(place: NeuroLinkFile, document: object, expected: object) -> None:
    """Stubs, strange types and other documents are said to be what they are."""
    _write(place, document)
    assert place.read() == expected
