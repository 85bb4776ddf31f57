"""What tokenward takes for granted about Claude Code, shown with the real binary and without tokenward.

If one of these fails with a newer Claude Code, the facts have changed, and what is built on them has to.
"""

import http.client
import shlex
import ssl
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from watchfiles import watch

from e2e.claude_code import CLIENT_ID, SCOPE, SIBLINGS, TURN_STARTED, ClaudeCode
from e2e.connect_proxy import ConnectProxy, ProxiedRequest
from tokenward.sandbox import HOLD_BEFORE, Issued, LoggedRequest, Sandbox, fingerprint

OAUTH_BETA = "oauth-2025-04-20"
ANSWER = "pong from the sandbox"
DELEGATION_SECONDS = 300  # Claude Code refreshes a login with at most this left
HOUR = 3600


def helper(directory: Path, *outputs: str) -> dict[str, str]:
    """Settings with an apiKeyHelper that prints the next of `outputs` each time, and the last one from then on."""
    script = directory / "helper.sh"
    lines = "".join(f"  {run}) echo {shlex.quote(output)} ;;\n" for run, output in enumerate(outputs[:-1], 1))
    script.write_text(
        "#!/bin/sh\n"
        f"echo run >> {shlex.quote(str(runs_of(directory)))}\n"
        f"case $(wc -l < {shlex.quote(str(runs_of(directory)))}) in\n"
        f"{lines}  *) echo {shlex.quote(outputs[-1])} ;;\nesac\n"
    )
    script.chmod(0o700)
    return {"apiKeyHelper": shlex.quote(str(script))}


def runs_of(directory: Path) -> Path:
    """The file in which that helper leaves a line for each run."""
    return directory / "runs"


def store(claude_code: ClaudeCode, login: Issued, **more: Any) -> None:
    """Make `login` the stored one."""
    claude_code.write_credentials(login.access_token, login.refresh_token, int(login.expires_at * 1000), **more)


def asked_for(sandbox: Sandbox, path: str) -> list[LoggedRequest]:
    """The requests for one path so far."""
    return [each for each in sandbox.requests if each.path == path]


def bearers(sandbox: Sandbox) -> list[str]:
    """What the Messages API was given as bearer, by fingerprint, in order."""
    return [each.headers["authorization"] for each in asked_for(sandbox, "/v1/messages")]


def bearer(token: str) -> str:
    """How the sandbox shows a bearer token."""
    return f"Bearer {fingerprint(token)}"


class TestHarness:
    """The harness itself, so that what it reports can be believed."""

    def test_the_proxy_refuses_and_records_every_other_host(self, connect_proxy: ConnectProxy) -> None:
        """A host that is not played gets 502, no connection, and an entry in the record."""
        for tunnel in ("example.invalid:443", "api.anthropic.com:80"):
            host, _, port = tunnel.partition(":")
            connection = http.client.HTTPConnection(*_address(connect_proxy), timeout=10)
            connection.set_tunnel(host, int(port))
            with pytest.raises(OSError, match="502"):
                connection.connect()
            connection.close()
        plain = http.client.HTTPConnection(*_address(connect_proxy), timeout=10)
        plain.request("GET", "http://example.invalid/path?query")
        assert plain.getresponse().status == 502
        plain.close()
        assert connect_proxy.refused_hosts == {"example.invalid", "api.anthropic.com"}
        assert connect_proxy.requests[-1] == ProxiedRequest("GET", "example.invalid", "/path", refused=True)

    def test_the_proxy_plays_a_host_with_a_certificate_for_it(
        self, connect_proxy: ConnectProxy, sandbox: Sandbox
    ) -> None:
        """A client that checks names and trusts only the throw-away CA reaches the sandbox."""
        trust = ssl.create_default_context(cafile=str(connect_proxy.ca_file))
        connection = http.client.HTTPSConnection(*_address(connect_proxy), timeout=10, context=trust)
        connection.set_tunnel("platform.claude.com", 443)
        connection.request("POST", "/v1/oauth/token?x=1", b"{}", {"Content-Type": "application/json"})
        assert connection.getresponse().status == 400
        connection.close()
        assert connect_proxy.requests == (ProxiedRequest("POST", "platform.claude.com", "/v1/oauth/token"),)
        assert [each.path for each in sandbox.requests] == ["/v1/oauth/token"]

    def test_without_a_proxy_there_is_no_way_out(self, claude_binary: Path, tmp_path: Path) -> None:
        """A harness without a proxy and a base URL fails closed: the prompt ends with a connection error."""
        with ClaudeCode(claude_binary, tmp_path / "home") as isolated:
            run = isolated.prompt("hi", settings=helper(tmp_path, "sk-ant-api03-anything"))
        assert run.rc == 1
        assert "ECONNREFUSED" in run.stdout


