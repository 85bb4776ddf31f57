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

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from tokenward.core.login_answers import parse_refusal

Verdict = Literal["taken", "refused", "unknown"]
_AUTHENTICATION = "authentication_error"
"""Anthropic's ``error.type`` for a key that is none; its ``permission_error`` is about a key that is one."""


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What an answer says besides its verdict.

    Args:
        status: the HTTP status.
        from_api: whether it bears a request id, which the API gives to every answer and a proxy to none.
        date: the server's clock (RFC 9110 section 6.6.1), aware UTC; None = it was not said.
    """

    status: int
    from_api: bool
    date: datetime | None


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What an API says of a key.

    Args:
        verdict: whether it takes the key, if that is known.
        reason: one line without the key; empty where it is taken.
        hint: what to do where the API could not be asked; empty = nothing but to try again.
        answer: what is known of the answer itself; None = there was none.
    """

    verdict: Verdict
    reason: str = ""
    hint: str = ""
    answer: AnswerFacts | None = None


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
    said = refusal.description if refusal.error else ""
    return KeyCheck("unknown", f"HTTP {status}{': ' if said else ''}{said}")


def probe_message(model: str) -> dict[str, object]:
    """The smallest message that shows a model answering, as gateways' manuals have it.

    Args:
        model: its id.
    """
    return {"model": model, "max_tokens": 128, "messages": [{"role": "user", "content": "Hello"}]}


def answer_facts(status: int, headers: Mapping[str, str], body: bytes) -> AnswerFacts:
    """Read who answered, and when by the server's clock.

    Args:
        status: the HTTP status.
        headers: names in lower case.
        body: the body, whole.
    """
    return AnswerFacts(status, bool(headers.get("request-id")) or _names_request(body), _date(headers.get("date")))


def _names_request(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("request_id"), str)


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
