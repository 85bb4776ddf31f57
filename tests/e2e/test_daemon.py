"""The daemon as a process: how it starts, what it finds, whom it lets in, and what it keeps to itself."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, Connection, DaemonProcess, DidNotStart, RpcError, direct
from e2e.stored_login import StoredLogin
from tokenward.daemon import watcher
from tokenward.sandbox import Sandbox

HOUR = 3600.0
WRONG = '[default]\nrefresh_margin = 90\n\n[sources.claude-code]\nrefersh = "direct"\n'
WRONG_LINE = 5


def mode_of(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


class TestSources:
    """What it finds without being told."""

    @pytest.mark.covers("P2", "P24", "E11", "E17")
    @pytest.mark.parametrize("config", [None, "# nothing is configured\n"])
    def test_a_login_of_claude_code_is_all_it_needs(
        self, own_home: Path, sandbox: Sandbox, config: str | None
    ) -> None:
        """A home with nothing but Claude Code's file, or a configuration without a key: its token is served."""
        login = sandbox.issue()
        StoredLogin(own_home).write(login)
        with DaemonProcess(own_home, config=config) as daemon:
            assert [each["profile"] for each in daemon.call("profile.list")["profiles"]] == [CLAUDE_PROFILE]
            answer = daemon.call("token.get")
            assert daemon.terminate() == 0
        assert (answer["token"], answer["kind"], answer["degraded"]) == (login.access_token, "oauth", None)
        assert answer["headers"]["authorization"] == f"Bearer {login.access_token}"
        assert sandbox.requests == ()

    @pytest.mark.covers("P20")
    def test_a_login_made_later_is_found(self, own_home: Path, sandbox: Sandbox) -> None:
        """No file and not even its directory at the start: what appears is announced and served."""
        login = sandbox.issue()
        with DaemonProcess(own_home) as daemon, daemon.subscribe() as events:
            with pytest.raises(RpcError, match="credentials not set") as refusal:
                daemon.call("token.get")
            assert refusal.value.code == -32001
            StoredLogin(own_home).write(login)
            announced = events.wait_for("appeared", profile=CLAUDE_PROFILE)
            answer = daemon.call("token.get")
        assert (answer["token"], answer["generation"]) == (login.access_token, announced["generation"])

    def test_a_rotation_by_its_owner_is_served_at_once_and_announced(
        self, own_home: Path, sandbox: Sandbox
    ) -> None:
        """The next `token.get` after another program replaced the file has the new token; an event tells."""
        first, second = sandbox.issue(), sandbox.issue()
        stored = StoredLogin(own_home)
        stored.write(first)
        with DaemonProcess(own_home) as daemon, daemon.subscribe() as events:
            before = daemon.call("token.get")
            stored.write(second)
            after = daemon.call("token.get")
            announced = events.wait_for("rotated", not_generation=before["generation"])
            stored.write(first)
            unchanged = daemon.call("token.get")
        assert (before["token"], after["token"]) == (first.access_token, second.access_token)
        assert announced["generation"] == after["generation"]
        assert unchanged["token"] == second.access_token, "a value that was replaced came back"

    @pytest.mark.covers("P34")
    def test_a_rotation_is_announced_to_subscribers_who_ask_for_nothing(
        self, own_home: Path, sandbox: Sandbox
    ) -> None:
        """The watcher alone notices, without a restart, by a look that comes twice a second at least."""
        assert 2 * watcher.STEP_MILLISECONDS <= 1000, "watchfiles hands a change out after one to two steps"
        first, second = sandbox.issue(), sandbox.issue()
        stored = StoredLogin(own_home)
        stored.write(first)
        with DaemonProcess(own_home) as daemon, daemon.subscribe() as events:
            before = daemon.call("token.get")["generation"]
            stored.write(second)
            announced = events.wait_for("rotated", not_generation=before)
            assert daemon.call("token.get")["generation"] == announced["generation"]

    @pytest.mark.covers("L23")
    def test_an_expired_login_without_refresh_token_is_passed_over(self, own_home: Path, sandbox: Sandbox) -> None:
        """The next profile serves, and the expired one says why it does not."""
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue(), left=-1)
        document = stored.document()
        document["claudeAiOauth"]["refreshToken"] = None
        stored.replace(document)
        with DaemonProcess(own_home, env={"ANTHROPIC_API_KEY": "sk-ant-api03-other"}) as daemon:
            assert daemon.call("token.get")["token"] == "sk-ant-api03-other"
            assert daemon.call("profile.get", profile=CLAUDE_PROFILE)["unusable"] == "expired"

    def test_without_claude_code_its_login_is_only_watched(self, own_home: Path, sandbox: Sandbox) -> None:
        """By default, with no `claude` on PATH: nothing is refreshed, and `status` says how to consent to it."""
        login = sandbox.issue(ttl_seconds=50)
        StoredLogin(own_home).write(login)
        config = f'[providers.anthropic]\ntoken_endpoint = "{sandbox.token_endpoint}"\n'
        with DaemonProcess(own_home, config=config) as daemon:
            answer = daemon.call("token.get", min_valid=600)
            shown = daemon.call("profile.get", profile=CLAUDE_PROFILE)
        assert (answer["token"], answer["degraded"]) == (login.access_token, "short")
        assert shown["refresh"] == "watch"
        assert 'refresh = "direct"' in shown["note"]
        assert sandbox.requests == ()


