"""`tokenward doctor` beside a real daemon and a real home: what it finds, what it tries, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.command import finished
from e2e.daemon_process import DaemonProcess
from tokenward.sandbox import Fault, Sandbox

NO_SUCH_MODEL = (
    '{"type":"error","error":{"type":"not_found_error","message":"model: claude-none"},"request_id":"r"}'
)
KEY = "anthropic:work"
SECRET = "sk-ant-api03-" + "K" * 95
KEYRING_CONFIG = '[store]\nkey = "keyring"\n'


def found(daemon: DaemonProcess, *words: str, env: dict[str, str] | None = None) -> tuple[int | None, list[Any]]:
    """Exit status and findings of the command."""
    command = finished(daemon, "doctor", "--json", *words, env=env)
    (line,) = command.lines
    assert SECRET not in line
    return command.status, json.loads(line)["findings"]


def of(findings: list[Any], check: str) -> list[Any]:
    """Those of one check."""
    return [each for each in findings if each["check"] == check]


def test_a_fresh_home_is_in_order(own_home: Path) -> None:
    """Nothing is wrong where nothing is, and nothing is made by looking."""
    daemon = DaemonProcess(own_home)
    status, findings = found(daemon)
    assert status == 0
    assert {each["level"] for each in findings} == {"ok", "warn"}
    assert [each["check"] for each in findings if each["level"] == "warn"] == ["socket"]
    assert not (own_home / ".local").exists()


def test_ten_things_that_are_wrong(own_home: Path) -> None:
    """Each is found on the disk, with what comes of it and a way out; the exit status says so."""
    claude = own_home / ".claude"
    claude.mkdir(mode=0o700)
    login = {"accessToken": SECRET, "refreshToken": SECRET, "refreshTokenExpiresAt": 1_000}
    (own_home / "login.json").write_text(json.dumps({"claudeAiOauth": login}))
    (own_home / "login.json").chmod(0o644)
    (claude / ".credentials.json").symlink_to(own_home / "login.json")
    (claude / "settings.json").write_text(json.dumps({"apiKeyHelper": "echo x"}))
    lock = claude / ".oauth_refresh.lock"
    lock.mkdir()
    os.utime(lock, (4_000_000_000, 4_000_000_000))
    unit = own_home / ".config" / "systemd" / "user" / "tokenward.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\nExecStart={own_home}/gone/bin/python3 -I -m tokenward daemon\n")
    secret = own_home / ".config" / "anthropic" / "credentials" / "me.json"
    secret.parent.mkdir(parents=True)
    secret.write_text("{}")
    secret.chmod(0o644)
    env = {"ANTHROPIC_API_KEY": f"Bearer {SECRET}", "ANTHROPIC_BASE_URL": "https://gateway.example/v1"}
    status, findings = found(DaemonProcess(own_home), env=env)
    assert status == 1
    wrong = {each["check"]: each for each in findings if each["level"] != "ok"}
    service = {"service"} if sys.platform.startswith("linux") else set()
    assert set(wrong) - {"disks"} == service | {  # what the machine's own disk is, is not this test's
        "socket",
        "file modes",
        "symlinks",
        "locks",
        "claude code",
        "claude login",
        "profile files",
        "environment",
        "gateway",
        "keys",
    }
    assert all(each["consequence"] and each["hint"] for each in wrong.values())


def test_a_keyring_that_cannot_be_reached(own_home: Path) -> None:
    """Without a bus the doctor says it before a daemon fails to start, and leaves nothing behind."""
    daemon = DaemonProcess(own_home, config=KEYRING_CONFIG)
    status, findings = found(daemon)
    (finding,) = of(findings, "store key")
    assert (status, finding["level"]) == (1, "fail")
    assert "keyring" in finding["cause"]
    assert "tokenward store status" in finding["hint"]


def test_a_key_that_others_may_read_is_said_once(own_home: Path) -> None:
    """The configuration's own warning and the check of modes are one finding, with one command."""
    config = own_home / "mine.toml"
    config.write_text(f'[providers.anthropic]\napi_key = "{SECRET}"\n')
    config.chmod(0o644)
    _, findings = found(DaemonProcess(own_home), "--config", str(config))
    told = [each for each in findings if "others may read" in each["cause"]]
    assert [(each["check"], each["hint"]) for each in told] == [("file modes", f"run: chmod 600 {config}")]


