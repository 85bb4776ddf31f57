"""`tokenward claude-code`, judged by the real Claude Code: what was installed is what it uses."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.claude_code import CLIENT_ID, SCOPE, ClaudeCode
from e2e.command import finished
from e2e.daemon_process import DaemonProcess
from e2e.stored_login import given
from e2e.waiting import eventually
from tokenward.client import Client
from tokenward.core.credential import Kind, Secret
from tokenward.ports import Published
from tokenward.sandbox import LoggedRequest, Sandbox, fingerprint
from tokenward.sinks.anthropic_profile import AnthropicProfileSink
from tokenward.sinks.publication_record import PublicationRecord

ANSWER = "pong from the sandbox"
KEY_PROFILE = "anthropic:key"
FIRST, SECOND = "sk-ant-api03-first", "sk-ant-api03-second"
PUBLISHED = "tokenward"


def keep_key(daemon: DaemonProcess, key: str) -> None:
    """Make this the daemon's API key."""
    daemon.call("profile.add", profile=KEY_PROFILE, kind="api_key", credential={"access_token": key})


def install(daemon: DaemonProcess, *words: str) -> None:
    """Install the helper as a person does."""
    done = finished(daemon, "claude-code", "install", *words)
    assert done.status == 0, done.said


def reaching(daemon: DaemonProcess, **more: str) -> dict[str, str]:
    """What Claude Code's environment needs for the helper to find this daemon."""
    return {"XDG_RUNTIME_DIR": str(daemon.socket_file.parents[1]), **more}


def asked(sandbox: Sandbox) -> list[LoggedRequest]:
    """The prompts that the Messages API was given."""
    return [each for each in sandbox.requests if each.path == "/v1/messages"]


def bearers(sandbox: Sandbox) -> list[str]:
    """What it was given as bearer, by fingerprint, in order."""
    return [each.headers["authorization"] for each in asked(sandbox)]


def bearer(token: str) -> str:
    """How the sandbox shows a bearer token."""
    return f"Bearer {fingerprint(token)}"


