"""The tests of the sandbox must not share code with any OAuth client of ours.

Rules: requests are made with `http.client` alone, and an answer is kept as it came.
"""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tokenward.sandbox import Sandbox

PATIENCE = 10.0  # seconds: a hanging test is a failing test


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The error code of RFC 6749 section 5.2."""
        return str(self.json["error"])


class Clock:
    """A clock that moves when told."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The present, in Unix seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


def connect(sandbox: Sandbox) -> http.client.HTTPConnection:
    """A connection that has not sent anything."""
    address = urlsplit(sandbox.base_url)
    assert address.hostname
    return http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE)


def ask(
    sandbox: Sandbox,
    method: str,
    target: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on its own connection."""
    connection = connect(sandbox)
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()


def post_form(
    sandbox: Sandbox, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Answer:
    """POST a form."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(sandbox, "POST", path, urlencode(fields), {**form, **(headers or {})})


def post_json(sandbox: Sandbox, path: str, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """POST JSON."""
    return ask(sandbox, "POST", path, json.dumps(value), {"Content-Type": "application/json", **(headers or {})})


def refresh(sandbox: Sandbox, refresh_token: str, **more: str) -> Answer:
    """A refresh as a public client makes it."""
    return post_form(
        sandbox,
        "/oauth/token",
        {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": sandbox.client_id,
            **more,
        },
    )


def ping(sandbox: Sandbox, access_token: str) -> Answer:
    """A message with an access token."""
    body = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "ping"}],
    }
    return post_json(sandbox, "/v1/messages", body, {"Authorization": f"Bearer {access_token}"})


def redirected_with(answer: Answer) -> dict[str, str]:
    """The parameters of the address an answer redirects to."""
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
