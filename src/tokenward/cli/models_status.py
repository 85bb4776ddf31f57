"""``tokenward models status``: the models in force and the credentials behind them, in OpenClaw's shape.

The problem: scripts that watched OpenClaw's ``models status --json`` and ``--check`` ask the same of whoever keeps
the credentials now. So the members are named as there, and only what the daemon knows is said.

Rules:
- No key is shown, not even a part of one.
- A login that the daemon refreshes ends with its login, not with its access token.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenward.cli import output
from tokenward.cli.arguments import add_command, add_json

if TYPE_CHECKING:
    from tokenward.cli.arguments import Subparsers
    from tokenward.cli.service_access import Call

WARN_AFTER_MS = 24 * 3600 * 1000
MISSING, EXPIRING = 1, 2
"""The exit status of ``--check``."""
_TYPES = {
    "oauth": "oauth",
    "federated": "oauth",
    "api_key": "api_key",
    "auth_token": "token",
    "setup_token": "token",
}
_ORIGINS = {"environment": "env", "dotenv": "env", "config": "models.json"}
"""What OpenClaw calls the places that are no profile's, by our source."""
_REFRESHED = frozenset({"direct", "delegate", "mint"})
_WORST_FIRST = ("missing", "expired", "expiring", "ok", "static")

Profile = Mapping[str, Any]


def add_action(actions: Subparsers) -> None:
    """Register the command."""
    parser = add_command(
        actions,
        "status",
        "the models in force, and the credentials behind them",
        run=_run,
        example="tokenward models status --check",
        about="With --check the exit status is 1 if a credential is expired or missing, 2 if one ends in a day.",
    )
    parser.add_argument("--plain", action="store_true", help="print the default model alone")
    parser.add_argument("--check", action="store_true", help="let the exit status say whether all is well")
    add_json(parser, "everything")


def _run(arguments: argparse.Namespace) -> int:
    from tokenward.cli.service_access import with_service

    answers: dict[str, dict[str, Any]] = {}

    def act(call: Call) -> int:
        for method in ("daemon.status", "model.list"):
            answers[method] = call(method, {})
        # Without a default model there is no chain to show.
        asked: dict[str, Any] = {} if answers["model.list"]["default"] is not None else {"model": "opus"}
        answers["fallback.next"] = call("fallback.next", asked)
        return output.OK

    with_service(act)
    status = shape(answers, now_ms=int(time.time() * 1000))
    if arguments.json:
        output.as_json(status)
    elif arguments.plain:
        output.say(status["defaultModel"] or "-")
    else:
        _show(status)
    return checked(status) if arguments.check else output.OK


def shape(answers: Mapping[str, Mapping[str, Any]], *, now_ms: int) -> dict[str, Any]:
    """The status, with the members that OpenClaw's has.

    Args:
        answers: of the daemon, by method.
        now_ms: Unix milliseconds.
    """
    daemon, models = answers["daemon.status"], answers["model.list"]
    profiles: Sequence[Profile] = daemon["profiles"]
    chain = answers["fallback.next"]["chain"] if models["default"] is not None else []
    named = [*chain, *([models["default"]] if models["default"] and not chain else [])]
    used = list(dict.fromkeys(model.partition("/")[0] for model in named if "/" in model))
    owners = sorted({profile["provider"] for profile in profiles} | set(used))
    health = [_login(profile, now_ms) for profile in profiles]
    resting = unusable(profiles, now_ms=now_ms)
    return {
        "configPath": daemon["config"],
        "agentDir": daemon["state_directory"],
        "defaultModel": chain[0] if chain else models["default"],
        "resolvedDefault": chain[0] if chain else models["default"],
        "fallbacks": chain[1:],
        "imageModel": None,
        "imageFallbacks": [],
        "aliases": models["aliases"],
        "allowed": [],
        "auth": {
            "storePath": daemon["state_directory"],
            "shellEnvFallback": {"enabled": False, "appliedKeys": []},
            "providersWithOAuth": _with_oauth(profiles),
            "missingProvidersInUse": [each for each in used if not _serving(profiles, each)],
            "providers": [_provider(each, profiles, resting) for each in owners],
            "unusableProfiles": resting,
            "oauth": {
                "warnAfterMs": WARN_AFTER_MS,
                "profiles": health,
                "providers": [_worst(each, health) for each in owners],
            },
        },
    }


