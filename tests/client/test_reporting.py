"""What a report holds, and that it costs the program nothing."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from client.fake_daemon import TOKEN, FakeDaemon, Json
from tokenward.client import Token
from tokenward.client._reporting import MAX_ERROR_BYTES, MAX_REQUEST_BYTES, USAGE_SECONDS, Reporter, decoded

THE_TOKEN = Token.from_result(TOKEN)
ERROR = {"error": {"type": "overloaded_error", "message": "busy"}}
LIMITS = {"X-RateLimit-Remaining": "1"}


@pytest.fixture
def clock() -> list[float]:
    """The monotonic present, as its only element."""
    return [100.0]


@pytest.fixture
def reporter(daemon: FakeDaemon, clock: list[float]) -> Iterator[Reporter]:
    """One that tells the fake daemon."""
    one = Reporter(str(daemon.path), clock=lambda: clock[0])
    yield one
    one.close()


def told(daemon: FakeDaemon, count: int = 1) -> Json:
    """The params of the last of so many reports."""
    daemon.wait_for(lambda: daemon.methods().count("token.report") == count)
    return daemon.params("token.report")


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("", bytes), ("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_an_error_is_read_through_its_encoding(encoding: str, encode: Any) -> None:
    """It is the same whichever way it was sent."""
    assert decoded(encode(b'{"error": {}}'), encoding) == b'{"error": {}}'


@pytest.mark.parametrize(("body", "encoding"), [(b"no gzip", "gzip"), (b"{}", "br")])
def test_what_cannot_be_decoded_is_nothing(body: bytes, encoding: str) -> None:
    """A body that is not what its header says, and an encoding that the standard library does not know."""
    assert decoded(body, encoding) is None


def test_a_bomb_of_zeros_stays_small() -> None:
    """What a server compressed a thousandfold is read up to the limit."""
    assert len(decoded(gzip.compress(bytes(10_000_000)), "gzip") or b"") == MAX_ERROR_BYTES


def test_type_and_message_of_an_error_are_told(daemon: FakeDaemon, reporter: Reporter) -> None:
    """In the shape that they came in."""
    reporter.tell(THE_TOKEN, 529, {}, error_body=json.dumps(ERROR).encode())
    assert told(daemon)["error"] == ERROR


@pytest.mark.parametrize(
    "body",
    [None, b"", b"<html>", b"[]", b'{"error": 7}', b'{"error": {"type": 1}}', b"[" * 100_000, b"\xff\xfe"],
)
def test_a_body_that_says_nothing_is_left_out(daemon: FakeDaemon, reporter: Reporter, body: bytes | None) -> None:
    """Whatever a server sends, the report goes out."""
    assert reporter.tell(THE_TOKEN, 500, {}, error_body=body)
    assert told(daemon) == {"profile": "anthropic:work", "generation": THE_TOKEN.generation, "status": 500}


def test_an_oauth_error_is_told_in_its_own_shape(daemon: FakeDaemon, reporter: Reporter) -> None:
    """RFC 6750's error is a string; what it says is cut short, and the token is not in it."""
    said = {"error": f"{THE_TOKEN.token} " + "x" * 1000}
    reporter.tell(THE_TOKEN, 401, {}, error_body=json.dumps(said).encode())
    error = told(daemon)["error"]["error"]
    assert error.startswith("[token] xxx")
    assert len(error) == 500


@pytest.mark.parametrize("status", [200, 204, 301, 404, 405, 409, 413, 422])
def test_what_says_nothing_of_the_credential_is_not_told(
    daemon: FakeDaemon, reporter: Reporter, status: int
) -> None:
    """A missing page and a request in the wrong form are the program's own."""
    assert not reporter.tell(THE_TOKEN, status, {})
    reporter.tell(THE_TOKEN, 500, {})
    assert told(daemon)["status"] == 500


MISSING = json.dumps({"error": {"type": "not_found_error", "message": "model: claude-opus-9"}}).encode()
ASKED = b'{"model": "claude-opus-9", "messages": []}'


@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_model_is_told_by_the_name_in_the_request(
    daemon: FakeDaemon, reporter: Reporter, status: int
) -> None:
    """The daemon can then keep this profile from this model, and this model alone."""
    assert reporter.tell(THE_TOKEN, status, {}, error_body=MISSING, request_body=ASKED)
    params = told(daemon)
    assert (params["status"], params["model"]) == (status, "claude-opus-9")
    assert params["error"] == json.loads(MISSING)


