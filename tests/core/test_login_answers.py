"""What a login's endpoints answer is read whole, or refused in words that a terminal may show."""

from datetime import UTC, datetime, timedelta

import pytest

from tokenward.core import login_answers
from tokenward.core.credential import Kind
from tokenward.core.grants import Unavailable
from tokenward.core.login import Refused
from tokenward.core.login_answers import DeviceAuthorization, LoggedIn, Wait

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def test_a_device_is_told_how_often_it_may_ask() -> None:
    """RFC 8628 section 3.2, with the interval of the RFC where the server names none."""
    body = b"""{"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": "https://a.test/device",
        "verification_uri_complete": "https://a.test/device?user_code=ABCD-EFGH", "expires_in": 600}"""
    answer = login_answers.parse_device_authorization(200, body)
    assert isinstance(answer, DeviceAuthorization)
    assert answer.device_code.reveal() == "d"
    assert (answer.interval, answer.expires_in) == (5.0, 600.0)
    assert answer.complete_uri == "https://a.test/device?user_code=ABCD-EFGH"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"device_code": "d", "user_code": "u", "verification_uri": "file:///etc/passwd"}'),
        (200, b'{"device_code": "d", "user_code": "u", "verification_uri": "http://a.test/"}'),
        (200, b'{"device_code": "d", "user_code": "\\u001b[2J", "verification_uri": "https://a.test/"}'),
        (400, b'{"error": "invalid_client"}'),
        (502, b"<html>"),
    ],
)
def test_half_an_answer_is_no_device_login(status: int, body: bytes) -> None:
    """What a person would be sent to must be an address, and what they would type must be printable."""
    assert isinstance(login_answers.parse_device_authorization(status, body), Refused)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, b'{"error": "authorization_pending"}', Wait(0.0)),
        (400, b'{"error": "slow_down"}', Wait(5.0)),
        (400, b'{"error": "expired_token"}', Refused("expired_token")),
        (400, b'{"error": "access_denied", "error_description": "no"}', Refused("access_denied", "no")),
        (
            401,
            b'{"error": {"type": "authentication_error", "message": "m"}}',
            Refused("authentication_error", "m"),
        ),
        (404, b"<html>", Refused("HTTP 404")),
        (503, b"busy", Unavailable("HTTP 503 with nothing instead of JSON")),
        (429, b'{"error": "slow"}', Unavailable("HTTP 429 slow")),
    ],
)
def test_no_tokens_come_for_many_reasons(status: int, body: bytes, outcome: object) -> None:
    """RFC 8628 section 3.5 and RFC 6749 section 5.2; a server that is busy has not refused."""
    assert login_answers.read_grant(status, {}, body, requested_at=NOW) == outcome


@pytest.mark.covers("L19")
@pytest.mark.parametrize(
    ("account", "name"),
    [
        ('{"email_address": "user+tag@example.com"}', "user+tag@example.com"),
        ('{"email_address": "user@example.com"}', "user@example.com"),
        ('{"email_address": "a b@example.com"}', None),
        ('{"email_address": ""}', None),
        ('{"email_address": 5}', None),
        ('"user@example.com"', None),
        ("null", None),
    ],
)
def test_the_account_is_what_the_answer_says(account: str, name: str | None) -> None:
    """As it is spelled, tags included; what no profile's name can hold is no name."""
    body = f'{{"access_token": "at", "refresh_token": "rt", "expires_in": 60, "account": {account}}}'.encode()
    answer = login_answers.read_grant(200, {}, body, requested_at=NOW)
    assert isinstance(answer, LoggedIn)
    assert answer.account == name
    assert answer.credential.kind is Kind.OAUTH
    assert answer.credential.expires_at == NOW + timedelta(seconds=60)
    assert answer.credential.refresh is not None


def test_an_id_token_names_nobody() -> None:
    """Nobody here verifies it, so it is not read."""
    claims = "eyJlbWFpbCI6Im1lQGV4YW1wbGUuY29tIn0"
    body = f'{{"access_token": "at", "id_token": "e30.{claims}.x"}}'.encode()
    answer = login_answers.read_grant(200, {}, body, requested_at=NOW)
    assert isinstance(answer, LoggedIn)
    assert answer.account is None


def test_an_api_key_is_a_text_without_blanks() -> None:
    """``raw_key``, and nothing else, of a success."""
    made = login_answers.parse_api_key(200, b'{"raw_key": "sk-1"}')
    assert not isinstance(made, Refused)
    assert made.reveal() == "sk-1"
    for status, body in ((403, b'{"raw_key": "sk-1"}'), (200, b'{"raw_key": ""}'), (200, b'{"raw_key": null}')):
        assert isinstance(login_answers.parse_api_key(status, body), Refused)
