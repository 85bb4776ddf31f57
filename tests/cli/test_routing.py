"""``tokenward order``, ``pin`` and ``profiles clear``: what they ask of the daemon, and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.fake_daemon import FakeDaemon, profile
from tokenward.cli.main import main

ORDER = {"provider": "anthropic", "agent": "main", "profiles": ["anthropic:b", "anthropic:a"], "missing": []}
PIN = {"session": "s", "provider": "anthropic", "model": "claude-opus-5-5", "profile": "anthropic:a", "hard": True}


@pytest.mark.parametrize(
    ("arguments", "method", "params"),
    [
        (["order", "get", "anthropic"], "order.get", {"provider": "anthropic", "agent": "main"}),
        (
            ["order", "set", "anthropic", "anthropic:b", "anthropic:a", "--agent", "bot"],
            "order.set",
            {"provider": "anthropic", "agent": "bot", "profiles": ["anthropic:b", "anthropic:a"]},
        ),
        (["order", "clear", "anthropic"], "order.clear", {"provider": "anthropic", "agent": "main"}),
        (["pin", "s"], "session.get", {"session": "s"}),
        (["pin", "s", "opus@anthropic:a"], "session.pin", {"session": "s", "model": "opus@anthropic:a"}),
        (["pin", "s", "--reset"], "session.reset", {"session": "s"}),
    ],
)
def test_each_asks_for_its_method(
    arguments: list[str],
    method: str,
    params: dict[str, Any],
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the arguments as params; ``--json`` is the answer."""
    answer = ORDER if method.startswith("order") else PIN
    daemon.answers[method] = lambda _: answer
    assert main([*arguments, "--json"]) == 0
    assert daemon.params(method) == params
    assert json.loads(capsys.readouterr().out) == answer


def test_an_order_in_words(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a profile, numbered; who is missing is said; no order is one line."""
    daemon.answers["order.get"] = lambda _: ORDER | {"missing": ["anthropic:a"]}
    daemon.answers["order.clear"] = lambda _: ORDER | {"profiles": []}
    assert main(["order", "get", "anthropic"]) == 0
    assert main(["order", "clear", "anthropic"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1. anthropic:b",
        "2. anthropic:a (there is no such profile now; it is passed over)",
        "anthropic: no order is set; whoever was used longest ago goes first",
    ]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "s: anthropic/claude-opus-5-5, anthropic:a and no other"),
        ({"profile": None, "hard": False}, "s: anthropic/claude-opus-5-5, any profile"),
        ({"model": None, "hard": False}, "s: any model, anthropic:a as long as it is usable"),
        ({"model": None, "profile": None, "hard": False}, "s: nothing is settled"),
    ],
)
def test_a_pin_in_words(
    members: dict[str, Any], words: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether another profile may take its place is said."""
    daemon.answers["session.get"] = lambda _: {**PIN, **members}
    assert main(["pin", "s"]) == 0
    assert capsys.readouterr().out.splitlines() == [words]


def test_a_profile_is_cleared(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """By its id and agent."""
    daemon.answers["profile.clear"] = lambda _: profile()
    assert main(["profiles", "clear", "anthropic:work"]) == 0
    assert daemon.params("profile.clear") == {"profile": "anthropic:work", "agent": "main"}
    assert capsys.readouterr().out == "anthropic:work: serves again, as if nothing had failed\n"
