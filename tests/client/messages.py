"""Requests to the Messages API that use what the founding documents name, as a program writes them for the SDK."""

from __future__ import annotations

from typing import Any

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CACHED = {"type": "ephemeral"}
_TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather at a place",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
_ASKED = {"role": "user", "content": "ping"}
_CALLED = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"place": "Oslo"}}],
}
_RETURNED = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain", "is_error": False}],
}


def _source(media_type: str) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": PIXEL}


def _request(**members: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-6", "max_tokens": 2048, "messages": [_ASKED], **members}


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": _request(),
    "sampling": _request(extra_body={"temperature": 0.3}, stop_sequences=["END"], metadata={"user_id": "u"}),
    "tools": _request(tools=[_TOOL], tool_choice={"type": "auto"}, messages=[_ASKED, _CALLED, _RETURNED]),
    "image": _request(
        messages=[{"role": "user", "content": [{"type": "image", "source": _source("image/png")}]}],
    ),
    "image marker": _request(messages=[{"role": "user", "content": f"[IMAGE:data:image/png;base64,{PIXEL}]"}]),
    "pdf": _request(
        messages=[{"role": "user", "content": [{"type": "document", "source": _source("application/pdf")}]}],
    ),
    "thinking": _request(thinking={"type": "enabled", "budget_tokens": 1024}),
    "caching": _request(
        system=[{"type": "text", "text": "long " * 1000, "cache_control": {**CACHED, "ttl": "1h"}}],
        tools=[{**_TOOL, "cache_control": CACHED}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "ping", "cache_control": CACHED}]}],
    ),
    "no caching": _request(system="long " * 1000, tools=[_TOOL]),
    "betas": _request(
        extra_headers={
            "anthropic-beta": "extended-cache-ttl-2025-04-11,interleaved-thinking-2025-05-14",
            "anthropic-version": "2023-06-01",
        }
    ),
}
