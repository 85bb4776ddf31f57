"""Credentials from elsewhere, in a daemon of its own: variables, `.env` files, commands, the SDKs' profiles."""

import json
import os
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID
from e2e.daemon_process import DaemonProcess, RpcError
from tokenward.sandbox import Sandbox

KEY = "sk-ant-api03-" + "k" * 95
SETUP = "sk-ant-oat01-" + "s" * 95
HOUR = 3600.0


def only_profile(daemon: DaemonProcess) -> dict[str, object]:
    """The one profile it lists."""
    (profile,) = daemon.call("profile.list")["profiles"]
    assert isinstance(profile, dict)
    return profile


class TestEnvironment:
    @pytest.mark.covers("P6", "P25", "P28", "L2")
    def test_an_api_key_goes_into_its_own_header(self, own_home: Path) -> None:
        """Trimmed, as x-api-key, and in no other header."""
        with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": f" {KEY} "}) as daemon:
            answer = daemon.call("token.get")
        assert (answer["profile"], answer["source"], answer["kind"]) == ("anthropic:env", "environment", "api_key")
        assert answer["headers"]["x-api-key"] == KEY
        assert "authorization" not in answer["headers"]
        assert answer["base_url"] == "https://api.anthropic.com"

    @pytest.mark.covers("P26", "N38", "N42")
    def test_an_oauth_login_is_served_and_its_refresh_token_is_not_spent(
        self, own_home: Path, sandbox: Sandbox
    ) -> None:
        """JSON in a variable: Bearer and beta; near its end nothing is sent, and status says what to do."""
        login = sandbox.issue(ttl_seconds=60)
        variable = {"accessToken": login.access_token, "refreshToken": login.refresh_token}
        near = json.dumps({**variable, "expiresAt": int(login.expires_at * 1000)})
        config = f'[providers.anthropic]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "mine"\n'
        env = {"ANTHROPIC_OAUTH_TOKEN": near, "CLAUDE_OAUTH_TOKEN": SETUP}
        with DaemonProcess(own_home, config=config, env=env) as daemon:
            answer = daemon.call("token.get", min_valid=600)
            profile = only_profile(daemon)
            stored = list(daemon.state.glob("credentials/*"))
        assert (answer["profile"], answer["kind"]) == ("anthropic:env-oauth", "oauth")
        assert (answer["token"], answer["degraded"]) == (login.access_token, "short")
        assert answer["headers"]["authorization"] == f"Bearer {login.access_token}"
        assert answer["headers"]["anthropic-beta"] == "oauth-2025-04-20"
        assert "tokenward add" in str(profile["note"])
        assert stored == [], "nothing is copied into our store unasked"
        assert sandbox.requests == ()

    @pytest.mark.covers("A1", "A3", "A7", "A8")
    def test_a_gateway_key_is_served_with_its_gateway(self, own_home: Path) -> None:
        """As a Bearer token alone, for the root of the address, without the "Bearer" it was pasted with."""
        env = {"ANTHROPIC_AUTH_TOKEN": "Bearer sk-gateway-key", "ANTHROPIC_BASE_URL": "https://gw.example/v1"}
        with DaemonProcess(own_home, env=env) as daemon:
            answer = daemon.call("token.get")
        assert (answer["kind"], answer["base_url"]) == ("auth_token", "https://gw.example")
        assert answer["headers"]["authorization"] == "Bearer sk-gateway-key"
        assert "x-api-key" not in answer["headers"]
        assert "anthropic-beta" not in answer["headers"]

    @pytest.mark.covers("A3")
    def test_a_gateway_key_without_a_gateway_is_not_served(self, own_home: Path) -> None:
        """It would be sent to Anthropic: status and the refusal say what is missing."""
        with DaemonProcess(own_home, env={"ANTHROPIC_AUTH_TOKEN": "sk-gateway-key"}) as daemon:
            with pytest.raises(RpcError) as refusal:
                daemon.call("token.get")
            assert "ANTHROPIC_BASE_URL" in str(only_profile(daemon)["note"])
        assert "a gateway's key" in refusal.value.message
        assert "sk-gateway-key" not in f"{refusal.value} {daemon.log}"

    @pytest.mark.covers("N43")
    def test_the_tier_of_the_environment_wins(self, own_home: Path) -> None:
        """A valid one over what the login says; an invalid one is warned of and the login's own holds."""
        claude = own_home / ".claude"
        claude.mkdir(mode=0o700)
        login = {
            "accessToken": SETUP,
            "refreshToken": None,
            "subscriptionType": "max",
            "rateLimitTier": "default_claude_max_5x",
        }
        (claude / ".credentials.json").write_text(json.dumps({"claudeAiOauth": login}))
        seen = []
        for said in (None, "max_20", "platinum"):
            env = {} if said is None else {"ANTHROPIC_SUBSCRIPTION_TIER": said}
            with DaemonProcess(own_home, env=env) as daemon:
                seen.append(daemon.call("token.get")["tier"])
                if said == "max_20":
                    assert daemon.call("token.get", tier="max_20")["token"] == SETUP
            assert ("ANTHROPIC_SUBSCRIPTION_TIER" in daemon.log) is (said == "platinum")
        assert seen == ["max_5", "max_20", "max_5"]


