"""``tokenward models status``: OpenClaw's shape, its exit codes, and no key."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from client.fake_daemon import FakeDaemon, Json, profile, status
from tokenward.cli.main import main

NOW_MS = 1_000_000
HOUR_MS = 3_600_000
LIMIT = {"kind": "cooldown", "reason": "rate_limit", "until_ms": NOW_MS + 60_000, "model": None, "errors": 1}
EMPTY = {"kind": "disabled", "reason": "billing", "until_ms": NOW_MS + 5 * HOUR_MS, "model": None, "errors": 2}
REFUSED = {"kind": "disabled", "reason": "auth_permanent", "until_ms": None, "model": None, "errors": 1}


@pytest.fixture
def said(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command over these profiles: the exit status and the output."""
    monkeypatch.setattr(time, "time", lambda: NOW_MS / 1000)
    default = {"default": "claude-opus-5-5", "aliases": {"opus": "claude-opus-5-5"}}
    chain = ["anthropic/claude-opus-5-5", "acme/m"]
    daemon.answers["model.list"] = lambda _: default
    daemon.answers["fallback.next"] = lambda _: {
        "model": chain[0],
        "chain": chain,
        "cause": None,
        "stopped": False,
    }

    def run(profiles: list[Json], *arguments: str) -> tuple[int, str]:
        daemon.answers["daemon.status"] = lambda _: status(*profiles)
        code = main(["models", "status", *arguments])
        return code, capsys.readouterr().out

    return run


@pytest.mark.covers("E33")
def test_who_does_not_serve_is_listed_by_the_soonest_recovery(said: Any) -> None:
    """Six members; a model's own limit and a healthy profile are not in it; what has no end comes last."""
    profiles = [
        profile("anthropic:refused", cooling=[REFUSED]),
        profile("anthropic:empty", cooling=[EMPTY, LIMIT]),
        profile("anthropic:fine"),
        profile("anthropic:limited", cooling=[LIMIT]),
        profile("anthropic:one-model", cooling=[{**LIMIT, "model": "claude-opus-5-5"}]),
    ]
    code, out = said(profiles, "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["auth"]["unusableProfiles"] == [
        {
            "profileId": "anthropic:limited",
            "provider": "anthropic",
            "kind": "cooldown",
            "reason": "rate_limit",
            "until": NOW_MS + 60_000,
            "remainingMs": 60_000,
        },
        {
            "profileId": "anthropic:empty",
            "provider": "anthropic",
            "kind": "disabled",
            "reason": "billing",
            "until": NOW_MS + 5 * HOUR_MS,
            "remainingMs": 5 * HOUR_MS,
        },
        {
            "profileId": "anthropic:refused",
            "provider": "anthropic",
            "kind": "disabled",
            "reason": "auth_permanent",
            "until": None,
            "remainingMs": None,
        },
    ]
    assert (shown["defaultModel"], shown["fallbacks"]) == ("anthropic/claude-opus-5-5", ["acme/m"])
    assert shown["auth"]["missingProvidersInUse"] == ["acme"]
    assert shown["auth"]["providers"][1]["profiles"]["apiKey"] == 5


@pytest.mark.covers("E33")
def test_every_member_of_openclaws_is_there(said: Any) -> None:
    """A script that reads one finds it; ``probes`` is there with ``--probe`` alone, which is doctor's here."""
    _, out = said([profile("anthropic:a", source="environment", cooling=[LIMIT])], "--json")
    shown = json.loads(out)
    assert set(shown) == {
        "configPath", "agentDir", "defaultModel", "resolvedDefault", "fallbacks", "imageModel", "imageFallbacks",
        "aliases", "allowed", "auth",
    }  # fmt: skip
    auth = shown["auth"]
    assert set(auth) == {
        "storePath", "shellEnvFallback", "providersWithOAuth", "missingProvidersInUse", "providers",
        "unusableProfiles", "oauth",
    }  # fmt: skip
    assert auth["shellEnvFallback"] == {"enabled": False, "appliedKeys": []}
    acme, anthropic = auth["providers"]
    assert acme["effective"] == {"kind": "missing", "detail": "missing"}
    assert anthropic["effective"]["kind"] == "env"
    assert anthropic["profiles"] == {
        "count": 1, "oauth": 0, "token": 0, "apiKey": 1, "labels": ["anthropic:a=api_key [cooldown 1m]"],
    }  # fmt: skip
    assert set(auth["oauth"]) == {"warnAfterMs", "profiles", "providers"}
    assert set(auth["oauth"]["profiles"][0]) == {
        "profileId", "provider", "type", "status", "expiresAt", "remainingMs", "source", "label",
    }  # fmt: skip
    assert set(auth["oauth"]["providers"][0]) == {"provider", "status", "expiresAt", "remainingMs", "profiles"}


@pytest.mark.parametrize(
    ("login", "code", "state"),
    [
        ({"kind": "api_key"}, 0, "static"),
        ({"kind": "oauth", "refresh": "direct", "expires_at_ms": NOW_MS + 60_000}, 0, "ok"),
        ({"kind": "oauth", "refresh": "direct", "login_ends_at_ms": NOW_MS + 20 * HOUR_MS}, 2, "expiring"),
        ({"kind": "oauth", "refresh": "watch", "expires_at_ms": NOW_MS + 25 * HOUR_MS}, 0, "ok"),
        ({"kind": "oauth", "refresh": "watch", "expires_at_ms": NOW_MS + 24 * HOUR_MS}, 2, "expiring"),
        ({"kind": "oauth", "refresh": "watch", "expires_at_ms": NOW_MS}, 1, "expired"),
        ({"kind": "oauth", "refresh": "direct", "phase": "login_required"}, 1, "missing"),
        ({"kind": None}, 1, "missing"),
    ],
)
def test_check_says_it_with_its_exit_status(login: Json, code: int, state: str, said: Any) -> None:
    """1 expired or missing, 2 within a day; without ``--check`` always 0."""
    profiles = [profile("anthropic:me", **login), profile("acme:key")]
    assert said(profiles, "--check", "--plain") == (code, "anthropic/claude-opus-5-5\n")
    got, out = said(profiles, "--json")
    states = {each["profileId"]: each["status"] for each in json.loads(out)["auth"]["oauth"]["profiles"]}
    assert (got, states["anthropic:me"]) == (0, state)


def test_a_model_in_use_without_a_credential_is_missing(said: Any) -> None:
    """The exit status is 1, and the way out is said."""
    assert said([profile("anthropic:me")], "--check")[0] == 1


def test_people_read_a_table(said: Any) -> None:
    """One line a profile, with why and for how long it rests."""
    _, out = said([profile("anthropic:me", cooling=[LIMIT]), profile("acme:key", cooling=[REFUSED])])
    lines = out.splitlines()
    assert lines[:2] == ["default: anthropic/claude-opus-5-5", "fallbacks: acme/m"]
    assert lines[3].endswith("static  -     cooldown (rate_limit), 1m")
    assert lines[4].endswith("disabled (auth_permanent), until a person acts")
