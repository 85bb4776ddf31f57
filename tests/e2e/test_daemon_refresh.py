"""The daemon as a process spends refresh tokens of Claude Code's login, where its user consented to that."""

import contextlib
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e2e.claude_code import CLIENT_ID, SIBLINGS
from e2e.daemon_process import CLAUDE_PROFILE, PATIENCE, DaemonProcess, RpcError, direct
from e2e.stored_login import ODDITIES, StoredLogin
from tokenward.sandbox import HOLD_BEFORE, Fault, Sandbox, fingerprint

DUE = 50.0
"""Seconds of life that are less than the margin: a refresh is due."""
HOUR = 3600.0
CLIENTS = 16

CLIENT = """
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
lines = connection.makefile("rwb")
print("connected", flush=True)
sys.stdin.readline()
lines.write(b'{"jsonrpc":"2.0","id":1,"method":"token.get"}\\n')
lines.flush()
print("asked", flush=True)
print(json.dumps(json.loads(lines.readline())), flush=True)
"""


def siblings(document: dict[str, Any]) -> dict[str, Any]:
    """Everything in the file beside the login."""
    return {name: value for name, value in document.items() if name != "claudeAiOauth"}


class TestFile:
    """What a refresh does to Claude Code's file."""

    @pytest.mark.covers("P23")
    @pytest.mark.parametrize(("mode", "mode_after"), [(0o600, 0o600), (0o400, 0o400), (0o664, 0o600)])
    def test_it_is_replaced_and_keeps_everything_else(
        self, own_home: Path, sandbox: Sandbox, mode: int, mode_after: int
    ) -> None:
        """The tokens and their end are new, every other member is as it was, and nobody else may read it."""
        before = sandbox.issue(ttl_seconds=DUE)
        stored = StoredLogin(own_home)
        stored.write(before)
        stored.path.chmod(mode)
        members_before = stored.members()
        with (
            stored.path.open() as opened,
            DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon,
        ):
            answer = daemon.call("token.get", min_valid=600)
            assert os.fstat(opened.fileno()).st_nlink == 0, "the old file was written into"
            assert before.access_token in opened.read()
        (request,) = sandbox.wait_for_request("/oauth/token")
        assert request.fields["refresh_token"] == fingerprint(before.refresh_token)
        assert request.fields["client_id"] == CLIENT_ID
        assert request.headers["user-agent"].startswith("tokenward/")
        members = stored.members()
        assert answer["token"] == members["accessToken"] != before.access_token
        assert sandbox.liveness(answer["token"]) == "live"
        assert members["refreshToken"] not in {None, "", before.refresh_token}
        assert members["expiresAt"] == answer["expires_at_ms"]
        renewed = {"accessToken", "refreshToken", "expiresAt", "refreshTokenExpiresAt"}
        assert {name: members[name] for name in members.keys() - renewed} == {
            name: members_before[name] for name in members_before.keys() - renewed
        }
        assert members.items() >= ODDITIES.items()
        assert siblings(stored.document()) == SIBLINGS
        assert stat.S_IMODE(stored.path.stat().st_mode) == mode_after
        assert [entry.name for entry in stored.path.parent.iterdir()] == [stored.path.name]

    def test_a_symbolic_link_stays_one(self, own_home: Path, sandbox: Sandbox) -> None:
        """The file it leads to is replaced, in the directory where that lies."""
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue(ttl_seconds=DUE))
        dotfiles = own_home / "dotfiles"
        dotfiles.mkdir()
        stored.path.rename(dotfiles / "login.json")
        stored.path.symlink_to(dotfiles / "login.json")
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            token = daemon.call("token.get", min_valid=600)["token"]
        assert stored.path.readlink() == dotfiles / "login.json"
        assert token in (dotfiles / "login.json").read_text()
        assert [entry.name for entry in dotfiles.iterdir()] == ["login.json"]

    @pytest.mark.covers("L22")
    def test_an_expired_token_is_renewed_in_silence(self, own_home: Path, sandbox: Sandbox) -> None:
        """One refresh, a valid token, and not a word on standard output or standard error about it."""
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue(ttl_seconds=-5))
        with DaemonProcess(own_home, config=direct(sandbox.token_endpoint)) as daemon:
            assert sandbox.liveness(daemon.call("token.get")["token"]) == "live"
            assert sandbox.statistics().token_requests == 1
            assert daemon.terminate() == 0
            assert daemon.stdout == ""
            said = [line.partition(" INFO ")[2].split()[0] for line in daemon.log.splitlines()]
        assert said == ["serving", "stopped"]

    @pytest.mark.covers("L21")
    def test_an_expired_token_is_never_served(self, own_home: Path, sandbox: Sandbox) -> None:
        """Where it cannot be renewed now, there is an error that says when to ask again, and no token."""
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue(ttl_seconds=-5))
        sandbox.faults.next("token", Fault(status=503, retry_after=40), times=None)
        config = direct(sandbox.token_endpoint)
        with DaemonProcess(own_home, config=config) as daemon, pytest.raises(RpcError) as refusal:
            daemon.call("token.get", min_valid=0)
        assert (refusal.value.code, refusal.value.data["type"]) == (-32004, "RefreshFailed")
        assert 0 < refusal.value.data["retry_after"] <= 40
        assert sandbox.statistics().token_requests == 1


