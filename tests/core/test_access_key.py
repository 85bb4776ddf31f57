"""An AWS access key is read as one credential, and nothing else is taken for one."""

import json
from datetime import UTC, datetime

import pytest

from tokenward.core import access_key
from tokenward.core.credential import Kind
from tokenward.core.reading import Found, Unreadable
from tokenward.core.written_token import Written, read

KEY = {"AccessKeyId": "AKIAFAKE", "SecretAccessKey": "fake/secret", "SessionToken": "fake"}
END = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "expiration", ["2026-11-21T14:00:00Z", "2026-11-21T15:00:00+01:00", "2026-11-21T14:00:00"]
)
def test_its_members_and_its_end(expiration: str) -> None:
    """What is not of the key is left out; the end is UTC where nothing else is said."""
    text = json.dumps({"Version": 1, **KEY, "Expiration": expiration, "Extra": 1})
    assert access_key.read(text) == access_key.AccessKey(json.dumps(KEY, separators=(",", ":")), END)


@pytest.mark.parametrize("expiration", [None, "", "soon", 5, "0001-01-01T00:00:00+14:00"])
def test_an_end_that_cannot_be_read_is_none(expiration: object) -> None:
    """The caller's 401 then says that it came."""
    read_key = access_key.read(json.dumps({**KEY, "Expiration": expiration}))
    assert read_key is not None
    assert read_key.expires_at is None


@pytest.mark.parametrize(
    "text",
    ["", "AKIAFAKE", "[]", "{}", '{"AccessKeyId":"A","SecretAccessKey":""}', '{"AccessKeyId":1}', "[" * 99_999],
)
def test_what_is_no_access_key(text: str) -> None:
    """An id needs its secret."""
    assert access_key.read(text) is None


def test_a_command_of_another_provider_may_print_one() -> None:
    """It is one token there, with its end; for Anthropic it stays what it was: no login."""
    text = json.dumps({"Version": 1, **KEY, "Expiration": "2026-11-21T14:00:00Z"})
    reading = read(text, Written(anthropic=False))
    assert isinstance(reading, Found)
    assert (reading.credential.kind, reading.credential.expires_at) == (Kind.AUTH_TOKEN, END)
    assert json.loads(reading.credential.access.reveal()) == KEY
    assert isinstance(read(text, Written(anthropic=True)), Unreadable)
