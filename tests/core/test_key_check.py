"""What an API's answer says of a key."""

import json

import pytest

from tokenward.core.key_check import KeyCheck, read_key_check


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