class TestConfiguration:
    """A wrong file stops a start, and never a daemon that runs."""

    def test_a_wrong_one_stops_the_start(self, own_home: Path) -> None:
        """The exit status that no service manager restarts, and two lines: file, line and reason, then a hint."""
        daemon = DaemonProcess(own_home, config=WRONG)
        with pytest.raises(DidNotStart) as refusal:
            daemon.start()
        assert refusal.value.returncode == 2
        cause, hint = refusal.value.log.splitlines()
        assert f"{daemon.config_file}:{WRONG_LINE}: " in cause
        assert "refersh" in cause
        assert hint.strip().startswith("hint: ")
        assert not daemon.socket_file.exists()

    @pytest.mark.parametrize("by_signal", [True, False])
    def test_a_wrong_one_is_not_taken_over(self, own_home: Path, sandbox: Sandbox, *, by_signal: bool) -> None:
        """After SIGHUP or `daemon.reload` the settings in force stay, and `status` says why."""
        StoredLogin(own_home).write(sandbox.issue())
        with (
            DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon,
            daemon.subscribe() as events,
        ):
            daemon.configure(WRONG)
            if by_signal:
                daemon.signal(signal.SIGHUP)
                status = daemon.wait_for("daemon.status", lambda status: status["config_error"] is not None)
            else:
                assert daemon.call("daemon.reload")["reloaded"] is False
                status = daemon.call("daemon.status")
            assert f"{daemon.config_file}:{WRONG_LINE}: " in status["config_error"]
            assert status["profiles"][0]["refresh"] == "direct"
            assert f"{daemon.config_file}:{WRONG_LINE}: " in daemon.log
            assert daemon.call("token.get")["degraded"] is None
            daemon.configure('[sources.claude-code]\nrefresh = "watch"\n')
            if by_signal:
                daemon.signal(signal.SIGHUP)
            else:
                assert daemon.call("daemon.reload") == {"reloaded": True, "error": None}
            events.wait_for("reloaded")
            status = daemon.call("daemon.status")
            assert (status["config_error"], status["profiles"][0]["refresh"]) == (None, "watch")

    def test_other_words_for_a_login_are_used_at_once(self, own_home: Path, sandbox: Sandbox) -> None:
        """A client_id that was mistyped is mended by a reload, for logins of our own store too."""
        login = sandbox.issue()
        credential = {
            "access_token": login.access_token,
            "refresh_token": login.refresh_token,
            "expires_in": 3600,
        }
        config = '[providers.acme]\ntoken_endpoint = "{}"\nclient_id = "{}"\n'
        with DaemonProcess(own_home, config=config.format(sandbox.token_endpoint, "mistyped")) as daemon:
            daemon.call("profile.add", profile="acme:me", credential=credential)
            with pytest.raises(RpcError, match="invalid_client"):
                daemon.call("profile.refresh", profile="acme:me")
            daemon.configure(config.format(sandbox.token_endpoint, sandbox.client_id))
            assert daemon.call("daemon.reload")["reloaded"]
            assert daemon.call("profile.refresh", profile="acme:me")["phase"] == "ready"
        assert sandbox.statistics().refreshes_granted == 1


class TestSocket:
    """One path, one daemon."""

    @pytest.mark.parametrize("own_state", [True, False])
    def test_a_live_one_is_not_taken_over(self, own_home: Path, *, own_state: bool) -> None:
        """A second daemon exits with 1 and names the first, which goes on, whatever it shares with it."""
        arguments = ["--state-dir", str(own_home / "elsewhere")] if own_state else []
        with DaemonProcess(own_home) as first:
            second = DaemonProcess(
                own_home,
                arguments=[*arguments, "--socket", str(first.socket_file)],
                runtime_dir=own_home / "run2",
            )
            with pytest.raises(DidNotStart) as refusal:
                second.start()
            assert refusal.value.returncode == 1
            named = f"process {first.pid}" if own_state else str(first.state)
            assert named in refusal.value.log
            assert first.call("daemon.hello")["pid"] == first.pid

    def test_a_stale_one_is_replaced(self, own_home: Path) -> None:
        """What a killed daemon left at the path does not stop the next; what ends in order leaves nothing."""
        with DaemonProcess(own_home) as daemon:
            daemon.kill()
            assert daemon.socket_file.is_socket()
            with pytest.raises(ConnectionRefusedError):
                daemon.connect()
            daemon.start()
            assert daemon.call("daemon.hello")["pid"] == daemon.pid
            assert daemon.terminate() == 0
            assert not daemon.socket_file.exists()

    def test_it_is_private(self, own_home: Path) -> None:
        """The socket is 0600 in a directory of 0700, and so is the state, whatever umask it was started with."""
        before = os.umask(0)
        try:
            with DaemonProcess(own_home) as daemon:
                made = [daemon.state, *daemon.state.rglob("*")]
                assert mode_of(daemon.socket_file) == 0o600
                assert mode_of(daemon.socket_file.parent) == 0o700
                assert {mode_of(path) for path in made if path.is_dir()} == {0o700}
                assert {mode_of(path) for path in made if not path.is_dir()} == {0o600}
        finally:
            os.umask(before)

    def test_it_can_be_told_to_stop(self, own_home: Path) -> None:
        """`daemon.stop` is answered, and then it ends with 0."""
        with DaemonProcess(own_home) as daemon:
            assert daemon.call("daemon.stop") == {"stopping": True}
            assert daemon.wait() == 0


