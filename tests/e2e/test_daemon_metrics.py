"""A daemon's numbers, by every way that they can be had."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e2e.daemon_process import CLAUDE_PROFILE, DaemonProcess, DidNotStart, RpcError, direct
from e2e.stored_login import StoredLogin
from tokenward.sandbox import Sandbox


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, by the standard library's client.

    Args:
        path: the socket.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        """Connect to it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def numbers(text: str) -> dict[str, float]:
    """Each sample as it is written, and its value."""
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def calls(found: dict[str, float], path: str, result: str) -> float:
    """How many calls of ``token.get`` were answered so."""
    return found[f'tokenward_calls_total{{method="token.get",path="{path}",result="{result}"}}']


@pytest.fixture
def config(own_home: Path, sandbox: Sandbox) -> str:
    """A login that is refreshed at the sandbox, and a socket for collectors."""
    StoredLogin(own_home).write(sandbox.issue(ttl_seconds=-5))
    return f'{direct(sandbox.token_endpoint)}\n[metrics]\nsocket = "{own_home}/run/m/metrics.sock"\n'


def test_what_happened_is_counted(own_home: Path, config: str) -> None:
    """One refresh, the call that waited for it, calls of the lane, and one that was refused."""
    with DaemonProcess(own_home, config=config) as daemon:
        first: Any = daemon.call("token.get")
        for _ in range(3):
            daemon.call("token.get")
        with pytest.raises(RpcError):
            daemon.call("token.get", profile="acme:nobody")
        page = daemon.call("metrics.get", format="prometheus")
        found = numbers(page["text"])
        assert calls(found, "dispatcher", "ok") >= 1
        assert calls(found, "lane", "ok") >= 1
        assert calls(found, "dispatcher", "ok") + calls(found, "lane", "ok") == 4
        assert calls(found, "dispatcher", "ProfileUnavailable") == 1
        [refreshed] = [value for name, value in found.items() if 'outcome="refreshed"' in name]
        assert refreshed == 1
        assert f'profile="{CLAUDE_PROFILE}"' in page["text"]
        assert first["token"] not in page["text"]

        connection = UnixConnection(own_home / "run" / "m" / "metrics.sock")
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        answer = connection.getresponse()
        assert (answer.status, answer.read().decode().splitlines()[-1]) == (200, "# EOF")
        connection.close()

        command = [sys.executable, "-m", "tokenward", "metrics", "--output", str(own_home / "tokenward.prom")]
        done = subprocess.run(command, env=daemon.environment(), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        written = (own_home / "tokenward.prom").read_text()
        assert re.findall(r"^# TYPE (\S+)", written, re.MULTILINE) == re.findall(
            r"^# TYPE (\S+)", page["text"], re.MULTILINE
        )
        assert daemon.terminate() == 0
    assert not (own_home / "run" / "m" / "metrics.sock").exists()


def test_a_socket_that_cannot_be_had_stops_the_start(own_home: Path, config: str) -> None:
    """Something else lies there: said before anybody is served."""
    (own_home / "run" / "m").mkdir(parents=True, mode=0o700)
    (own_home / "run" / "m" / "metrics.sock").write_text("mine")
    with pytest.raises(DidNotStart) as refusal, DaemonProcess(own_home, config=config):
        pass
    assert "metrics.sock exists and is not a socket" in refusal.value.log
    assert (own_home / "run" / "m" / "metrics.sock").read_text() == "mine"


def test_a_reload_opens_and_closes_the_socket(own_home: Path, config: str) -> None:
    """A place that cannot be had is told to who asked, and stands in the status until it is mended."""
    place = own_home / "run" / "m" / "metrics.sock"
    without = config.partition("[metrics]")[0]
    with DaemonProcess(own_home, config=without) as daemon:
        assert not place.exists()
        daemon.configure(config)
        assert daemon.call("daemon.reload") == {"reloaded": True, "error": None}
        connection = UnixConnection(place)
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 200
        connection.close()
        (own_home / "mine").write_text("mine")
        daemon.configure(f'{without}[metrics]\nsocket = "{own_home}/mine"\n')
        taken: Any = daemon.call("daemon.reload")
        assert not taken["reloaded"]
        assert "mine exists and is not a socket" in taken["error"]
        assert daemon.call("daemon.status")["config_error"] == taken["error"]
        assert place.is_socket()
        daemon.configure(without)
        assert daemon.call("daemon.reload") == {"reloaded": True, "error": None}
        daemon.wait_for("daemon.status", lambda status: status["config_error"] is None and not place.exists())
