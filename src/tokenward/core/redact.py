"""What may be shown: of a text that came from outside, and of a secret.

The problem: error descriptions, file contents and names come from servers and files, and end in terminals and
logs, where control characters are commands; and the tokens beside them must not be shown at all.
"""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_TOKEN_LIKE = re.compile(
    r"(?:sk|gh[pousr]|github_pat|xox[abp]|ya29|eyJ)[-_.][A-Za-z0-9._~+/=-]{8,}|[A-Za-z0-9+/=_-]{32,}"
)
_PREFIXES = ("sk-ant-api03", "sk-ant-oat01", "sk-ant-ort01", "sk-ant", "sk", "gho", "ghp", "github_pat")


def printable(text: str) -> str:
    """The text on one line, without control and direction characters, and with token-like runs masked."""
    return _TOKEN_LIKE.sub("[masked]", _UNPRINTABLE.sub(" ", text)).strip()


def recognisable(secret_text: str) -> str:
    """What may be shown of a secret: its well-known prefix, if it has one, and never a character of its own."""
    for prefix in _PREFIXES:
        if secret_text.startswith((prefix + "-", prefix + "_")):
            return f"{prefix}-…"
    return "…"
