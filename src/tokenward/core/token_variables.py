"""Under which environment variable programs read a token.

The problem: a login's token in ``ANTHROPIC_API_KEY`` would be sent in the wrong header, and a file and a command
that name one token differently are two truths. So the names are said once.

Rule: a provider that is not Anthropic has the variables that are named after it, and every name is one that a
shell can set.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenward.core.credential import Kind

ANTHROPIC = "anthropic"
ANTHROPIC_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        Kind.API_KEY: "ANTHROPIC_API_KEY",
        Kind.AUTH_TOKEN: "ANTHROPIC_AUTH_TOKEN",
        Kind.SETUP_TOKEN: "CLAUDE_CODE_OAUTH_TOKEN",
        Kind.OAUTH: "CLAUDE_CODE_OAUTH_TOKEN",
        Kind.FEDERATED: "CLAUDE_CODE_OAUTH_TOKEN",
    }
)
"""Where Anthropic's own programs read each kind; a login's is Claude Code's, which adds the beta it needs."""


def prefix(provider: str) -> str:
    """How the variables of a provider begin: its name as a shell can hold it.

    Args:
        provider: its own name, not empty.
    """
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in provider).upper()
    return f"_{letters}" if letters[0].isdigit() else letters


def usual_variable(provider: str, kind: str) -> str:
    """The variable that programs read such a token from.

    Args:
        provider: the provider's own name.
        kind: the name of the credential's kind.
    """
    if provider == ANTHROPIC:
        return ANTHROPIC_VARIABLES[kind]
    return f"{prefix(provider)}_API_KEY" if kind == Kind.API_KEY else f"{prefix(provider)}_TOKEN"
