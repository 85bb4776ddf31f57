"""Every fault as a plain HTTP client sees it, and what it did to the grant."""

import http.client
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import pytest

from sandbox.caller import PATIENCE, Clock, ask, ping, refresh
from tokenward.sandbox import (
    CAPTIVE_PORTAL,
    CLOSE_BEFORE,
    CUT_OFF,
    EMPTY_400,
    HOLD_AFTER,
    HOLD_BEFORE,
    LOST_ANSWER,
    NO_EXPIRES_IN,
    NO_REFRESH_TOKEN,
    RESET_ANSWER,
    STALL,
    TRUNCATED,
    WRONG_CONTENT_TYPE,
    Fault,
    Sandbox,
)

Start = Callable[..., Future[Any]]


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[Start]:
    """Runs a call in a thread; whatever is still held at the end is let go."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit
        sandbox.faults.clear()
        sandbox.faults.release()


def granted(sandbox: Sandbox) -> int:
    """How many refreshes the server has performed."""
    return sandbox.statistics().refreshes_granted


def test_a_fault_is_used_up(sandbox: Sandbox) -> None:
    """Faults come in the order they were queued, each for as many requests as it was told."""
    sandbox.faults.next("token", Fault(status=500), times=2)
    sandbox.faults.next("token", Fault(status=503))
    login = sandbox.issue()
    assert [refresh(sandbox, login.refresh_token).status for _ in range(4)] == [500, 500, 503, 200]
    assert sandbox.statistics().token_requests == 4


def test_a_fault_may_last_until_cleared(sandbox: Sandbox) -> None:
    """Without a number it lasts until cleared, for its endpoint or for all, and for its endpoint only."""
    login = sandbox.issue()
    for clear in ("token", None):
        sandbox.faults.next("token", Fault(status=500), times=None)
        assert [refresh(sandbox, login.refresh_token).status for _ in range(3)] == [500] * 3
        assert ping(sandbox, login.access_token).status == 200
        sandbox.faults.clear(clear)
    assert refresh(sandbox, login.refresh_token).status == 200


def test_faults_that_cannot_happen_are_refused(sandbox: Sandbox) -> None:
    """A mistyped endpoint, a zeroth time or an unknown part must not pass for a test that passes."""
    with pytest.raises(ValueError, match="no endpoint 'tokens'"):
        sandbox.faults.next("tokens", EMPTY_400)
    with pytest.raises(ValueError, match="at least once"):
        sandbox.faults.next("token", EMPTY_400, times=0)
    with pytest.raises(ValueError, match="stauts"):
        Fault.from_json({"stauts": 500})


@pytest.mark.parametrize("retry_after", [7, formatdate(1_800_000_060, usegmt=True)])
def test_status_with_retry_after(sandbox: Sandbox, retry_after: int | str) -> None:
    """A status with Retry-After, in seconds or as a date; nothing is granted."""
    body = {"error": "temporarily_unavailable"}
    sandbox.faults.next("token", Fault(status=429, retry_after=retry_after, body=body))
    login = sandbox.issue()
    answer = refresh(sandbox, login.refresh_token)
    assert answer.status == 429
    assert answer.headers["retry-after"] == str(retry_after)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == body
    assert granted(sandbox) == 0
    assert refresh(sandbox, login.refresh_token).status == 200


def test_status_after_the_grant(sandbox: Sandbox) -> None:
    """`performed`: the server says 500 and has rotated all the same."""
    sandbox.faults.next("token", Fault(status=500, performed=True))
    login = sandbox.issue()
    assert refresh(sandbox, login.refresh_token).status == 500
    assert granted(sandbox) == 1
    assert refresh(sandbox, login.refresh_token).error == "invalid_grant"
    assert sandbox.statistics().reuse_detected == 1


def test_captive_portal(sandbox: Sandbox) -> None:
    """HTML with status 200, and nothing granted."""
    sandbox.faults.next("token", CAPTIVE_PORTAL)
    answer = refresh(sandbox, sandbox.issue().refresh_token)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.body.startswith(b"<!doctype html>")
    assert granted(sandbox) == 0


def test_empty_400(sandbox: Sandbox) -> None:
    """400 without a body."""
    sandbox.faults.next("token", EMPTY_400)
    answer = refresh(sandbox, sandbox.issue().refresh_token)
    assert (answer.status, answer.body) == (400, b"")
    assert "content-type" not in answer.headers


def test_redirect(sandbox: Sandbox) -> None:
    """A redirect of the token request; nothing is granted."""
    sandbox.faults.next("token", Fault(status=307, headers={"Location": "http://127.0.0.1:1/"}))
    answer = refresh(sandbox, sandbox.issue().refresh_token)
    assert (answer.status, answer.headers["location"]) == (307, "http://127.0.0.1:1/")
    assert granted(sandbox) == 0


def test_wrong_content_type(sandbox: Sandbox) -> None:
    """The true answer under a wrong content type, with headers added."""
    sandbox.faults.next("token", WRONG_CONTENT_TYPE)
    sandbox.faults.next("token", Fault(content_type="text/html", headers={"X-More": "1"}, retry_after=3))
    login = sandbox.issue()
    answer = refresh(sandbox, login.refresh_token)
    assert answer.headers["content-type"] == "text/plain"
    renewed = answer.json["refresh_token"]
    answer = refresh(sandbox, renewed)
    assert (answer.headers["x-more"], answer.headers["retry-after"]) == ("1", "3")
    assert answer.headers["cache-control"] == "no-store"


def test_truncated_json(sandbox: Sandbox) -> None:
    """A complete HTTP answer whose JSON stops in the middle; the grant was performed."""
    sandbox.faults.next("token", TRUNCATED)
    answer = refresh(sandbox, sandbox.issue().refresh_token)
    assert answer.status == 200
    assert len(answer.body) == 25
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json
    assert granted(sandbox) == 1


def test_cut_off(sandbox: Sandbox) -> None:
    """The connection ends before the body does; the grant was performed."""
    sandbox.faults.next("token", CUT_OFF)
    with pytest.raises(http.client.IncompleteRead) as caught:
        refresh(sandbox, sandbox.issue().refresh_token)
    assert len(caught.value.partial) == 25
    assert granted(sandbox) == 1


def test_slow_drip(sandbox: Sandbox) -> None:
    """The body comes byte by byte and is the true one in the end."""
    sandbox.faults.next("token", Fault(pause_per_byte=0.0001))
    answer = refresh(sandbox, sandbox.issue().refresh_token)
    assert ping(sandbox, answer.json["access_token"]).status == 200


def test_stopping_interrupts_a_drip(clock: Clock) -> None:
    """A drip that would last for days ends with the sandbox."""
    with ThreadPoolExecutor() as threads:
        with Sandbox(clock=clock) as sandbox:
            sandbox.faults.next("token", Fault(pause_per_byte=1000.0))
            client = threads.submit(refresh, sandbox, sandbox.issue().refresh_token)
            sandbox.wait_for_request("/oauth/token", answered=True)
        assert isinstance(client.exception(PATIENCE), http.client.HTTPException | OSError)


def test_stall(sandbox: Sandbox, start: Start) -> None:
    """Accepted and never answered; release ends it with a reset, and nothing was granted."""
    sandbox.faults.next("token", STALL)
    client = start(refresh, sandbox, sandbox.issue().refresh_token)
    assert sandbox.faults.reached.wait(PATIENCE)
    assert not client.done()
    assert sandbox.faults.release() == 1
    assert isinstance(client.exception(PATIENCE), ConnectionResetError)
    assert granted(sandbox) == 0


@pytest.mark.parametrize(("fault", "performed"), [(HOLD_BEFORE, 0), (HOLD_AFTER, 1)])
def test_hold(sandbox: Sandbox, start: Start, fault: Fault, performed: int) -> None:
    """Held before or after the grant, and answered truly once released."""
    sandbox.faults.next("token", fault)
    client = start(refresh, sandbox, sandbox.issue().refresh_token)
    assert sandbox.faults.reached.wait(PATIENCE)
    assert granted(sandbox) == performed
    assert sandbox.requests[-1].status is None
    assert not client.done()
    sandbox.faults.release()
    assert client.result(PATIENCE).status == 200
    assert granted(sandbox) == 1


def test_holds_one_after_another(sandbox: Sandbox, start: Start) -> None:
    """`release` frees those held now: a later one is held anew, and `reached` tells it apart."""
    sandbox.faults.next("token", HOLD_BEFORE, times=2)
    assert sandbox.faults.release() == 0
    for _ in range(2):
        client = start(refresh, sandbox, sandbox.issue().refresh_token)
        assert sandbox.faults.reached.wait(PATIENCE)
        assert sandbox.faults.release() == 1
        assert not sandbox.faults.reached.is_set()
        assert client.result(PATIENCE).status == 200


def test_holds_side_by_side(sandbox: Sandbox, start: Start) -> None:
    """`wait_held` waits for several, and one release frees them all."""
    sandbox.faults.next("token", HOLD_BEFORE, times=3)
    clients = [start(refresh, sandbox, sandbox.issue().refresh_token) for _ in range(3)]
    assert sandbox.faults.wait_held(3, PATIENCE)
    assert sandbox.faults.release() == 3
    assert [client.result(PATIENCE).status for client in clients] == [200] * 3
    assert not sandbox.faults.wait_held(1, timeout=0)


def test_close_before(sandbox: Sandbox) -> None:
    """A reset before anything happened: nothing granted, nothing answered."""
    sandbox.faults.next("token", CLOSE_BEFORE)
    login = sandbox.issue()
    with pytest.raises(ConnectionResetError) as caught:
        refresh(sandbox, login.refresh_token)
    assert type(caught.value) is ConnectionResetError
    assert granted(sandbox) == 0
    assert sandbox.requests[-1].status is None
    assert refresh(sandbox, login.refresh_token).status == 200


def test_lost_answer(sandbox: Sandbox) -> None:
    """The connection ends without an answer and the refresh token is spent."""
    sandbox.faults.next("token", LOST_ANSWER)
    login = sandbox.issue()
    with pytest.raises(http.client.RemoteDisconnected):
        refresh(sandbox, login.refresh_token)
    assert granted(sandbox) == 1
    assert refresh(sandbox, login.refresh_token).error == "invalid_grant"
    assert sandbox.statistics().reuse_detected == 1


def test_reset_answer(sandbox: Sandbox) -> None:
    """As a lost answer, but the connection is reset: the refresh token is spent all the same."""
    sandbox.faults.next("token", RESET_ANSWER)
    login = sandbox.issue()
    with pytest.raises(ConnectionResetError) as caught:
        refresh(sandbox, login.refresh_token)
    assert type(caught.value) is ConnectionResetError
    assert granted(sandbox) == 1
    assert refresh(sandbox, login.refresh_token).error == "invalid_grant"


def test_lost_answer_within_the_grace(clock: Clock) -> None:
    """With a grace the lost answer can be had once more."""
    with Sandbox(clock=clock, reuse_grace=10) as sandbox:
        sandbox.faults.next("token", LOST_ANSWER)
        login = sandbox.issue()
        with pytest.raises(http.client.RemoteDisconnected):
            refresh(sandbox, login.refresh_token)
        assert refresh(sandbox, login.refresh_token).status == 200
        assert granted(sandbox) == 1


def test_no_refresh_token(sandbox: Sandbox) -> None:
    """Without a refresh token in the answer the old one goes on working."""
    sandbox.faults.next("token", NO_REFRESH_TOKEN)
    login = sandbox.issue()
    answer = refresh(sandbox, login.refresh_token).json
    assert "refresh_token" not in answer
    assert ping(sandbox, answer["access_token"]).status == 200
    assert refresh(sandbox, login.refresh_token).status == 200
    assert sandbox.statistics().reuse_detected == 0


def test_no_expires_in(sandbox: Sandbox) -> None:
    """The answer without `expires_in`, otherwise true."""
    sandbox.faults.next("token", NO_EXPIRES_IN)
    answer = refresh(sandbox, sandbox.issue().refresh_token).json
    assert "expires_in" not in answer
    assert ping(sandbox, answer["access_token"]).status == 200


@pytest.mark.parametrize("value", ["3600", 0, -1, 10**12, True, None, "soon"])
def test_odd_expires_in(sandbox: Sandbox, value: object) -> None:
    """`expires_in` as a string, zero, negative, huge, or no number at all."""
    sandbox.faults.next("token", Fault(replace={"expires_in": value}))
    assert refresh(sandbox, sandbox.issue().refresh_token).json["expires_in"] == value


def test_expires_in_that_is_no_json_number(sandbox: Sandbox) -> None:
    """NaN goes out as the bare word, as careless servers write it."""
    sandbox.faults.next("token", Fault(replace={"expires_in": math.nan}))
    assert b'"expires_in": NaN' in refresh(sandbox, sandbox.issue().refresh_token).body


def test_faults_elsewhere(sandbox: Sandbox) -> None:
    """Other endpoints have faults of their own."""
    sandbox.faults.next("messages", Fault(status=529, body='{"type": "error"}'))
    sandbox.faults.next("metadata", EMPTY_400)
    login = sandbox.issue()
    assert ping(sandbox, login.access_token).status == 529
    assert ask(sandbox, "GET", "/.well-known/oauth-authorization-server").status == 400
    assert refresh(sandbox, login.refresh_token).status == 200