@pytest.mark.parametrize(
    ("error", "request_body"),
    [
        (None, ASKED),
        (b"<html>", ASKED),
        (MISSING, None),
        (MISSING, b"no json"),
        (MISSING, b"[]"),
        (MISSING, b'{"model": 7}'),
        (MISSING, b'{"model": ""}'),
        (MISSING, json.dumps({"model": "x" * 129}).encode()),
        (MISSING, json.dumps({"model": "m", "more": "x" * MAX_REQUEST_BYTES}).encode()),
    ],
)
def test_a_404_without_a_model_or_an_error_is_a_missing_page(
    daemon: FakeDaemon, reporter: Reporter, error: bytes | None, request_body: bytes | None
) -> None:
    """Nothing is told, and whatever stands in the request raises nothing."""
    assert not reporter.tell(THE_TOKEN, 404, {}, error_body=error, request_body=request_body)
    reporter.tell(THE_TOKEN, 500, {})
    assert told(daemon)["status"] == 500


def test_a_limit_is_told_of_the_model_that_tokens_are_asked_for(
    daemon: FakeDaemon, reporter: Reporter, clock: list[float]
) -> None:
    """Who asks for tokens of no model must not be handed the limited profile again, so the whole profile rests."""
    reporter.tell(THE_TOKEN, 429, {}, request_body=ASKED)
    assert "model" not in told(daemon)
    asking = Reporter(str(daemon.path), model="opus", clock=lambda: clock[0])
    asking.tell(THE_TOKEN, 429, {}, request_body=ASKED)
    assert told(daemon, 2)["model"] == "opus"
    asking.tell(THE_TOKEN, 404, {}, error_body=MISSING)
    assert told(daemon, 3)["model"] == "opus"
    asking.close()


def test_a_success_is_told_of_the_model_that_answered(daemon: FakeDaemon, reporter: Reporter) -> None:
    """That one model answers must not open another that the profile lacks."""
    assert not reporter.tell(THE_TOKEN, 200, LIMITS, request_body=ASKED)
    assert told(daemon)["model"] == "claude-opus-9"


def test_usage_is_told_again_after_a_while(daemon: FakeDaemon, reporter: Reporter, clock: list[float]) -> None:
    """Once in ten seconds for each profile."""
    other = Token.from_result({**TOKEN, "profile": "anthropic:other"})
    reporter.tell(THE_TOKEN, 200, LIMITS)
    reporter.tell(other, 200, LIMITS)
    clock[0] += USAGE_SECONDS - 0.1
    reporter.tell(THE_TOKEN, 200, LIMITS)
    clock[0] += 0.1
    reporter.tell(THE_TOKEN, 200, LIMITS)
    assert told(daemon, 3)["headers"] == {"x-ratelimit-remaining": "1"}
    assert daemon.accepted == 1


def test_without_a_daemon_nothing_is_raised_and_the_next_one_is_told(
    daemon: FakeDaemon, reporter: Reporter
) -> None:
    """A report that cannot be written is dropped."""
    reporter.tell(THE_TOKEN, 500, {})
    told(daemon)
    path = daemon.path
    daemon.close()
    reporter.tell(THE_TOKEN, 501, {})
    with FakeDaemon(path) as another:
        reporter.tell(THE_TOKEN, 502, {})
        assert told(another)["status"] == 502


def test_a_child_process_reports_on_a_connection_of_its_own(
    daemon: FakeDaemon, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the parent's connection nor a lock that one of its threads held is used."""
    reporter.tell(THE_TOKEN, 500, {})
    told(daemon)
    reporter._turn.acquire()
    monkeypatch.setattr("os.getpid", lambda: -1)
    reporter.tell(THE_TOKEN, 500, {})
    told(daemon, 2)
    assert daemon.accepted == 2


@pytest.mark.parametrize(
    ("status", "headers", "wanted"),
    [
        (429, {"content-type": "application/json", "content-length": "2"}, True),
        (429, {"content-type": "application/problem+json", "content-length": str(MAX_ERROR_BYTES)}, True),
        (429, {"content-type": "application/json", "content-length": str(MAX_ERROR_BYTES + 1)}, False),
        (429, {"content-type": "application/json"}, False),
        (429, {"content-type": "text/event-stream", "content-length": "2"}, False),
        (200, {"content-type": "application/json", "content-length": "2"}, False),
        (404, {"content-type": "application/json", "content-length": "2"}, True),
        (404, {"content-type": "text/html", "content-length": "2"}, False),
        (405, {"content-type": "application/json", "content-length": "2"}, False),
    ],
)
def test_only_short_errors_in_json_are_read(
    reporter: Reporter, status: int, headers: dict[str, str], *, wanted: bool
) -> None:
    """A stream, a page, and an answer that went well are the program's to read."""
    assert reporter.wants_body(status, headers) is wanted
