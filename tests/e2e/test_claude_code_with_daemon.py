"""The real Claude Code and the daemon on one login: as its helper, beside it on its file, and by its own hand."""

import shlex
import signal
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.claude_code import SCOPE, SIBLINGS, TURN_STARTED, ClaudeCode
from e2e.connect_proxy import ConnectProxy
from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, RpcError, direct
from tokenward import helper
from tokenward.sandbox import HOLD_AFTER, HOLD_BEFORE, Issued, LoggedRequest, Sandbox, fingerprint

ANSWER = "pong from the sandbox"
RIVAL = pytest.mark.fault(
    "rival-claude-code",
    "the real Claude Code and a daemon that refreshes, on one login that ended: either first, or both at once",
    "the later one waits for the locks and takes the other's token; no refresh token is sent twice",
)
DUE = 50.0
"""Seconds of life that are less than the daemon's margin, and than Claude Code's 300 s."""
KEY_PROFILE = "anthropic:key"
# What keeps the child of a test from looking beyond its login; the daemon passes on what is named here.
QUIET = {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
PASSED_ON = "env = [{}]\n".format(", ".join(f'"{name}"' for name in QUIET))


def helper_settings() -> dict[str, str]:
    """The `apiKeyHelper` as `claude-code install` writes it."""
    return {"apiKeyHelper": f"{shlex.quote(sys.executable)} -IS {shlex.quote(helper.__file__)}"}


def keep_key(daemon: DaemonProcess, key: str) -> None:
    """Make this the daemon's API key."""
    daemon.call("profile.add", profile=KEY_PROFILE, kind="api_key", credential={"access_token": key})


def store(claude_code: ClaudeCode, login: Issued) -> None:
    """Make `login` Claude Code's."""
    claude_code.write_credentials(login.access_token, login.refresh_token, int(login.expires_at * 1000))


def asked_for(sandbox: Sandbox, path: str) -> list[LoggedRequest]:
    """The requests for one path so far."""
    return [each for each in sandbox.requests if each.path == path]


def bearers(sandbox: Sandbox) -> list[str]:
    """What the Messages API was given as bearer, by fingerprint, in order."""
    return [each.headers["authorization"] for each in asked_for(sandbox, "/v1/messages")]


def bearer(token: str) -> str:
    """How the sandbox shows a bearer token."""
    return f"Bearer {fingerprint(token)}"


class TestHelper:
    """The helper as `apiKeyHelper`, at Anthropic's own address."""

    def test_the_daemons_key_goes_out_in_both_headers(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """Beside a login the API key is what the helper prints, and the prompt is answered."""
        key = "sk-ant-api03-one"
        sandbox.register_api_key(key)
        store(claude_code, sandbox.issue(scope=SCOPE))
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, key)
            run = claude_code.prompt("hi", env=reaching(daemon), settings=helper_settings())
        assert (run.rc, run.stdout.strip()) == (0, ANSWER)
        (request,) = asked_for(sandbox, "/v1/messages")
        assert request.headers["authorization"] == bearer(key)
        assert request.headers["x-api-key"] == fingerprint(key)

    def test_a_key_replaced_after_a_401_is_used_in_the_same_prompt(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """The API refuses the first key; meanwhile the daemon was given a second, and Claude Code gets that."""
        first, second = "sk-ant-api03-first", "sk-ant-api03-second"
        sandbox.register_api_key(second)
        sandbox.faults.next("messages", HOLD_BEFORE)
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, first)
            run = claude_code.start_prompt("hi", env=reaching(daemon), settings=helper_settings())
            assert sandbox.faults.wait_held(timeout=30)
            keep_key(daemon, second)
            sandbox.faults.release()
            ended = run.wait()
        assert (ended.rc, ended.stdout.strip()) == (0, ANSWER)
        assert bearers(sandbox) == [bearer(first), bearer(second)]

    def test_a_login_is_not_passed_off_as_a_key(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """With nothing but a login in the daemon, Claude Code shows why the helper has no key, and the way out."""
        login = sandbox.issue(scope=SCOPE)
        store(claude_code, login)
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            run = claude_code.prompt("hi", env=reaching(daemon), settings=helper_settings())
        assert run.rc == 1
        assert "apiKeyHelper failed: exited 3: tokenward-helper: there is a login" in run.stderr
        assert "tokenward claude-code install --via profile" in run.stderr
        assert bearer(login.access_token) not in bearers(sandbox)


def reaching(daemon: DaemonProcess) -> dict[str, str]:
    """What Claude Code's environment needs for the helper to find this daemon."""
    return {"TOKENWARD_SOCKET": str(daemon.socket_file)}


class TestDirect:
    """Claude Code and a daemon that refreshes, on one file."""

    def test_a_rotation_by_the_daemon_is_adopted_in_mid_session(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """The turn after our refresh uses our token; Claude Code asked the token endpoint for nothing."""
        login = sandbox.issue(scope=SCOPE)
        store(claude_code, login)
        config = direct(sandbox.token_endpoint)
        with (
            DaemonProcess(claude_code.home, config=config, runtime_dir=own_home) as daemon,
            claude_code.start_session() as session,
        ):
            assert session.send("one").result == ANSWER
            daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            token = daemon.call("token.get")["token"]
            assert session.send("two").result == ANSWER
            assert session.close().rc == 0
        assert bearers(sandbox) == [bearer(login.access_token), bearer(token)]
        assert asked_for(sandbox, "/v1/oauth/token") == []
        assert sandbox.statistics().token_requests == 1
        assert claude_code.login()["accessToken"] == token

    @RIVAL
    def test_claude_code_waits_for_our_locks_and_takes_our_token(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """An expired login and our request on the wire: Claude Code sends no request of its own."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=-1))
        sandbox.faults.next("token", HOLD_BEFORE)
        with DaemonProcess(
            claude_code.home, config=direct(sandbox.token_endpoint), runtime_dir=own_home
        ) as daemon:
            assert sandbox.faults.wait_held()
            assert claude_code.refresh_lock.is_dir()
            assert claude_code.legacy_lock.is_dir()
            run = claude_code.start_prompt("hi")
            run.wait_for_debug_line(TURN_STARTED)
            assert bearers(sandbox) == []
            sandbox.faults.release()
            ended = run.wait()
            token = daemon.call("token.get")["token"]
        assert (ended.rc, ended.stdout.strip()) == (0, ANSWER)
        assert bearers(sandbox) == [bearer(token)]
        assert asked_for(sandbox, "/v1/oauth/token") == []
        assert sandbox.statistics().token_requests == 1
        assert not claude_code.refresh_lock.exists()
        assert not claude_code.legacy_lock.exists()

    @RIVAL
    def test_we_wait_for_claude_codes_locks_and_take_its_token(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """An expired login and Claude Code's request on the wire: the daemon sends none of its own."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=-1))
        sandbox.faults.next("token", HOLD_BEFORE)
        run = claude_code.start_prompt("hi")
        assert sandbox.faults.wait_held(timeout=30)
        with DaemonProcess(
            claude_code.home, config=direct(sandbox.token_endpoint), runtime_dir=own_home
        ) as daemon:
            with pytest.raises(RpcError):
                daemon.call("token.get", timeout=1)
            assert sandbox.statistics().token_requests == 1
            sandbox.faults.release()
            assert run.wait().rc == 0
            token = daemon.call("token.get")["token"]
        assert token == claude_code.login()["accessToken"]
        assert bearers(sandbox) == [bearer(token)]
        assert asked_for(sandbox, "/oauth/token") == []
        assert sandbox.statistics().token_requests == 1

    @RIVAL
    def test_both_at_the_same_moment_spend_each_token_once(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """Whoever comes first: one request each time, counted at the server, and the prompt is answered."""
        rounds = 3
        store(claude_code, sandbox.issue(scope=SCOPE))
        with DaemonProcess(
            claude_code.home, config=direct(sandbox.token_endpoint), runtime_dir=own_home
        ) as daemon:
            for _ in range(rounds):
                run = claude_code.start_prompt("hi")
                run.wait_for_debug_line(TURN_STARTED)
                daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
                login = claude_code.login()
                claude_code.write_credentials(login["accessToken"], login["refreshToken"], 0)
                assert run.wait().rc == 0
                daemon.call("token.get", min_valid=600)
        counted = sandbox.statistics()
        assert (counted.reuse_detected, counted.invalid_grants) == (0, 0)
        assert counted.token_requests == counted.refreshes_granted >= rounds


class TestDelegate:
    """A daemon that lets Claude Code refresh its own login."""

    @pytest.mark.parametrize("setting", ["", 'refresh = "auto"\n', 'refresh = "delegate"\n'])
    def test_claude_code_refreshes_and_the_daemon_serves(
        self,
        claude_code: ClaudeCode,
        sandbox: Sandbox,
        connect_proxy: ConnectProxy,
        own_home: Path,
        setting: str,
    ) -> None:
        """With `claude` on PATH, by default: one POST, Claude Code's own, and its token served."""
        before = sandbox.issue(scope=SCOPE, ttl_seconds=DUE)
        store(claude_code, before)
        with delegating(claude_code, connect_proxy, own_home, setting) as daemon:
            answer = daemon.call("token.get", min_valid=600)
            shown = daemon.call("profile.get", profile=CLAUDE_PROFILE)
            assert daemon.terminate() == 0
        assert (shown["refresh"], answer["degraded"]) == ("delegate", None)
        assert answer["token"] == claude_code.login()["accessToken"] != before.access_token
        assert sandbox.liveness(answer["token"]) == "live"
        (request,) = asked_for(sandbox, "/v1/oauth/token")
        assert request.fields["refresh_token"] == fingerprint(before.refresh_token)
        agents = {each.headers.get("user-agent", "") for each in sandbox.requests}
        assert not any(agent.startswith("tokenward") for agent in agents)
        assert asked_for(sandbox, "/oauth/token") == []
        assert siblings(claude_code.credentials()) == SIBLINGS
        assert stat.S_IMODE(claude_code.credentials_file.stat().st_mode) == 0o600

    def test_the_end_of_the_daemon_waits_for_claude_code(
        self, claude_code: ClaudeCode, sandbox: Sandbox, connect_proxy: ConnectProxy, own_home: Path
    ) -> None:
        """SIGTERM while Claude Code has its refresh token on the wire: it is not cut off, and nothing is lost."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=DUE))
        sandbox.faults.next("token", HOLD_AFTER)
        with delegating(claude_code, connect_proxy, own_home, "") as daemon:
            assert sandbox.faults.wait_held(timeout=30)
            daemon.signal(signal.SIGTERM)
            assert daemon.wait_until_told("STOPPING=1")
            sandbox.faults.release()
            assert daemon.wait() == 0
        assert sandbox.liveness(claude_code.login()["accessToken"]) == "live"
        assert sandbox.statistics().token_requests == 1


def delegating(
    claude_code: ClaudeCode, connect_proxy: ConnectProxy, runtime_dir: Path, setting: str
) -> DaemonProcess:
    """A daemon with `claude` on its PATH, in an environment in which Anthropic is the sandbox."""
    through_proxy: Mapping[str, str] = {
        "HTTPS_PROXY": connect_proxy.url,
        "HTTP_PROXY": connect_proxy.url,
        "NODE_EXTRA_CA_CERTS": str(connect_proxy.ca_file),
    }
    directory = claude_code.home / "bin"
    daemon = DaemonProcess(
        claude_code.home,
        config=f"[sources.claude-code]\n{setting}{PASSED_ON}",
        env={**through_proxy, **QUIET, "PATH": f"{directory}:/usr/bin:/bin"},
        runtime_dir=runtime_dir,
    )
    (directory / "claude").symlink_to(claude_code.binary)
    return daemon


def siblings(document: dict[str, Any]) -> dict[str, Any]:
    """Everything in the file beside the login."""
    return {name: value for name, value in document.items() if name != "claudeAiOauth"}
