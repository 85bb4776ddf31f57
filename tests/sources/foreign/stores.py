"""Foreign stores made by hand from reference/formats.md section 2, and what the readers' tests share."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from tokenward.core.imported import Entry, Imported, Skipped

END = 4_102_444_800_000
"""2100-01-01 in Unix milliseconds."""
HOME = "/home/ada"

CLAWDBOT: dict[str, Any] = {
    "version": 1,
    "profiles": {
        "anthropic:default": {"type": "api_key", "provider": "anthropic", "key": "sk-ant-api03-a", "email": "a@x"},
        "anthropic:manual": {
            "type": "token",
            "provider": "anthropic",
            "token": "sk-ant-oat01-m",
            "expires": END,
        },
        "acme:me@x.com": {
            "type": "oauth",
            "provider": "acme",
            "access": "at-1",
            "refresh": "rt-1",
            "expires": END,
            "clientId": "c",
            "notYetInvented": {"kept": [1, None]},
        },
        "anthropic:claude-cli": {
            "type": "oauth",
            "provider": "anthropic",
            "access": "sk-ant-oat01-c",
            "refresh": "sk-ant-ort01-c",
            "expires": END,
        },
    },
    "order": {"anthropic": ["anthropic:claude-cli", "anthropic:default"]},
    "lastGood": {"anthropic": "anthropic:default"},
    "usageStats": {"anthropic:default": {"lastUsed": 0, "errorCount": 2, "failureCounts": {"rate_limit": 2}}},
}

NEUROLINK: dict[str, Any] = {
    "version": "2.0",
    "lastModified": 1_736_160_000_000,
    "providers": {
        "anthropic:work": {
            "tokens": {
                "accessToken": "sk-ant-oat01-w",
                "refreshToken": "sk-ant-ort01-w",
                "expiresAt": END,
                "tokenType": "Bearer",
                "scope": "user:inference tier:pro email:x@y.z",
            },
            "createdAt": 1,
            "lastAccessed": 2,
        },
        "anthropic:key": {
            "tokens": {"accessToken": "sk-ant-api03-n", "tokenType": "api-key", "expiresAt": 9_007_199_254_740_991}
        },
        "anthropic:off": {"tokens": {"accessToken": "x"}, "disabled": True, "disabledReason": "refresh_failed"},
    },
}


def obfuscated(document: Any, home: str = HOME) -> bytes:
    """A document as NeuroLink writes ``tokens.json``, character by character."""
    pad = cycle(hashlib.sha256(f"{home}-neurolink-token-store".encode()).hexdigest())
    plain = json.dumps(document, ensure_ascii=False)
    text = "".join(chr(ord(each) ^ ord(mask)) for each, mask in zip(plain, pad, strict=False))
    return base64.b64encode(text.encode("latin-1"))


def imported(entries: Sequence[Entry]) -> dict[str, Imported]:
    """What was found, by profile."""
    return {each.profile: each for each in entries if isinstance(each, Imported)}


def skipped(entries: Sequence[Entry]) -> dict[str, str]:
    """What was not taken, and why."""
    return {each.name: each.reason for each in entries if isinstance(each, Skipped)}
