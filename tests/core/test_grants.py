"""Exactly one answer condemns a refresh token; and a grant is read whole or not at all."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.core.credential import Secret
from tokenward.core.grants import (
    MAX_TOKEN_LENGTH,
    Ambiguous,
    Condemned,
    Granted,
    RefreshOutcome,
    Unavailable,
    parse_answer,
    refresh_parameters,
)
from tokenward.core.redact import printable

LAW = settings(derandomize=True, deadline=None)
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SENT = Secret("sk-ant-ort01-refresh-token-that-was-sent")
JSON_TYPE = {"content-type": "application/json"}
DEAD = frozenset({"refresh_token_reused"})


def read(status: int, document: Any, **headers: str) -> RefreshOutcome:
    """An answer with a JSON body."""
    return parse_answer(status, {**JSON_TYPE, **headers}, json.dumps(document).encode(), now=NOW, dead_errors=DEAD)


def granted(**members: Any) -> Granted:
    """What a grant with these members beside the access token is read as."""
    outcome = read(200, {"access_token": "new-access", **members})
    assert isinstance(outcome, Granted)
    return outcome


def test_the_request_is_that_of_rfc_6749_section_6() -> None:
    """No scope unless the provider file names one, and nothing else ever."""
    bare = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c"}
    assert refresh_parameters(Secret("r"), client_id="c", scope=None) == bare
    assert refresh_parameters(Secret("r"), client_id="c", scope="") == bare
    assert refresh_parameters(Secret("r"), client_id="c", scope="a b") == {**bare, "scope": "a b"}


# What condemns


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("error", ["invalid_grant", "refresh_token_reused"])
def test_a_400_or_401_with_a_dead_error_condemns(status: int, error: str) -> None:
    """RFC 6749 5.2, and what the provider file lists as equal; a description comes along."""
    assert read(status, {"error": error}) == Condemned(error, "")
    described = {"error": error, "error_description": "Refresh token not found"}
    assert read(status, described) == Condemned(error, "Refresh token not found")
    assert read(status, {"error": {"type": error, "message": "gone"}}) == Condemned(error, "")


@pytest.mark.parametrize(
    "status", [200, 201, 302, 402, 403, 404, 405, 408, 409, 410, 418, 429, 500, 502, 503, 529]
)
def test_no_other_status_condemns(status: int) -> None:
    """A gate, a proxy or an outage may say what it likes."""
    assert isinstance(read(status, {"error": "invalid_grant"}), Unavailable)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"invalid_grant",
        b'"invalid_grant"',
        b'["invalid_grant"]',
        b"error=invalid_grant",
        b"<html><body>invalid_grant</body></html>",
        b'{"error": "invalid_grant"',
        b'{"error": "invalid_grant"}}',
        b'{"error": "Invalid_Grant"}',
        b'{"error": "invalid_grant "}',
        b'{"error": "invalid_request"}',
        b'{"error": ["invalid_grant"]}',
        b'{"error": {"code": "invalid_grant"}}',
        b'{"error": {"type": {"type": "invalid_grant"}}}',
        b'{"error": {"type": "error", "error": {"type": "invalid_grant"}}}',
        b'{"error": null, "error_description": "invalid_grant"}',
        b'{"message": "invalid_grant"}',
        b'{"Error": "invalid_grant"}',
        b'{"error": "invalid_grant", "error": "server_error"}',
        b"{}",
        b"[" * 100_000,
        b'{"error":' * 100_000,
        b'{"error": ' + b"1" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:50]),
)
@pytest.mark.parametrize("status", [400, 401])
def test_no_other_body_condemns(status: int, body: bytes) -> None:
    """HTML, an empty body, JSON of another shape or word: transient (design I4)."""
    assert isinstance(parse_answer(status, JSON_TYPE, body, now=NOW, dead_errors=DEAD), Unavailable)


def test_without_a_provider_files_word_only_invalid_grant_condemns() -> None:
    """The list of equals belongs to one provider."""
    body = json.dumps({"error": "refresh_token_reused"}).encode()
    assert isinstance(parse_answer(400, {}, body, now=NOW), Unavailable)


errors = (
    st.sampled_from(["invalid_grant", "refresh_token_reused", "server_error", "", "Invalid_Grant"]) | st.text()
)
plain_values = st.none() | st.booleans() | st.integers() | st.floats() | errors
documents = st.recursive(
    plain_values,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "type", "access_token", "expires_in"]), inner, max_size=4)
    ),
    max_leaves=8,
)
bodies = (
    st.binary()
    | documents.map(lambda document: json.dumps(document).encode())
    | documents.map(lambda document: json.dumps(document).encode("utf-16"))
    | documents.map(lambda document: json.dumps(document).encode()[:-1])
    | errors.map(lambda error: json.dumps({"error": error}).encode())
    | errors.map(lambda error: json.dumps({"error": {"type": error}}).encode())
)
answers = st.sampled_from([200, 400, 401, 403, 429, 500]) | st.integers(min_value=100, max_value=999)
values = st.text() | st.sampled_from(["1", "9" * 13, "Sun, 01 Mar 2026 12:00:05 GMT", "application/json"])
headers = st.dictionaries(st.sampled_from(["retry-after", "content-type", "date"]), values)


def condemns(status: int, body: bytes) -> bool:
    """The rule of design I4, said once more and apart."""
    try:
        document = json.loads(body)
    except ValueError:
        return False
    error = document.get("error") if isinstance(document, dict) else None
    word = error.get("type") if isinstance(error, dict) else error
    return status in {400, 401} and isinstance(word, str) and word in {"invalid_grant", *DEAD}


@settings(LAW, max_examples=2000)
@given(answers, headers, bodies)
def test_any_answer_is_read_and_only_the_one_condemns(status: int, headers: dict[str, str], body: bytes) -> None:
    """No status, headers or bytes raise, and Condemned means 400 or 401 with the JSON error."""
    outcome = parse_answer(status, headers, body, now=NOW, dead_errors=DEAD)
    assert isinstance(outcome, Condemned) is condemns(status, body)
    assert not isinstance(outcome, Granted) or 200 <= status < 300
    assert not isinstance(outcome, Ambiguous) or 200 <= status < 300
    if isinstance(outcome, Unavailable):
        assert printable(outcome.reason) == outcome.reason.strip()
        assert outcome.retry_after is None or 0 <= outcome.retry_after < math.inf


# What is no grant


@pytest.mark.parametrize(
    ("status", "document", "reason", "configuration"),
    [
        (400, {"error": "invalid_client"}, "HTTP 400 invalid_client", True),
        (401, {"error": "invalid_client"}, "HTTP 401 invalid_client", True),
        (400, {"error": "unauthorized_client"}, "HTTP 400 unauthorized_client", True),
        (400, {"error": "unsupported_grant_type"}, "HTTP 400 unsupported_grant_type", True),
        (400, {"error": "invalid_scope"}, "HTTP 400 invalid_scope", True),
        (400, {"error": {"type": "invalid_request"}}, "HTTP 400 invalid_request", True),
        (403, {"error": "forbidden"}, "HTTP 403 forbidden", False),
        (429, {"error": {"type": "rate_limit_error", "message": "slow"}}, "HTTP 429 rate_limit_error", False),
        (503, {"error": "temporarily_unavailable"}, "HTTP 503 temporarily_unavailable", False),
        (200, {"error": "bad_verification_code"}, "HTTP 200 bad_verification_code", False),
        (500, {"error": {"type": ""}}, "HTTP 500", False),
        (500, {"error": ""}, "HTTP 500", False),
        (500, {}, "HTTP 500", False),
        (403, {"access_token": "a"}, "HTTP 403", False),
        (300, {"access_token": "a"}, "HTTP 300", False),
        (200, {}, "HTTP 200 without an access_token", False),
        (200, {"access_token": ""}, "HTTP 200 without an access_token", False),
        (200, {"access_token": None}, "HTTP 200 without an access_token", False),
        (200, {"access_token": 7}, "HTTP 200 without an access_token", False),
        (200, {"access_token": "a\nb"}, "HTTP 200 without an access_token", False),
        (200, {"access_token": "\ud800"}, "HTTP 200 without an access_token", False),
        (200, {"access_token": "ключ"}, "HTTP 200 without an access_token", False),
        (200, {"access_token": "a" * (MAX_TOKEN_LENGTH + 1)}, "HTTP 200 without an access_token", False),
    ],
)
def test_answers_that_may_pass(status: int, document: Any, reason: str, *, configuration: bool) -> None:
    """Each says what came in one line, and whether our own registration is at fault."""
    assert read(status, document) == Unavailable(reason, None, configuration)
    assert read(status, document, **{"retry-after": "7"}) == Unavailable(reason, 7.0, configuration)


@pytest.mark.parametrize(
    ("status", "content_type", "body", "reason"),
    [
        (200, "text/html", b"<html>", "HTTP 200 with text/html instead of JSON"),
        (200, None, b"", "HTTP 200 with nothing instead of JSON"),
        (400, "application/json", b"", "HTTP 400 with application/json instead of JSON"),
        (502, "text/\x1b[31mhtml", b"", "HTTP 502 with text/ [31mhtml instead of JSON"),
        (502, "x" * 31 + " " + "y" * 31, b"", f"HTTP 502 with {'x' * 31} {'y' * 8} instead of JSON"),
    ],
)
def test_what_is_no_json_is_named_by_its_type(
    status: int, content_type: str | None, body: bytes, reason: str
) -> None:
    """A captive portal's page is no verdict, and its words stay on one short line."""
    given_headers = {} if content_type is None else {"content-type": content_type}
    assert parse_answer(status, given_headers, body, now=NOW) == Unavailable(reason)


