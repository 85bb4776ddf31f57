"""``tokenward service``, with a supervisor's command that writes down what it was asked."""

from __future__ import annotations

import json
import plistlib
import stat
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tokenward.cli import service
from tokenward.cli.arguments import Parser
from tokenward.cli.supervisors import supervisor_of
from tokenward.errors import ConfigurationFault

SOURCES = Path(__file__).resolve().parents[2] / "src"
COMMAND = """#!/bin/sh
echo "$(basename "$0") $*" >> "$FAKE_LOG"
case "$*" in
*"$FAKE_REFUSES"*) echo "Failed to connect to bus: No medium found" >&2; exit 1 ;;
*show*) printf 'ActiveState=active\\nUnitFileState=enabled\\n' ;;
*print*)
    test ! -e "$FAKE_LOG.unloaded" || exit 113
    printf 'gui/501/dev.tokenward.daemon = {\\n\\tstate = running\\n}\\n' ;;
esac
"""
NOTHING = "nothing-is-refused"
ENABLE = "systemctl --user enable --now tokenward.socket tokenward.service"


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that finds this package by itself, as an installation's does."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.EnvBuilder(symlinks=True).create(folder)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(packages, "sources.pth").write_text(f"{SOURCES}\n")
    return folder / "bin/python"


@dataclass
class Desk:
    """A user at a terminal: a home, commands that are fakes, and what was printed."""

    home: Path
    log: Path
    bin: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Type ``tokenward service WORDS``; exit status, stdout, stderr."""
        parser = Parser(prog="tokenward")
        service.add_parser(parser.add_subparsers())
        args = parser.parse_args(["service", *words])
        status: int = args.run(args)
        out, err = self.capsys.readouterr()
        return status, out, err

    @property
    def units(self) -> Path:
        """Where systemd looks for this user's units."""
        return self.home / ".config/systemd/user"

    @property
    def agent(self) -> Path:
        """Where launchd looks for this user's agent."""
        return self.home / "Library/LaunchAgents/dev.tokenward.daemon.plist"

    def asked(self) -> list[str]:
        """What the supervisor was asked since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def refuse(self, words: str) -> None:
        """From now on the supervisor's command fails on these words; on all, if empty."""
        self.monkeypatch.setenv("FAKE_REFUSES", words)

    def provide(self, name: str) -> Path:
        """Put a fake command on PATH."""
        path = self.bin / name
        path.write_text(COMMAND)
        path.chmod(0o755)
        return path


