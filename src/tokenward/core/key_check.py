"""Does an API take a key? What its answer to one small request says, and what it does not.

The problem: a key that was copied with a character missing is found out at the first real request, hours later and
in another program. But an API that is overloaded, a proxy or a captive portal answers too, and a good key that is
called bad costs its owner more than a bad one that is kept.

Rules:
- Taken is what was answered with success; nothing else is.
- Refused is what was answered with 401, or with a 403 that speaks of authentication in the API's own words.
- Everything else says nothing about the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenward.core.login import parse_refusal

Verdict = Literal["taken", "refused", "unknown"]
_AUTHENTICATION = "authentication_error"
"""Anthropic's ``error.type`` for a key that is none; its ``permission_error`` is about a key that is one."""


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What an API says of a key.

    Args:
        verdict: whether it takes the key, if that is known.
        reason: one line without the key; empty where it is taken.
    """

    verdict: Verdict
    reason: str = ""


def read_key_check(status: int, body: bytes) -> KeyCheck:
    """Read an API's answer to a request with a key.

    Args:
        status: the HTTP status.
        body: the body, whole.
    """
    if 200 <= status < 300:
        return KeyCheck("taken")
    refusal = parse_refusal(status, body)
    if status == 401 or (status == 403 and refusal.error == _AUTHENTICATION):
        return KeyCheck("refused", refusal.description or refusal.error)
    return KeyCheck("unknown", f"HTTP {status}")
