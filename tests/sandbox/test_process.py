"""The sandbox as a process of its own: its start-up line, its admin routes, its end."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import pytest

import tokenward.sandbox
from sandbox.caller import PATIENCE

CLIENT = """
import sys, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1])
except OSError:
    pass
"""
SOURCES = Path(tokenward.sandbox.__file__).parents[2]


@dataclass
class Running:
    """A sandbox process and its start-up line."""

    process: subprocess.Popen[str]
    told: Mapping[str, Any]

    def call(self, method: str, path: str, body: object = None, *, key: str | None = None) -> tuple[int, Any]:
        """An admin request, or a plain one with an empty key."""
        request = Request(self.told["base_url"] + path, method=method)  # noqa: S310 - a loopback address
        if key != "":
            request.add_header(self.told["admin_header"], self.told["admin_key"] if key is None else key)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def refresh(self, refresh_token: str) -> tuple[int, Any]:
        """A refresh as a client makes it."""
        body = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": self.told["client_id"],
        }
        return self.call("POST", "/oauth/token", body, key="")


def launch(*arguments: str) -> subprocess.Popen[str]:
    """Start the module with nothing of our environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "tokenward.sandbox", *arguments],
        env={"PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def running() -> Iterator[Running]:
    """A started sandbox, ended at the latest with the test."""
    process = launch("--port", "0", "--ttl", "300")
    with process:
        try:
            assert process.stdout
            yield Running(process, json.loads(process.stdout.readline()))
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(running: Running, ending: signal.Signals) -> None:
    """It tells one line, answers, and a signal ends it with status 0 and no other output."""
    assert running.told["pid"] == running.process.pid
    assert running.told["base_url"].startswith("http://127.0.0.1:")
    assert running.told["token_endpoint"] == running.told["base_url"] + "/oauth/token"
    status, metadata = running.call("GET", "/.well-known/oauth-authorization-server", key="")
    assert (status, metadata["issuer"]) == (200, running.told["issuer"])
    running.process.send_signal(ending)
    assert running.process.communicate(timeout=PATIENCE) == ("", "")
    assert running.process.returncode == 0


def test_a_held_request_does_not_keep_it(running: Running) -> None:
    """SIGTERM ends it while a stalled client waits."""
    running.call("POST", "/sandbox/faults", {"fault": "stall", "endpoint": "metadata"})
    stalled = subprocess.Popen(
        [
            sys.executable,
            "-c",
            CLIENT,
            running.told["base_url"] + "/jwks",
        ]
    )
    try:
        assert running.call("GET", f"/sandbox/held?timeout={PATIENCE}") == (200, {"held": True})
        running.process.terminate()
        assert running.process.wait(PATIENCE) == 0
        assert stalled.wait(PATIENCE) == 0
    finally:
        stalled.kill()
        stalled.wait()


def test_it_says_why_it_cannot_start() -> None:
    """A foreign address is one line of cause, one of hint, and status 1."""
    with launch("--host", "0.0.0.0") as process:  # noqa: S104 - to be refused
        out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert out == ""
    assert "loopback only" in errors.splitlines()[0]
    assert errors.splitlines()[1].startswith("hint: ")
    assert len(errors.splitlines()) == 2


def test_admin_needs_the_key(running: Running) -> None:
    """Without the key or with a wrong one there is nothing to be had."""
    for key in ("", "guess"):
        assert running.call("POST", "/sandbox/issue", {}, key=key) == (403, {"error": "access_denied"})
    assert running.call("GET", "/sandbox/nothing")[0] == 404
    assert running.call("GET", "/sandbox/statistics")[1]["logins"] == 0


def test_admin_story(running: Running) -> None:
    """Issue, fault, refresh, reuse, and the counts and the log of it all."""
    status, login = running.call("POST", "/sandbox/issue", {"subject": "me", "ttl_seconds": 60})
    assert (status, login["expires_in"], login["subject"]) == (200, 60, "me")
    fault = {"status": 503, "retry_after": 2, "body": {"error": "busy"}}
    assert running.call("POST", "/sandbox/faults", {"endpoint": "token", "fault": fault})[0] == 200
    assert running.refresh(login["refresh_token"]) == (503, {"error": "busy"})
    assert running.call("POST", "/sandbox/faults", {"fault": "no_expires_in", "times": None})[0] == 200
    status, renewed = running.refresh(login["refresh_token"])
    assert (status, "expires_in" in renewed) == (200, False)
    assert running.call("DELETE", "/sandbox/faults")[0] == 200
    assert running.refresh(login["refresh_token"])[1]["error"] == "invalid_grant"
    counts = running.call("GET", "/sandbox/statistics")[1]
    assert (counts["token_requests"], counts["refreshes_granted"], counts["reuse_detected"]) == (3, 1, 1)
    path = quote("/oauth/token", safe="")
    seen = running.call("GET", f"/sandbox/wait?path={path}&count=3")[1]
    assert [each["status"] for each in seen] == [503, 200, 400]
    assert running.call("GET", "/sandbox/requests")[1] == seen
    assert login["refresh_token"] not in json.dumps(seen)


def test_admin_hooks(running: Running) -> None:
    """Keys, assertions, devices and revocation are one call each; releasing nobody is fine."""
    assert running.call("POST", "/sandbox/api-keys", {"key": "sk-x"})[0] == 200
    assert running.call("POST", "/sandbox/revoke", {"credential": "sk-x"}) == (200, {"known": True})
    assert running.call("POST", "/sandbox/assertions", {"assertion": "a.b.c"})[0] == 200
    assert running.call("POST", "/sandbox/devices", {"user_code": "X"}) == (200, {"known": False})
    assert running.call("POST", "/sandbox/release", {}) == (200, {"released": 0})
    body = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}
    assert running.call("POST", "/oauth/token", body, key="")[0] == 200


def test_admin_mistakes_are_named(running: Running) -> None:
    """An unknown member, endpoint or fault, a missing path and a wait in vain are errors."""
    for wrong in ({"fault": {"stauts": 1}}, {"fault": "nothing"}, {"fault": "stall", "endpoint": "x"}, {}):
        assert running.call("POST", "/sandbox/faults", wrong)[1]["error"] == "invalid_request"
    assert running.call("POST", "/sandbox/issue", {"for": "me"})[1]["error"] == "invalid_request"
    assert running.call("GET", "/sandbox/wait")[1]["error"] == "invalid_request"
    assert running.call("GET", "/sandbox/wait?path=/x&timeout=0")[0] == 408
    assert running.call("GET", "/sandbox/held?timeout=0")[0] == 408
