"""A credential written down as one text: what it means where it stands."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from contracts.place import found_in
from tokenward.core.credential import Kind, Secret
from tokenward.core.reading import Absent, Unreadable
from tokenward.core.written_token import Written, ends_after, read, without_refresh

KEY = "sk-ant-api03-" + "k" * 95
SETUP = "sk-ant-oat01-" + "s" * 95
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ANY = Written()
GATEWAY = Written(gateway=True)
ACME = Written(anthropic=False)


@pytest.mark.covers("P9", "P25", "P26")
@pytest.mark.parametrize(
    ("text", "where", "kind"),
    [
        (KEY, ANY, Kind.API_KEY),
        (SETUP, ANY, Kind.SETUP_TOKEN),
        (SETUP, Written(Kind.API_KEY), Kind.SETUP_TOKEN),
        (SETUP, Written(Kind.AUTH_TOKEN), Kind.SETUP_TOKEN),
        (KEY, Written(Kind.AUTH_TOKEN), Kind.API_KEY),
        ("sk-gateway", GATEWAY, Kind.AUTH_TOKEN),
        ("sk-gateway", Written(Kind.API_KEY, gateway=True), Kind.API_KEY),
        ("opaque", ACME, Kind.AUTH_TOKEN),
        (json.dumps({"access_token": SETUP}), ANY, Kind.SETUP_TOKEN),
        (json.dumps({"access_token": SETUP, "refresh_token": "r"}), ANY, Kind.OAUTH),
    ],
)
def test_what_it_is_decides(text: str, where: Written, kind: Kind) -> None:
    """The kind said to be there is a wish; the shape is the fact."""
    assert found_in(read(text, where)).kind is kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("two words", "several words"),
        (f"{KEY[:50]}\n{KEY[50:]}", "several words"),
        ("sk-gateway", "nothing says where the gateway is"),
        ('{"access_token": "sk-ant-ort01-r"}', "refresh token"),
        ('{"access_token": "a", "expires_in": -1}', "expires_in"),
        ("[]", "characters"),
    ],
)
def test_what_cannot_be_one_is_unreadable(text: str, said: str) -> None:
    """With what it was recognised as, and not taken for nothing."""
    reading = read(text, ANY)
    assert isinstance(reading, Unreadable)
    assert said in reading.reason
    assert read(" \n", ANY) == Absent()


def test_a_life_in_seconds_counts_from_when_it_was_written() -> None:
    """Where that is not known, neither is the end."""
    text = json.dumps({"access_token": SETUP, "expires_in": 600})
    assert found_in(read(text, ANY, now=NOW)).expires_at == NOW + timedelta(seconds=600)
    assert found_in(read(text, ANY, now=NOW)).granted_life == 600
    assert found_in(read(text, ANY)).expires_at is None


@pytest.mark.covers("N35")
@pytest.mark.parametrize("end", [1_893_456_000, 1_893_456_000_000, "2030-01-01T00:00:00Z"])
def test_its_end_in_any_unit(end: object) -> None:
    """Seconds, milliseconds and dates are told apart; zero is unknown."""
    credential = found_in(read(json.dumps({"accessToken": SETUP, "expiresAt": end}), ANY))
    assert credential.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert found_in(read(json.dumps({"accessToken": SETUP, "expiresAt": 0}), ANY)).expires_at is None


def test_without_its_refresh_token_it_is_what_its_access_token_is() -> None:
    """For one that comes anew from where it came; an end can be given to one that names none."""
    text = json.dumps({"access_token": "opaque", "refresh_token": "r", "scope": "a b"})
    bare = without_refresh(found_in(read(text, ACME)), ACME)
    assert (bare.kind, bare.access, bare.refresh, bare.scopes) == (
        Kind.AUTH_TOKEN,
        Secret("opaque"),
        None,
        ("a", "b"),
    )
    ended = ends_after(bare, 60, NOW)
    assert (ended.expires_at, ended.granted_life) == (NOW + timedelta(seconds=60), 60)
