"""A login's answer is believed only if it answers our own question."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenward.core import login
from tokenward.core.credential import Kind
from tokenward.core.grants import Unavailable
from tokenward.core.login import Code, DeviceAuthorization, Expectation, LoggedIn, NotOurs, Refused, Wait

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
OURS = Expectation("our-state", "https://auth.example.test")
PROMISED = Expectation("our-state", "https://auth.example.test", promises_issuer=True)
LENIENT = Expectation("our-state", allows_missing_state=True)


def test_the_challenge_is_that_of_the_rfc() -> None:
    """The example of RFC 7636, appendix B."""
    challenge = login.s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    ("endpoint", "scope", "more"),
    [
        ("https://a.test/authorize", "openid user:profile", {}),
        ("https://a.test/authorize?tenant=x", None, {"tenant": "x"}),
    ],
)
def test_the_address_asks_for_what_is_wanted(endpoint: str, scope: str | None, more: dict[str, str]) -> None:
    """Every parameter is in it once, and the endpoint's own query stays."""
    url = login.authorization_url(
        endpoint,
        client_id="c&d",
        redirect_uri="http://127.0.0.1:1/cb",
        state="s",
        challenge="x",
        scope=scope,
        parameters={"code": "true"},
    )
    assert dict(parse_qsl(urlsplit(url).query, strict_parsing=True)) == {
        **more,
        "code": "true",
        "response_type": "code",
        "client_id": "c&d",
        "redirect_uri": "http://127.0.0.1:1/cb",
        **({"scope": scope} if scope else {}),
        "state": "s",
        "code_challenge": "x",
        "code_challenge_method": "S256",
    }


@pytest.mark.covers("L17")
@pytest.mark.parametrize(
    "pasted",
    [
        "a-code#our-state",
        "  a-code#our-\n  state \n",
        "https://x.test/cb?code=a-code&state=our-state",
        "http://127.0.0.1:9/callback?state=our-state&code=a-code&iss=https%3A%2F%2Fauth.example.test",
        "code=a-code&state=our-state",
        "?code=a-code&state=our-state",
    ],
)
def test_a_code_may_be_pasted_in_every_form(pasted: str) -> None:
    """``code#state``, the whole address, or its query, wrapped by a terminal or not."""
    answer = login.read_pasted(pasted, OURS)
    assert isinstance(answer, Code)
    assert answer.code.reveal() == "a-code"


@pytest.mark.covers("L17")
@pytest.mark.parametrize(
    ("pasted", "reason"),
    [
        ("a-code#other-state", "state is another"),
        ("a-code#our-stat\u00e9", "state is another"),
        ("code=a-code&state=other", "state is another"),
        ("https://x.test/cb?code=a-code&state=other", "state is another"),
        ("a-code", "state is missing"),
        ("a-code#", "state is missing"),
        ("https://x.test/cb?code=a-code", "state is missing"),
        ("code=a-code&state=our-state&iss=https%3A%2F%2Fevil.test", "another issuer"),
        ("code=a&code=b&state=our-state", "twice"),
        ("https://x.test/cb", "no code"),
        ("#our-state", "no code"),
        ("state=our-state", "no code"),
        ("", "nothing"),
        ("x" * 9000 + "#our-state", "no code"),
        ("&".join(f"p{n}=1" for n in range(40)) + "&state=our-state", "state is missing"),
        ("code=x&" + "&".join(f"p{n}=1" for n in range(40)) + "&state=our-state", "too many"),
    ],
)
def test_what_answers_another_login_is_not_ours(pasted: str, reason: str) -> None:
    """A foreign or missing state, another issuer, a double parameter; and the message repeats none of it."""
    answer = login.read_pasted(pasted, OURS)
    assert isinstance(answer, NotOurs)
    assert reason in answer.reason
    assert "a-code" not in answer.reason
    assert "evil" not in answer.reason


@pytest.mark.covers("L17")
def test_a_missing_state_is_taken_only_where_that_was_allowed() -> None:
    """A bare code then; another state never."""
    assert isinstance(login.read_pasted("a-code", LENIENT), Code)
    assert isinstance(login.read_pasted("a-code#other", LENIENT), NotOurs)


def test_a_redirect_names_its_issuer_where_the_server_promised() -> None:
    """RFC 9207 section 2.4: missing or different is refused; a page's ``code#state`` cannot carry one."""
    query = "code=a-code&state=our-state"
    assert isinstance(login.read_redirect(query, OURS), Code)
    assert isinstance(login.read_redirect(query, PROMISED), NotOurs)
    assert isinstance(login.read_redirect(f"{query}&iss=https://auth.example.test", PROMISED), Code)
    assert isinstance(login.read_redirect(f"{query}&iss=https://auth.example.test/", PROMISED), NotOurs)
    assert isinstance(login.read_pasted("a-code#our-state", PROMISED), Code)


def test_an_error_counts_only_with_our_state() -> None:
    """A page that guesses our port cannot end a login, and what it says is cleaned before it is shown."""
    assert isinstance(login.read_redirect("error=access_denied&state=x", OURS), NotOurs)
    refused = login.read_redirect("error=access_denied&error_description=no%1b%5b2J&state=our-state", OURS)
    assert refused == Refused("access_denied", "no [2J")


def test_a_device_is_told_how_often_it_may_ask() -> None:
    """RFC 8628 section 3.2, with the interval of the RFC where the server names none."""
    body = b"""{"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": "https://a.test/device",
        "verification_uri_complete": "https://a.test/device?user_code=ABCD-EFGH", "expires_in": 600}"""
    answer = login.parse_device_authorization(200, body)
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
    assert isinstance(login.parse_device_authorization(status, body), Refused)


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
    assert login.read_grant(status, {}, body, requested_at=NOW) == outcome


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
    answer = login.read_grant(200, {}, body, requested_at=NOW)
    assert isinstance(answer, LoggedIn)
    assert answer.account == name
    assert answer.credential.kind is Kind.OAUTH
    assert answer.credential.expires_at == NOW + timedelta(seconds=60)
    assert answer.credential.refresh is not None


def test_an_id_token_names_nobody() -> None:
    """Nobody here verifies it, so it is not read."""
    claims = "eyJlbWFpbCI6Im1lQGV4YW1wbGUuY29tIn0"
    body = f'{{"access_token": "at", "id_token": "e30.{claims}.x"}}'.encode()
    answer = login.read_grant(200, {}, body, requested_at=NOW)
    assert isinstance(answer, LoggedIn)
    assert answer.account is None


def test_an_api_key_is_a_text_without_blanks() -> None:
    """``raw_key``, and nothing else, of a success."""
    made = login.parse_api_key(200, b'{"raw_key": "sk-1"}')
    assert not isinstance(made, Refused)
    assert made.reveal() == "sk-1"
    for status, body in ((403, b'{"raw_key": "sk-1"}'), (200, b'{"raw_key": ""}'), (200, b'{"raw_key": null}')):
        assert isinstance(login.parse_api_key(status, body), Refused)
