"""The Messages API: who gets in, and what comes out."""

import json
import re
from collections.abc import Mapping

import pytest

from sandbox.caller import Answer, Clock, ask, ping, post_json
from tokenward.sandbox import Sandbox

KEY = "sk-ant-api03-fake"
BODY = {"model": "some-model", "max_tokens": 8, "messages": [{"role": "user", "content": "ping"}]}
BETA = {"anthropic-beta": "claude-code-20250219, oauth-2025-04-20"}


def send(sandbox: Sandbox, headers: Mapping[str, str], **more: object) -> Answer:
    """A message with these headers."""
    return post_json(sandbox, "/v1/messages?beta=true", {**BODY, **more}, headers)


def test_a_message(sandbox: Sandbox) -> None:
    """A live access token gets a Messages answer that echoes the model."""
    answer = ping(sandbox, sandbox.issue().access_token)
    message = answer.json
    assert answer.status == 200
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    assert message["model"] == "claude-sonnet-4-6"
    assert message["content"] == [{"type": "text", "text": "pong from the sandbox"}]
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["input_tokens"] > 0
    assert sandbox.statistics().messages_ok == 1


def test_reply_text(clock: Clock) -> None:
    """What it says is a setting."""
    with Sandbox(clock=clock, reply_text="hello") as sandbox:
        assert ping(sandbox, sandbox.issue().access_token).json["content"][0]["text"] == "hello"


@pytest.mark.parametrize("text", ["pong from the sandbox", "", "two\n lines "])
def test_streaming(clock: Clock, text: str) -> None:
    """With `stream` the events come in Anthropic's order, and the deltas add up to the text."""
    with Sandbox(clock=clock, reply_text=text) as sandbox:
        token = sandbox.issue().access_token
        answer = send(sandbox, {"Authorization": f"Bearer {token}"}, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["transfer-encoding"] == "chunked"
    events = []
    for block in answer.body.decode().strip().split("\n\n"):
        named, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert named == f"event: {value['type']}"
        events.append(value)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"ping", "content_block_delta"}
    assert "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta") == text
    assert events[0]["message"]["content"] == []
    assert events[-2]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "x-api-key header is required"),
        ({"x-api-key": "sk-ant-api03-other"}, "invalid x-api-key"),
        ({"Authorization": "Bearer made-up"}, "Invalid bearer token"),
        ({"Authorization": "Basic eDp5"}, "x-api-key header is required"),
        ({"Authorization": "Bearer "}, "x-api-key header is required"),
    ],
)
def test_strangers_are_rejected(sandbox: Sandbox, headers: dict[str, str], message: str) -> None:
    """No good credential: 401 in Anthropic's shape, with a request id."""
    sandbox.register_api_key(KEY)
    answer = send(sandbox, headers)
    assert answer.status == 401
    assert answer.json["type"] == "error"
    assert answer.json["error"] == {"type": "authentication_error", "message": message}
    assert answer.json["request_id"].startswith("req_")
    assert answer.headers["request-id"] == answer.json["request_id"]
    assert sandbox.statistics().messages_rejected == 1
    assert sandbox.statistics().messages_ok == 0


def test_dead_tokens_are_rejected_with_the_reason(sandbox: Sandbox, clock: Clock) -> None:
    """Revoked and expired are told apart; a refresh token is no access token."""
    revoked, expired = sandbox.issue(), sandbox.issue()
    sandbox.revoke(revoked.refresh_token)
    assert "revoked" in ping(sandbox, revoked.access_token).json["error"]["message"]
    clock.advance(20)
    assert "expired" in ping(sandbox, expired.access_token).json["error"]["message"]
    assert ping(sandbox, expired.refresh_token).status == 401


def test_api_key_in_either_header(sandbox: Sandbox) -> None:
    """A registered key works as x-api-key and as Bearer."""
    sandbox.register_api_key(KEY)
    assert send(sandbox, {"x-api-key": KEY}).status == 200
    assert send(sandbox, {"Authorization": f"Bearer {KEY}"}).status == 200
    assert send(sandbox, {"Authorization": f"Bearer {KEY}", "x-api-key": KEY}).status == 200


def test_an_access_token_is_no_api_key(sandbox: Sandbox) -> None:
    """An access token works as Bearer only; in both headers, as apiKeyHelper sends it, Bearer decides."""
    token = sandbox.issue().access_token
    assert send(sandbox, {"x-api-key": token}).status == 401
    assert send(sandbox, {"Authorization": f"Bearer {token}", "x-api-key": token}).status == 200


def test_oauth_beta_when_required(clock: Clock) -> None:
    """With `require_oauth_beta` an access token needs the header, and an API key does not."""
    with Sandbox(clock=clock, require_oauth_beta=True) as sandbox:
        bearer = {"Authorization": f"Bearer {sandbox.issue().access_token}"}
        sandbox.register_api_key(KEY)
        assert send(sandbox, bearer).status == 401
        assert send(sandbox, bearer | {"anthropic-beta": "oauth-2025-04-201"}).status == 401
        assert send(sandbox, bearer | BETA).status == 200
        assert send(sandbox, {"x-api-key": KEY}).status == 200


