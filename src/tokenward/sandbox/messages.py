"""Whether a token works is decided by the API it is for, so the sandbox has one: a small Messages API.

Rules:
- It accepts live tokens and registered API keys only. It shows the answer, headers and streaming events of
  Anthropic's API closely enough for real clients; it does not think.
- A client may send an access token and an API key at once; one good credential is enough. An API key is
  accepted in either header, since official SDKs differ in which they use.
- Its errors have Anthropic's shape, not OAuth's.
"""

import json
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tokenward.sandbox.families import Families, RefusedError
from tokenward.sandbox.journal import Journal
from tokenward.sandbox.wire import EVENT_STREAM_TYPE, JSON_TYPE, Reply, Request, json_reply

OAUTH_BETA = "oauth-2025-04-20"
MODELS = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5")

_REQUESTS_PER_WINDOW = 1000  # only a number to count down from; nothing is refused for exceeding it
_TOKENS_PER_WINDOW = 1_000_000
_WINDOW_SECONDS = 60
_FIVE_HOURS = 5 * 3600
_SEVEN_DAYS = 7 * 24 * 3600
_BYTES_PER_TOKEN = 4  # the usual rule of thumb; usage only has to be plausible
_IDENTITY = uuid.UUID("7c6b5a49-3827-4615-8f0e-d1c2b3a49586")  # namespace: the same subject has the same uuid