@pytest.mark.parametrize("body", [b"", b'{"access_token": "a', b"[]"])
def test_a_good_status_with_broken_json_may_have_spent_the_token(body: bytes) -> None:
    """The authorization server answered, and its tokens did not arrive whole: the ambiguous rule."""
    assert isinstance(parse_answer(200, JSON_TYPE, body, now=NOW), Ambiguous)


def test_no_outcome_shows_a_token_or_a_terminal_command() -> None:
    """A server may echo what it was sent; not one word of that goes on."""
    echo = f"\x1b[2J{SENT.reveal()}\r\nsecond line"
    for outcome in (
        read(400, {"error": "invalid_grant", "error_description": echo}),
        read(400, {"error": echo}),
        read(500, {"error": {"type": echo, "message": echo}}),
        parse_answer(502, {"content-type": echo}, b"", now=NOW),
    ):
        assert SENT.reveal() not in repr(outcome)
        assert repr(outcome).isprintable()
        assert "\\x1b" not in repr(outcome)


def test_words_of_a_server_are_cut() -> None:
    """A description of a megabyte becomes one line."""
    outcome = read(400, {"error": "invalid_grant", "error_description": "so sorry " * 100_000})
    assert isinstance(outcome, Condemned)
    assert len(outcome.description) == 200
    other = read(400, {"error": "so sorry " * 100_000})
    assert isinstance(other, Unavailable)
    assert len(other.reason) == len("HTTP 400 ") + 60