class TestSingleFlight:
    """One refresh token is spent once, however many ask."""

    def test_many_processes_cause_one_request(self, own_home: Path, sandbox: Sandbox) -> None:
        """All ask in the moment in which the login falls due; one POST serves them all with one token."""
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue(ttl_seconds=HOUR))
        with contextlib.ExitStack() as stack:
            daemon = stack.enter_context(DaemonProcess(own_home, config=direct(sandbox.token_endpoint)))
            clients = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-I", "-S", "-c", CLIENT, str(daemon.socket_file)],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(CLIENTS)
            ]
            pipes = [(client.stdin, client.stdout) for client in clients if client.stdin and client.stdout]
            assert [hear.readline() for _, hear in pipes] == ["connected\n"] * CLIENTS
            sandbox.faults.next("token", HOLD_BEFORE)
            stored.age(left=DUE)
            for tell, _ in pipes:
                tell.write("\n")
                tell.flush()
            assert [hear.readline() for _, hear in pipes] == ["asked\n"] * CLIENTS
            assert sandbox.faults.wait_held()
            sandbox.faults.release()
            answers = [hear.readline() for _, hear in pipes]
        results = [json.loads(line)["result"] for line in answers]
        assert [(each["token"], each["degraded"]) for each in results] == [(stored.access, None)] * CLIENTS
        assert sandbox.statistics().token_requests == 1

    def test_two_daemons_cause_one_request(self, own_home: Path, sandbox: Sandbox) -> None:
        """Daemons with states and sockets of their own meet at the family: one POST, one value."""
        stored = StoredLogin(own_home)
        stored.write(sandbox.issue(ttl_seconds=HOUR))
        config = direct(sandbox.token_endpoint)
        apart = ["--state-dir", str(own_home / "state2")]
        sandbox.faults.next("token", HOLD_BEFORE)
        with (
            DaemonProcess(own_home, config=config) as first,
            DaemonProcess(own_home, arguments=apart, runtime_dir=own_home / "run2") as second,
            ThreadPoolExecutor(2) as both,
        ):
            refreshes = [
                both.submit(each.call, "profile.refresh", profile=CLAUDE_PROFILE) for each in (first, second)
            ]
            assert sandbox.faults.wait_held()
            for daemon in (first, second):
                daemon.wait_for(
                    "profile.get", lambda shown: shown["phase"] == "refreshing", profile=CLAUDE_PROFILE
                )
            sandbox.faults.release()
            generations = {refresh.result(PATIENCE)["generation"] for refresh in refreshes}
            tokens = {daemon.call("token.get")["token"] for daemon in (first, second)}
        assert len(generations) == 1
        assert tokens == {stored.access}
        statistics = sandbox.statistics()
        assert (statistics.token_requests, statistics.reuse_detected) == (1, 0)
