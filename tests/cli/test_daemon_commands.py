"""``tokenward daemon`` and ``tokenward doctor``: what they ask of the daemon's composition root."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.fake_app import put_in_place
from client.fake_daemon import FakeDaemon, Refusal, profile
from tokenward.cli.main import main
from tokenward.errors import AlreadyServed


@dataclass
class FakeFinding:
    """One sentence of the doctor."""

    check: str
    level: str
    cause: str
    hint: str = ""
    consequence: str = ""


FINE = FakeFinding("clocks", "ok", "they agree")
ODD = FakeFinding("environment", "warn", "two logins are set", "run: unset ONE", "one is ignored")
WRONG = FakeFinding("socket", "fail", "nobody\x1b answers", "start the daemon")


class TestDaemon:
    def test_its_options_arrive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every option is an argument of `run_daemon`, whose result is the exit status."""
        started: list[dict[str, Any]] = []

        def run_daemon(**options: Any) -> int:
            started.append(options)
            return 7

        put_in_place(monkeypatch, run_daemon=run_daemon)
        arguments = ["--config", "c.toml", "--state-dir", "/s", "--socket", "/s/sock", "--log-level", "debug"]
        assert main(["daemon", *arguments, "--log-format", "json", "--debuggable"]) == 7
        assert main(["daemon"]) == 7
        usual: dict[str, Any] = {"config": None, "state_dir": None, "socket": None}
        assert started == [
            {
                "config": Path("c.toml"),
                "state_dir": Path("/s"),
                "socket": Path("/s/sock"),
                "log_level": "debug",
                "log_format": "json",
                "debuggable": True,
            },
            {**usual, "log_level": "info", "log_format": None, "debuggable": False},
        ]

    def test_a_socket_that_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Served elsewhere is exit 1, and who it is."""

        def run_daemon(**_: Any) -> int:
            raise AlreadyServed("the socket is served by process 5", hint="stop it")

        put_in_place(monkeypatch, run_daemon=run_daemon)
        assert main(["daemon"]) == 1
        assert capsys.readouterr().err == "tokenward: the socket is served by process 5\n  hint: stop it\n"


class TestDoctor:
    @pytest.fixture(autouse=True)
    def _nobody_answers(self, no_daemon: Path) -> None:
        """The tests' machine may have a daemon of its own."""

    def test_the_daemon_is_asked_what_it_keeps(self, monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
        """The checks get the profiles of the daemon that answers; without one they are told so."""
        daemon.answers["profile.list"] = lambda _: {"profiles": [profile()]}
        asked: list[Any] = []

        def run_checks(*, profiles: Any, **_: Any) -> list[FakeFinding]:
            asked.append(profiles)
            return [FINE]

        put_in_place(monkeypatch, run_checks=run_checks)
        assert main(["doctor"]) == 0
        daemon.close()
        assert main(["doctor"]) == 0
        assert asked == [[profile()], None]

    def test_each_finding_is_a_line_and_a_hint(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The worst last, with what comes of it and what mends it; a failure is exit 1."""
        put_in_place(monkeypatch, run_checks=lambda **_: [WRONG, ODD, FINE])
        assert main(["doctor"]) == 1
        assert capsys.readouterr().out == (
            "ok    clocks       they agree\n"
            "warn  environment  two logins are set\n"
            "                   so: one is ignored\n"
            "                   run: unset ONE\n"
            "fail  socket       nobody  answers\n"
            "                   hint: start the daemon\n"
            "1 fine, 1 to watch, 1 wrong\n"
        )

    def test_a_terminal_gets_lines_that_fit_and_commands_that_are_whole(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """On 80 columns sentences are wrapped and the home is ~; what is to be copied is never broken."""
        home = os.environ["HOME"]
        command = f"run: chmod 600 {home}/{'long' * 20}"
        long = FakeFinding(
            "file modes", "fail", f"others may open {home}/.x " + "and so on " * 9, command, "so " * 40
        )
        put_in_place(monkeypatch, run_checks=lambda **_: [long])
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        assert main(["doctor"]) == 1
        lines = capsys.readouterr().out.splitlines()
        (copied,) = [line for line in lines if "run: " in line]
        assert copied.strip() == f"run: chmod 600 ~/{'long' * 20}"
        assert lines[0].startswith("fail  file modes  others may open ~/.x and")
        assert all(len(line) <= 80 for line in lines if line != copied)
        assert len(lines) > 5

    def test_a_narrow_terminal_has_the_sentences_below_the_check(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A column of thirty characters is no place for a path; a command behind words stays in one piece."""
        hint = "set command to the absolute path of claude, then run: tokenward doctor --probe"
        odd = FakeFinding("claude code", "warn", f"there is a login in {os.environ['HOME']}/.claude/x", hint, "so")
        put_in_place(monkeypatch, run_checks=lambda **_: [odd])
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "50")
        assert main(["doctor"]) == 0
        assert capsys.readouterr().out == (
            "warn  claude code\n"
            "      there is a login in ~/.claude/x\n"
            "      so: so\n"
            "      set command to the absolute path of claude,\n"
            "      then run: tokenward doctor --probe\n"
            "0 fine, 1 to watch, 0 wrong\n"
        )

    def test_a_probe_is_made_where_it_is_wished(self, monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
        """The daemon makes it, with the profile that was named, and the checks hear of it."""
        shown = {"profile": "acme:me", "provider": "acme", "verdict": "taken"}
        asked: list[Any] = []
        heard: list[Any] = []
        daemon.answers["profile.list"] = lambda _: {"profiles": []}

        def probe(params: Any) -> dict[str, Any]:
            asked.append(params.get("profile"))
            return shown

        daemon.answers["doctor.probe"] = probe

        def run_checks(*, probed: Any, **_: Any) -> list[FakeFinding]:
            heard.append(probed)
            return [FINE]

        put_in_place(monkeypatch, run_checks=run_checks)
        assert main(["doctor"]) == 0
        assert (asked, heard) == ([], [None])
        assert main(["doctor", "--probe", "--profile", "acme:me"]) == 0
        assert (asked, heard) == (["acme:me"], [None, shown])

    def test_a_probe_that_cannot_be_made_is_a_finding_and_no_error(
        self, monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon
    ) -> None:
        """The other checks are wanted most where the daemon is ill."""
        heard: list[Any] = []
        daemon.answers["profile.list"] = lambda _: {"profiles": []}

        def probe(_: Any) -> dict[str, Any]:
            raise Refusal("StoreUnavailable", "locked", code=-32009)

        daemon.answers["doctor.probe"] = probe

        def run_checks(*, probed: Any, **_: Any) -> list[FakeFinding]:
            heard.append(probed)
            return [FINE]

        put_in_place(monkeypatch, run_checks=run_checks)
        assert main(["doctor", "--probe"]) == 0
        assert (heard[0]["profile"], heard[0]["reason"], heard[0]["hint"]) == (None, "locked", "do this")

    def test_a_profile_without_a_probe_is_a_mistake(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Nobody is led to believe that something was tried."""
        assert main(["doctor", "--profile", "acme:me"]) == 2
        assert "add --probe" in capsys.readouterr().err

    def test_a_warning_is_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a failed check the exit status is 0."""
        put_in_place(monkeypatch, run_checks=lambda **_: [FINE, ODD])
        assert main(["doctor"]) == 0

    def test_json(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """`--json` is an object with the list of findings, and the same exit status."""
        asked: list[Path | None] = []

        def run_checks(*, config: Path | None, profiles: Any, project: Path, **_: Any) -> list[FakeFinding]:
            assert (profiles, project) == (None, Path.cwd())
            asked.append(config)
            return [WRONG]

        put_in_place(monkeypatch, run_checks=run_checks)
        assert main(["doctor", "--json", "--config", "c.toml"]) == 1
        assert json.loads(capsys.readouterr().out) == {
            "findings": [
                {
                    "check": "socket",
                    "level": "fail",
                    "cause": "nobody\x1b answers",
                    "consequence": "",
                    "hint": "start the daemon",
                }
            ]
        }
        assert asked == [Path("c.toml")]