UNPRIVILEGED = ("/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""What makes of root a user like others, who may look into processes of the same user only if they let him."""


def fake_claude(directory: Path, *, witness: Path) -> None:
    """A `claude` that refreshes nothing, and leaves its environment and its command line in a file."""
    script = directory / "claude"
    script.write_text(f'#!/bin/sh\n{{ /usr/bin/env; echo "$0 $*"; }} > {witness}\n')
    script.chmod(0o700)


class TestSecrets:
    """Where a token must not be."""

    def test_no_output_no_command_line_and_no_child_has_one(self, own_home: Path, sandbox: Sandbox) -> None:
        """After a refresh, failures and a delegation: not in stdout, stderr, argv or a child's environment."""
        key = "sk-ant-api03-of-the-environment"
        secrets = [key]

        def remember(*logins: Any) -> None:
            secrets.extend(secret for login in logins for secret in (login.access_token, login.refresh_token))

        stored = StoredLogin(own_home)
        first = sandbox.issue(ttl_seconds=50)
        remember(first)
        stored.write(first)
        child = own_home / "child"
        config = direct(sandbox.token_endpoint)
        daemon = DaemonProcess(
            own_home, config=config, env={"ANTHROPIC_API_KEY": key}, arguments=["--log-level", "debug"]
        )
        fake_claude(daemon.bin, witness=child)
        with daemon:
            refreshed = daemon.call("token.get", min_valid=600, profile=CLAUDE_PROFILE)
            secrets += [refreshed["token"], stored.members()["refreshToken"]]
            sandbox.revoke(stored.members()["refreshToken"])
            with pytest.raises(RpcError):
                daemon.call("profile.refresh", profile=CLAUDE_PROFILE)
            third = sandbox.issue(ttl_seconds=50)
            remember(third)
            daemon.configure("")
            daemon.call("daemon.reload")
            stored.write(third)
            answer = daemon.call("token.get", min_valid=600, profile=CLAUDE_PROFILE)
            assert (answer["token"], answer["degraded"]) == (third.access_token, "refresh_failing")
            command_line = Path(f"/proc/{daemon.pid}/cmdline").read_text()
            assert daemon.terminate() == 0
        seen = [daemon.stdout, daemon.log, command_line, child.read_text()]
        assert daemon.stdout == ""
        assert "serving" in daemon.log, "the log was looked at"
        assert "auth status --json" in child.read_text()
        for secret in secrets:
            assert all(secret not in text for text in seen)
        assert "ANTHROPIC" not in child.read_text()

    @pytest.mark.fault(
        "leak-core",
        "a daemon that crashes, and a debugger of the same user",
        "no core is ever written, and the process is closed to others; `--debuggable` changes the second alone",
    )
    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
    @pytest.mark.parametrize("debuggable", [False, True])
    def test_its_memory_is_closed_to_other_processes(self, own_home: Path, *, debuggable: bool) -> None:
        """No core dump ever, no file for others; the same user looks in only where `--debuggable` says so."""
        arguments = ["--debuggable"] if debuggable else []
        with DaemonProcess(own_home, arguments=arguments, wrapper=UNPRIVILEGED) as daemon:
            limits = Path(f"/proc/{daemon.pid}/limits").read_text()
            (core,) = (line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core[4:6] == ["0", "0"]
            assert "Umask:\t0077\n" in Path(f"/proc/{daemon.pid}/status").read_text()
            look = [*UNPRIVILEGED, "cat", f"/proc/{daemon.pid}/environ"]
            looked = subprocess.run(look, check=False, capture_output=True, text=True, timeout=30)
            assert (looked.returncode == 0) is debuggable, looked.stderr
            if not debuggable:
                assert "Permission denied" in looked.stderr


def test_a_socket_of_a_service_manager_is_the_one_that_is_told(own_home: Path) -> None:
    """Wherever the manager made it: served there, and named there in the log and in the status."""
    place = own_home / "made.sock"
    hand_over = (
        "import os, socket, sys; made = socket.socket(socket.AF_UNIX); made.bind(sys.argv[1]); made.listen();"
        "os.dup2(made.fileno(), 3); os.set_inheritable(3, True);"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    with DaemonProcess(own_home, wrapper=[sys.executable, "-c", hand_over, str(place)]) as daemon:
        with contextlib.closing(Connection(place)) as connection:
            assert connection.call("daemon.status", {})["socket"] == str(place)
        assert f"serving {place}, keeping" in daemon.log
        assert not daemon.socket_file.exists()