def test_a_configuration_that_is_refused_is_the_only_finding(own_home: Path) -> None:
    """Without it nobody knows where to look, and no daemon starts."""
    config = own_home / "mine.toml"
    config.write_text("[default]\nno_such_key = 1\n")
    config.chmod(0o600)
    status, findings = found(DaemonProcess(own_home), "--config", str(config))
    assert (status, [each["check"] for each in findings]) == (1, ["config"])
    assert "no_such_key" in findings[0]["cause"]


@pytest.mark.covers("P35")
def test_a_probe_is_one_real_request(own_home: Path, sandbox: Sandbox) -> None:
    """The API takes one key and refuses another, a proxy in its place is told apart; without a daemon too."""
    config = f'[providers.anthropic]\napi_url = "{sandbox.base_url}"\n'
    key = "sk-ant-api03-" + "G" * 95
    sandbox.register_api_key(key)
    with DaemonProcess(own_home, config=config) as daemon:
        daemon.call("profile.add", profile=KEY, kind="api_key", credential={"access_token": key})
        status, findings = found(daemon, "--probe")
        assert [(each["level"], each["cause"]) for each in of(findings, "probe")] == [
            ("ok", f"anthropic takes the credential of {KEY}"),
            ("ok", "this machine's clock agrees with the server's"),
        ]
        assert status == 0
        bad = "anthropic:bad"
        daemon.call("profile.add", profile=bad, kind="api_key", credential={"access_token": SECRET})
        status, findings = found(daemon, "--probe", "--profile", bad)
        assert of(findings, "probe")[0]["cause"].startswith("anthropic itself refuses")
        assert status == 1
        sandbox.faults.next("models", Fault(status=401, body="<html>who are you?</html>"))
        status, findings = found(daemon, "--probe")
        assert of(findings, "probe")[0]["cause"].startswith("something between here and anthropic answered 401")
        result = daemon.call("doctor.run", probe=True, profile=bad)["findings"]
        assert of(result, "probe")[0]["cause"].startswith("anthropic itself refuses")
        assert {each["check"] for each in daemon.call("doctor.run")["findings"]} >= {"socket", "profiles"}
        assert daemon.terminate() == 0
        status, findings = found(daemon, "--probe", "--profile", KEY)
        assert of(findings, "probe")[0]["level"] == "ok"


@pytest.mark.covers("A21")
def test_a_probe_of_a_model_is_the_message_of_a_gateways_manual(own_home: Path, sandbox: Sandbox) -> None:
    """A Bearer key, the API's version, 128 tokens at most and one word; a model that is not there is told."""
    key = "sk-gateway-" + "G" * 40
    sandbox.register_api_key(key)
    config = f'[providers.anthropic]\napi_url = "{sandbox.base_url}"\nauth_token = "{key}"\n'
    with DaemonProcess(own_home, config=config) as daemon:
        status, findings = found(daemon, "--probe", "--model", "claude-sonnet-4-20250514")
        assert status == 0
        assert of(findings, "probe")[0]["level"] == "ok"
        asked = sandbox.requests[-1]
        assert (asked.method, asked.path, asked.status) == ("POST", "/v1/messages", 200)
        assert asked.headers["authorization"].startswith("Bearer ")
        assert "x-api-key" not in asked.headers
        assert asked.headers["anthropic-version"] == "2023-06-01"
        assert asked.fields["max_tokens"] == "128"
        sandbox.faults.next("messages", Fault(status=404, body=NO_SUCH_MODEL))
        status, findings = found(daemon, "--probe", "--model", "claude-none")
        assert of(findings, "probe")[0]["cause"].endswith("HTTP 404: model: claude-none")


def test_a_model_alone_is_no_probe(own_home: Path) -> None:
    """What costs tokens must be asked for."""
    assert finished(DaemonProcess(own_home), "doctor", "--model", "opus").status == 2