# What a grant says


def test_a_whole_grant_is_read_whole() -> None:
    """Every member that RFC 6749 5.1 names, and the login's end."""
    assert granted(
        refresh_token="new-refresh",
        expires_in=28800,
        scope="user:inference  user:profile",
        token_type="bearer",
        refresh_token_expires_in="86400",
        account={"email_address": "me@example.com"},
    ) == Granted(
        Secret("new-access"), Secret("new-refresh"), 28800.0, ("user:inference", "user:profile"), "bearer", 86400.0
    )


def test_a_bare_grant_says_nothing_more_than_its_token() -> None:
    """What is absent is unknown or stays."""
    assert granted() == Granted(Secret("new-access"), None, None, None, "Bearer", None)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_tokens_that_came_are_kept_beside_an_error(status: int) -> None:
    """A server that contradicts itself has rotated all the same; what it sent is all that is left."""
    document = {"access_token": "a", "refresh_token": "r", "error": "invalid_grant"}
    assert isinstance(read(status, document), Granted)


@pytest.mark.parametrize("refresh", [None, "", 7, True, [], {}, "a\0b", "\ud83d", "r" * (MAX_TOKEN_LENGTH + 1)])
def test_what_is_no_refresh_token_leaves_the_old_one(refresh: object) -> None:
    """The grant itself is not lost for it."""
    assert granted(refresh_token=refresh).refresh is None


def test_the_longest_token_is_taken() -> None:
    """64 KiB are a token still; one more is not (above)."""
    longest = "r" * MAX_TOKEN_LENGTH
    assert granted(refresh_token=longest).refresh == Secret(longest)


@pytest.mark.parametrize("scope", [None, "", "   ", ["a", "b"], 7, {}])
def test_what_is_no_scope_leaves_the_old_one(scope: object) -> None:
    """RFC 6749 3.3 has a string; a list is not guessed at."""
    assert granted(scope=scope).scopes is None


@pytest.mark.parametrize("token_type", [None, "", 7, []])
def test_what_is_no_token_type_is_bearer(token_type: object) -> None:
    """The one type that we can use."""
    assert granted(token_type=token_type).token_type == "Bearer"


def test_the_last_of_two_equal_keys_counts() -> None:
    """As JSON readers do; both are the server's own words."""
    body = b'{"access_token": "first", "access_token": "second"}'
    outcome = parse_answer(200, JSON_TYPE, body, now=NOW)
    assert isinstance(outcome, Granted)
    assert outcome.access == Secret("second")


def test_a_grant_does_not_print_its_tokens() -> None:
    """It passes through the same logs and tracebacks as all else."""
    assert "new-" not in repr(granted(refresh_token="new-refresh"))


def test_an_absurd_retry_after_does_not_cost_a_grant() -> None:
    """What came for a spent refresh token is never lost for a header."""
    absurd = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
    assert isinstance(read(200, {"access_token": "a"}, **{"retry-after": absurd}), Granted)