class TestDotenv:
    @pytest.mark.covers("N5")
    def test_a_key_in_a_named_file_is_watched(self, own_home: Path) -> None:
        """It appears when the file does, changes with it, and yields to the real environment."""
        file = own_home / "project" / ".env"
        file.parent.mkdir()
        config = f'[sources.dotenv]\npaths = ["{file}"]\n'
        with DaemonProcess(own_home, config=config) as daemon, daemon.subscribe() as events:
            assert daemon.call("profile.list")["profiles"] == []
            file.write_text(f"export ANTHROPIC_API_KEY='{KEY}'\nANTHROPIC_MODEL=x\n")
            events.wait_for("appeared", profile="anthropic:dotenv")
            assert only_profile(daemon)["location"] == str(file)
            assert daemon.call("token.get")["token"] == KEY
            file.write_text(f"ANTHROPIC_API_KEY={KEY}2\n")
            assert daemon.call("token.get")["token"] == f"{KEY}2"
        with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": f"{KEY}3"}) as daemon:
            assert daemon.call("token.get")["token"] == f"{KEY}3"
            assert only_profile(daemon)["source"] == "environment"

    def test_no_other_file_is_read(self, own_home: Path) -> None:
        """One that lies in the home, the working directory or beside the configuration is nobody's business."""
        for directory in (own_home, own_home / ".config" / "tokenward"):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / ".env").write_text(f"ANTHROPIC_API_KEY={KEY}\n")
        with DaemonProcess(own_home) as daemon, pytest.raises(RpcError, match="credentials not set"):
            daemon.call("token.get")


def script(home: Path, text: str) -> Path:
    """An executable script."""
    path = home / "vault"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


class TestCommand:
    def test_a_401_runs_it_again(self, own_home: Path) -> None:
        """What it prints is served; a caller's refusal gets another one, many refusals one run."""
        runs = own_home / "runs"
        vault = script(own_home, f"echo >> {runs}\nread -r number < {own_home}/number\necho {KEY}$number")
        (own_home / "number").write_text("1\n")
        config = f'[sources.command.vault]\ncommand = ["{vault}"]\n'
        with DaemonProcess(own_home, config=config) as daemon:
            first = daemon.call("token.get")
            assert (first["token"], first["profile"]) == (f"{KEY}1", "anthropic:vault")
            (own_home / "number").write_text("2\n")
            assert daemon.call("token.get")["token"] == f"{KEY}1"
            for _ in range(3):
                second = daemon.call("token.get", newer_than=first["generation"])
                assert second["token"] == f"{KEY}2"
            (own_home / "number").write_text("3\n")
            report = {"profile": "anthropic:vault", "generation": second["generation"], "status": 401}
            assert daemon.call("token.report", **report)["action"] == "retry"
            assert daemon.call("token.get")["token"] == f"{KEY}3"
        assert len(runs.read_text().splitlines()) == 3

    def test_it_sees_no_credential_of_ours(self, own_home: Path) -> None:
        """Its environment is clean but for what the configuration names."""
        witness = own_home / "environment"
        vault = script(own_home, f"/usr/bin/env > {witness}\necho {KEY}")
        config = f'[sources.command.vault]\ncommand = ["{vault}"]\nenv = ["VAULT_ADDR"]\n'
        env = {"ANTHROPIC_API_KEY": f"{KEY}-own", "VAULT_ADDR": "https://vault.example"}
        with DaemonProcess(own_home, config=config, env=env) as daemon:
            assert daemon.call("token.get", profile="anthropic:vault")["token"] == KEY
        assert "VAULT_ADDR=https://vault.example" in witness.read_text()
        assert "ANTHROPIC" not in witness.read_text()

    def test_a_command_that_fails_is_said(self, own_home: Path) -> None:
        """With the place in the configuration, and nothing of what it printed."""
        vault = script(own_home, "echo sk-half-a-secret; echo sk-other >&2; exit 4")
        config = f'[sources.command.vault]\ncommand = ["{vault}"]\n'
        with DaemonProcess(own_home, config=config) as daemon:
            with pytest.raises(RpcError) as refusal:
                daemon.call("token.get")
            profile = only_profile(daemon)
        assert "status 4" in str(profile["note"])
        assert "sources.command.vault" in f"{refusal.value}"
        assert "sk-" not in f"{refusal.value} {profile} {daemon.log}"


