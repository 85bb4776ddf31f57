"""Can what the running daemon keeps be served, and what helps where it cannot?

Rule: the remedy is the one for the kind and the source of the credential: a setup token is renewed by another
program than an API key, and what a person wrote down is changed where it stands (requirements P7, E26).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tokenward.checks.finding import CheckContext, Finding, Level
from tokenward.checks.login_end import ENDING, NEAR_SECONDS, ends_in

NAME = "profiles"
OK, SKIPPED, AUTH, ERROR = "ok", "skipped", "auth", "error"
FIRST = "run: tokenward onboard, or: tokenward add anthropic:work --api-key"
_NEEDS_PERSON = frozenset({"login required", "expired", "refused"})
_WRITTEN_DOWN = frozenset({"environment", "config"})
_CONSEQUENCES: Mapping[Level, str] = {
    "ok": "",
    "warn": "what is in error serves nobody until it recovers by itself",
    "fail": "what needs a login serves nobody until a person renews it",
}


def check(context: CheckContext) -> list[Finding]:
    """A count for each provider, and a sentence for each profile that needs a person."""
    if context.profiles is None:
        return []  # that no daemon answers is said by the check of the socket
    if not context.profiles:
        return [Finding(NAME, "warn", "no credential is kept", FIRST, "programs get no token")]
    findings = []
    for provider in sorted({each["provider"] for each in context.profiles}):
        theirs = [each for each in context.profiles if each["provider"] == provider]
        counts = Counter(standing(each) for each in theirs)
        words = ", ".join(f"{counts[name]} {name}" for name in (OK, SKIPPED, AUTH, ERROR))
        consequence = _CONSEQUENCES[_level(counts)]
        findings.append(Finding(NAME, _level(counts), f"{provider}: {words}", _overview(counts), consequence))
        findings += [_in_need(each) for each in theirs if standing(each) == AUTH]
        findings += [_without_access(each) for each in theirs if each["insufficient_access"]]
        findings += [_ending(each, left) for each in theirs if (left := _left(each, context)) is not None]
    return findings


def standing(profile: Mapping[str, Any]) -> str:
    """Which of the four counts a profile is one of."""
    if not profile["enabled"] or profile["unusable"] == "no credentials":
        return SKIPPED
    # A static credential that was refused is still served: nobody has another. It is ill all the same.
    if profile["phase"] == "login_required" or profile["unusable"] in _NEEDS_PERSON:
        return AUTH
    return OK if profile["unusable"] is None else ERROR


def remedy(profile: Mapping[str, Any]) -> str:
    """What a person does to renew a credential."""
    name, kind, source = profile["profile"], profile["kind"], profile["source"]
    agent = "" if profile["agent"] == "main" else f" --agent {profile['agent']}"
    if source == "claude-code":
        return "run: claude auth login"
    if kind == "setup_token" and source not in _WRITTEN_DOWN:
        return f"run: claude setup-token, then: tokenward add {name} --setup-token{agent}"
    if kind == "setup_token":
        return f"run: claude setup-token, and put what it prints into {profile['location']}"
    if source in _WRITTEN_DOWN:
        return f"put a new one into {profile['location']}"
    if source not in {"store", "shared"}:
        return f"log in again with the program that keeps {profile['location']}"
    return f"run: tokenward add {name} --{str(kind or 'oauth').replace('_', '-')}{agent}"


def _level(counts: Mapping[str, int]) -> Level:
    if counts.get(AUTH):
        return "fail"
    return "warn" if counts.get(ERROR) else "ok"


def _overview(counts: Mapping[str, int]) -> str:
    return "run: tokenward status" if counts.get(AUTH) or counts.get(ERROR) else ""


def _without_access(profile: Mapping[str, Any]) -> Finding:
    return Finding(
        NAME,
        "warn",
        f"{profile['profile']}: insufficient API access: {profile['insufficient_access']}",
        "log in with a Pro or Max account, or use an API key",
        "it is served, and the API refuses it",
    )


def _left(profile: Mapping[str, Any], context: CheckContext) -> float | None:
    """Seconds until a login ends that is near its end; Claude Code's own login has a check of its own."""
    ends = profile["login_ends_at_ms"]
    if ends is None or profile["source"] == "claude-code" or standing(profile) == AUTH:
        return None
    left = float(ends) / 1000 - context.clock.wall().timestamp()
    return left if left <= NEAR_SECONDS else None


def _ending(profile: Mapping[str, Any], left: float) -> Finding:
    cause = f"{profile['profile']}: its login {ends_in(left)}"
    return Finding(NAME, "warn", cause, remedy(profile), ENDING)


def _in_need(profile: Mapping[str, Any]) -> Finding:
    failure = profile["last_failure"]
    reason = profile["unusable"] or (failure["reason"] if failure else "refused")
    return Finding(NAME, "fail", f"{profile['profile']}: {reason}", remedy(profile), "nothing is served from it")
