"""Is Claude Code set up for a gateway, in the shell that starts it?

The guide of a gateway lets people print three variables to find out, the secret among them. Here each is looked
at and none is shown (requirements A18, A22, A25).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tokenward.checks.environment import variables_of_claude_code
from tokenward.checks.finding import CheckContext, Finding

NAME = "gateway"
BASE_URL, TOKEN, KEY, MODEL = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_MODEL",
)


def check(context: CheckContext) -> list[Finding]:
    """The three variables, if the first says that a gateway is meant."""
    variables = variables_of_claude_code(context)
    address = variables.get(BASE_URL, "").strip()
    if not address:
        return []
    return [_address(address), _token(variables), _model(variables)]


def _address(address: str) -> Finding:
    try:
        parts = urlsplit(address)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        parts, sound = urlsplit(""), False
    if not sound:
        return Finding(NAME, "fail", f"{BASE_URL} is not an http address", f"set {BASE_URL} to the gateway's root")
    if "/v1" in parts.path:
        cause = f"{BASE_URL} holds /v1, so that requests go to /v1/v1/messages and get a 404"
        return Finding(NAME, "fail", cause, f"set {BASE_URL} to the gateway's root, without /v1")
    return Finding(NAME, "ok", "base url ok")


def _token(variables: dict[str, str]) -> Finding:
    if variables.get(TOKEN, "").strip():
        return Finding(NAME, "ok", "api key configured")
    if variables.get(KEY, "").strip():
        cause = f"{KEY} is set and {TOKEN} is not: Claude Code is in API-key mode, and a gateway wants the other"
    else:
        cause = f"{TOKEN} is not set in this shell: Claude Code will say that it is not authenticated"
    return Finding(NAME, "fail", cause, f"set {TOKEN} in the shell that starts claude, or in its settings")


def _model(variables: dict[str, str]) -> Finding:
    if variables.get(MODEL, "").strip():
        return Finding(NAME, "ok", "model configured")
    cause = f"{MODEL} is not set: the gateway must have the model that Claude Code chooses"
    return Finding(NAME, "warn", cause, f"set {MODEL} to a model that the gateway's key may use")