class TestAnthropicProfile:
    def test_the_active_profile_is_kept_and_refreshed_with_consent(self, own_home: Path, sandbox: Sandbox) -> None:
        """Read, watched, and with `refresh = "direct"` refreshed at its own root, under its own client_id."""
        login = sandbox.issue(ttl_seconds=50)
        directory = own_home / ".config" / "anthropic"
        for part in ("configs", "credentials"):
            (directory / part).mkdir(parents=True, mode=0o700)
        secret = directory / "credentials" / "work.json"
        document = {
            "version": "1.0",
            "type": "oauth_token",
            "access_token": login.access_token,
            "refresh_token": login.refresh_token,
            "expires_at": int(login.expires_at),
            "theirs": 1,
        }
        (directory / "active_config").write_text("work\n")
        authentication = {"type": "user_oauth", "client_id": CLIENT_ID}
        (directory / "configs" / "work.json").write_text(
            json.dumps({"base_url": sandbox.base_url, "authentication": authentication})
        )
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file)
        enabled = "[sources.anthropic-profile]\nenabled = true\n"
        with DaemonProcess(own_home, config=enabled) as daemon:
            watched = daemon.call("token.get", min_valid=0)
            assert (watched["token"], watched["profile"]) == (login.access_token, "anthropic:work")
            assert watched["base_url"] == sandbox.base_url
            assert 'refresh = "direct"' in str(only_profile(daemon)["note"])
            assert sandbox.requests == ()
            daemon.configure(f'{enabled}refresh = "direct"\n')
            daemon.call("daemon.reload")
            renewed = daemon.call("token.get", min_valid=600)
        assert renewed["token"] != login.access_token
        written = json.loads(secret.read_bytes())
        assert (written["access_token"], written["theirs"]) == (renewed["token"], 1)
        assert written["refresh_token"] != login.refresh_token
        assert secret.stat().st_mode & 0o777 == 0o600

    def test_without_being_asked_it_is_left_alone(self, own_home: Path) -> None:
        """The SDKs' own profiles are theirs until the configuration says otherwise."""
        secret = own_home / ".config" / "anthropic" / "credentials" / "default.json"
        secret.parent.mkdir(parents=True)
        secret.write_text(json.dumps({"access_token": SETUP}))
        secret.chmod(0o600)
        with DaemonProcess(own_home) as daemon:
            assert daemon.call("profile.list")["profiles"] == []


class TestAdded:
    @pytest.mark.covers("A3")
    def test_a_gateway_key_is_added_only_where_its_gateway_is_known(self, own_home: Path) -> None:
        """Refused with the way that helps for Anthropic's own host; taken where api_url names another."""
        params = {"profile": "anthropic:gw", "kind": "auth_token", "credential": {"access_token": "sk-gateway"}}
        with DaemonProcess(own_home) as daemon:
            with pytest.raises(RpcError, match="gateway's key") as refusal:
                daemon.call("profile.add", **params)
            assert "api_url" in refusal.value.data["hint"]
            daemon.configure('[providers.anthropic]\napi_url = "https://gw.example"\n')
            daemon.call("daemon.reload")
            daemon.call("profile.add", **params)
            answer = daemon.call("token.get")
        assert (answer["token"], answer["base_url"]) == ("sk-gateway", "https://gw.example")