@pytest.fixture
def desk(
    tmp_path: Path, interpreter: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """A Linux user with a systemctl that obeys, and no claude."""
    made = Desk(tmp_path / "home", tmp_path / "log", tmp_path / "bin", monkeypatch, capsys)
    made.home.mkdir()
    made.bin.mkdir()
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_LOG", str(made.log))
    for name in (
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_RUNTIME_DIR",
        "TOKENWARD_SOCKET",
        "TOKENWARD_STATE_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    made.refuse(NOTHING)
    made.provide("systemctl")
    return made


@pytest.fixture
def mac(desk: Desk) -> Desk:
    """The same user on macOS."""
    desk.monkeypatch.setattr(sys, "platform", "darwin")
    desk.provide("launchctl")
    return desk


def two_lines(err: str) -> bool:
    """Whether an error has the voice of the command line: one line of cause, one of hint."""
    lines = err.splitlines()
    return len(lines) == 2 and lines[0].startswith("tokenward: ") and lines[1].startswith("  hint: ")


class TestInstall:
    def test_it_writes_both_units_and_names_the_next_command(self, desk: Desk, interpreter: Path) -> None:
        """Nothing is enabled unasked; what to type next is the last thing to know."""
        status, out, err = desk("install")
        assert (status, err) == (0, "")
        assert f"wrote {desk.units}/tokenward.service\nwrote {desk.units}/tokenward.socket\n" in out
        assert f"next: {ENABLE}\n" in out
        assert desk.asked() == ["systemctl --user daemon-reload"]
        written = (desk.units / "tokenward.service").read_text()
        assert f"ExecStart={interpreter} -I -m tokenward daemon\n" in written

    def test_the_claude_on_path_is_found_again(self, desk: Desk) -> None:
        """The service has another PATH than the shell it is installed from; its link is not resolved."""
        desk.provide("claude-2.1").rename(desk.home / "claude-2.1")
        (desk.bin / "claude").symlink_to(desk.home / "claude-2.1")
        desk("install")
        assert f'Environment="PATH={desk.bin}:%h/.local/bin:' in (desk.units / "tokenward.service").read_text()

    def test_no_temporary_file_stays(self, desk: Desk) -> None:
        """The directory holds the units and nothing else."""
        desk("install")
        assert sorted(path.name for path in desk.units.iterdir()) == ["tokenward.service", "tokenward.socket"]

    def test_xdg_config_home_is_followed(self, desk: Desk) -> None:
        """As systemd does; a relative one is to be ignored (XDG Base Directory Specification)."""
        desk.monkeypatch.setenv("XDG_CONFIG_HOME", str(desk.home / "elsewhere"))
        desk("install")
        assert (desk.home / "elsewhere/systemd/user/tokenward.service").exists()
        desk.monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
        desk("install")
        assert (desk.units / "tokenward.service").exists()

    def test_now_enables_and_starts(self, desk: Desk) -> None:
        """Restart, not start: an installation over a running daemon must reach it."""
        status, out, _ = desk("install", "--now")
        assert status == 0
        assert desk.asked() == [
            "systemctl --user daemon-reload",
            "systemctl --user enable tokenward.socket tokenward.service",
            "systemctl --user restart tokenward.service",
        ]
        assert "started\n" in out
        assert "next:" not in out

    def test_a_second_time_replaces_our_own(self, desk: Desk) -> None:
        """After an upgrade, or a move of the environment."""
        desk("install")
        (desk.units / "tokenward.service").write_text(
            (desk.units / "tokenward.service").read_text() + "# edited\n"
        )
        status, _, err = desk("install")
        assert (status, err) == (0, "")
        assert "# edited" not in (desk.units / "tokenward.service").read_text()

    def test_a_unit_of_the_users_own_is_left_alone(self, desk: Desk) -> None:
        """And nothing is written beside it: half an installation would be worse."""
        desk.units.mkdir(parents=True)
        (desk.units / "tokenward.socket").write_text("[Socket]\nListenStream=%t/mine\n")
        status, out, err = desk("install")
        assert (status, out) == (1, "")
        assert two_lines(err)
        assert "tokenward.socket" in err
        assert "--force" in err
        assert [path.name for path in desk.units.iterdir()] == ["tokenward.socket"]
        assert desk.asked() == []

    def test_force_replaces_it(self, desk: Desk) -> None:
        """The user said so."""
        desk.units.mkdir(parents=True)
        (desk.units / "tokenward.socket").write_text("[Socket]\nListenStream=%t/mine\n")
        assert desk("install", "--force")[0] == 0
        assert "mine" not in (desk.units / "tokenward.socket").read_text()

    def test_the_drop_in_is_written_when_asked_for(self, desk: Desk) -> None:
        """For hosts that forbid user namespaces."""
        desk("install", "--no-user-namespaces")
        drop_in = desk.units / "tokenward.service.d/no-user-namespaces.conf"
        assert "PrivateUsers=no" in drop_in.read_text()

    @pytest.mark.parametrize(("words", "status"), [((), 0), (("--now",), 1)])
    def test_an_unreachable_manager_costs_a_notice_not_the_files(
        self, desk: Desk, words: tuple[str, ...], status: int
    ) -> None:
        """Under su, in cron or a container: the files are there, what to do is said, and --now has failed."""
        desk.refuse("")
        got, _, err = desk("install", *words)
        assert got == status
        assert two_lines(err)
        assert "No medium found" in err
        assert ENABLE in err
        assert (desk.units / "tokenward.service").exists()
        assert (desk.units / "tokenward.socket").exists()

    def test_no_systemctl_is_said(self, desk: Desk) -> None:
        """A system without systemd has no use for the files, but keeps them."""
        (desk.bin / "systemctl").unlink()
        desk.monkeypatch.setenv("PATH", str(desk.bin))
        status, _, err = desk("install")
        assert status == 0
        assert "systemctl is not installed" in err
        assert two_lines(err)

    def test_a_start_that_fails_is_an_error(self, desk: Desk) -> None:
        """With the manager's own words."""
        desk.refuse("restart")
        status, out, err = desk("install", "--now")
        assert status == 1
        assert "started" not in out
        assert two_lines(err)

    def test_an_interpreter_that_a_service_cannot_use_is_refused(self, desk: Desk) -> None:
        """Run from a checkout by PYTHONPATH, the unit would fail at every start."""
        python = desk.home / "python"
        python.write_text('#!/bin/sh\n[ "$1" != -I ]\n')
        python.chmod(0o755)
        desk.monkeypatch.setattr(sys, "executable", str(python))
        status, _, err = desk("install")
        assert status == 1
        assert two_lines(err)
        assert not desk.units.exists()

    def test_a_directory_that_cannot_be_made_is_two_lines(self, desk: Desk) -> None:
        """No traceback for a file in the way."""
        (desk.home / ".config").write_text("")
        status, _, err = desk("install")
        assert status == 1
        assert two_lines(err)


class TestUninstall:
    def test_it_stops_disables_and_removes(self, desk: Desk) -> None:
        """Disabled before its files go, or the manager's links would point nowhere."""
        desk("install", "--no-user-namespaces")
        desk.asked()
        status, out, err = desk("uninstall")
        assert (status, err) == (0, "")
        assert desk.asked() == [
            "systemctl --user disable --now tokenward.socket tokenward.service",
            "systemctl --user daemon-reload",
        ]
        assert out.count("removed ") == 3
        assert list(desk.units.iterdir()) == []

    def test_a_drop_in_of_the_users_own_stays(self, desk: Desk) -> None:
        """And with it its directory."""
        desk("install", "--no-user-namespaces")
        own = desk.units / "tokenward.service.d/own.conf"
        own.write_text("[Service]\nNice=5\n")
        assert desk("uninstall")[0] == 0
        assert own.exists()

    def test_a_unit_of_the_users_own_is_left_alone_and_running(self, desk: Desk) -> None:
        """Only files that carry our mark are ours, and only their daemon is."""
        desk.units.mkdir(parents=True)
        (desk.units / "tokenward.service").write_text("[Service]\nExecStart=/usr/bin/mine\n")
        status, _, err = desk("uninstall")
        assert status == 1
        assert two_lines(err)
        assert (desk.units / "tokenward.service").exists()
        assert desk.asked() == []

    def test_nothing_installed_is_no_error(self, desk: Desk) -> None:
        """What should be gone is gone."""
        assert desk("uninstall") == (0, "nothing is installed\n", "")
        assert desk.asked() == []

    def test_an_unreachable_manager_is_said_and_the_files_are_removed(self, desk: Desk) -> None:
        """The daemon may still run: that is not success."""
        desk("install")
        desk.refuse("")
        status, out, err = desk("uninstall")
        assert status == 1
        assert "removed" in out
        assert two_lines(err)
        assert not (desk.units / "tokenward.service").exists()


class TestStatus:
    def test_json_has_its_documented_shape(self, desk: Desk, interpreter: Path) -> None:
        """For scripts: every key is always there."""
        desk("install")
        status, out, _ = desk("status", "--json")
        assert status == 0
        assert json.loads(out) == {
            "installed": True,
            "unit": f"{desk.units}/tokenward.service",
            "ours": True,
            "program": str(interpreter),
            "program_exists": True,
            "active": True,
            "enabled": True,
        }

    def test_nothing_installed_and_nobody_to_ask(self, desk: Desk) -> None:
        """Unknown is null, never false."""
        desk.refuse("")
        _, out, _ = desk("status", "--json")
        assert json.loads(out) == {
            "installed": False,
            "unit": f"{desk.units}/tokenward.service",
            "ours": None,
            "program": None,
            "program_exists": None,
            "active": None,
            "enabled": None,
        }

    def test_an_interpreter_that_is_gone_is_told(self, desk: Desk) -> None:
        """A removed or moved environment is the usual end of an installed service."""
        desk("install")
        unit = desk.units / "tokenward.service"
        unit.write_text(unit.read_text().replace("ExecStart=", "ExecStart=/gone"))
        assert "(missing: run install again)" in desk("status")[1]
        assert json.loads(desk("status", "--json")[1])["program_exists"] is False

    def test_half_an_installation_is_none(self, desk: Desk) -> None:
        """The service requires its socket."""
        desk("install")
        (desk.units / "tokenward.socket").unlink()
        assert json.loads(desk("status", "--json")[1])["installed"] is False

    def test_a_unit_of_the_users_own_is_called_so(self, desk: Desk) -> None:
        """It counts as installed, but not as ours."""
        desk("install")
        unit = desk.units / "tokenward.service"
        unit.write_text("[Service]\nExecStart=%h/tokenward daemon\n")
        shown = json.loads(desk("status", "--json")[1])
        assert (shown["ours"], shown["program"]) == (False, f"{desk.home}/tokenward")
        assert "(not written by tokenward)" in desk("status")[1]

    def test_words_for_people(self, desk: Desk) -> None:
        """Plain lines."""
        desk("install")
        lines = desk("status")[1].splitlines()
        assert [line.split()[0] for line in lines] == ["installed", "unit", "program", "enabled", "active"]
        assert lines[-1].split() == ["active", "yes"]


class TestLaunchd:
    def test_install_writes_the_agent_and_makes_the_sockets_directory(self, mac: Desk, interpreter: Path) -> None:
        """Launchd makes sockets, but not their directories."""
        status, out, err = mac("install")
        assert (status, err) == (0, "")
        assert "next: launchctl bootstrap gui/" in out
        agent = plistlib.loads(mac.agent.read_bytes())
        assert agent["ProgramArguments"][0] == str(interpreter)
        folder = Path(agent["Sockets"]["rpc"]["SockPathName"]).parent
        assert folder == mac.home / "Library/Application Support/tokenward/run"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_now_loads_it_anew(self, mac: Desk) -> None:
        """An agent that is loaded cannot be bootstrapped again."""
        assert mac("install", "--now")[0] == 0
        assert [line.split()[1] for line in mac.asked()] == ["print", "bootout", "bootstrap"]

    def test_what_is_not_loaded_need_not_be_unloaded(self, mac: Desk) -> None:
        """Bootout fails on an agent that is not there, and that is no failure of an uninstallation."""
        mac("install")
        mac.log.with_name("log.unloaded").write_text("")
        assert mac("uninstall")[0] == 0
        assert not any("bootout" in line for line in mac.asked())

    def test_status_and_uninstall(self, mac: Desk) -> None:
        """The same shape, the same marks."""
        mac("install")
        shown = json.loads(mac("status", "--json")[1])
        assert (shown["installed"], shown["active"], shown["program_exists"]) == (True, True, True)
        assert mac("uninstall")[0] == 0
        assert not mac.agent.exists()

    def test_the_drop_in_is_no_option(self, mac: Desk) -> None:
        """A usage error is exit status 2."""
        with pytest.raises(SystemExit) as ended:
            mac("install", "--no-user-namespaces")
        assert ended.value.code == 2


class TestSupervisor:
    def test_an_unknown_platform_has_none(self) -> None:
        """With the way out: run the daemon from the session."""
        with pytest.raises(ConfigurationFault) as caught:
            supervisor_of("freebsd14", {"HOME": "/home/ada"}, uid=1000)
        assert "tokenward daemon" in caught.value.hint

    def test_without_a_home_there_is_no_place(self, desk: Desk) -> None:
        """Two lines, not a KeyError."""
        desk.monkeypatch.delenv("HOME")
        for command in ("install", "uninstall", "status"):
            status, _, err = desk(command)
            assert status == 1
            assert two_lines(err)
