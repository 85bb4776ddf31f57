"""Do two credentials compete for one request of Claude Code's?

It documents an order in which it chooses one, but fills ``Authorization`` and ``x-api-key`` independently: of two
configured credentials both may go out, or the one that nobody meant (requirements A22, A23; measured, with
Claude Code 2.1.329).

Rule: what is sent and what is ignored is told by place; no command said here logs anybody out.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenward.checks.claude_code_settings import (
    Said,
    environment_in_settings,
    json_object,
    said_in_settings,
    settings_files,
    state_file,
    stored_login,
)
from tokenward.checks.finding import CheckContext, Finding, to_run

NAME = "environment"
AUTH_TOKEN, API_KEY, API_KEY_HELPER = "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "apiKeyHelper"
OAUTH_TOKEN, PROFILE, LOGIN, CONSOLE_KEY = (
    "CLAUDE_CODE_OAUTH_TOKEN",
    "ANTHROPIC_PROFILE",
    "/login",
    "primaryApiKey",
)
PRECEDENCE = (AUTH_TOKEN, API_KEY, API_KEY_HELPER, OAUTH_TOKEN, PROFILE, LOGIN, CONSOLE_KEY)
"""Which one wins, as Claude Code documents it; the key that it made at the Console stands in for a login."""
VARIABLES = (AUTH_TOKEN, API_KEY, OAUTH_TOKEN, PROFILE)
_TO_UNSET = (API_KEY, OAUTH_TOKEN, PROFILE, AUTH_TOKEN)
"""The first of them that is set is most often the one that was forgotten."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Which credentials a request carries.

    Args:
        authorization: the one in ``Authorization: Bearer``; None = none.
        api_key: the one in ``x-api-key``; None = none.
    """

    authorization: str | None
    api_key: str | None


def check(context: CheckContext) -> list[Finding]:
    """Every place a credential for Claude Code stands in, and whether there is more than one."""
    findings = [
        Finding(
            NAME,
            "warn",
            f"{path} cannot be read as JSON",
            f"correct it: {_editor(path)}",
            "Claude Code ignores it",
        )
        for path in settings_files(context)
        if json_object(path) is None
    ]
    found = _places(context)
    if len(found) > 1:
        return [*findings, _competing(found)]
    if found:
        name, where = next(iter(found.items()))
        return [*findings, Finding(NAME, "ok", f"one credential for Claude Code: {name} ({_words(where)})")]
    return [*findings, Finding(NAME, "ok", "no credential for Claude Code in the environment or its files")]


def sent(configured: Sequence[str]) -> Sent:
    """Which of the configured credentials go out, by the measured table and not by the documented order."""
    api_key = next((name for name in (API_KEY, API_KEY_HELPER) if name in configured), None)
    bearers: tuple[str, ...] = (AUTH_TOKEN, API_KEY_HELPER)
    if api_key is None:
        bearers = (AUTH_TOKEN, OAUTH_TOKEN, PROFILE, LOGIN)
    authorization = next((name for name in bearers if name in configured), None)
    if authorization is None and api_key is None and CONSOLE_KEY in configured:
        api_key = CONSOLE_KEY
    return Sent(authorization, api_key)


def _competing(found: dict[str, Path | None]) -> Finding:
    named = ", ".join(f"{name} ({_words(where)})" for name, where in found.items())
    going = sent(list(found))
    parts = []
    if going.authorization is not None and going.authorization == going.api_key:
        parts.append(f"{going.authorization} is sent, in both headers")
    elif going.authorization is not None and going.api_key is not None:
        parts.append(f"two are sent at once: {going.authorization} as Authorization, {going.api_key} as x-api-key")
    else:
        parts.append(f"{going.authorization or going.api_key} is sent")
    ignored = [name for name in found if name not in {going.authorization, going.api_key}]
    if ignored:
        parts.append(f"{' and '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored")
    cause = f"several credentials compete: {named}"
    return Finding(
        NAME, "warn", cause, _way_out(found), f"Claude Code prefers {next(iter(found))}; {'; '.join(parts)}"
    )


def _way_out(found: dict[str, Path | None]) -> str:
    """One of them to do without; never the login, which a person would have to make again."""
    for name in _TO_UNSET:
        if name in found and found[name] is None:
            return to_run("unset", name)
    name, where = next((name, where) for name, where in found.items() if name != LOGIN and where is not None)
    return f"take {name} out: {_editor(where)}"


def _places(context: CheckContext) -> dict[str, Path | None]:
    """Where each credential stands, the preferred one first; None = in the environment."""
    places: dict[str, Path | None] = {}
    in_settings = environment_in_settings(context)
    for name in VARIABLES:
        said = in_settings.get(name) or Said(context.environ.get(name, ""), Path())
        if said.value.strip():
            places[name] = said.path if name in in_settings else None
    if (helper := said_in_settings(context, API_KEY_HELPER)) is not None:
        places[API_KEY_HELPER] = helper.path
    if stored_login(context).get("accessToken"):
        places[LOGIN] = context.claude_credentials
    if (json_object(state_file(context)) or {}).get(CONSOLE_KEY):
        places[CONSOLE_KEY] = state_file(context)
    return {name: places[name] for name in PRECEDENCE if name in places}


def _words(where: Path | None) -> str:
    return "set in the environment" if where is None else f"in {where}"


def _editor(path: Path) -> str:
    return f"${{EDITOR:-vi}} {shlex.quote(str(path))}"