class TestHelper:
    """Claude Code with an apiKeyHelper."""

    @pytest.fixture
    def through_base_url(self, sandbox: Sandbox) -> Mapping[str, str]:
        """The environment of a person who uses a gateway."""
        return {"ANTHROPIC_BASE_URL": sandbox.base_url}

    def test_its_value_goes_into_both_headers(
        self, claude_code: ClaudeCode, sandbox: Sandbox, through_base_url: Mapping[str, str], tmp_path: Path
    ) -> None:
        """One run of the helper, one request, the value in both headers, and no OAuth beta."""
        key = "sk-ant-api03-one"
        sandbox.register_api_key(key)
        run = claude_code.prompt("hi", env=through_base_url, settings=helper(tmp_path, key))
        assert (run.rc, run.stdout.strip()) == (0, ANSWER)
        (request,) = asked_for(sandbox, "/v1/messages")
        assert request.headers["authorization"] == bearer(key)
        assert request.headers["x-api-key"] == fingerprint(key)
        assert OAUTH_BETA not in request.headers["anthropic-beta"]
        assert runs_of(tmp_path).read_text().count("run") == 1

    def test_an_access_token_from_it_lacks_the_beta(
        self, claude_code: ClaudeCode, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """Even at Anthropic's own host, a helper's access token goes out in both headers and without the beta."""
        token = sandbox.issue().access_token
        run = claude_code.prompt("hi", settings=helper(tmp_path, token))
        assert run.rc == 1
        request = asked_for(sandbox, "/v1/messages")[0]
        assert request.headers["authorization"] == bearer(token)
        assert request.headers["x-api-key"] == fingerprint(token)
        assert OAUTH_BETA not in request.headers["anthropic-beta"]
        assert request.status == 401

    def test_a_401_runs_it_again(
        self, claude_code: ClaudeCode, sandbox: Sandbox, through_base_url: Mapping[str, str], tmp_path: Path
    ) -> None:
        """A rejected key is dropped, the helper asked again, and the second key used in the same prompt."""
        sandbox.register_api_key("sk-ant-api03-second")
        settings = helper(tmp_path, "sk-ant-api03-first", "sk-ant-api03-second")
        run = claude_code.prompt("hi", env=through_base_url, settings=settings)
        assert (run.rc, run.stdout.strip()) == (0, ANSWER)
        assert bearers(sandbox) == [bearer("sk-ant-api03-first"), bearer("sk-ant-api03-second")]
        assert runs_of(tmp_path).read_text().count("run") == 2

    def test_its_failure_is_shown_with_its_reason(
        self, claude_code: ClaudeCode, through_base_url: Mapping[str, str]
    ) -> None:
        """A helper that exits non-zero: its exit status and stderr are printed, and the prompt fails."""
        settings = {"apiKeyHelper": "echo 'tokenward: no daemon' >&2; exit 4"}
        run = claude_code.prompt("hi", env=through_base_url, settings=settings)
        assert run.rc == 1
        assert "apiKeyHelper failed: exited 4: tokenward: no daemon" in run.stderr
        assert "Your apiKeyHelper script is failing" in run.stdout + run.stderr


class TestStoredLogin:
    """Claude Code with a login in its file."""

    @pytest.mark.parametrize("expired", [False, True])
    def test_auth_status_refreshes_what_is_due(
        self, claude_code: ClaudeCode, sandbox: Sandbox, connect_proxy: ConnectProxy, *, expired: bool
    ) -> None:
        """With 200 s or nothing left, `auth status` refreshes: a new generation, and the rest of the file kept."""
        left = -200 if expired else 200
        before = sandbox.issue(scope=SCOPE, ttl_seconds=left)
        assert left < DELEGATION_SECONDS
        store(claude_code, before)
        assert claude_code.auth_status().rc == 0
        (request,) = asked_for(sandbox, "/v1/oauth/token")
        assert request.fields["grant_type"] == "refresh_token"
        assert request.fields["client_id"] == CLIENT_ID
        assert request.fields["refresh_token"] == fingerprint(before.refresh_token)
        after = claude_code.login()
        assert sandbox.liveness(after["accessToken"]) == "live"
        assert after["accessToken"] != before.access_token
        assert after["refreshToken"] != before.refresh_token
        assert after["expiresAt"] > (time.time() + HOUR / 2) * 1000
        siblings = {name: value for name, value in claude_code.credentials().items() if name != "claudeAiOauth"}
        assert siblings == SIBLINGS
        assert stat.S_IMODE(claude_code.credentials_file.stat().st_mode) == 0o600
        assert not asked_for(sandbox, "/v1/messages")
        assert connect_proxy.refused_hosts == frozenset()

    def test_auth_status_leaves_alone_what_is_not_due(self, claude_code: ClaudeCode, sandbox: Sandbox) -> None:
        """With an hour left, `auth status` asks the token endpoint for nothing and keeps the file."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=HOUR))
        before = claude_code.credentials_file.read_bytes()
        run = claude_code.auth_status()
        assert run.rc == 0
        assert '"authMethod": "claude.ai"' in run.stdout
        assert sandbox.statistics().token_requests == 0
        assert claude_code.credentials_file.read_bytes() == before

    def test_auth_status_refreshes_beside_a_helper_without_running_it(
        self, claude_code: ClaudeCode, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """Delegation works, and does not come back to us, when tokenward is also the apiKeyHelper."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=200))
        run = claude_code.auth_status(settings=helper(tmp_path, "sk-ant-api03-one"))
        assert '"authMethod": "api_key_helper"' in run.stdout
        assert sandbox.statistics().refreshes_granted == 1
        assert not runs_of(tmp_path).exists()

    def test_a_foreign_holder_of_both_locks_is_waited_for(self, claude_code: ClaudeCode, sandbox: Sandbox) -> None:
        """While both locks are held nothing is sent; what the holder has written is adopted without a POST."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=-1))
        claude_code.refresh_lock.mkdir()
        claude_code.legacy_lock.mkdir()
        run = claude_code.start_prompt("hi")
        run.wait_for_debug_line(TURN_STARTED)
        assert sandbox.requests == ()
        rotated = sandbox.issue(scope=SCOPE)
        store(claude_code, rotated)
        claude_code.legacy_lock.rmdir()
        claude_code.refresh_lock.rmdir()
        ended = run.wait()
        assert (ended.rc, ended.stdout.strip()) == (0, ANSWER)
        assert sandbox.statistics().token_requests == 0
        assert bearers(sandbox) == [bearer(rotated.access_token)]

    def test_the_refresh_lock_is_given_back_while_the_legacy_lock_is_held(
        self, claude_code: ClaudeCode, sandbox: Sandbox
    ) -> None:
        """The order is refresh lock, then legacy lock; without the second, the first is let go and retried."""
        store(claude_code, sandbox.issue(scope=SCOPE, ttl_seconds=-1))
        claude_code.legacy_lock.mkdir()
        changes = watch(
            claude_code.config_dir, recursive=False, step=10, rust_timeout=100, yield_on_timeout=True, debounce=10
        )
        next(changes)
        run = claude_code.start_prompt("hi")
        seen: set[str] = set()
        deadline = time.monotonic() + 20
        while not {"added", "deleted"} <= seen and time.monotonic() < deadline:
            lock = str(claude_code.refresh_lock)
            seen |= {change.raw_str() for change, path in next(changes) if path == lock}
        changes.close()
        assert {"added", "deleted"} <= seen
        assert sandbox.statistics().token_requests == 0
        rotated = sandbox.issue(scope=SCOPE)
        store(claude_code, rotated)
        claude_code.legacy_lock.rmdir()
        assert run.wait().rc == 0
        assert sandbox.statistics().token_requests == 0
        assert bearers(sandbox) == [bearer(rotated.access_token)]

    def test_a_rotated_file_is_adopted_in_mid_session(self, claude_code: ClaudeCode, sandbox: Sandbox) -> None:
        """The turn after a rotation by somebody else uses the new token, without a restart and without a 401."""
        first, second = sandbox.issue(scope=SCOPE), sandbox.issue(scope=SCOPE)
        store(claude_code, first)
        with claude_code.start_session() as session:
            assert session.send("one").result == ANSWER
            store(claude_code, second)
            assert session.send("two").result == ANSWER
            assert session.close().rc == 0
        assert bearers(sandbox) == [bearer(first.access_token), bearer(second.access_token)]
        assert sandbox.statistics().token_requests == 0

    def test_a_401_adopts_the_newer_file_instead_of_refreshing(
        self, claude_code: ClaudeCode, sandbox: Sandbox
    ) -> None:
        """A 401 sends Claude Code to the file first; a newer token there spares the token endpoint."""
        spent, rotated = sandbox.issue(scope=SCOPE), sandbox.issue(scope=SCOPE)
        store(claude_code, spent)
        sandbox.revoke(spent.access_token)
        sandbox.faults.next("messages", HOLD_BEFORE)
        run = claude_code.start_prompt("hi")
        assert sandbox.faults.wait_held()
        store(claude_code, rotated)
        sandbox.faults.release()
        assert run.wait().rc == 0
        assert bearers(sandbox) == [bearer(spent.access_token), bearer(rotated.access_token)]
        assert sandbox.statistics().token_requests == 0

    def test_a_login_without_refresh_token_is_never_refreshed(
        self, claude_code: ClaudeCode, sandbox: Sandbox
    ) -> None:
        """`refreshToken: null` is used beyond its `expiresAt`, by `auth status` and by a prompt, as it is."""
        login = sandbox.issue(scope=SCOPE)
        claude_code.write_credentials(login.access_token, None, int((time.time() - HOUR) * 1000))
        before = claude_code.login()
        assert claude_code.auth_status().rc == 0
        assert claude_code.prompt("hi").rc == 0
        assert sandbox.statistics().token_requests == 0
        assert bearers(sandbox) == [bearer(login.access_token)]
        assert claude_code.login() == before


def _address(proxy: ConnectProxy) -> tuple[str, int]:
    address = urlsplit(proxy.url)
    return str(address.hostname), int(address.port or 0)
