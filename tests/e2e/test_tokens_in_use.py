"""The point of it all: what the socket hands out is accepted by the API, plain and streaming, across rotations."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.daemon_process import DaemonProcess, RpcError, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Fault, Sandbox

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""


def ask_the_api(sandbox: Sandbox, headers: dict[str, str], *, stream: bool) -> tuple[int, bytes]:
    """One request to the Messages API with exactly the headers that the daemon advises."""
    address = urlsplit(sandbox.base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    body: dict[str, Any] = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 8,
        "stream": stream,
        "messages": [{"role": "user", "content": "ping"}],
    }
    try:
        connection.request(
            "POST", "/v1/messages", json.dumps(body), {"content-type": "application/json", **headers}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.covers("P1", "N39", "N55", "L22")
@pytest.mark.parametrize("stream", [False, True], ids=["generate", "stream"])
def test_a_token_asked_for_before_a_call_is_accepted(own_home: Path, sandbox: Sandbox, *, stream: bool) -> None:
    """An expired login is refreshed before the call that asks, and the call goes through, streamed or not."""
    login = sandbox.issue(ttl_seconds=-1)
    StoredLogin(own_home).write(login)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        answer = daemon.call("token.get")
        status, body = ask_the_api(sandbox, answer["headers"], stream=stream)
    assert answer["token"] != login.access_token
    assert status == 200
    assert (b"message_stop" in body) == stream
    assert sandbox.statistics().refreshes_granted == 1


@pytest.mark.covers("P22")
def test_a_refused_token_is_replaced_once_for_all_who_were_refused(own_home: Path, sandbox: Sandbox) -> None:
    """After the server revoked the access token, a report and a retry get a new one, which is accepted."""
    login = sandbox.issue()
    StoredLogin(own_home).write(login)
    with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
        refused = daemon.call("token.get")
        sandbox.revoke(login.access_token)
        assert ask_the_api(sandbox, refused["headers"], stream=False)[0] == 401
        told = [
            daemon.call("token.report", profile=refused["profile"], generation=refused["generation"], status=401)
            for _ in range(3)
        ]
        again = daemon.call("token.get", newer_than=refused["generation"])
        status, _ = ask_the_api(sandbox, again["headers"], stream=False)
    assert [each["action"] for each in told] == ["retry"] * 3
    assert (again["generation"] != refused["generation"], status) == (True, 200)
    assert sandbox.statistics().refreshes_granted == 1


@pytest.mark.covers("N63")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=429, retry_after=7), "RateLimitError"),
        (Fault(status=503), "ProviderError"),
        (Fault(close="before"), "NetworkError"),
        (Fault(status=400, body={"error": "invalid_grant"}), "AuthenticationError"),
    ],
    ids=["429", "5xx", "network", "refused"],
)
def test_the_class_of_an_error_says_whose_trouble_it_is(
    own_home: Path, sandbox: Sandbox, fault: Fault, expected: str
) -> None:
    """With nothing valid left, the error's class is one of the four of the founding documents."""
    StoredLogin(own_home).write(sandbox.issue(ttl_seconds=-1))
    sandbox.faults.next("token", fault, times=None)
    with (
        DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon,
        pytest.raises(RpcError) as error,
    ):
        daemon.call("token.get")
    assert error.value.data["class"] == expected
    assert error.value.data["hint"]
