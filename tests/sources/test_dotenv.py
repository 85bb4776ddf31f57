"""Credentials in `.env` files."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.place import ReadOnlyPlaceContract, found_in
from tokenward.core.credential import Credential, Kind, to_unix_milliseconds
from tokenward.core.reading import Absent, Unreadable
from tokenward.sources.dotenv import DotenvPlace, assignments, offered
from tokenward.sources.environment import SLOTS, Gateway

KEY = "sk-ant-api03-" + "k" * 95
NO_GATEWAY = Gateway(None, is_foreign=False)
API_KEY, AUTH_TOKEN, OAUTH = SLOTS


@dataclass
class _Rig:
    place: DotenvPlace

    def put(self, credential: Credential) -> None:
        assert credential.refresh is not None
        assert credential.expires_at is not None
        login = {
            "accessToken": credential.access.reveal(),
            "refreshToken": credential.refresh.reveal(),
            "expiresAt": to_unix_milliseconds(credential.expires_at),
            "scopes": list(credential.scopes),
        }
        self.place.path.write_text(f"# ours\nOTHER=1\nANTHROPIC_OAUTH_TOKEN='{json.dumps(login)}'\n")

    def tear(self) -> None:
        self.place.path.write_text("ANTHROPIC_OAUTH_TOKEN='{\"accessTo")

    def vanish(self) -> None:
        self.place.path.unlink()


class TestContract(ReadOnlyPlaceContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> _Rig:
        """A file that a person edits."""
        return _Rig(DotenvPlace(tmp_path / ".env", OAUTH, NO_GATEWAY))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"ANTHROPIC_API_KEY={KEY}", KEY),
        (f"  export ANTHROPIC_API_KEY = {KEY}  # mine", KEY),
        (f"ANTHROPIC_API_KEY='{KEY}'", KEY),
        (f'ANTHROPIC_API_KEY="{KEY}" # mine', KEY),
        (f"ANTHROPIC_API_KEY=old\nANTHROPIC_API_KEY={KEY}", KEY),
        (f"#ANTHROPIC_API_KEY={KEY}", None),
        ("ANTHROPIC_API_KEY=", None),
        (f"ANTHROPIC_API_KEY={KEY}\nANTHROPIC_API_KEY=", None),
        ("ANTHROPIC_API_KEY= # to be had from Ann", None),
        (f"ANTHROPIC_API_KEY={KEY}#1", f"{KEY}#1"),
        (f"exportANTHROPIC_API_KEY={KEY}", None),
        ("ANTHROPIC_API_KEY=${HOME}", "${HOME}"),
        ('ANTHROPIC_API_KEY="a\\"b"', 'a"b'),
        (f"ANTHROPIC_API_KEYS={KEY}", None),
    ],
)
def test_lines_are_read_as_people_write_them(line: str, value: str | None) -> None:
    """Quotes, `export` and comments as usual; the last one counts; nothing is expanded."""
    values, broken = assignments(line)
    assert (values.get("ANTHROPIC_API_KEY") or None, broken) == (value, [])


@pytest.mark.covers("N5")
def test_it_offers_what_the_real_environment_does_not_have(tmp_path: Path) -> None:
    """A variable that is really set wins over the file's."""
    (tmp_path / ".env").write_text(f"ANTHROPIC_API_KEY={KEY}\n")
    places = {each.profile.id: each.place for each in offered([tmp_path / ".env"], {}, NO_GATEWAY)}
    assert found_in(places["anthropic:dotenv"].read()).access.reveal() == KEY
    assert places["anthropic:dotenv-oauth"].read() == Absent()
    real = {"ANTHROPIC_API_KEY": "sk-ant-api03-real"}
    assert "anthropic:dotenv" not in {each.profile.id for each in offered([tmp_path / ".env"], real, NO_GATEWAY)}


def test_several_files_are_several_profiles(tmp_path: Path) -> None:
    """In the order of the configuration."""
    named = [each.profile.id for each in offered([tmp_path / "a", tmp_path / "b"], {}, NO_GATEWAY)]
    assert {"anthropic:dotenv", "anthropic:dotenv-2", "anthropic:dotenv-2-auth-token"} <= set(named)
    assert len(named) == len(set(named))


def test_it_says_nothing_of_where_a_key_goes(tmp_path: Path) -> None:
    """An address in the file is not read: its gateway's key is refused, not sent to somebody."""
    path = tmp_path / ".env"
    path.write_text("ANTHROPIC_AUTH_TOKEN=sk-gateway\nANTHROPIC_BASE_URL=https://thief.example\n")
    reading = DotenvPlace(path, AUTH_TOKEN, NO_GATEWAY).read()
    assert isinstance(reading, Unreadable)
    known = Gateway("https://gw.example", is_foreign=True)
    assert found_in(DotenvPlace(path, AUTH_TOKEN, known).read()).kind is Kind.AUTH_TOKEN
    assert {each.profile.base_url for each in offered([path], {}, known)} == {"https://gw.example"}


def test_a_file_that_everybody_may_write_is_not_believed(tmp_path: Path) -> None:
    """Whoever writes it could give us a token of their own."""
    path = tmp_path / ".env"
    path.write_text(f"ANTHROPIC_API_KEY={KEY}\n")
    path.chmod(0o666)
    assert isinstance(DotenvPlace(path, API_KEY, NO_GATEWAY).read(), Unreadable)
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 4321, -1)
        assert isinstance(DotenvPlace(path, API_KEY, NO_GATEWAY).read(), Unreadable)


def test_strange_files_are_unreadable(tmp_path: Path) -> None:
    """Neither bytes that are no text nor a directory is taken for absence."""
    path = tmp_path / ".env"
    path.write_bytes(b"ANTHROPIC_API_KEY=\xff\xfe\n")
    assert isinstance(DotenvPlace(path, API_KEY, NO_GATEWAY).read(), Unreadable)
    assert isinstance(DotenvPlace(tmp_path, API_KEY, NO_GATEWAY).read(), Unreadable)
