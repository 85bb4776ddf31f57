"""Two keys in a daemon of its own: one is limited, the other serves, and a person has the last word."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from e2e.command import Command
from e2e.daemon_process import DaemonProcess, RpcError

A, B = "anthropic:a", "anthropic:b"
CONFIG = '[default]\nmodel = "opus-4.5"\nfallbacks = ["haiku"]\n\n[health]\ncooldown = [120, 600]\n'


def with_keys(daemon: DaemonProcess) -> None:
    """Keep two."""
    for profile in (A, B):
        credential = {"access_token": f"sk-ant-api03-{profile}"}
        daemon.call("profile.add", profile=profile, kind="api_key", credential=credential)


def served(daemon: DaemonProcess, times: int = 4) -> list[str]:
    """Who serves, one after the other."""
    return [daemon.call("token.get")["profile"] for _ in range(times)]


def limited(daemon: DaemonProcess, profile: str, **headers: str) -> str:
    """Report a 429; the advice."""
    generation = daemon.call("profile.get", profile=profile)["generation"]
    told = daemon.call("token.report", profile=profile, generation=generation, status=429, headers=headers)
    return str(told["action"])


def test_a_limited_key_rests_and_the_other_serves(own_home: Path) -> None:
    """Also after a restart, until a person says that it is well; subscribers and the commands say so."""
    with DaemonProcess(own_home, config=CONFIG) as daemon:
        with_keys(daemon)
        assert served(daemon) == [A, B, A, B]
        with daemon.subscribe() as events:
            assert limited(daemon, A, **{"Retry-After": "900"}) == "rotate"
            assert events.wait_for("cooling", profile=A)["detail"].startswith("rate_limit, until ")
        assert served(daemon) == [B] * 4
        assert daemon.terminate() == 0
        daemon.start()
        assert served(daemon) == [B] * 4
        with Command(daemon, "status") as command:
            assert command.end() == 0
            assert "cooling: rate_limit, for 1" in command.lines[1]
        with Command(daemon, "models", "status", "--json") as command:
            assert command.end() == 0
            status = json.loads(command.lines[0])
        assert [each["profileId"] for each in status["auth"]["unusableProfiles"]] == [A]
        assert status["fallbacks"] == [status["fallbacks"][0]]
        assert limited(daemon, B) == "wait"
        with pytest.raises(RpcError, match="all in cooldown or unavailable"):
            daemon.call("token.get")
        with Command(daemon, "profiles", "clear", A) as command:
            assert command.end() == 0
        assert served(daemon) == [A] * 4
        until = daemon.call("profile.get", profile=B)["cooling"][0]["until_ms"]
        again = daemon.call("profile.get", profile=B)["cooling"][0]
        assert (again["until_ms"], again["errors"]) == (until, 1)


def test_the_day_is_remembered_with_who_asked(own_home: Path) -> None:
    """What happened, what was reported and who asked, of one profile; and of none of it the token."""
    with DaemonProcess(own_home, config=CONFIG) as daemon:
        with_keys(daemon)
        assert served(daemon) == [A, B, A, B]
        limited(daemon, A)
        moments = daemon.call("events.history", profiles=[A])["moments"]
        told = [(each["type"], each["detail"]) for each in moments if each["profile"] == A]
        assert ("asked", "token.get") in told
        assert ("reported", "rate_limit, told to rotate") in told
        assert [kind for kind, _ in told].count("cooling") == 1
        assert {each["pid"] for each in moments if each["type"] == "asked"} == {os.getpid()}
        assert {each["profile"] for each in moments} <= {A, None}
        assert "sk-" not in json.dumps(moments)


def test_orders_and_pins_outlast_a_kill(own_home: Path) -> None:
    """What a person was told has been done is on the disk."""
    with DaemonProcess(own_home) as daemon:
        with_keys(daemon)
        for arguments in (("order", "set", "anthropic", B), ("pin", "mine", f"opus@{A}")):
            with Command(daemon, *arguments) as command:
                assert command.end() == 0
        daemon.kill()
        daemon.start()
        assert served(daemon) == [B] * 4
        assert daemon.call("token.get", session="mine")["profile"] == A
        with Command(daemon, "order", "clear", "anthropic") as command:
            assert command.end() == 0
        with Command(daemon, "pin", "mine", "--reset") as command:
            assert command.end() == 0
            assert command.lines == ["mine: nothing is settled"]
        daemon.kill()
        daemon.start()
        assert set(served(daemon)) == {A, B}
