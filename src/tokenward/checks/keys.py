"""Does what is written down as Anthropic's API key look like one?

A key in the wrong place is a 401 hours later, in a message that says nothing of places (requirements P32, N64).

Rule: of a key only its well-known beginning is ever shown.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tokenward.checks.finding import CheckContext, Finding
from tokenward.core.redact import recognisable

NAME = "keys"
VARIABLE = "ANTHROPIC_API_KEY"
API_HOST = "api.anthropic.com"
_API_KEY = "sk-ant-api"
_SETUP_TOKEN = "sk-ant-oat"  # noqa: S105 - how one begins
_CONSOLE = "make one at the Console, and give it to: tokenward add anthropic:default --api-key"


def check(context: CheckContext) -> list[Finding]:
    """Each written-down key that goes to Anthropic itself; what a gateway takes is its own affair."""
    places = {}
    address = context.environ.get("ANTHROPIC_BASE_URL", "").strip()
    if not address or urlsplit(address).hostname == API_HOST:
        places[f"${VARIABLE}"] = context.environ.get(VARIABLE, "").strip()
    if context.configured_key is not None:
        places["api_key of providers.anthropic"] = context.configured_key.reveal()
    return [_judged(place, key) for place, key in places.items() if key]


def _judged(place: str, key: str) -> Finding:
    shown = recognisable(key)
    if key.startswith(_API_KEY):
        return Finding(NAME, "ok", f"{place} begins as an API key does: {shown}")
    if key.startswith(_SETUP_TOKEN):
        cause = f"{place} holds a setup token ({shown}), which other programs would send as an API key"
        return Finding(NAME, "warn", cause, "move it: tokenward add anthropic:manual --setup-token")
    cause = f"{place} does not begin with {_API_KEY}, as an API key of Anthropic does: {shown}"
    return Finding(NAME, "fail", cause, _CONSOLE)
