"""What may be shown: of a text that came from outside, and of a secret.

The problem: error descriptions, file contents and names come from servers and files, and end in terminals and
logs, where control characters are commands; and the tokens beside them must not be shown at all. But a message
in which every path and host is masked helps nobody.

Rules:
- What has a well-known token's prefix, or looks like a JWT (RFC 7519), is masked.
- A run of 32 or more characters of a token's alphabet is masked, unless it is made of words, as a path, a
  variable's name and an error code are.
- The host of a URL stays readable; what stands before an ``@`` in it does not.
"""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]+"
)
_MASK = "[masked]"
_MASKED_OR_HOST = re.compile(
    r"(?P<host>\b[a-z][a-z0-9+]{0,15}://(?!sk-)[A-Za-z0-9-]{1,31}(?:\.[A-Za-z0-9-]{1,63}){0,8}(?::[0-9]{1,5})?"
    r"(?![A-Za-z0-9.:@_~%+=-]))"
    r"|(?P<token>(?<![A-Za-z0-9])(?:(?:sk|gh[pousr]|github_pat|xox[abp])[-_][A-Za-z0-9._~+/=-]{8,}"
    r"|ya29\.[A-Za-z0-9._~+/=-]{8,}|eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}))"
    r"|(?P<run>[A-Za-z0-9+/=_-]{32,})"
)
_BETWEEN_WORDS = re.compile(r"[+/=_-]+")
_WORD = re.compile(r"[A-Z]?[a-z]+(?:[A-Z][a-z]{2,}){0,3}[0-9]{0,2}|[A-Z]+[0-9]?|v?[0-9]{0,4}")
"""Narrow on purpose: of a million random 32-character tokens in base64, none was made of such words alone."""
_LONGEST_WORD = 24
"""Letters without a break beyond this are no word of a language, path or variable's name."""
_PREFIXES = ("sk-ant-api03", "sk-ant-oat01", "sk-ant-ort01", "sk-ant", "sk", "gho", "ghp", "github_pat")


def one_line(text: str) -> str:
    """The text on one line, without control and direction characters; nothing is masked."""
    return _UNPRINTABLE.sub(" ", text).strip()


def printable(text: str) -> str:
    """The text on one line, without control and direction characters, and with token-like runs masked."""
    return _MASKED_OR_HOST.sub(_shown, _UNPRINTABLE.sub(" ", text)).strip()


def _shown(match: re.Match[str]) -> str:
    text = match.group()
    readable = match["host"] is not None or (match["run"] is not None and _is_made_of_words(text))
    return text if readable else _MASK


def _is_made_of_words(run: str) -> bool:
    return all(len(part) <= _LONGEST_WORD and _WORD.fullmatch(part) for part in _BETWEEN_WORDS.split(run))


def recognisable(secret_text: str) -> str:
    """What may be shown of a secret: its well-known prefix, if it has one, and never a character of its own."""
    for prefix in _PREFIXES:
        if secret_text.startswith((prefix + "-", prefix + "_")):
            return f"{prefix}-…"
    return "…"
