"""Is Claude Code set up for a gateway, in the shell that starts it?

The guide of a gateway lets people print three variables to find out, the secret among them. Here each is looked
at and none is shown (requirements A18, A22, A25).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tokenward.checks.claude_code_settings import said_in_settings, variables_of_claude_code
from tokenward.checks.finding import CheckContext, Finding, to_run
from tokenward.core.recognise import api_root
from tokenward.core.redact import printable

NAME = "gateway"
HELPER = "apiKeyHelper"
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
    return [
        _address(address),
        _token(variables, has_helper=said_in_settings(context, HELPER) is not None),
        _model(variables),
    ]


def _address(address: str) -> Finding:
    try:
        parts = urlsplit(address)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        parts, sound = urlsplit(""), False
    if not sound:
        return Finding(
            NAME,
            "fail",
            f"{BASE_URL} is not an http address",
            to_run("export", f"{BASE_URL}=https://gateway.example"),
            "Claude Code reaches nothing",
        )
    path, tail = api_root(parts.path)
    if tail == "/v1":
        root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
        cause = f"{BASE_URL} ends in /v1, to which Claude Code adds its own"
        hint = to_run("export", f"{BASE_URL}={printable(root)}")
        return Finding(NAME, "fail", cause, hint, "requests go to /v1/v1/messages and get a 404")
    return Finding(NAME, "ok", "base url ok")


def _token(variables: dict[str, str], *, has_helper: bool) -> Finding:
    if has_helper or variables.get(TOKEN, "").strip():  # a helper's output goes into both headers
        return Finding(NAME, "ok", "api key configured")
    if variables.get(KEY, "").strip():
        cause = f"{KEY} is set and {TOKEN} is not"
        consequence = "Claude Code is in API-key mode, and a gateway wants the other"
        return Finding(NAME, "fail", cause, f'run: export {TOKEN}="${KEY}"; unset {KEY}', consequence)
    cause = f"{TOKEN} is not set in this shell"
    hint = f"in the shell that starts claude, run: read -rs {TOKEN}; export {TOKEN}"
    return Finding(NAME, "fail", cause, hint, "Claude Code will say that it is not authenticated")


def _model(variables: dict[str, str]) -> Finding:
    if variables.get(MODEL, "").strip():
        return Finding(NAME, "ok", "model configured")
    consequence = "the gateway must have the model that Claude Code chooses, or it answers with an error"
    hint = f"if it has not, run: export {MODEL}=a-model-of-the-gateway"
    return Finding(NAME, "warn", f"{MODEL} is not set", hint, consequence)