@pytest.mark.parametrize("body", ["{", "[]", '{"messages": []}', '{"model": "m"}', '{"model": 1, "messages": []}'])
def test_a_malformed_message_is_400(sandbox: Sandbox, body: str) -> None:
    """A request that is no message is an invalid_request_error, not a rejection."""
    headers = {"Authorization": f"Bearer {sandbox.issue().access_token}", "Content-Type": "application/json"}
    answer = ask(sandbox, "POST", "/v1/messages", body, headers)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert sandbox.statistics().messages_rejected == 0


def test_rate_limit_headers(sandbox: Sandbox, clock: Clock) -> None:
    """Limits count down, resets lie ahead, and the unified windows have a share and an end."""
    token = sandbox.issue().access_token
    first, second = (ping(sandbox, token).headers for _ in range(2))
    for kind in ("requests", "tokens"):
        prefix = f"anthropic-ratelimit-{kind}"
        assert int(first[f"{prefix}-limit"]) > int(first[f"{prefix}-remaining"])
        assert int(first[f"{prefix}-remaining"]) > int(second[f"{prefix}-remaining"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first[f"{prefix}-reset"])
    for window in ("5h", "7d"):
        prefix = f"anthropic-ratelimit-unified-{window}"
        assert 0 < float(first[f"{prefix}-utilization"]) < float(second[f"{prefix}-utilization"]) < 1
        assert int(first[f"{prefix}-reset"]) > clock.now
        assert first[f"{prefix}-status"] == "allowed"


@pytest.mark.parametrize("path", ["/v1/models", "/api/oauth/profile", "/api/oauth/claude_cli/roles"])
def test_other_endpoints_need_a_token_too(sandbox: Sandbox, path: str) -> None:
    """Models, profile and roles answer a live token and nobody else."""
    assert ask(sandbox, "GET", path).status == 401
    bearer = {"Authorization": f"Bearer {sandbox.issue().access_token}"}
    assert ask(sandbox, "GET", path, headers=bearer).status == 200


def test_models(sandbox: Sandbox) -> None:
    """The list has the shape of Anthropic's, and an API key may read it."""
    sandbox.register_api_key(KEY)
    listed = ask(sandbox, "GET", "/v1/models", headers={"x-api-key": KEY}).json
    assert listed["data"][0]["type"] == "model"
    assert listed["first_id"] == listed["data"][0]["id"]
    assert listed["has_more"] is False


def test_profile(sandbox: Sandbox) -> None:
    """The profile names account and organization, the same ones each time."""
    mine, same, other = (sandbox.issue(subject) for subject in ("me@example.com", "me@example.com", "you"))
    shown = [
        ask(sandbox, "GET", "/api/oauth/profile", headers={"Authorization": f"Bearer {each.access_token}"}).json
        for each in (mine, same, other)
    ]
    assert shown[0] == shown[1]
    assert shown[0]["account"]["uuid"] != shown[2]["account"]["uuid"]
    assert shown[0]["account"]["email_address"] == "me@example.com"
    assert shown[0]["organization"]["organization_type"] == "claude_max"
    assert shown[0]["organization"]["rate_limit_tier"] == "default_claude_max_5x"


def test_profile_is_for_logins(sandbox: Sandbox) -> None:
    """An API key has no profile."""
    sandbox.register_api_key(KEY)
    assert ask(sandbox, "GET", "/api/oauth/profile", headers={"x-api-key": KEY}).status == 401


def test_create_api_key(sandbox: Sandbox) -> None:
    """A login can make an API key that works; nobody else can."""
    path = "/api/oauth/claude_cli/create_api_key"
    assert ask(sandbox, "POST", path).status == 401
    bearer = {"Authorization": f"Bearer {sandbox.issue().access_token}"}
    key = ask(sandbox, "POST", path, headers=bearer).json["raw_key"]
    assert key.startswith("sk-ant-api03-")
    assert send(sandbox, {"x-api-key": key}).status == 200


def test_count_tokens(sandbox: Sandbox) -> None:
    """Counting needs a token and gives a number."""
    path = "/v1/messages/count_tokens"
    assert post_json(sandbox, path, BODY).status == 401
    bearer = {"Authorization": f"Bearer {sandbox.issue().access_token}"}
    assert post_json(sandbox, path, BODY, bearer).json["input_tokens"] > 0


def test_head_of_the_root(sandbox: Sandbox) -> None:
    """`HEAD /` is 200 without a body; what is not there is 404 in Anthropic's shape."""
    assert ask(sandbox, "HEAD", "/").status == 200
    missing = ask(sandbox, "GET", "/nowhere")
    assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")
