"""The unit files of the tree, judged by systemd's own tools; launchd's property list, by what its manual says."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tokenward import unit_templates

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEMD = REPOSITORY / "systemd"
WORST_SCORE = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: systemd-analyze is not installed"
)

Settings = dict[str, list[str]]


def settings(path: Path) -> Settings:
    """The assignments of a unit file, all sections together, in their order."""
    found: Settings = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory in which ``pip install --user`` has put the command."""
    command = tmp_path / "home/.local/bin/tokenward"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    return tmp_path / "home"


def analyze(folder: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``systemd-analyze --user`` over the two units in a directory."""
    return subprocess.run(
        ["systemd-analyze", "--user", "--no-pager", *words],
        env={**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home.parent), "SYSTEMD_COLORS": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def copied(target: Path, *, drop_in: bool = False) -> Path:
    """The units in a directory of their own, where they may be changed."""
    target.mkdir()
    for name in ("tokenward.service", "tokenward.socket"):
        shutil.copy(SYSTEMD / name, target)
    if drop_in:
        shutil.copytree(SYSTEMD, target / "tokenward.service.d", ignore=shutil.ignore_patterns("tokenward.*"))
    return target


VERIFY = ("verify", "--recursive-errors=no", "./tokenward.service", "./tokenward.socket")
"""Without ``--recursive-errors=no`` an unknown key is only a warning, and the exit status 0."""


@needs_systemd
class TestSystemdJudges:
    def test_the_units_are_clean(self, tmp_path: Path, home: Path) -> None:
        """No unknown key, no bad value, and a program that is there after ``pip install --user``."""
        done = analyze(copied(tmp_path / "units"), home, *VERIFY)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def test_the_drop_in_is_clean(self, tmp_path: Path, home: Path) -> None:
        """It is read together with the unit it changes."""
        done = analyze(copied(tmp_path / "units", drop_in=True), home, *VERIFY)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    @pytest.mark.parametrize("line", ["NoSuchKey=1", "Type=notified", "WatchdogSec=soon"])
    def test_the_judge_sees_what_is_wrong(self, tmp_path: Path, home: Path, line: str) -> None:
        """A verdict that cannot be bad says nothing: a spoilt unit fails."""
        units = copied(tmp_path / "units")
        unit = units / "tokenward.service"
        unit.write_text(unit.read_text().replace("[Service]", f"[Service]\n{line}"))
        assert analyze(units, home, *VERIFY).returncode != 0

    def test_the_exposure_is_at_most_two(self, tmp_path: Path, home: Path) -> None:
        """``systemd-analyze security`` counts what a broken-in service could still do, from 0 to 10."""
        done = analyze(copied(tmp_path / "units"), home, "security", "--offline=true", "./tokenward.service")
        found = re.search(r"Overall exposure level for tokenward\.service: ([0-9.]+)", done.stdout)
        assert found, done.stdout + done.stderr
        assert float(found[1]) <= WORST_SCORE

    @pytest.mark.parametrize("folder", ["plain", "with space", "100%h", "a;b", "ü"])
    def test_a_rendered_unit_names_the_very_interpreter(self, tmp_path: Path, home: Path, folder: str) -> None:
        """Quoted for systemd, whose verify fails on a program that it does not find."""
        python = tmp_path / folder / "python"
        python.parent.mkdir()
        python.symlink_to(sys.executable)
        units = copied(tmp_path / "units")
        for unit in units.iterdir():
            unit.write_text(unit_templates.render_unit(unit.read_text(), python=python, claude=None))
        done = analyze(units, home, *VERIFY)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        python.unlink()
        assert str(python) in analyze(units, home, *VERIFY).stderr


class TestPromises:
    def test_the_service_keeps_the_design(self) -> None:
        """Design section 9, line by line; a changed value needs a changed design."""
        found = settings(SYSTEMD / "tokenward.service")
        promised = {
            "Type": "notify",
            "NotifyAccess": "main",
            "WatchdogSec": "60",
            "Restart": "on-failure",
            "PrivateUsers": "yes",
            "ProtectSystem": "strict",
            "ReadWritePaths": "%h",
            "SystemCallErrorNumber": "EPERM",
            "KillMode": "mixed",
            "TimeoutStopSec": "90",
            "LimitCORE": "0",
            "UMask": "0077",
            "ExecStart": "%h/.local/bin/tokenward daemon",
        }
        assert {key: found.get(key) for key in promised} == {key: [value] for key, value in promised.items()}

    def test_what_would_break_node_or_the_home_directory_is_absent(self) -> None:
        """Claude compiles at run time and locks in the home directory; cpuinfo is read by Node."""
        found = settings(SYSTEMD / "tokenward.service")
        assert not {"MemoryDenyWriteExecute", "ProtectHome", "ProcSubset", "PrivateNetwork"} & set(found)

    def test_the_socket_is_for_its_user_alone(self) -> None:
        """Mode 0600 in a directory of mode 0700, gone when the unit stops, under the name the daemon looks for."""
        assert settings(SYSTEMD / "tokenward.socket") == {
            "Description": ["tokenward: the socket that hands out tokens"],
            "ListenStream": ["%t/tokenward/tokenward.sock"],
            "SocketMode": ["0600"],
            "DirectoryMode": ["0700"],
            "FileDescriptorName": ["rpc"],
            "RemoveOnStop": ["yes"],
            "WantedBy": ["sockets.target"],
        }

    def test_the_drop_in_switches_off_only_what_the_service_switches_on(self) -> None:
        """A key that the service does not set would be a leftover."""
        drop_in, service = settings(SYSTEMD / "no-user-namespaces.conf"), settings(SYSTEMD / "tokenward.service")
        assert set(drop_in) <= set(service)
        assert drop_in["PrivateUsers"] == ["no"]


KNOWN_TO_LAUNCHD = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "LimitLoadToSessionType": str,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "Umask": int,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
    "Sockets": dict,
    "StandardErrorPath": str,
}
"""Keys of launchd.plist(5) that we use, and their types; launchd ignores what it does not know, silently."""


@pytest.fixture
def agent() -> dict[str, Any]:
    """The property list, parsed."""
    parsed: dict[str, Any] = plistlib.loads((REPOSITORY / "launchd/dev.tokenward.daemon.plist").read_bytes())
    return parsed


class TestLaunchdAgent:
    def test_every_key_is_known_and_has_its_type(self, agent: dict[str, Any]) -> None:
        """A string where launchd wants a number is dropped without a word."""
        assert {key: type(value) for key, value in agent.items()} == KNOWN_TO_LAUNCHD

    def test_numbers_are_decimal(self, agent: dict[str, Any]) -> None:
        """Property lists know no octal: 077 is 63, and 0600 is 384."""
        assert agent["Umask"] == 0o077
        assert agent["Sockets"]["rpc"]["SockPathMode"] == 0o600
        assert type(agent["Sockets"]["rpc"]["SockPathMode"]) is int

    def test_the_label_is_the_files_name(self, agent: dict[str, Any]) -> None:
        """Tools find an agent by its label, people by its file."""
        assert agent["Label"] == "dev.tokenward.daemon"

    def test_it_runs_on_and_is_given_time_to_end(self, agent: dict[str, Any]) -> None:
        """Restarted after failures only, at login, with the 90 s that a refresh under way may take."""
        assert agent["KeepAlive"] == {"SuccessfulExit": False}
        assert agent["RunAtLoad"] is True
        assert agent["ExitTimeOut"] == 90
        assert agent["ThrottleInterval"] >= 10
        assert agent["ProcessType"] == "Background"
        assert agent["LimitLoadToSessionType"] == "Aqua"

    def test_the_socket_is_a_stream_at_an_absolute_path(self, agent: dict[str, Any]) -> None:
        """Under the key that the daemon gives to launch_activate_socket; launchd expands no tilde."""
        (name,) = agent["Sockets"]
        assert name == "rpc"
        assert agent["Sockets"][name]["SockType"] == "stream"
        assert agent["Sockets"][name]["SockPathName"].startswith("/")
        assert agent["StandardErrorPath"].startswith("/")
