"""What an API's answer says of a key."""

import json
from datetime import UTC, datetime

import pytest

from tokenward.core.key_check import AnswerFacts, KeyCheck, answer_facts, read_key_check


def said(kind: str, message: str) -> bytes:
    """An error in the words of Anthropic's API."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "check"),
    [
        (200, b"{}", KeyCheck("taken")),
        (401, said("authentication_error", "invalid x-api-key"), KeyCheck("refused", "invalid x-api-key")),
        (401, b"<html>", KeyCheck("refused", "HTTP 401")),
        (403, said("authentication_error", "no such key"), KeyCheck("refused", "no such key")),
        (403, said("permission_error", "not this model"), KeyCheck("unknown", "HTTP 403")),
        (403, b"<html>blocked</html>", KeyCheck("unknown", "HTTP 403")),
        (302, b"", KeyCheck("unknown", "HTTP 302")),
        (404, said("not_found_error", "no"), KeyCheck("unknown", "HTTP 404")),
        (429, said("rate_limit_error", "slow"), KeyCheck("unknown", "HTTP 429")),
        (529, said("overloaded_error", "busy"), KeyCheck("unknown", "HTTP 529")),
    ],
)
def test_only_a_word_about_authentication_condemns_a_key(status: int, body: bytes, check: KeyCheck) -> None:
    """Success is success; a proxy, a limit, a missing page or an overloaded API says nothing of the key."""
    assert read_key_check(status, body) == check


def test_what_an_api_says_cannot_move_the_cursor() -> None:
    """It is shown on a terminal."""
    assert "\x1b" not in read_key_check(401, said("authentication_error", "no\x1b[2J")).reason


@pytest.mark.covers("P35")
@pytest.mark.parametrize(
    ("headers", "body", "from_api"),
    [
        ({"request-id": "req_1"}, b"", True),
        ({}, b'{"type": "error", "request_id": "req_1"}', True),
        ({"request-id": ""}, b"<html>", False),
        ({}, b'{"error": "login first"}', False),
        ({}, b"[]", False),
        ({}, b"[" * 100_000, False),
        ({}, b'{"request_id": 5}', False),
    ],
)
def test_the_api_marks_its_answers(headers: dict[str, str], body: bytes, *, from_api: bool) -> None:
    """By a header or a member; what a proxy answers has neither."""
    assert answer_facts(401, headers, body) == AnswerFacts(401, from_api, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sat, 21 Nov 2026 14:30:00 GMT", datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 14:30:00 -0000", datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 15:30:00 +0100", datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
        ("Sat, 99 Nov 2026 14:30:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_the_servers_clock_is_read(text: str, moment: datetime | None) -> None:
    """In UTC; what is no date says nothing."""
    assert answer_facts(200, {"date": text}, b"").date == moment