class MessagesApi:
    """The endpoints that a token is for.

    Args:
        families: decides which access tokens are live.
        journal: where successes and rejections are counted.
        clock: the present, in Unix seconds.
        reply_text: what every answer says.
        require_oauth_beta: refuse access tokens without the beta header that api.anthropic.com wants.
    """

    def __init__(
        self,
        *,
        families: Families,
        journal: Journal,
        clock: Callable[[], float],
        reply_text: str,
        require_oauth_beta: bool,
    ) -> None:
        self._families = families
        self._journal = journal
        self._clock = clock
        self._reply_text = reply_text
        self._require_oauth_beta = require_oauth_beta
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._served = 0

    def register_api_key(self, key: str) -> None:
        """Accept this API key from now on."""
        with self._lock:
            self._keys.add(key)

    def revoke_api_key(self, key: str) -> bool:
        """Accept it no more, and say whether it was known."""
        with self._lock:
            known = key in self._keys
            self._keys.discard(key)
            return known

    def messages(self, request: Request) -> Reply:
        """`POST /v1/messages`: one answer, or its events with `"stream": true`."""
        if rejection := self._rejection(request):
            self._journal.count("messages_rejected")
            return rejection
        try:
            body = request.json_object()
        except RefusedError as refusal:
            return anthropic_error(400, "invalid_request_error", refusal.description)
        model = body.get("model")
        if not isinstance(model, str) or not isinstance(body.get("messages"), list):
            return anthropic_error(400, "invalid_request_error", "model and messages are required")
        self._journal.count("messages_ok")
        headers = self._answer_headers()
        usage = {
            "input_tokens": len(request.body) // _BYTES_PER_TOKEN + 1,
            "output_tokens": len(self._reply_text) // _BYTES_PER_TOKEN + 1,
        }
        message = {
            "id": "msg_" + secrets.token_hex(12),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": self._reply_text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
        if body.get("stream") is not True:
            return json_reply(message, headers=headers)
        events = _events(message, self._reply_text)
        return Reply(200, b"", EVENT_STREAM_TYPE, {**headers, "Cache-Control": "no-cache"}, events)

    def count_tokens(self, request: Request) -> Reply:
        """`POST /v1/messages/count_tokens`: a plausible number."""
        return self._rejection(request) or json_reply({"input_tokens": len(request.body) // _BYTES_PER_TOKEN + 1})

    def models(self, request: Request) -> Reply:
        """`GET /v1/models`: a short list."""
        listed = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
            for name in MODELS
        ]
        return self._rejection(request) or json_reply(
            {"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]},
            headers={"request-id": "req_" + secrets.token_hex(12)},
        )

    def profile(self, request: Request) -> Reply:
        """`GET /api/oauth/profile`: who the login belongs to."""
        if rejection := self._rejection(request, access_token_only=True):
            return rejection
        owner = identity(self._families.subject_of(request.bearer()))
        owner["organization"] |= {
            "organization_type": "claude_max",
            "rate_limit_tier": "default_claude_max_5x",
        }
        return json_reply(owner)

    def roles(self, request: Request) -> Reply:
        """`GET /api/oauth/claude_cli/roles`: a member without privileges."""
        return self._rejection(request, access_token_only=True) or json_reply(
            {"organization_role": "user", "workspace_role": None, "organization_name": "Sandbox"}
        )

    def create_api_key(self, request: Request) -> Reply:
        """`POST /api/oauth/claude_cli/create_api_key`: a new key, which works at once."""
        if rejection := self._rejection(request, access_token_only=True):
            return rejection
        key = "sk-ant-api03-" + secrets.token_urlsafe(48)
        self.register_api_key(key)
        return json_reply({"raw_key": key}, headers={"Cache-Control": "no-store"})

    def _rejection(self, request: Request, *, access_token_only: bool = False) -> Reply | None:
        key = request.headers.get("x-api-key", "")
        token = request.bearer()
        with self._lock:
            key_is_good = not access_token_only and bool({key, token} & self._keys)
        liveness = self._families.liveness(token)
        beta = OAUTH_BETA in [each.strip() for each in request.headers.get("anthropic-beta", "").split(",")]
        if key_is_good or (liveness == "live" and (beta or not self._require_oauth_beta)):
            return None
        if liveness == "live":
            reason = "OAuth authentication is currently not supported."
        elif liveness == "expired":
            reason = "OAuth token has expired. Obtain a new token or refresh the existing one."
        elif liveness == "revoked":
            reason = "OAuth token has been revoked. Obtain a new token."
        elif token:
            reason = "Invalid bearer token"
        else:
            reason = "invalid x-api-key" if key else "x-api-key header is required"
        return anthropic_error(401, "authentication_error", reason)

    def _answer_headers(self) -> dict[str, str]:
        with self._lock:
            self._served += 1
            served = self._served
        now = self._clock()
        reset = datetime.fromtimestamp(now + _WINDOW_SECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        used = min(served / _REQUESTS_PER_WINDOW, 1.0)
        headers = {
            "request-id": "req_" + secrets.token_hex(12),
            "anthropic-ratelimit-requests-limit": str(_REQUESTS_PER_WINDOW),
            "anthropic-ratelimit-requests-remaining": str(max(_REQUESTS_PER_WINDOW - served, 0)),
            "anthropic-ratelimit-requests-reset": reset,
            "anthropic-ratelimit-tokens-limit": str(_TOKENS_PER_WINDOW),
            "anthropic-ratelimit-tokens-remaining": str(max(_TOKENS_PER_WINDOW - served, 0)),
            "anthropic-ratelimit-tokens-reset": reset,
            "anthropic-ratelimit-unified-status": "allowed",
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
        }
        for name, seconds in (("5h", _FIVE_HOURS), ("7d", _SEVEN_DAYS)):
            headers[f"anthropic-ratelimit-unified-{name}-status"] = "allowed"
            headers[f"anthropic-ratelimit-unified-{name}-utilization"] = f"{used:.3f}"
            headers[f"anthropic-ratelimit-unified-{name}-reset"] = str(int(now) + seconds)
        return headers


def identity(subject: str) -> dict[str, dict[str, str]]:
    """The account and the organization of a subject; the same ones each time."""
    return {
        "account": {
            "uuid": str(uuid.uuid5(_IDENTITY, subject)),
            "email_address": subject if "@" in subject else f"{subject}@sandbox.invalid",
        },
        "organization": {"uuid": str(uuid.uuid5(_IDENTITY, "organization")), "name": "Sandbox"},
    }


def anthropic_error(status: int, kind: str, message: str) -> Reply:
    """An error in the shape of Anthropic's API."""
    request_id = "req_" + secrets.token_hex(12)
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    return Reply(status, json.dumps(body).encode(), JSON_TYPE, {"request-id": request_id})


def _events(message: Mapping[str, Any], text: str) -> tuple[bytes, ...]:
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    deltas = re.findall(r"\S+\s*|\s+", text) or [text]
    listed: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": opening}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        *(
            ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": delta}})
            for delta in deltas
        ),
        ("content_block_stop", {"index": 0}),
        (
            "message_delta",
            {
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": usage["output_tokens"]},
            },
        ),
        ("message_stop", {}),
    ]
    return tuple(
        f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode() for name, data in listed
    )