class TestHelper:
    @pytest.mark.covers("A11")
    def test_installed_used_and_gone_again(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """The key goes out in both headers, Claude Code still reads its other settings, and uninstall ends it."""
        sandbox.register_api_key(FIRST)
        claude_code.settings_file.write_text('{"env": {"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "60000"}}\n')
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, FIRST)
            install(daemon)
            run = claude_code.prompt("hi", env=reaching(daemon))
            assert (run.rc, run.stdout.strip()) == (0, ANSWER)
            done = finished(daemon, "claude-code", "uninstall")
            assert done.status == 0, done.said
            after = claude_code.prompt("hi", env=reaching(daemon))
        (request,) = asked(sandbox)
        assert request.headers["authorization"] == bearer(FIRST)
        assert request.headers["x-api-key"] == fingerprint(FIRST)
        assert after.rc == 1
        assert claude_code.settings_file.read_text() == (
            '{"env": {"CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "60000"}}\n'
        )

    def test_a_key_that_was_replaced_is_used_in_the_same_session(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """With a TTL of zero the new key comes after one stale use at most; nothing is restarted."""
        for key in (FIRST, SECOND):
            sandbox.register_api_key(key)
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, FIRST)
            install(daemon)
            env = reaching(daemon, CLAUDE_CODE_API_KEY_HELPER_TTL_MS="0")
            with claude_code.start_session(env=env) as session:
                assert session.send("one").result == ANSWER
                keep_key(daemon, SECOND)
                assert session.send("two").result == ANSWER
                assert session.send("three").result == ANSWER
                assert session.close().rc == 0
        seen = bearers(sandbox)
        assert (seen[0], seen[-1]) == (bearer(FIRST), bearer(SECOND))

    def test_a_401_brings_the_new_key(self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path) -> None:
        """A session whose key the API refuses asks again, within its TTL, and goes on."""
        sandbox.register_api_key(SECOND)
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, FIRST)
            install(daemon, "--profile", KEY_PROFILE)
            with claude_code.start_session(env=reaching(daemon)) as session:
                assert session.send("one").is_error
                keep_key(daemon, SECOND)
                assert session.send("two").result == ANSWER
                session.close()
        assert bearers(sandbox)[0] == bearer(FIRST)
        assert bearers(sandbox)[-1] == bearer(SECOND)

    def test_without_a_daemon_claude_code_says_why(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """Cause and way out, in Claude Code's own words around them."""
        daemon = DaemonProcess(claude_code.home, runtime_dir=own_home)
        install(daemon)
        run = claude_code.prompt("hi", env=reaching(daemon))
        assert run.rc == 1
        assert "apiKeyHelper failed: exited 4: tokenward-helper: no tokenward daemon answers" in run.stderr
        assert "start one: tokenward daemon" in run.stderr

    def test_a_daemon_that_does_not_answer_is_not_waited_for(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """One that is stopped costs a second for each of Claude Code's tries, and the reason is shown."""
        sandbox.register_api_key(FIRST)
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, FIRST)
            install(daemon)
            daemon.signal(signal.SIGSTOP)
            run = claude_code.prompt("hi", env=reaching(daemon))
            daemon.signal(signal.SIGCONT)
            assert run.rc == 1
            assert "exited 4: tokenward-helper: the tokenward daemon took the request and did not" in run.stderr
            assert claude_code.prompt("hi", env=reaching(daemon)).stdout.strip() == ANSWER

    def test_a_daemon_is_started_where_that_was_wished(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """None runs; the first prompt is answered, and the daemon goes on after Claude Code's end."""
        sandbox.register_api_key(FIRST)
        with DaemonProcess(claude_code.home, runtime_dir=own_home) as daemon:
            keep_key(daemon, FIRST)
            install(daemon, "--spawn")
            assert daemon.terminate() == 0
            run = claude_code.prompt("hi", env=reaching(daemon))
            with Client(daemon.socket_file) as client:
                client.stop()
        assert (run.rc, run.stdout.strip()) == (0, ANSWER), run.stderr
        assert bearers(sandbox) == [bearer(FIRST)]


class TestProfile:
    """A login that is published as a profile of Anthropic's SDKs."""

    @pytest.mark.parametrize("in_settings", [False, True])
    def test_it_goes_out_as_a_login(
        self,
        claude_code: ClaudeCode,
        sandbox: Sandbox,
        in_settings: bool,  # noqa: FBT001 - a column
    ) -> None:
        """One header and the beta, with the variable in the shell or, as `print` has it, in the settings."""
        token = publish(claude_code, sandbox)
        variable = {"ANTHROPIC_PROFILE": PUBLISHED}
        if in_settings:
            run = claude_code.prompt("hi", settings={"env": variable})
        else:
            run = claude_code.prompt("hi", env=variable)
        assert (run.rc, run.stdout.strip()) == (0, ANSWER), run.stderr
        (request,) = asked(sandbox)
        assert request.headers["authorization"] == bearer(token)
        assert "x-api-key" not in request.headers
        assert "oauth-2025-04-20" in request.headers["anthropic-beta"]

    def test_a_rotation_is_taken_after_a_401(self, claude_code: ClaudeCode, sandbox: Sandbox) -> None:
        """The file is read again in the same session, and nobody but us refreshes."""
        with claude_code.start_session(env={"ANTHROPIC_PROFILE": PUBLISHED}) as session:
            first = publish(claude_code, sandbox)
            assert session.send("one").result == ANSWER
            assert sandbox.revoke(first)
            second = publish(claude_code, sandbox)
            assert session.send("two").result == ANSWER
            session.close()
        assert bearers(sandbox)[0] == bearer(first)
        assert bearers(sandbox)[-1] == bearer(second)
        assert sandbox.statistics().token_requests == 0


LOGIN_PROFILE = "anthropic:me"


class TestInstalledProfile:
    """The whole way: `install --via profile`, the daemon that publishes, Claude Code that uses it."""

    @pytest.mark.covers("A11")
    def test_installed_used_rotated_and_gone_again(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """A rotation is taken in the same session, only the daemon refreshes, and uninstall takes the files."""
        mine = f'[providers.anthropic]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "{CLIENT_ID}"\n'
        files = claude_code.home / ".config" / "anthropic"
        with DaemonProcess(claude_code.home, runtime_dir=own_home, config=mine) as daemon:
            first = keep_login(daemon, sandbox)
            install(daemon, "--via", "profile", "--profile", LOGIN_PROFILE)
            with claude_code.start_session(env={"ANTHROPIC_PROFILE": PUBLISHED}) as session:
                assert session.send("one").result == ANSWER
                second = rotated(daemon)
                assert sandbox.revoke(first)
                assert session.send("two").result == ANSWER
                session.close()
            said = finished(daemon, "claude-code", "uninstall", "--via", "profile")
            assert said.status == 0, said.said
            assert daemon.call("sink.list")["sinks"] == []
            assert daemon.config_file.read_text() == mine
            assert [path for path in files.rglob("*") if path.is_file()] == []
            after = claude_code.prompt("hi", env={"ANTHROPIC_PROFILE": PUBLISHED})
        assert after.rc == 1
        assert bearers(sandbox)[0] == bearer(first) != bearer(second)
        assert bearers(sandbox)[-1] == bearer(second)
        assert sandbox.statistics().token_requests == 1

    def test_a_login_that_is_taken_out_of_use_is_withdrawn(
        self, claude_code: ClaudeCode, sandbox: Sandbox, own_home: Path
    ) -> None:
        """Claude Code finds no profile then, and finds it again once the login is back."""
        mine = f'[providers.anthropic]\ntoken_endpoint = "{sandbox.token_endpoint}"\nclient_id = "{CLIENT_ID}"\n'
        with DaemonProcess(claude_code.home, runtime_dir=own_home, config=mine) as daemon:
            keep_login(daemon, sandbox)
            install(daemon, "--via", "profile")
            eventually(lambda: is_published(daemon), daemon)
            daemon.call("profile.disable", profile=LOGIN_PROFILE)
            eventually(lambda: not is_published(daemon), daemon)
            assert claude_code.prompt("hi", env={"ANTHROPIC_PROFILE": PUBLISHED}).rc == 1
            daemon.call("profile.enable", profile=LOGIN_PROFILE)
            eventually(lambda: is_published(daemon), daemon)
            assert claude_code.prompt("hi", env={"ANTHROPIC_PROFILE": PUBLISHED}).stdout.strip() == ANSWER


def keep_login(daemon: DaemonProcess, sandbox: Sandbox) -> str:
    """A login in the daemon's own store; its access token."""
    login = sandbox.issue(scope=SCOPE)
    daemon.call("profile.add", profile=LOGIN_PROFILE, kind="oauth", credential=given(login))
    return login.access_token


def is_published(daemon: DaemonProcess) -> bool:
    """Whether the daemon's only sink holds the value that the login does."""
    (sink,) = daemon.call("sink.list")["sinks"]
    held = daemon.call("profile.get", profile=LOGIN_PROFILE)["generation"]
    return bool(sink["state"] == "published" and sink["generation"] == held)


def rotated(daemon: DaemonProcess) -> str:
    """Have the login refreshed by hand and its files written; the new access token."""
    daemon.call("profile.refresh", profile=LOGIN_PROFILE)
    eventually(lambda: is_published(daemon), daemon)
    return str(daemon.call("token.get", profile=LOGIN_PROFILE)["token"])


def publish(claude_code: ClaudeCode, sandbox: Sandbox) -> str:
    """A new login's token in the profile's files."""
    login = sandbox.issue(scope=SCOPE)
    record = PublicationRecord(claude_code.home / "published.json")
    sink = AnthropicProfileSink(claude_code.home / ".config" / "anthropic", PUBLISHED, record)
    sink.publish(
        Published(
            profile="anthropic:me",
            provider="anthropic",
            kind=Kind.OAUTH,
            token=Secret(login.access_token),
            generation="0123456789ab",
            expires_at=datetime.fromtimestamp(login.expires_at, UTC),
        )
    )
    return login.access_token