def unusable(profiles: Sequence[Profile], *, now_ms: int) -> list[dict[str, Any]]:
    """The profiles that do not serve for a time, the soonest recovery first; what has no end comes last.

    Args:
        profiles: as ``profile.list`` shows them.
        now_ms: Unix milliseconds.
    """
    found = []
    for profile in profiles:
        windows = [each for each in profile["cooling"] if each["model"] is None]
        if not windows:
            continue
        # A person's part goes before waiting, as in the daemon's own answer.
        worst = max(windows, key=lambda each: (each["kind"] == "disabled", _end(each["until_ms"])))
        until = max((each["until_ms"] for each in windows), key=_end)
        found.append(
            {
                "profileId": profile["profile"],
                "provider": profile["provider"],
                "kind": worst["kind"],
                "reason": worst["reason"],
                "until": until,
                "remainingMs": None if until is None else max(0, until - now_ms),
            }
        )
    return sorted(found, key=lambda each: (_end(each["until"]), each["profileId"]))


def checked(status: Mapping[str, Any]) -> int:
    """The exit status of ``--check``."""
    states = {each["status"] for each in status["auth"]["oauth"]["profiles"]}
    if status["auth"]["missingProvidersInUse"] or states & {"expired", "missing"}:
        return MISSING
    return EXPIRING if "expiring" in states else output.OK


def _end(until_ms: int | None) -> float:
    return float("inf") if until_ms is None else until_ms


def _login(profile: Profile, now_ms: int) -> dict[str, Any]:
    refreshed = profile["refresh"] in _REFRESHED
    ends = profile["login_ends_at_ms"] if refreshed else profile["expires_at_ms"]
    left = None if ends is None else ends - now_ms
    if profile["kind"] is None or profile["phase"] == "login_required":
        state = "missing"
    elif left is not None and left <= 0:
        state = "expired"
    elif left is not None and left <= WARN_AFTER_MS:
        state = "expiring"
    else:
        state = "ok" if refreshed or left is not None else "static"
    return {
        "profileId": profile["profile"],
        "provider": profile["provider"],
        "type": _TYPES.get(profile["kind"] or "", "oauth"),
        "status": state,
        "expiresAt": ends,
        "remainingMs": left,
        "source": profile["source"],
        "label": profile["profile"],
    }


def _worst(provider: str, logins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    theirs = [each for each in logins if each["provider"] == provider]
    worst = min(theirs, key=lambda each: _WORST_FIRST.index(each["status"]), default=None)
    return {
        "provider": provider,
        "status": "missing" if worst is None else worst["status"],
        "expiresAt": None if worst is None else worst["expiresAt"],
        "remainingMs": None if worst is None else worst["remainingMs"],
        "profiles": [each["profileId"] for each in theirs],
    }


def _provider(provider: str, profiles: Sequence[Profile], resting: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    theirs = [each for each in profiles if each["provider"] == provider]
    types = [_TYPES.get(each["kind"] or "") for each in theirs]
    rests = {each["profileId"]: f" [{each['kind']} {_duration(each['remainingMs'])}]" for each in resting}
    return {
        "provider": provider,
        "effective": _effective(_serving(profiles, provider)),
        "profiles": {
            "count": len(theirs),
            "oauth": types.count("oauth"),
            "token": types.count("token"),
            "apiKey": types.count("api_key"),
            "labels": [
                f"{each['profile']}={each['kind'] or 'nothing'}{rests.get(each['profile'], '')}" for each in theirs
            ],
        },
    }


def _effective(serving: Sequence[Profile]) -> dict[str, str]:
    if not serving:
        return {"kind": "missing", "detail": "missing"}
    return {"kind": _ORIGINS.get(serving[0]["source"], "profiles"), "detail": serving[0]["location"]}


def _serving(profiles: Sequence[Profile], provider: str) -> list[Profile]:
    return [each for each in profiles if each["provider"] == provider and each["kind"] and each["enabled"]]


def _with_oauth(profiles: Sequence[Profile]) -> list[str]:
    owners = [each["provider"] for each in profiles if _TYPES.get(each["kind"] or "") == "oauth"]
    return [f"{owner} ({owners.count(owner)})" for owner in sorted(set(owners))]


def _show(status: Mapping[str, Any]) -> None:
    output.say(f"default: {status['defaultModel'] or '-'}")
    output.say(f"fallbacks: {', '.join(status['fallbacks']) or '-'}")
    resting = {each["profileId"]: each for each in status["auth"]["unusableProfiles"]}
    rows = [("PROFILE", "TYPE", "STATUS", "LEFT", "RESTS")]
    for each in status["auth"]["oauth"]["profiles"]:
        rest = resting.get(each["profileId"])
        rows.append((each["profileId"], each["type"], each["status"], _duration(each["remainingMs"]), _rest(rest)))
    output.table(rows)
    for provider in status["auth"]["missingProvidersInUse"]:
        output.remark(f"{provider} has no credential; add one: tokenward add {provider}:default --api-key")


def _rest(rest: Mapping[str, Any] | None) -> str:
    if rest is None:
        return "-"
    left = "until a person acts" if rest["until"] is None else _duration(rest["remainingMs"])
    return f"{rest['kind']} ({rest['reason']}), {left}"


def _duration(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else output.duration(milliseconds / 1000)
